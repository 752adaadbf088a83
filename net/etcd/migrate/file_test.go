package migrate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// content is what a file is made of, as etcd 3.7 would write it.
type content struct {
	pairs               []*mvccpb.KeyValue // version 0: a tombstone
	subs                map[int]int64      // of pairs
	leases              []kv.Lease
	scheduled, finished int64
	version             string
	nothing, alarm      bool
	auth                uint64 // the auth revision, with authentication enabled
	users               []*authpb.User
	roles               []*authpb.Role
	raw                 map[string][]byte // records as they are
	without             string            // a bucket
}

func pairOf(key string, create, mod, version, lease int64, value string) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), CreateRevision: create, ModRevision: mod, Version: version, Lease: lease, Value: []byte(value)}
}

func revision(mod, sub int64) []byte {
	return binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint64(nil, uint64(mod)), '_'), uint64(sub))
}

// write makes a file, with its sum.
func (c *content) write(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range []string{"key", "lease", "meta", "auth", "authUsers", "authRoles", "alarm"} {
			if bucket == c.without {
				continue
			}
			if _, err := tx.CreateBucket([]byte(bucket)); err != nil {
				return err
			}
		}
		put := func(bucket string, k, v []byte) {
			if b := tx.Bucket([]byte(bucket)); b != nil {
				if err := b.Put(k, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, one := range c.pairs {
			k, written := revision(one.ModRevision, c.subs[i]), one
			if one.Version == 0 {
				k, written = append(k, 't'), &mvccpb.KeyValue{Key: one.Key}
			}
			v, _ := proto.Marshal(written)
			put("key", k, v)
		}
		for k, v := range c.raw {
			put("key", []byte(k), v)
		}
		for _, l := range c.leases {
			var v []byte
			for i, n := range []int64{l.ID, l.TTL, l.Remaining} {
				v = protowire.AppendVarint(protowire.AppendTag(v, protowire.Number(i+1), protowire.VarintType), uint64(n))
			}
			put("lease", binary.BigEndian.AppendUint64(nil, uint64(l.ID)), v)
		}
		if c.scheduled > 0 {
			put("meta", []byte("scheduledCompactRev"), revision(c.scheduled, 0))
		}
		if c.finished > 0 {
			put("meta", []byte("finishedCompactRev"), revision(c.finished, 0))
		}
		if c.version != "" {
			put("meta", []byte("storageVersion"), []byte(c.version))
		}
		if c.auth > 0 {
			put("auth", []byte("authEnabled"), []byte{1})
			put("auth", []byte("authRevision"), binary.BigEndian.AppendUint64(nil, c.auth))
		}
		for _, u := range c.users {
			v, _ := proto.Marshal(u)
			put("authUsers", []byte(cmp.Or(string(u.Name), "nameless")), v)
		}
		for _, r := range c.roles {
			v, _ := proto.Marshal(r)
			put("authRoles", r.Name, v)
		}
		if c.alarm {
			put("alarm", []byte("x"), nil)
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	sign(t, name)
	return name
}

// sign puts a file's sum behind it.
func sign(t testing.TB, name string) {
	t.Helper()
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(all)
	if err := os.WriteFile(name, append(all, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load makes a state of a file.
func load(t testing.TB, f *File) (*index.State, error) {
	t.Helper()
	s := index.NewState(limits.Defaults().Index)
	m, err := f.Load(t.Context(), s, func() int64 { return 1 }, func() {})
	if err == nil {
		err = m.SetLeases(f.Leases)
	}
	return s, err
}

// plain is a file with a bit of everything: compacted up to 6, where b was deleted.
func plain() *content {
	return &content{
		pairs: []*mvccpb.KeyValue{
			pairOf("a", 2, 4, 3, -9, "a3"), pairOf("b", 0, 6, 0, 0, ""), pairOf("c", 3, 6, 2, 0, "c2"), pairOf("a", 2, 7, 4, 0, "a4"),
			pairOf("b", 8, 8, 1, 77, "b"), pairOf("b", 0, 9, 0, 0, ""), pairOf("d", 10, 10, 1, 5, "d"),
		},
		subs: map[int]int64{2: 1}, scheduled: 6, finished: 6, version: "3.7.0",
		leases: []kv.Lease{{ID: -9, TTL: 60}, {ID: 5, TTL: 100, Remaining: 40}},
	}
}

func stateText(s *index.State) string {
	var out strings.Builder
	v := s.View()
	fmt.Fprintf(&out, "revision %d, compacted %d\n", v.Revision(), v.Compacted())
	_ = v.Events(v.Compacted(), func(e *kv.Event) bool {
		fmt.Fprintf(&out, "%d.%d deleted %v: %s=%s create %d version %d lease %d\n", e.KV.ModRevision, e.Sub, e.Deleted, e.KV.Key, e.KV.Value, e.KV.CreateRevision, e.KV.Version, e.KV.Lease)
		return true
	})
	a, _ := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: v.Compacted()}, 0)
	for _, one := range a.KVs {
		fmt.Fprintf(&out, "%s=%s create %d mod %d version %d lease %d\n", one.Key, one.Value, one.CreateRevision, one.ModRevision, one.Version, one.Lease)
	}
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		fmt.Fprintf(&out, "lease %d %d s %d left\n", l.ID, l.TTL, l.Remaining)
		return true
	})
	return out.String()
}

const plainText = `revision 10, compacted 6
6.0 deleted true: b= create 0 version 0 lease 0
6.1 deleted false: c=c2 create 3 version 2 lease 0
7.0 deleted false: a=a4 create 2 version 4 lease 0
8.0 deleted false: b=b create 8 version 1 lease 77
9.0 deleted true: b= create 0 version 0 lease 0
10.0 deleted false: d=d create 10 version 1 lease 5
a=a3 create 2 mod 4 version 3 lease -9
c=c2 create 3 mod 6 version 2 lease 0
lease -9 60 s 0 left
lease 5 100 s 40 left
`

// TestFile takes over all that is in a file, whichever etcd has written it, and whether or not its compaction was through.
func TestFile(t *testing.T) {
	unfinished := plain()
	unfinished.finished = 3
	unfinished.pairs = append(unfinished.pairs, pairOf("a", 2, 3, 2, 0, "a2"), pairOf("b", 5, 5, 1, 0, "b1"), pairOf("e", 2, 2, 1, 0, "e"), pairOf("e", 0, 4, 0, 0, ""))
	unfinished.subs[len(unfinished.pairs)-4], unfinished.subs[len(unfinished.pairs)-2], unfinished.subs[len(unfinished.pairs)-1] = 1, 1, 1
	old := plain()
	old.version, old.alarm = "", true
	for name, c := range map[string]*content{"plain": plain(), "unfinished": unfinished, "3.4": old} {
		f, err := OpenFile(c.write(t), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.Check(t.Context(), nil); err != nil || f.Records != 7 {
			t.Errorf("%s: %d records, %v", name, f.Records, err)
		}
		s, err := load(t, f)
		if got := stateText(s); err != nil || got != plainText {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(f.Notes) != map[string]int{"3.4": 1}[name] {
			t.Errorf("%s: %q", name, f.Notes)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := OpenFile((&content{}).write(t), false)
	if err == nil {
		err = f.Check(t.Context(), nil)
	}
	if err != nil || f.Revision != 1 || f.Compacted != 0 || f.Records != 0 {
		t.Errorf("an empty store: %+v %v", f, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	many := &content{}
	for i := range int64(2 * progressRecords) {
		many.pairs = append(many.pairs, pairOf("k", 2, 2+i, 1+i, 0, ""))
	}
	if f, err = OpenFile(many.write(t), false); err == nil {
		err = f.Check(gone, nil)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestBumpedFile: `etcdutl snapshot restore --bump-revision 1000 --mark-compacted` leaves a record without a key, up to which all is
// compacted. Writes may have followed.
func TestBumpedFile(t *testing.T) {
	bumped := func() *content {
		c := plain()
		c.raw, c.scheduled = map[string][]byte{string(revision(1010, 0)): {}}, 1010
		return c
	}
	written := bumped()
	written.pairs = append(written.pairs, pairOf("a", 2, 1011, 5, 0, "a5"))
	compacted := bumped()
	compacted.pairs = append(compacted.pairs, pairOf("a", 2, 1011, 5, 0, "a5"))
	compacted.scheduled, compacted.finished = 1011, 1011
	const rest = "c=c2 create 3 mod 6 version 2 lease 0\nd=d create 10 mod 10 version 1 lease 5\nlease -9 60 s 0 left\nlease 5 100 s 40 left\n"
	for name, one := range map[string]struct {
		c    *content
		want string
	}{
		"bumped":    {bumped(), "revision 1010, compacted 1010\na=a4 create 2 mod 7 version 4 lease 0\n" + rest},
		"written":   {written, "revision 1011, compacted 1010\n1011.0 deleted false: a=a5 create 2 version 5 lease 0\na=a4 create 2 mod 7 version 4 lease 0\n" + rest},
		"compacted": {compacted, "revision 1011, compacted 1011\n1011.0 deleted false: a=a5 create 2 version 5 lease 0\na=a5 create 2 mod 1011 version 5 lease 0\n" + rest},
	} {
		f, err := OpenFile(one.c.write(t), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.Check(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := load(t, f)
		if got := stateText(s); err != nil || got != one.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, one.want)
		}
		if err := errors.Join(s.Check(), f.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUsersInAFile: users come with the hashes of their passwords, and roles with their permissions, each range once.
func TestUsersInAFile(t *testing.T) {
	c := &content{
		auth: 7, pairs: []*mvccpb.KeyValue{pairOf("k", 2, 2, 1, 0, "v")},
		users: []*authpb.User{
			{Name: []byte("root"), Password: []byte("$2a$10$hash"), Roles: []string{"root"}},
			{Name: []byte("cert"), Options: &authpb.UserAddOptions{NoPassword: true}, Roles: []string{"b", "a", "gone"}},
		},
		roles: []*authpb.Role{
			{Name: []byte("a"), KeyPermission: []*authpb.Permission{
				{Key: []byte("x"), RangeEnd: []byte("y"), PermType: authpb.Permission_WRITE},
				{Key: []byte("x")},
				{Key: []byte("x"), RangeEnd: []byte("y"), PermType: authpb.Permission_READ},
				{Key: []byte("a"), RangeEnd: []byte{0}, PermType: authpb.Permission_READWRITE},
			}},
			{Name: []byte("b")},
		},
	}
	f, err := OpenFile(c.write(t), false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := index.AuthContent{
		Enabled: true, Revision: 7,
		Users: []kv.UserRecord{{Name: "cert", NoPassword: true, Roles: []string{"a", "b"}}, {Name: "root", Password: []byte("$2a$10$hash"), Roles: []string{"root"}}},
		Roles: []kv.UserRole{{Name: "a", Permissions: []kv.Permission{
			{Key: []byte("a"), End: []byte{0}, Type: kv.PermitReadWrite}, {Key: []byte("x"), Type: kv.PermitRead}, {Key: []byte("x"), End: []byte("y"), Type: kv.PermitReadWrite},
		}}, {Name: "b"}},
	}
	if got := fmt.Sprintf("%+v", f.Auth); got != fmt.Sprintf("%+v", want) {
		t.Errorf("%s\nwant %+v", got, want)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], `the user "cert" has the role "gone"`) {
		t.Errorf("notes: %q", f.Notes)
	}
	if err := CheckFollowed(f.Path); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "etcdctl snapshot save") {
		t.Errorf("followed: %v", err)
	}
}

// TestFileRefused: what is wrong with a file is said, and what is too much for qkv is listed.
func TestFileRefused(t *testing.T) {
	testlong.Skip(t)
	for want, change := range map[string]func(c *content){
		"lacks the buckets meta, key and lease": func(c *content) { c.without = "lease" },
		"schema 3.8.0":                          func(c *content) { c.version = "3.8.0" },
		"schema newer":                          func(c *content) { c.version = "newer" },
		`the user "nameless" cannot be read`:    func(c *content) { c.users = []*authpb.User{{Password: []byte("x")}} },
		fmt.Sprintf("has %d bytes, over the limit of %d", limits.AuthNameBytes+1, limits.AuthNameBytes): func(c *content) {
			c.users = []*authpb.User{{Name: []byte(strings.Repeat("x", limits.AuthNameBytes+1))}}
		},
		`a permission of the role "r": the end "a" of the permission's range is not after its key "b"`: func(c *content) {
			c.roles = []*authpb.Role{{Name: []byte("r"), KeyPermission: []*authpb.Permission{{Key: []byte("b"), RangeEnd: []byte("a")}}}}
		},
		`a permission of the role "r": there is no type 9`: func(c *content) {
			c.roles = []*authpb.Role{{Name: []byte("r"), KeyPermission: []*authpb.Permission{{Key: []byte("b"), PermType: 9}}}}
		},
		"scheduledCompactRev has the revision": func(c *content) { c.scheduled = -1; c.raw = map[string][]byte{}; c.nothing = true },
		"its last record has the revision":     func(c *content) { c.raw = map[string][]byte{"zzz": nil} },
		"a record has the revision":            func(c *content) { c.raw = map[string][]byte{"\x00": nil} },
		"record 7.1: ":                         func(c *content) { c.raw = map[string][]byte{string(revision(7, 1)): {0xff}} },
		"says that it is of revision 99": func(c *content) {
			b, _ := proto.Marshal(pairOf("x", 99, 99, 1, 0, ""))
			c.raw = map[string][]byte{string(revision(11, 0)): b}
		},
		"before record 12.0 some are missing": func(c *content) { c.pairs = append(c.pairs, pairOf("x", 12, 12, 1, 0, "")) },
		"before record 10.0 some are missing": func(c *content) { c.pairs = append(c.pairs[:4], c.pairs[6]) },
		"has put and deleted one key":         func(c *content) { c.subs[2] = 2 },
		"revision 11 has an empty key":        func(c *content) { c.pairs = append(c.pairs, pairOf("", 11, 11, 1, 0, "")) },
		fmt.Sprintf("has %d bytes, the limit is %d", limits.KeyBytes+1, limits.KeyBytes): func(c *content) {
			c.pairs = append(c.pairs, pairOf(strings.Repeat("x", limits.KeyBytes+1), 11, 11, 1, 0, ""))
		},
		fmt.Sprintf("has %d bytes, the limit is %d", limits.ValueBytes+1, limits.ValueBytes): func(c *content) {
			c.pairs = append(c.pairs, pairOf("x", 11, 11, 1, 0, strings.Repeat("x", limits.ValueBytes+1)))
		},
		"over the limit of 9000000000": func(c *content) { c.leases = append(c.leases, kv.Lease{ID: 3, TTL: limits.LeaseSeconds + 1}) },
		"and 5 more\nnothing was changed": func(c *content) {
			for i := range 25 {
				c.leases = append(c.leases, kv.Lease{ID: int64(10 + i), TTL: 0})
			}
		},
	} {
		c := plain()
		change(c)
		name := c.write(t)
		if c.nothing {
			name = rewritten(t, name, func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("meta")).Put([]byte("scheduledCompactRev"), []byte("x"))
			})
		}
		f, err := OpenFile(name, false)
		if err == nil {
			err = f.Check(t.Context(), nil)
		}
		if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	// What only the state can know.
	for want, change := range map[string]func(c *content){
		"does not continue the key's stored version": func(c *content) { c.pairs[3].Version++ },
		"does not continue":                          func(c *content) { c.pairs[5].Key = []byte("none") },
	} {
		c := plain()
		change(c)
		f, err := OpenFile(c.write(t), false)
		if err == nil {
			err = f.Check(t.Context(), nil)
		}
		if err == nil {
			_, err = load(t, f)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

// rewritten is a file that was changed after it was made, with a sum that is right.
func rewritten(t testing.TB, name string, change func(tx *bbolt.Tx) error) string {
	t.Helper()
	info, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, info.Size()-sha256.Size)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(name, 0o600, nil)
	if err == nil {
		err = errors.Join(db.Update(change), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	sign(t, name)
	return name
}

// TestFileDamaged cuts a file, and changes it, everywhere: with its sum each change is found; without one nothing crashes.
func TestFileDamaged(t *testing.T) {
	name := plain().write(t)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte, unchecked bool) error {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(name, unchecked)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Check(t.Context(), nil); err != nil {
			return err
		}
		_, err = load(t, f)
		return err
	}
	if err := try(whole, false); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/97 {
		if err := try(whole[:n], false); !errors.Is(err, ErrFile) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 0x41
		if err := try(changed, false); !errors.Is(err, ErrFile) {
			t.Errorf("byte %d changed: %v", n, err)
		}
		_ = try(changed, true)
		_ = try(whole[:n], true)
	}
	for _, b := range [][]byte{nil, []byte("qkvsnap\n"), bytes.Repeat([]byte("text\n"), 4000)} {
		if err := try(b, true); !errors.Is(err, ErrFile) {
			t.Errorf("%.20q: %v", b, err)
		}
	}
	if _, err := OpenFile(filepath.Join(t.TempDir(), "none"), false); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := OpenFile(t.TempDir(), false); !errors.Is(err, ErrFile) {
		t.Error(err)
	}
}
