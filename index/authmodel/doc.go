// Package authmodel is users and roles in their simplest form, for tests of package index and for the judge of the simulator. It shares no
// code with package index. A user may make an access to a range if each key of the range is in a permission of one of the user's roles:
// the model looks at one key after the other, and never merges ranges.
//
// Between two neighbouring borders of ranges, all keys are alike. The model therefore needs one key of each such interval: the border
// itself, since a range begins at its first key and ends before its last one. The borders of a single key k are k and k+"\0", the next key.
//
// A range whose end is not after its key has no keys. As in etcd, it must nevertheless lie within one permitted interval: its key is
// permitted, and so are the keys before it, down to its end.
package authmodel
