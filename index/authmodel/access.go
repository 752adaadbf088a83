package authmodel

import (
	"slices"

	"qkv/index/kv"
)

// Access is a request's use of a key or of a range of keys, as in a kv.Range.
type Access struct {
	Key, End []byte
	Write    bool
}

// Attached returns the keys that are attached to a lease.
type Attached func(lease int64) (keys [][]byte)

// OfPut returns the accesses of a put.
func OfPut(p *kv.Put, attached Attached) []Access {
	all := []Access{{Key: p.Key, Write: true}}
	if p.PrevKV {
		all = append(all, Access{Key: p.Key})
	}
	if p.Lease != 0 {
		all = append(all, OfLease(p.Lease, attached)...)
	}
	return all
}

// OfLease returns the accesses of a request that ends a lease, or that changes what its end deletes.
func OfLease(lease int64, attached Attached) (all []Access) {
	for _, key := range attached(lease) {
		all = append(all, Access{Key: key, Write: true})
	}
	return all
}

// OfDelete returns the accesses of a delete.
func OfDelete(d *kv.Delete) []Access {
	all := []Access{{Key: d.Key, End: d.End, Write: true}}
	if d.PrevKV {
		all = append(all, Access{Key: d.Key, End: d.End})
	}
	return all
}

// OfTxn returns the accesses of a transaction: those of both of its branches.
func OfTxn(t *kv.Txn, attached Attached) (all []Access) {
	for _, c := range t.Compares {
		all = append(all, Access{Key: c.Key, End: c.End})
	}
	for _, o := range slices.Concat(t.Success, t.Failure) {
		if o.Put != nil {
			all = append(all, OfPut(o.Put, attached)...)
		}
		if o.Delete != nil {
			all = append(all, OfDelete(o.Delete)...)
		}
		if o.Range != nil {
			all = append(all, Access{Key: o.Range.Key, End: o.Range.End})
		}
		if o.Txn != nil {
			all = append(all, OfTxn(o.Txn, attached)...)
		}
	}
	return all
}

// Verdict returns whether a request may be made: kv.OK, kv.UserEmpty, kv.AuthOld or kv.NotAllowed.
func (m *Model) Verdict(by kv.Principal, need kv.Access, all []Access) kv.Code {
	u, isUser := m.users[by.Name]
	switch {
	case !m.Enabled:
		return kv.OK
	case by.Name == "":
		return kv.UserEmpty
	case by.Auth < m.Revision:
		return kv.AuthOld
	case !isUser:
		return kv.NotAllowed
	case u.roles[kv.Root] || need == kv.AccessNone:
		return kv.OK
	case need == kv.AccessAdmin:
		return kv.NotAllowed
	}
	for _, a := range all {
		if !m.May(by.Name, a) {
			return kv.NotAllowed
		}
	}
	return kv.OK
}

// Admin reports whether a user has the role root.
func (m *Model) Admin(name string) bool { return m.users[name].roles[kv.Root] }

// May reports whether a user may make an access.
func (m *Model) May(name string, a Access) bool {
	if m.Admin(name) {
		return true
	}
	var permitted []keys
	for role := range m.users[name].roles {
		for granted, kind := range m.roles[role] {
			if kind == kv.PermitReadWrite || a.Write == (kind == kv.PermitWrite) {
				permitted = append(permitted, granted)
			}
		}
	}
	return covers(permitted, keys{string(a.Key), string(a.End)})
}

// covers looks at one key after the other.
func covers(permitted []keys, asked keys) bool {
	if asked.end == "" {
		return in(permitted, asked.key)
	}
	all := borders(append(slices.Clone(permitted), asked))
	if asked.end != "\x00" && asked.end <= asked.key {
		return around(permitted, all, asked)
	}
	for _, key := range all {
		if asked.has(key) && !in(permitted, key) {
			return false
		}
	}
	return true
}

// around tells whether a range without keys lies within the permitted interval around its key: its end comes after the first key there.
func around(permitted []keys, all []string, asked keys) bool {
	from, _ := slices.BinarySearch(all, asked.key)
	if !in(permitted, asked.key) {
		return false
	}
	for from > 0 && in(permitted, all[from-1]) {
		from--
	}
	return asked.end > all[from]
}

// borders returns the first key of each interval in which all keys are alike, ascending.
func borders(ranges []keys) (all []string) {
	for _, r := range ranges {
		all = append(all, r.key)
		switch r.end {
		case "":
			all = append(all, r.key+"\x00")
		case "\x00":
		default:
			all = append(all, r.end)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// has tells whether a key is one of those.
func (k keys) has(key string) bool {
	switch k.end {
	case "":
		return key == k.key
	case "\x00":
		return key >= k.key
	}
	return key >= k.key && key < k.end
}

func in(ranges []keys, key string) bool {
	return slices.ContainsFunc(ranges, func(r keys) bool { return r.has(key) })
}
