// Package etcdflags reads the command line of etcd 3.7. `qkv etcd` makes a member's configuration of it. The package opens and starts
// nothing; its result depends on the line, the environment and the file alone.
//
// # Where a setting comes from
//
//	--config-file, or ETCD_CONFIG_FILE, is given   the file; all other flags and variables are passed over, which is said
//	otherwise                                      the flag, or the variable ETCD_FLAG_NAME; both for one flag are refused
//
// Flags are as Go's package flag has them: one dash or two, -flag=value, and -flag value except for boolean flags.
// A variable without a value is ignored. The file is YAML or JSON with the flags' names; times in it are numbers of nanoseconds,
// and certificates stand in client-transport-security and peer-transport-security without the flags' "peer-".
//
// # What becomes of a setting
//
// One table (table.go) holds all flags with what qkv makes of each. Two of them, in the group qkv, are not etcd's.
//
//	applies   it decides what it decides in etcd
//	ignored   there is nothing in qkv that it could decide, and nobody misses it: accepted, and said when it is not the default
//	refused   it asks for what qkv does otherwise or not at all, and going on without would not be what is meant
//	founds    it founds a cluster in a way that qkv does not have: refused for an empty data folder, ignored by a member with data
//	removed   etcd had it before 3.7: as ignored, or as the flag that took its place; etcd 3.7 itself refuses it
//
// # Errors
//
// A line that cannot be read is a [*SyntaxError], for which etcd exits with 2; all else is refused with 1. The texts are etcd's
// where etcd has one, since scripts and people look for them.
package etcdflags
