package watch_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/authmodel"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// guarded is a world with users and roles, and a model of them.
type guarded struct {
	*world
	model *authmodel.Model
}

// newGuarded returns a world in which authentication is enabled: root, and the users a and b with a role of their own each.
func newGuarded(t fataler, hub limits.Watches) *guarded {
	g := &guarded{newWorld(t, limits.Defaults().Index, hub), authmodel.New()}
	g.apply(index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	for _, user := range []string{kv.Root, "a", "b"} {
		g.change(kv.AuthChange{Kind: kv.UserAdd, User: user, NoPassword: true})
		g.change(kv.AuthChange{Kind: kv.RoleAdd, Role: user})
		g.change(kv.AuthChange{Kind: kv.UserGrantRole, User: user, Role: user})
	}
	g.enable()
	return g
}

func (g *guarded) enable() {
	g.change(kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
}

// change makes a change of users as root.
func (g *guarded) change(c kv.AuthChange) {
	g.apply((&index.Head{By: g.view.By(kv.Root)}).AppendAuthChange(nil, &c).Bytes)
	g.model.Change(kv.Root, &c)
	if g.view.Auth().Revision() != g.model.Revision {
		g.t.Fatalf("the auth revision is %d after %v, want %d", g.view.Auth().Revision(), &c, g.model.Revision)
	}
}

// grant permits a user's role to read a range, or forbids it.
func (g *guarded) grant(role, key, end string) {
	g.change(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: role, Permission: kv.Permission{Key: []byte(key), End: []byte(end)}})
}

func (g *guarded) revoke(role, key, end string) {
	g.change(kv.AuthChange{Kind: kv.RoleRevokePermission, Role: role, Permission: kv.Permission{Key: []byte(key), End: []byte(end)}})
}

func (g *guarded) put(key string) {
	g.apply((&index.Head{By: g.view.By(kv.Root)}).AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte("v")}).Bytes)
}

// readers is a stream that notes what its watches get: the kind, and the code of an error.
type readers struct {
	g    *guarded
	room int
	got  map[uint64][]string
}

func (g *guarded) readers(room int) *readers { return &readers{g, room, map[uint64][]string{}} }

func (r *readers) Format() *kv.WatchFormat { return format }

func (r *readers) Deliver(d *kv.WatchDelivery) bool {
	if d.Kind == kv.WatchEvents && r.room == 0 {
		return false
	}
	for _, id := range d.IDs {
		switch {
		case d.Err != nil:
			r.got[id] = append(r.got[id], d.Err.Code.String())
		case d.Kind == kv.WatchCreated:
			r.got[id] = append(r.got[id], "created")
		case d.Kind == kv.WatchEvents && d.Count > 0:
			r.got[id] = append(r.got[id], fmt.Sprintf("%d events", d.Count))
		}
	}
	if d.Kind == kv.WatchEvents {
		r.room--
	}
	return true
}

// create asks for a watch of a user.
func (r *readers) create(id uint64, by kv.Principal, key, end string, from int64) {
	r.g.hub.Request(r.g.view, r, &kv.WatchRequest{Kind: kv.WatchCreate, ID: id, By: by, Watch: kv.Watch{Key: []byte(key), End: []byte(end), Revision: from}})
}

// last returns the last of what a watch got.
func (r *readers) last(id uint64) string {
	if all := r.got[id]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// TestWatchIsRefused: a watch that its user may not read is not created, and gets nothing. A watch from a key on needs more than the
// permission of that key, as in etcd since GHSA-xg4h-6gfc-h4m8.
func TestWatchIsRefused(t *testing.T) {
	g := newGuarded(t, limits.Defaults().Watches)
	g.grant("a", "k", "")
	g.grant("a", "r", "s")
	g.change(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "a", Permission: kv.Permission{Key: []byte("w"), Type: kv.PermitWrite}})
	r := g.readers(1000)
	id := uint64(0)
	for _, c := range []struct {
		by       kv.Principal
		key, end string
		want     string
	}{
		{g.view.By("a"), "k", "", "created"},
		{g.view.By("a"), "r", "s", "created"},
		{g.view.By("a"), "r1", "r2", "created"},
		{g.view.By("a"), "k", "\x00", "not allowed"},
		{g.view.By("a"), "k", "l", "not allowed"},
		{g.view.By("a"), "r", "t", "not allowed"},
		{g.view.By("a"), "w", "", "not allowed"}, // it may only write it
		{g.view.By("b"), "k", "", "not allowed"},
		{g.view.By("nobody"), "k", "", "not allowed"},
		{g.view.By(""), "k", "", "no user"},
		{kv.Principal{Name: "a", Auth: 1}, "k", "", "auth revision is old"},
		{g.view.By(kv.Root), "\x00", "\x00", "created"},
	} {
		id++
		if r.create(id, c.by, c.key, c.end, 0); len(r.got[id]) != 1 || r.last(id) != c.want {
			t.Errorf("a watch of %q to %q by %+v: %v, want %s", c.key, c.end, c.by, r.got[id], c.want)
		}
	}
	if n := g.hub.Watches(); n != 4 {
		t.Errorf("%d watches, 4 were created", n)
	}
	g.put("k")
	g.put("w")
	g.steps()
	for id, got := range r.got {
		if got[0] != "created" && len(got) > 1 {
			t.Errorf("the watch %d was refused, and gets %v", id, got)
		}
	}
	if r.last(1) != "1 events" || r.last(12) != "2 events" {
		t.Errorf("permitted watches get %v and %v", r.got[1], r.got[12])
	}
	r.create(4, g.view.By("a"), "k", "", 0) // the number is free
	if r.last(4) != "created" {
		t.Errorf("a watch with the number of one that was refused: %v", r.got[4])
	}
}

// TestNewPasswordEndsWatchesOfItsLogins: a watch of a login by the old password ends, and so does that of an earlier user of the same name.
// A watch of a certificate goes on, and so do those of other users.
func TestNewPasswordEndsWatchesOfItsLogins(t *testing.T) {
	g := newGuarded(t, limits.Defaults().Watches)
	g.grant("a", "k", "")
	g.grant("b", "k", "")
	r := g.readers(1000)
	loggedIn := func(name string) kv.Principal {
		u, _ := g.view.Auth().User(name)
		by := g.view.By(name)
		by.Login = u.Epoch
		return by
	}
	old := loggedIn("a")
	r.create(1, old, "k", "", 0)
	r.create(2, g.view.By("a"), "k", "", 0)
	r.create(3, loggedIn("b"), "k", "", 0)
	g.change(kv.AuthChange{Kind: kv.UserChangePassword, User: "a", Password: []byte("x")})
	g.put("k")
	g.steps()
	for id, want := range map[uint64]string{1: kv.BadToken.String(), 2: "1 events", 3: "1 events"} {
		if got := r.last(id); got != want || len(r.got[id]) != 2 {
			t.Errorf("watch %d: %v, want %s", id, r.got[id], want)
		}
	}
	old.Auth = g.view.By("a").Auth
	if r.create(4, old, "k", "", 0); r.last(4) != kv.BadToken.String() {
		t.Errorf("a watch of a login that has ended: %v", r.got[4])
	}
	if r.create(5, loggedIn("a"), "k", "", 0); r.last(5) != "created" {
		t.Errorf("a watch of a new login: %v", r.got[5])
	}
}

// TestWatchEndsWithPermission takes a role from a user whose watches are in all places of the hub. They end at once, before any event of
// the View in which the role is gone, and before those that the hub had not delivered. Watches of others go on.
func TestWatchEndsWithPermission(t *testing.T) {
	for name, lose := range map[string]func(g *guarded){
		"permission revoked": func(g *guarded) { g.revoke("a", "k", "l") },
		"role revoked":       func(g *guarded) { g.change(kv.AuthChange{Kind: kv.UserRevokeRole, User: "a", Role: "a"}) },
		"role deleted":       func(g *guarded) { g.change(kv.AuthChange{Kind: kv.RoleDelete, Role: "a"}) },
		"user deleted":       func(g *guarded) { g.change(kv.AuthChange{Kind: kv.UserDelete, User: "a"}) },
		"write only": func(g *guarded) {
			g.change(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "a", Permission: kv.Permission{Key: []byte("k"), End: []byte("l"), Type: kv.PermitWrite}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, limits.Watches{StepWork: 1, FrameBytes: 1, FragmentBytes: 1, KeyVersions: 1, PendingBytes: 1})
			g.grant("a", "k", "l")
			g.grant("b", "k", "l")
			first := g.view.Revision() + 1
			for range 5 {
				g.put("k1")
			}
			stream, full, others := g.readers(1000), g.readers(1), g.readers(1000)
			for i, by := range []string{"a", "b"} {
				to := stream
				if by == "b" {
					to = others
				}
				number := uint64(10 * i)
				to.create(number+1, g.view.By(by), "k", "l", 0)       // live
				to.create(number+2, g.view.By(by), "k", "l", first)   // lags
				to.create(number+3, g.view.By(by), "k1", "", first)   // lags, of one key
				to.create(number+4, g.view.By(by), "k", "l", 1000)    // in the future
				to.create(number+5, g.view.By(by), "k0", "k9", first) // not begun
				full.create(number+6, g.view.By(by), "k", "l", 0)     // it will be without room
			}
			g.put("k2")
			g.put("k3")
			for range 3 {
				g.hub.Step(0, g.view, false)
			}
			before := map[uint64]int{}
			for id, got := range stream.got {
				before[id] = len(got)
			}
			g.put("k4")
			lose(g)
			g.put("k5")
			g.hub.Step(0, g.view, true) // the first step with it
			for id := uint64(1); id <= 6; id++ {
				of := stream
				if id == 6 {
					of = full
				}
				if of.last(id) != "not allowed" || id < 6 && len(of.got[id]) != before[id]+1 {
					t.Errorf("watch %d gets %v when its user loses the permission, of which %d came before", id, of.got[id], before[id])
				}
			}
			full.room = 1000
			g.hub.Request(g.view, full, &kv.WatchRequest{Kind: kv.WatchRoom})
			g.put("k6")
			g.steps()
			for id := uint64(1); id <= 5; id++ {
				if stream.last(id) != "not allowed" {
					t.Errorf("watch %d gets %v afterwards", id, stream.got[id])
				}
			}
			if n := g.hub.Watches(); n != 6 {
				t.Errorf("%d watches are left, want the 6 of the other user", n)
			}
			for _, id := range []uint64{11, 12, 13, 15} {
				if n := events(others.got[id]); id != 13 && n < 5 || others.last(id) == "not allowed" {
					t.Errorf("watch %d of the other user gets %v", id, others.got[id])
				}
			}
			if full.last(16) == "not allowed" || events(full.got[16]) < 5 {
				t.Errorf("the other user's watch without room gets %v", full.got[16])
			}
		})
	}
}

// events counts the deliveries of events.
func events(got []string) (n int) {
	for _, one := range got {
		if one[len(one)-6:] == "events" {
			n++
		}
	}
	return n
}

// TestEqualWatchesOfUsers: equal watches of one stream are apart if they are of two users, also once they are merged at one position.
func TestEqualWatchesOfUsers(t *testing.T) {
	g := newGuarded(t, limits.Defaults().Watches)
	g.grant("a", "k", "l")
	g.grant("b", "k", "l")
	r := g.readers(1000)
	first := g.view.Revision() + 1
	g.put("k1")
	for id := uint64(1); id <= 4; id++ {
		by := []string{"a", "b"}[id%2]
		r.create(id, g.view.By(by), "k", "l", []int64{0, first}[id/3]) // two live ones, and two that come to them
	}
	g.steps()
	g.put("k2")
	g.steps()
	g.revoke("a", "k", "l")
	g.put("k3")
	g.steps()
	for id := uint64(1); id <= 4; id++ {
		want := []string{"not allowed", "1 events"}[id%2]
		if r.last(id) != want || events(r.got[id]) < 1 {
			t.Errorf("watch %d gets %v, want %s in the end", id, r.got[id], want)
		}
	}
	if g.hub.Watches() != 2 {
		t.Errorf("%d watches are left", g.hub.Watches())
	}
}

// TestWatchesWithoutUsers: while authentication is off, each watch is created, whoever asks, and changes of roles end none. Enabling it
// ends the watches without a user, and those whose users may not read their ranges. A change that takes nothing away ends nothing.
func TestWatchesWithoutUsers(t *testing.T) {
	g := newGuarded(t, limits.Defaults().Watches)
	g.change(kv.AuthChange{Kind: kv.AuthDisable})
	r := g.readers(1000)
	r.create(1, g.view.By(""), "k", "l", 0)
	r.create(2, g.view.By("a"), "k", "l", 0)
	r.create(3, g.view.By("b"), "k", "l", 0)
	r.create(4, kv.Principal{}, "\x00", "\x00", 0)
	r.create(5, kv.Principal{Name: "nobody", Auth: 1}, "k", "", 0)
	r.create(6, g.view.By(kv.Root), "\x00", "\x00", 0)
	g.steps()
	g.revoke("a", "x", "") // not granted: nothing changes
	g.grant("a", "k", "l")
	g.change(kv.AuthChange{Kind: kv.UserAdd, User: "c"})
	g.put("k1")
	g.steps()
	for id := uint64(1); id <= 6; id++ {
		if want := "1 events"; r.last(id) != want && !(id == 5 && r.last(id) == "created") {
			t.Errorf("authentication is off: watch %d gets %v", id, r.got[id])
		}
	}
	g.enable()
	g.put("k2")
	g.steps()
	for id, want := range []string{1: "no user", 2: "1 events", 3: "not allowed", 4: "no user", 5: "not allowed", 6: "1 events"} {
		if id > 0 && r.last(uint64(id)) != want {
			t.Errorf("authentication is enabled: watch %d gets %v, want %s", id, r.got[uint64(id)], want)
		}
	}
	g.grant("b", "k", "l")
	g.change(kv.AuthChange{Kind: kv.UserChangePassword, User: "a", Password: []byte("x")})
	g.change(kv.AuthChange{Kind: kv.UserDelete, User: "c"})
	g.put("k3")
	g.steps()
	if n := events(r.got[2]); g.hub.Watches() != 2 || n != 3 {
		t.Errorf("of two permitted watches %d are left, and one got %v", g.hub.Watches(), r.got[2])
	}
}

// checking is a stream that holds each delivery against the model of the users in the hub's newest View.
type checking struct {
	g       *guarded
	t       *testing.T
	room    int
	watches map[uint64]*checked
	counts  map[string]int
}

type checked struct {
	by, key, end string
	created      bool
	ended        bool
}

func (c *checking) Format() *kv.WatchFormat { return format }

func (c *checking) may(one *checked) bool {
	return !c.g.model.Enabled || one.by != "" && c.g.model.May(one.by, authmodel.Access{Key: []byte(one.key), End: []byte(one.end)})
}

func (c *checking) Deliver(d *kv.WatchDelivery) bool {
	if d.Kind == kv.WatchEvents && c.room == 0 {
		return false
	}
	for _, id := range d.IDs {
		one := c.watches[id]
		switch d.Kind {
		case kv.WatchCreated:
			one.created = true
		case kv.WatchCanceled:
			if one.ended = true; d.Err == nil || c.may(one) {
				c.t.Errorf("the watch of %q to %q by %q ends although it is permitted: %v", one.key, one.end, one.by, d.Err)
			}
			c.counts["ended"]++
		case kv.WatchEvents:
			if !c.may(one) || one.ended {
				c.t.Errorf("the watch of %q to %q by %q, ended %v, gets %d events, and is not permitted", one.key, one.end, one.by, one.ended, d.Count)
			}
			c.counts["delivered"]++
			c.room--
		}
	}
	return true
}

// TestPermittedWatches changes users and roles at random between puts and steps of the hub. After the first step with a View, exactly the
// watches are left whose users may read them in it.
func TestPermittedWatches(t *testing.T) {
	testlong.Skip(t)
	counts := map[string]int{}
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	names := []string{"a", "b", "", "nobody", kv.Root}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 1))
		letter := func() string { return letters[random.IntN(len(letters))] }
		end := func() string { return []string{"", "\x00", "aa", "b", "c", "d"}[random.IntN(6)] }
		g := newGuarded(t, limits.Watches{StepWork: 1 + random.IntN(40), FrameBytes: 1 + random.IntN(300), FragmentBytes: 300, KeyVersions: 1 + random.IntN(10), PendingBytes: 1 + random.IntN(300)})
		var streams []*checking
		for range 3 {
			streams = append(streams, &checking{g: g, t: t, watches: map[uint64]*checked{}, counts: counts})
		}
		next := uint64(0)
		for range 150 {
			s := streams[random.IntN(3)]
			switch n := random.IntN(20); {
			case n < 5:
				next++
				one := &checked{by: names[random.IntN(len(names))], key: letter(), end: end()}
				s.watches[next] = one
				q := kv.Watch{Key: []byte(one.key), End: []byte(one.end), Revision: random.Int64N(2) * random.Int64N(g.view.Revision()+2)}
				if g.hub.Request(g.view, s, &kv.WatchRequest{Kind: kv.WatchCreate, ID: next, By: g.view.By(one.by), Watch: q}); one.created != s.may(one) {
					t.Errorf("seed %d: the watch of %q to %q by %q is created: %v", seed, one.key, one.end, one.by, one.created)
				}
				counts[fmt.Sprint("created ", one.created)]++
			case n < 8:
				g.randomChange(random, letter(), end())
			case n < 13:
				g.put(letter())
			case n < 15:
				s.room += random.IntN(10)
				g.hub.Request(g.view, s, &kv.WatchRequest{Kind: kv.WatchRoom})
			default:
				g.hub.Step(0, g.view, random.IntN(2) == 0)
				for _, s := range streams {
					for id, one := range s.watches {
						if one.created && !one.ended && !s.may(one) {
							t.Errorf("seed %d: the watch %d of %q to %q by %q goes on", seed, id, one.key, one.end, one.by)
						}
					}
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
	t.Log(counts)
	for _, what := range []string{"created true", "created false", "ended", "delivered"} {
		if counts[what] < seeds {
			t.Errorf("%s: %d times", what, counts[what])
		}
	}
}

// randomChange makes a change of users, which may be refused.
func (g *guarded) randomChange(random *rand.Rand, key, end string) {
	role := []string{"a", "b"}[random.IntN(2)]
	switch n := random.IntN(20); {
	case n < 1:
		g.change(kv.AuthChange{Kind: kv.AuthDisable})
	case n < 4:
		g.enable()
	case n < 5:
		g.change(kv.AuthChange{Kind: kv.UserRevokeRole, User: "a", Role: role})
	case n < 8:
		g.change(kv.AuthChange{Kind: kv.UserGrantRole, User: "a", Role: role})
	case n < 13:
		g.revoke(role, key, end)
	default:
		if c := (kv.Permission{Key: []byte(key), End: []byte(end)}); c.Check(kv.Bounds{Key: 100}) == nil {
			g.grant(role, key, end)
		}
	}
}

// checkedAtOnce is how long a change of roles may hold a hub up that has 10,000 watches. It takes some milliseconds.
const checkedAtOnce = time.Second

// TestPermitCost measures the check of 10,000 watches.
func TestPermitCost(t *testing.T) {
	g, _ := manyWatches(t)
	least := time.Hour
	for range 5 {
		g.change(kv.AuthChange{Kind: kv.UserChangePassword, User: "b", Password: []byte("x")})
		begun := time.Now()
		g.hub.Step(0, g.view, true)
		least = min(least, time.Since(begun))
	}
	begun := time.Now()
	g.change(kv.AuthChange{Kind: kv.RoleDelete, Role: "a"})
	g.hub.Step(0, g.view, true)
	ended := time.Since(begun)
	t.Logf("10,000 watches are checked in %v, and ended in %v", least, ended)
	if g.hub.Watches() != 0 || least > checkedAtOnce || ended > checkedAtOnce {
		t.Errorf("%d watches are left, checked in %v, ended in %v, which is to take %v at most", g.hub.Watches(), least, ended, checkedAtOnce)
	}
}

// manyWatches returns a world with 10,000 watches of a user with 10 permissions, on 10 streams.
func manyWatches(t fataler) (g *guarded, ids int) {
	g = newGuarded(t, limits.Defaults().Watches)
	for i := range 10 {
		g.grant("a", fmt.Sprintf("p%d", i), fmt.Sprintf("p%d~", i))
	}
	streams := slices.Repeat([]*readers{nil}, 10)
	for i := range streams {
		streams[i] = g.readers(1000)
	}
	for i := range 10_000 {
		key := fmt.Sprintf("p%d/%05d", i%10, i)
		streams[i%10].create(uint64(i), g.view.By("a"), key, []string{"", key + "~"}[i%2], 0)
	}
	g.steps()
	return g, 10_000
}

// BenchmarkPermit is the cost of a change of roles for a hub with 10,000 watches, which all go on.
func BenchmarkPermit(b *testing.B) {
	g, n := manyWatches(b)
	views := [2]*index.View{g.view}
	g.change(kv.AuthChange{Kind: kv.UserChangePassword, User: "b", Password: []byte("x")})
	views[1] = g.view
	for i := 0; b.Loop(); i++ {
		g.hub.Step(0, views[i%2], true)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/watch")
}
