package kv

import (
	"slices"
	"testing"
)

// A key is put and deleted by one transaction exactly when one of its deletes has the key, however these lie to each other: apart, side
// by side, one in the other, and in any order.
func TestPutsOfWhatIsDeleted(t *testing.T) {
	const letters = "abcdef"
	var deletes []Delete
	for i := range letters {
		deletes = append(deletes, Delete{Key: []byte(letters[i : i+1])}, Delete{Key: []byte(letters[i : i+1]), End: []byte{0}})
		for j := i + 1; j < len(letters); j++ {
			deletes = append(deletes, Delete{Key: []byte(letters[i : i+1]), End: []byte(letters[j : j+1])})
		}
	}
	has := func(d Delete, key string) bool {
		switch string(d.End) {
		case "":
			return key == string(d.Key)
		case "\x00":
			return false // etcd takes it for a range without keys
		}
		return string(d.Key) <= key && key < string(d.End)
	}
	for _, one := range deletes {
		for _, other := range deletes {
			for i := range letters {
				for _, key := range []string{letters[i : i+1], letters[i:i+1] + "\x00"} {
					all := []Delete{one, other, {Key: []byte("b"), End: []byte("c")}}
					ops := []Op{{Put: &Put{Key: []byte(key)}}}
					for k := range all {
						ops = append(ops, Op{Delete: &all[k]})
					}
					twice := slices.ContainsFunc(all, func(d Delete) bool { return has(d, key) })
					err := (&Txn{Success: ops}).Check(Bounds{Key: 9, Value: 9}, len(ops))
					if said := err != nil && err.Code == DuplicateKey; said != twice {
						t.Fatalf("a put of %q beside deletes from %q to %q, from %q to %q, and of b: %v, twice: %v", key, one.Key, one.End, other.Key, other.End, err, twice)
					}
				}
			}
		}
	}
}
