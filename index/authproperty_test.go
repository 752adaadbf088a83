package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"qkv/index/authmodel"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/internal/testlong"
)

// permissionWorld is a state with random users and roles, and the model of both.
type permissionWorld struct {
	t      *testing.T
	random *rand.Rand
	seed   uint64
	s      *State
	v      *View
	model  *authmodel.Model
	before content // of v
	values int
	counts map[string]int
}

// content is what of a state an outside observer compares.
type content struct {
	mods     map[string]int64   // of the newest change of each key
	attached map[int64][][]byte // the keys of each lease
	leases   []int64
	digest   uint64 // of everything but the applied index
}

// The keys are so few that requests and permissions often have the same ones. A range begins and ends at any of them, or behind one.
var (
	permissionKeys  = []string{"\x00", "a", "a\x00", "aa", "ab", "b", "ba", "bb"}
	permissionEnds  = []string{"a", "a\x00", "aa", "ab", "ab\x00", "b", "b\x00", "ba", "bb", "bb\x00", "c", "\x00\x00"}
	permissionUsers = []string{kv.Root, "u1", "u2", "u3", "none", ""}
	permissionRoles = []string{kv.Root, "r1", "r2", "r3", "r4"}
	permissionLease = []int64{1, 2, 3}
)

const permissionBlock = 200 // requests to one state

// TestPermissions makes random requests of random users. Each is made by the user, and as root if it is refused. The request never reads
// or changes a key, as far as can be observed from outside, that its list of accesses does not have. If its user was permitted to make
// it, each such key is permitted by itself. The verdict is that of the model.
func TestPermissions(t *testing.T) {
	testlong.Skip(t)
	requests := 100_000
	switch {
	case os.Getenv("QKV_FULL") != "":
		requests = 10_000_000
	case testing.Short():
		requests = 12_000
	}
	counts := map[string]int{}
	for seed := range uint64(requests / permissionBlock) {
		w := newPermissionWorld(t, seed, counts)
		for range permissionBlock {
			w.turn()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.restore()
	}
	t.Logf("%d requests: %v", requests, counts)
	for _, kind := range []string{
		"put", "delete", "transaction", "range", "watch", "revoke", "grant", "compact", "change", "restored",
		"permitted", "no user", "auth revision is old", "not allowed",
		"changed keys", "read keys", "compared keys", "compared ranges", "nested 3", "of a lease", "authentication is off", "without keys", "permitted without keys",
	} {
		if counts[kind] < 50 {
			t.Errorf("%q came %d times", kind, counts[kind])
		}
	}
}

func newPermissionWorld(t *testing.T, seed uint64, counts map[string]int) *permissionWorld {
	w := &permissionWorld{t: t, random: rand.New(rand.NewPCG(seed, 29)), seed: seed, s: NewState(limits.Index{CompactionWork: 1 << 20, SlabBytes: 4 << 10, EvacuationBytes: 1 << 20}), model: authmodel.New(), counts: counts}
	w.s.Found(Founders(map[string]uint64{"n1": 1}))
	w.apply(AppendFeatureLevel(nil, MaxLevel).Bytes)
	if w.probably(10) { // from nothing on
		w.change(kv.Principal{}, w.drawChange())
		return w
	}
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: kv.Root},
		{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root},
		{Kind: kv.UserAdd, User: "u1"},
		{Kind: kv.UserAdd, User: "u2"},
		{Kind: kv.RoleAdd, Role: "r1"},
		{Kind: kv.RoleAdd, Role: "r2"},
		{Kind: kv.RoleAdd, Role: "r3"},
		{Kind: kv.UserGrantRole, User: "u1", Role: "r1"},
		{Kind: kv.UserGrantRole, User: "u1", Role: "r2"},
		{Kind: kv.UserGrantRole, User: "u2", Role: "r3"},
		{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)},
	} {
		w.change(kv.Principal{Name: kv.Root, Auth: w.model.Revision}, &c)
	}
	for range w.random.IntN(12) {
		w.change(w.v.By(kv.Root), w.drawChange())
	}
	return w
}

// apply applies a command by itself.
func (w *permissionWorld) apply(command []byte) kv.Result {
	results, err := w.s.Apply(w.s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{command}), nil)
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	w.v = w.s.View()
	return results[0]
}

func (w *permissionWorld) observe() content {
	c := content{mods: map[string]int64{}, attached: map[int64][][]byte{}}
	w.v.Scan(nil, func(key []byte, versions []Version) bool {
		c.mods[string(key)] = versions[len(versions)-1].Mod
		return true
	})
	w.v.Leases(-1<<63, func(l kv.Lease) bool {
		c.leases = append(c.leases, l.ID)
		w.v.LeaseKeys(l.ID, nil, func(key []byte) bool {
			c.attached[l.ID] = append(c.attached[l.ID], bytes.Clone(key))
			return true
		})
		return true
	})
	r := w.v.replicated
	r.applied = 0
	c.digest = r.Digest()
	return c
}

func pickOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (w *permissionWorld) key() []byte { return []byte(pickOf(w.random, permissionKeys)) }

// end draws the end of a range: mostly none, or one behind the key.
func (w *permissionWorld) end() []byte {
	switch n := w.random.IntN(10); {
	case n < 4:
		return nil
	case n < 5:
		return []byte{0}
	}
	return []byte(pickOf(w.random, permissionEnds))
}

func (w *permissionWorld) probably(percent int) bool { return w.random.IntN(100) < percent }

// drawChange draws a change of users and roles, most of which can be made.
func (w *permissionWorld) drawChange() *kv.AuthChange {
	c := &kv.AuthChange{User: pickOf(w.random, permissionUsers[:5]), Role: pickOf(w.random, permissionRoles)}
	switch n := w.random.IntN(100); {
	case n < 2:
		c.Kind = kv.AuthDisable
	case n < 8:
		c.Kind, c.Secret, c.Strict = kv.AuthEnable, make([]byte, limits.AuthSecretBytes), w.probably(30)
	case n < 14:
		c.Kind = kv.UserAdd
	case n < 17:
		c.Kind = kv.UserDelete
	case n < 20:
		c.Kind, c.Password = kv.UserChangePassword, []byte{byte(n)}
	case n < 32:
		c.Kind = kv.UserGrantRole
	case n < 38:
		c.Kind = kv.UserRevokeRole
	case n < 45:
		c.Kind = kv.RoleAdd
	case n < 48:
		c.Kind = kv.RoleDelete
	default:
		c.Permission = kv.Permission{Key: w.key(), End: w.end(), Type: kv.PermissionType(w.random.IntN(3))}
		if c.Kind = kv.RoleGrantPermission; n > 85 {
			c.Kind = kv.RoleRevokePermission
		}
	}
	return c
}

// change makes a change of users and roles, and compares its result with the model's.
func (w *permissionWorld) change(by kv.Principal, c *kv.AuthChange) {
	w.before = w.observe()
	want := w.model.Verdict(by, kv.AccessAdmin, nil)
	if err := c.Check(requestBounds); err != nil && want == kv.OK {
		want = err.Code
	} else if want == kv.OK {
		want = w.model.Change(by.Name, c)
	}
	was := w.v.Auth()
	r := w.apply((&Head{By: by}).AppendAuthChange(nil, c).Bytes)
	if code(r.Err) != want {
		w.t.Fatalf("seed %d: %v by %+v: %v, want %v", w.seed, c, by, r.Err, want)
	}
	if want != kv.OK && (w.observe().digest != w.before.digest || was != w.v.Auth()) {
		w.t.Fatalf("seed %d: %v is refused (%v), and has changed something", w.seed, c, want)
	}
	if a := w.v.Auth(); a.Enabled() != w.model.Enabled || a.Revision() != w.model.Revision {
		w.t.Fatalf("seed %d: after %v: enabled %v, revision %d, want %v, %d", w.seed, c, a.Enabled(), a.Revision(), w.model.Enabled, w.model.Revision)
	}
	w.counts["change"]++
}

func code(err *kv.Error) kv.Code {
	if err == nil {
		return kv.OK
	}
	return err.Code
}

// permissionRequest is a request with all that is compared of it.
type permissionRequest struct {
	text    string
	need    kv.Access
	touches Toucher                                 // what endpoints check; nil: nothing but the class
	model   []authmodel.Access                      // what the model says of it
	command func(h *Head) []byte                    // nil: it is only read
	answer  func(r *kv.Result) *AnswerReader        // nil: there is no answer beside the result
	read    func(v *View, seen func(o observation)) // of what is only read
	txn     *kv.Txn
}

// observation is an access as it was observed: a key, or a range of keys that a comparison walked.
type observation struct {
	key, end []byte
	write    bool
}

// draw draws a request.
func (w *permissionWorld) draw() (q permissionRequest) {
	attached := func(lease int64) [][]byte { return w.before.attached[lease] }
	switch n := w.random.IntN(100); {
	case n < 22:
		p := w.drawPut()
		q = permissionRequest{text: "put", need: kv.AccessWrite, touches: p, model: authmodel.OfPut(p, attached)}
		q.command = func(h *Head) []byte { return h.AppendPut(nil, p).Bytes }
		q.answer = func(r *kv.Result) *AnswerReader { return NewPutReader(p, r, 1<<30) }
	case n < 34:
		d := &kv.Delete{Key: w.key(), End: w.end(), PrevKV: w.probably(40)}
		q = permissionRequest{text: "delete", need: kv.AccessWrite, touches: d, model: authmodel.OfDelete(d)}
		q.command = func(h *Head) []byte { return h.AppendDelete(nil, d).Bytes }
		q.answer = func(r *kv.Result) *AnswerReader { return NewDeleteReader(d, r, 1<<30) }
	case n < 64:
		t := w.drawTxn(1)
		q = permissionRequest{text: "transaction", need: kv.AccessWrite, touches: t, model: authmodel.OfTxn(t, attached), txn: t}
		q.command = func(h *Head) []byte { return h.AppendTxn(nil, t).Bytes }
		q.answer = func(r *kv.Result) *AnswerReader { return NewAnswerReader(t, r, 1<<30) }
	case n < 74:
		r := &kv.Range{Key: w.key(), End: w.end()}
		q = permissionRequest{text: "range", need: kv.AccessRead, touches: r, model: []authmodel.Access{{Key: r.Key, End: r.End}}}
		q.read = func(v *View, seen func(o observation)) {
			found, err := v.Range(*r, 0)
			if err != nil {
				w.t.Fatal(err)
			}
			seenPairs(found.KVs, seen)
		}
	case n < 84:
		watch := &kv.Watch{Key: w.key(), End: w.end()}
		q = permissionRequest{text: "watch", need: kv.AccessRead, touches: watch, model: []authmodel.Access{{Key: watch.Key, End: watch.End}}}
	case n < 90:
		id := pickOf(w.random, permissionLease)
		q = permissionRequest{text: "revoke", need: kv.AccessWrite, touches: touching{Lease: id, Write: true}, model: authmodel.OfLease(id, attached)}
		q.command = func(h *Head) []byte { return h.AppendRevoke(nil, id).Bytes }
	case n < 97:
		l := kv.Lease{ID: pickOf(w.random, permissionLease), TTL: 60}
		q = permissionRequest{text: "grant", need: kv.AccessNone}
		q.command = func(h *Head) []byte { return h.AppendGrant(nil, l).Bytes }
	default:
		revision := w.v.Revision()
		q = permissionRequest{text: "compact", need: kv.AccessAdmin}
		q.command = func(h *Head) []byte { return h.AppendCompact(nil, revision).Bytes }
	}
	return q
}

func (w *permissionWorld) drawPut() *kv.Put {
	p := &kv.Put{Key: w.key(), PrevKV: w.probably(40)}
	if p.IgnoreValue = w.probably(10); !p.IgnoreValue {
		w.values++
		p.Value = fmt.Append(nil, w.values)
	}
	if p.IgnoreLease = w.probably(10); !p.IgnoreLease && w.probably(40) {
		p.Lease = pickOf(w.random, permissionLease)
	}
	return p
}

func (w *permissionWorld) drawTxn(depth int) *kv.Txn {
	t := &kv.Txn{}
	for range w.random.IntN(3) {
		c := kv.Compare{Key: w.key(), Target: kv.CompareTarget(w.random.IntN(5)), Result: kv.CompareResult(w.random.IntN(4)), Number: w.random.Int64N(4)}
		if w.probably(40) {
			c.End = w.end()
		}
		if c.Target == kv.CompareValue {
			c.Number, c.Value = 0, fmt.Append(nil, w.values)
		}
		t.Compares = append(t.Compares, c)
	}
	for _, to := range []*[]kv.Op{&t.Success, &t.Failure} {
		for range w.random.IntN(3) {
			switch n := w.random.IntN(10); {
			case n < 3:
				*to = append(*to, kv.Op{Put: w.drawPut()})
			case n < 5:
				*to = append(*to, kv.Op{Delete: &kv.Delete{Key: w.key(), End: w.end(), PrevKV: w.probably(40)}})
			case n < 7 && depth < 3:
				if *to = append(*to, kv.Op{Txn: w.drawTxn(depth + 1)}); depth == 2 {
					w.counts["nested 3"]++
				}
			default:
				*to = append(*to, kv.Op{Range: &kv.Range{Key: w.key(), End: w.end()}})
			}
		}
	}
	return t
}

// by draws the author of a request: mostly a user with roles, at the newest auth revision.
func (w *permissionWorld) by() kv.Principal {
	by := w.v.By(pickOf(w.random, permissionUsers))
	if w.probably(60) {
		by = w.v.By(pickOf(w.random, permissionUsers[1:3]))
	}
	if w.probably(5) {
		by.Auth -= min(by.Auth, uint64(w.random.IntN(3)))
	}
	return by
}

// turn makes a request, or changes users and roles.
func (w *permissionWorld) turn() {
	switch {
	case w.probably(8):
		by := w.v.By(kv.Root)
		if w.probably(20) {
			by = w.by()
		}
		w.change(by, w.drawChange())
		return
	case !w.model.Enabled && w.probably(30):
		w.change(w.v.By("u1"), &kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
		return
	case w.values%64 == 63: // the history stays short
		w.values++
		w.apply(Own().AppendCompact(nil, w.v.Revision()).Bytes)
		w.s.Reclaim()
	}
	w.before = w.observe()
	q, by := w.draw(), w.by()
	want := w.model.Verdict(by, q.need, q.model)
	if q.touches != nil && want == kv.OK && w.model.Enabled && !w.v.Auth().IsRoot(by.Name) {
		q.touches.Touches(func(t kv.Touch) bool { // a lease without keys is its granter's
			l, found := w.v.Lease(t.Lease)
			if found && t.Write && w.v.authors.name(l.By) != by.Name && w.v.attachedFrom(l.ID, nil) == nil {
				want = kv.NotAllowed
			}
			return true
		})
	}
	w.count(&q, want)
	w.verdicts(&q, by, want)
	if want == kv.OK {
		w.make(&q, by, true)
	} else {
		w.refused(&q, by, want)
		w.make(&q, kv.Principal{Auth: kv.AuthOwn}, false)
	}
}

// count counts what a request has.
func (w *permissionWorld) count(q *permissionRequest, want kv.Code) {
	w.counts[q.text]++
	if want == kv.OK {
		w.counts["permitted"]++
	}
	if !w.model.Enabled {
		w.counts["authentication is off"]++
		return
	}
	w.counts[want.String()]++
	for _, a := range q.model {
		if len(a.End) > 0 && a.End[0] != 0 && bytes.Compare(a.End, a.Key) <= 0 {
			if w.counts["without keys"]++; want == kv.OK {
				w.counts["permitted without keys"]++
			}
		}
	}
}

// verdicts compares all that decide with the model.
func (w *permissionWorld) verdicts(q *permissionRequest, by kv.Principal, want kv.Code) {
	if got := code(w.v.Permits(by, q.need, q.touches)); got != want {
		w.t.Errorf("the View says to a %s of %+v: %v, the model %v: %s", q.text, by, got, want, touchesText(q.touches))
	}
	if q.command == nil {
		return
	}
	var c command
	r := pack.NewExactReader(q.command(&Head{By: by}))
	if err := c.read(&r); err != nil {
		w.t.Fatal(err)
	}
	state := kv.OK
	if w.s.auth.Enabled() {
		state = code(w.s.accounts.permits(&c, w.s))
	}
	if view := code(w.v.refusesAuthor(&c)); view != want || state != want {
		w.t.Errorf("a %s of %+v: the state says %v, the View %v, the model %v: %s", q.text, by, state, view, want, touchesText(q.touches))
	}
}

func touchesText(q Toucher) string {
	var out strings.Builder
	if q != nil {
		q.Touches(func(t kv.Touch) bool {
			fmt.Fprintf(&out, "%q %q lease %d write %v; ", t.Key, t.End, t.Lease, t.Write)
			return true
		})
	}
	return out.String()
}

// refused lets the state refuse a write, which changes nothing.
func (w *permissionWorld) refused(q *permissionRequest, by kv.Principal, want kv.Code) {
	if q.command == nil {
		return
	}
	r := w.apply(q.command(&Head{By: by}))
	if after := w.observe(); code(r.Err) != want || after.digest != w.before.digest {
		w.t.Errorf("a %s of %+v: %v, want %v, and nothing is changed: %v", q.text, by, r.Err, want, after.digest == w.before.digest)
	}
}

// make makes a request, and holds what it did against what it may do.
func (w *permissionWorld) make(q *permissionRequest, by kv.Principal, permitted bool) {
	if q.touches == nil {
		if q.command != nil {
			w.apply(q.command(&Head{By: by}))
		}
		return
	}
	var listed []kv.Touch
	q.touches.Touches(func(t kv.Touch) bool {
		listed = append(listed, t)
		return true
	})
	seen := func(o observation) {
		if !slices.ContainsFunc(listed, func(t kv.Touch) bool { return w.within(&t, &o) }) {
			w.t.Errorf("a %s observed %q %q, write %v, and lists %s", q.text, o.key, o.end, o.write, touchesText(q.touches))
		}
		if permitted && w.model.Enabled && !w.model.May(by.Name, authmodel.Access{Key: o.key, End: o.end, Write: o.write}) {
			w.t.Errorf("a %s of %s observed %q %q, write %v, which is not permitted", q.text, by.Name, o.key, o.end, o.write)
		}
	}
	if q.command == nil {
		if q.read != nil {
			q.read(w.v, func(o observation) { w.counts["read keys"]++; seen(o) })
		}
		return
	}
	path := w.compares(q, seen)
	r := w.apply(q.command(&Head{By: by}))
	if r.Err != nil { // for another reason
		if w.observe().digest != w.before.digest {
			w.t.Errorf("a %s is refused (%v), and has changed something", q.text, r.Err)
		}
		return
	}
	if r.Txn != nil && !slices.Equal(r.Txn.Path, path) {
		w.t.Errorf("a transaction took the path %v, its comparisons say %v", r.Txn.Path, path)
	}
	w.changes(seen)
	if q.answer != nil {
		reader := q.answer(&r)
		answer, done, err := reader.Step(w.v, 100)
		for ; !done; answer, done, err = reader.Step(w.v, 100) {
		}
		if err != nil {
			w.t.Fatal(err)
		}
		answered(answer, func(o observation) { w.counts["read keys"]++; seen(o) })
	}
}

// within tells whether a listed access has what was observed.
func (w *permissionWorld) within(t *kv.Touch, o *observation) bool {
	switch {
	case t.Write != o.write:
		return false
	case t.Lease != 0:
		return slices.ContainsFunc(w.before.attached[t.Lease], func(key []byte) bool { return bytes.Equal(key, o.key) })
	case len(o.end) > 0:
		return bytes.Equal(t.Key, o.key) && bytes.Equal(t.End, o.end)
	}
	return within(o.key, t.Key, t.End)
}

// lookups notes what comparisons look at.
type lookups struct {
	comparedKeys
	seen func(o observation)
	w    *permissionWorld
}

func (l lookups) current(key []byte) *version {
	l.w.counts["compared keys"]++
	l.seen(observation{key: key})
	return l.comparedKeys.current(key)
}

func (l lookups) eachCurrent(key, end []byte, f func(*version) bool) {
	l.w.counts["compared ranges"]++
	l.seen(observation{key: key, end: end})
	l.comparedKeys.eachCurrent(key, end, f)
}

// compares evaluates the comparisons of a transaction as Apply does, but observed.
func (w *permissionWorld) compares(q *permissionRequest, seen func(o observation)) []bool {
	if q.txn == nil {
		return nil
	}
	return appendPath(nil, lookups{&w.s.keys, seen, w}, q.txn)
}

// changes observes the keys whose newest version is another one than before, and the leases that are gone or have other keys.
func (w *permissionWorld) changes(seen func(o observation)) {
	before, after := w.before, w.observe()
	for key, mod := range after.mods {
		if mod != before.mods[key] {
			w.counts["changed keys"]++
			seen(observation{key: []byte(key), write: true})
		}
	}
	for lease, keys := range before.attached {
		if !slices.Contains(after.leases, lease) {
			for _, key := range keys {
				w.counts["of a lease"]++
				seen(observation{key: key, write: true})
			}
		}
	}
}

func seenPairs(pairs []kv.KeyValue, seen func(o observation)) {
	for i := range pairs {
		seen(observation{key: pairs[i].Key})
	}
}

// answered observes the keys in an answer.
func answered(a *kv.TxnResult, seen func(o observation)) {
	for _, one := range a.Answers {
		switch {
		case one.Put != nil && one.Put.Prev != nil:
			seen(observation{key: one.Put.Prev.Key})
		case one.Delete != nil:
			seenPairs(one.Delete.Prev, seen)
		case one.Range != nil:
			seenPairs(one.Range.KVs, seen)
		case one.Txn != nil:
			answered(one.Txn, seen)
		}
	}
}
