package index

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The users and roles of a large cluster: 100 users with 10 roles each, 1,000 roles of 10 ranges each.
const costUsers, costRoles, costRanges = 100, 10, 10

// costUser is the name of a user, and costPrefix the beginning of one of the user's ranges.
func costUser(user int) string { return fmt.Sprintf("user-%02d", user) }

func costPrefix(user, role, granted int) string {
	return fmt.Sprintf("%02d/%d/%d/", user, role, granted)
}

// addUsers adds the users and roles to a state, and enables authentication if it is to be on.
func (l *loader) addUsers(tb testing.TB, on bool) {
	change := func(c kv.AuthChange) {
		l.commands = append(l.commands, (&Head{By: kv.Principal{Name: kv.Root, Auth: 1 << 40}}).AppendAuthChange(nil, &c).Bytes)
	}
	l.commands = append(l.commands, AppendFeatureLevel(nil, MaxLevel).Bytes)
	change(kv.AuthChange{Kind: kv.UserAdd, User: kv.Root})
	change(kv.AuthChange{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root})
	for user := range costUsers {
		change(kv.AuthChange{Kind: kv.UserAdd, User: costUser(user), NoPassword: true})
		for role := range costRoles {
			name := fmt.Sprintf("role-%02d-%d", user, role)
			change(kv.AuthChange{Kind: kv.RoleAdd, Role: name})
			for granted := range costRanges {
				key := costPrefix(user, role, granted)
				change(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: name, Permission: kv.Permission{Key: []byte(key), End: []byte(key[:len(key)-1] + "0"), Type: kv.PermitReadWrite}})
			}
			change(kv.AuthChange{Kind: kv.UserGrantRole, User: costUser(user), Role: name})
		}
	}
	if on {
		change(kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
	}
	l.encode()
	l.apply(tb)
	for i := range l.results {
		if l.results[i].Err != nil {
			tb.Fatal(l.results[i].Err)
		}
	}
	l.results = l.results[:0]
	runtime.GC()
}

// costKey is a key that a user may write.
func costKey(dst []byte, user, n int) []byte {
	return fmt.Appendf(dst, "%s%05d", costPrefix(user, n%costRoles, n/costRoles%costRanges), n)
}

// TestCostWithoutAuthentication: while authentication is off, neither a put nor a read allocates anything for users and roles. While it is
// on, a permitted put and a permitted read of a user with 100 ranges allocate a constant number of small objects.
func TestCostWithoutAuthentication(t *testing.T) {
	apply := func(l *loader, head Head) float64 {
		p := &kv.Put{Key: costKey(nil, 7, 42), Value: benchValue}
		command := head.AppendPut(nil, p).Bytes
		next := 0
		var entries [][]byte
		for range 110 {
			l.wall += 2e6
			entries = append(entries, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: l.wall}, [][]byte{command}))
		}
		return testing.AllocsPerRun(100, func() {
			applied, _ := l.s.Applied()
			var err error
			if l.results, err = l.s.Apply(applied+1, 1, entries[next], l.results[:0]); err != nil || l.results[0].Err != nil {
				t.Fatal(err, l.results)
			}
			next++
		})
	}
	before := apply(filled(t, 1000), Head{})
	off, on := filled(t, 1000), filled(t, 1000)
	off.addUsers(t, false)
	on.addUsers(t, true)
	v, user := off.s.View(), costUser(7)
	if without, with := apply(off, Head{}), apply(off, Head{By: v.By(costUser(7))}); without > before || with > before {
		t.Errorf("with authentication off a put allocates %v times, and %v times with the name of a user, it was %v", without, with, before)
	}
	r := &kv.Range{Key: costKey(nil, 7, 42)}
	if n := testing.AllocsPerRun(100, func() {
		if v.Permits(v.By(user), kv.AccessRead, r) != nil {
			t.Error("a read is refused, and authentication is off")
		}
	}); n > 0 {
		t.Errorf("with authentication off a read allocates %v times", n)
	}
	v = on.s.View()
	puts := apply(on, Head{By: v.By(costUser(7))})
	reads := testing.AllocsPerRun(100, func() {
		if err := v.Permits(v.By(user), kv.AccessRead, r); err != nil {
			t.Error(err)
		}
	})
	t.Logf("allocations: put %v before, %v with authentication; its check of a read %v", before, puts, reads)
	if puts > before+2 || reads > 2 {
		t.Errorf("with authentication on a put allocates %v times, it was %v; the check of a read %v times", puts, before, reads)
	}
}

// BenchmarkApplyAuthOff and BenchmarkApplyAuthOn apply envelopes of 1024 puts of 100 users, whose names are recorded either way.
func BenchmarkApplyAuthOff(b *testing.B) { benchAuth(b, false) }
func BenchmarkApplyAuthOn(b *testing.B)  { benchAuth(b, true) }

func benchAuth(b *testing.B, on bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := filled(b, 1000)
	l.addUsers(b, on)
	const keys = 100_000
	for n := range keys {
		l.head.By = l.s.View().By(costUser(n % costUsers))
		l.add(costKey(nil, n%costUsers, n/costUsers))
		if len(l.commands) == 1024 || n == keys-1 {
			l.encode()
			l.apply(b)
			l.results = l.results[:0]
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var heads [costUsers]Head
	for user := range heads {
		heads[user].By = l.s.View().By(costUser(user))
	}
	var a applying
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 1024 {
			n := random.IntN(keys)
			l.head = heads[n%costUsers]
			l.add(costKey(nil, n%costUsers, n/costUsers))
		}
		l.encode()
		l.results = l.results[:0]
		b.StartTimer()
		a.apply(b, l)
		if l.results[0].Err != nil {
			b.Fatal(l.results[0].Err)
		}
	}
	a.report(b)
}

// BenchmarkPermits is the check of a read of a user with 100 ranges.
func BenchmarkPermits(b *testing.B) {
	l := filled(b, 1000)
	l.addUsers(b, true)
	v := l.s.View()
	r, user := &kv.Range{Key: costKey(nil, 7, 42)}, costUser(7)
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Permits(v.By(user), kv.AccessRead, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoleChange changes a permission of a role with one user.
func BenchmarkRoleChange(b *testing.B) {
	l := filled(b, 1000)
	l.addUsers(b, true)
	c := kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "role-07-3", Permission: kv.Permission{Key: []byte("z"), Type: kv.PermitRead}}
	own := &Head{By: kv.Principal{Auth: kv.AuthOwn}}
	b.ReportAllocs()
	for b.Loop() {
		c.Permission.Type ^= 1
		l.commands = append(l.commands[:0], own.AppendAuthChange(nil, &c).Bytes)
		l.encode()
		l.apply(b)
		l.results = l.results[:0]
		l.s.View()
	}
}

// A check of a permission keeps its memory for the next one.
func TestPermitsAllocatesNothing(t *testing.T) {
	l := filled(t, 1000)
	l.addUsers(t, true)
	v := l.s.View()
	r, user := &kv.Range{Key: costKey(nil, 7, 42)}, costUser(7)
	if n := testing.AllocsPerRun(100, func() {
		if err := v.Permits(v.By(user), kv.AccessRead, r); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("a check allocates %v times", n)
	}
}
