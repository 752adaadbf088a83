package node

import (
	"fmt"
	"hash/fnv"
	"slices"

	"qkv/index"
	"qkv/index/authmodel"
	"qkv/index/kv"
	"qkv/internal/pack"
)

// verdicts is the judge of permissions. It follows users, roles and the keys of leases by the committed log alone, decides about each
// command with a model that shares no code with package index, and holds the results of all members against it and against each other.
type verdicts struct {
	w        *world
	at       uint64            // the newest entry
	results  map[uint64]uint64 // by entry: a hash of the entry and its results
	auth     *authmodel.Model
	versions []authVersion // of auth, ascending by entry
	keys     map[string]int64
	revision int64
	moments  []logMoment               // by entry, from the founding one on
	authors  map[int64]string          // by revision
	sessions map[uint64]*loggedSession // by number
	granters map[int64]string          // of leases
}

// logMoment is the state's clock and its revision behind an entry.
type logMoment struct {
	wall, revision int64
}

// authVersion is the users and roles from an entry on.
type authVersion struct {
	entry uint64
	model *authmodel.Model
}

func newVerdicts(w *world) *verdicts {
	v := &verdicts{
		w: w, at: foundingIndex, results: map[uint64]uint64{}, auth: authmodel.New(),
		keys: map[string]int64{}, revision: 1, moments: []logMoment{{0, 1}}, authors: map[int64]string{}, sessions: map[uint64]*loggedSession{}, granters: map[int64]string{},
	}
	v.keep()
	return v
}

func (v *verdicts) keep() { v.versions = append(v.versions, authVersion{v.at, v.auth.Clone()}) }

// behind returns the users and roles behind an entry that some member has applied.
func (v *verdicts) behind(entry uint64) *authmodel.Model {
	n, found := slices.BinarySearchFunc(v.versions, entry, func(a authVersion, entry uint64) int { return int(a.entry) - int(entry) })
	if !found {
		n--
	}
	return v.versions[n].model
}

// applied hears of each entry that a member applies. The first member's results are judged, and the others' are compared with them.
func (v *verdicts) applied(h *host, entry uint64, data []byte, results []kv.Result) {
	sum := fnv.New64a()
	sum.Write(data)
	for i := range results {
		r := &results[i]
		fmt.Fprintf(sum, "|%d %d %v %v", r.Revision, r.Deleted, r.Resent, r.Changed)
		if r.Err != nil { // fmt prints a nil error by a panic, which costs as much as a tenth of a seed
			fmt.Fprint(sum, r.Err)
		}
		if r.Txn != nil {
			fmt.Fprint(sum, *r.Txn)
		}
	}
	if first, known := v.results[entry]; known {
		if v.w.totals.VerdictsCompared += len(results); first != sum.Sum64() {
			v.w.failf("%s applies entry %d, and its results are not those of another member: %+v", h.name(), entry, results)
		}
		return
	}
	if entry != v.at+1 {
		v.w.failf("%s applies entry %d, no member has applied more than %d", h.name(), entry, v.at)
		return
	}
	v.results[entry], v.at = sum.Sum64(), entry
	before := v.auth.Revision
	enabled := v.auth.Enabled
	v.judge(entry, data, results)
	v.moments = append(v.moments, v.moment(data, results))
	if v.auth.Revision != before || v.auth.Enabled != enabled {
		v.keep()
	}
}

// moment returns the moment behind the next entry.
func (v *verdicts) moment(data []byte, results []kv.Result) logMoment {
	m := v.moments[len(v.moments)-1]
	if e, err := index.ReadEnvelope(data); len(data) > 0 && err == nil {
		m.wall = max(m.wall, e.Wall)
	}
	for i := range results {
		m.revision = max(m.revision, results[i].Revision)
	}
	return m
}

// judge judges the results of an entry.
func (v *verdicts) judge(entry uint64, data []byte, results []kv.Result) {
	if len(data) == 0 {
		return
	}
	e, err := index.ReadEnvelope(data)
	if err != nil || e.Count != len(results) {
		v.w.failf("entry %d has %d commands and %d results: %v", entry, e.Count, len(results), err)
		return
	}
	r := pack.NewExactReader(e.Commands)
	for i := range results {
		c := readLogged(&r)
		if r.Err() != nil {
			v.w.failf("command %d of entry %d cannot be read: %v", i, entry, r.Err())
			return
		}
		v.command(entry, &c, &results[i])
	}
}

// logged is a command as the log has it.
type logged struct {
	kind              uint64
	by                kv.Principal
	session, sequence uint64

	put    kv.Put
	delete kv.Delete
	txn    *kv.Txn
	lease  int64
	term   uint64 // of a leader's revocation
	change kv.AuthChange
}

// The kinds of commands by their numbers in the log.
const (
	loggedPut, loggedDelete, loggedMember = 1, 2, 8
	loggedTxn, loggedCompact, loggedGrant = 10, 11, 12
	loggedRevoke, loggedAlarm, loggedAuth = 13, 15, 16
)

// readLogged reads a command by the format in index/doc.go.
func readLogged(r *pack.Reader) (c logged) {
	r.Array()
	c.kind = r.Uint()
	r.Uint() // version
	c.by = kv.Principal{Name: r.String(), Auth: r.Uint()}
	if b := r.Rest(); len(b) > 0 && b[0] == 0 {
		r.Drop(1)
	} else {
		r.Array()
		c.session = r.Uint()
		r.Uint()
		r.Int()
	}
	if c.sequence = r.Uint(); r.Err() != nil {
		return c
	}
	body := pack.NewReader(r.Rest())
	fields := body.Array()
	switch c.kind {
	case loggedPut:
		c.put = kv.ReadPut(&body)
	case loggedDelete:
		c.delete = kv.Delete{Key: body.Bytes(), End: body.Bytes(), PrevKV: fields > 2 && body.Bool()}
	case loggedTxn:
		c.txn = kv.ReadTxn(&body)
	case loggedGrant:
		c.lease = body.Int()
	case loggedRevoke:
		c.lease, c.term = body.Int(), body.Uint()
	case loggedAuth:
		c.change = kv.ReadAuthChange(&body)
	}
	if body.Err() != nil {
		r.Fail(body.Err().Error())
	}
	r.Skip() // the body
	return c
}

// attached returns the keys of a lease.
func (v *verdicts) attached(lease int64) (keys [][]byte) {
	for key, of := range v.keys {
		if of == lease {
			keys = append(keys, []byte(key))
		}
	}
	return keys
}

// needs returns what the author of a command must be permitted, or that it is a member's own.
func (v *verdicts) needs(c *logged) (need kv.Access, all []authmodel.Access, own bool) {
	switch c.kind {
	case loggedPut:
		return kv.AccessWrite, authmodel.OfPut(&c.put, v.attached), false
	case loggedDelete:
		return kv.AccessWrite, authmodel.OfDelete(&c.delete), false
	case loggedTxn:
		return kv.AccessWrite, authmodel.OfTxn(c.txn, v.attached), false
	case loggedRevoke:
		if by, granted := v.granters[c.lease]; granted && by != c.by.Name && len(v.attached(c.lease)) == 0 {
			return kv.AccessAdmin, nil, c.term != 0
		}
		return kv.AccessWrite, authmodel.OfLease(c.lease, v.attached), c.term != 0
	case loggedGrant:
		return kv.AccessNone, nil, false
	case loggedMember, loggedCompact, loggedAlarm, loggedAuth:
		return kv.AccessAdmin, nil, false
	}
	return kv.AccessNone, nil, true
}

// refuses tells whether a code is a refusal for want of permission.
func refuses(err *kv.Error) bool {
	return err != nil && (err.Code == kv.NotAllowed || err.Code == kv.AuthOld || err.Code == kv.UserEmpty)
}

// command holds the result of a command against the model, and lets the model follow it.
func (v *verdicts) command(entry uint64, c *logged, r *kv.Result) {
	need, all, own := v.needs(c)
	own = own || c.by == kv.Principal{Auth: kv.AuthOwn}
	want := kv.OK
	if !own {
		want = v.auth.Verdict(c.by, need, all)
	}
	t := &v.w.totals
	switch {
	case want != kv.OK:
		if r.Err == nil || r.Err.Code != want {
			v.w.failf("entry %d has a command of kind %d by %+v, which is %v at auth revision %d: its result is %+v", entry, c.kind, c.by, want, v.auth.Revision, *r)
		}
		t.refusedBy(want)
		return
	case refuses(r.Err):
		v.w.failf("entry %d has a command of kind %d by %+v, which may do it at auth revision %d: its result is %+v", entry, c.kind, c.by, v.auth.Revision, *r)
		return
	case v.auth.Enabled && own:
		t.OwnCommands++
		if c.kind == loggedRevoke && r.Err == nil {
			t.ExpiredWithUsers++
		}
	case v.auth.Enabled:
		t.Permitted++
	}
	if c.session != 0 && !v.ofSession(entry, c, r) {
		return
	}
	v.follow(entry, c, r)
}

// loggedSession is a session as the log shows it.
type loggedSession struct {
	users   []string // one of them has begun it; the last one has, once it has an outcome
	certain bool
	applied map[uint64]bool // by sequence
}

// ofSession checks that a session's outcomes are only given to the user who has begun it, and tells whether this copy was applied.
func (v *verdicts) ofSession(entry uint64, c *logged, r *kv.Result) (applied bool) {
	one := v.sessions[c.session]
	if one == nil {
		one = &loggedSession{applied: map[uint64]bool{}}
		v.sessions[c.session] = one
	}
	ofCopy := r.Err != nil && (r.Err.Code == kv.NameEnded || r.Err.Code == kv.Overloaded || r.Err.Code == kv.BadRequest)
	other := !slices.Contains(one.users, c.by.Name)
	switch {
	case r.Resent && v.auth.Enabled && other:
		v.w.failf("entry %d gives the outcome of write %d of session %016x, which %q has begun, to %q", entry, c.sequence, c.session, one.users, c.by.Name)
	case r.Resent:
		return false
	case ofCopy && r.Err.Code == kv.NameEnded && one.certain && other && v.auth.Enabled:
		v.w.totals.OnceOthers++
	case ofCopy && r.Err.Code == kv.Overloaded && !one.certain:
		one.users = append(one.users, c.by.Name) // it may have begun, and have no place for the write
	case !ofCopy:
		if one.applied[c.sequence] {
			v.w.failf("entry %d applies write %d of session %016x once more", entry, c.sequence, c.session)
		}
		one.applied[c.sequence] = true
		if !one.certain {
			one.users, one.certain = append(one.users, c.by.Name), true
		}
	}
	return !ofCopy
}

// follow makes the changes of an applied command in the model.
func (v *verdicts) follow(entry uint64, c *logged, r *kv.Result) {
	if c.kind == loggedAuth {
		v.changed(entry, c, r)
		return
	}
	if r.Err != nil {
		return
	}
	if r.Revision > v.revision {
		v.revision, v.authors[r.Revision] = r.Revision, c.by.Name
	}
	switch c.kind {
	case loggedPut:
		v.keys[string(c.put.Key)] = c.put.Lease
	case loggedDelete:
		v.deleted(&c.delete)
	case loggedTxn:
		v.followTxn(c.txn, r.Txn.Path[0])
	case loggedGrant:
		v.granters[c.lease] = c.by.Name
	case loggedRevoke:
		delete(v.granters, c.lease)
		for _, key := range v.attached(c.lease) {
			delete(v.keys, string(key))
		}
	}
}

// followTxn follows a transaction of the campaign, which has neither nested ones nor deletes.
func (v *verdicts) followTxn(t *kv.Txn, succeeded bool) {
	ops := t.Failure
	if succeeded {
		ops = t.Success
	}
	for _, o := range ops {
		if o.Put != nil {
			v.keys[string(o.Put.Key)] = o.Put.Lease
		}
		if o.Delete != nil || o.Txn != nil {
			v.w.failf("the judge does not follow such a transaction: %+v", o)
		}
	}
}

func (v *verdicts) deleted(d *kv.Delete) {
	for key := range v.keys {
		if len(d.End) == 0 && key == string(d.Key) || len(d.End) > 0 && key >= string(d.Key) && key < string(d.End) {
			delete(v.keys, key)
		}
	}
}

// changed follows a change of users and roles, whose result must be the model's.
func (v *verdicts) changed(entry uint64, c *logged, r *kv.Result) {
	t, enabled := &v.w.totals, v.auth.Enabled
	want := v.auth.Change(c.by.Name, &c.change)
	if want != codeOf(r.Err) {
		v.w.failf("entry %d has %v by %q: %v, want %v", entry, &c.change, c.by.Name, r.Err, want)
	}
	switch {
	case want != kv.OK:
		t.AuthChangesRefused++
	case v.auth.Enabled && !enabled:
		t.AuthEnabled++
	case !v.auth.Enabled && enabled:
		t.AuthDisabled++
	default:
		t.AuthChanges++
	}
	v.w.note("auth", v.auth.Revision)
	if v.w.tracing {
		v.w.trace("entry %d: %v %+v by %q: %v, auth revision %d, enabled %v", entry, &c.change, c.change.Permission, c.by.Name, want, v.auth.Revision, v.auth.Enabled)
	}
}

func codeOf(err *kv.Error) kv.Code {
	if err == nil {
		return kv.OK
	}
	return err.Code
}

// permits decides about a read at a member in its View, as an endpoint does, and holds that against the model.
func (w *world) permits(view *index.View, by kv.Principal, need kv.Access, q index.Toucher, all []authmodel.Access) *kv.Error {
	err := view.Permits(by, need, q)
	if v := w.watch.verdicts; v != nil {
		at, _ := view.Applied()
		m := v.behind(at)
		if want := m.Verdict(by, need, all); want != codeOf(err) {
			w.failf("a read of %+v by %+v behind entry %d is said to be %v, and is %v at auth revision %d", all, by, at, err, want, m.Revision)
		}
	}
	if err != nil {
		w.totals.refusedRead(err.Code)
	}
	return err
}

// checkAuthors holds the author of each version that a state keeps against the log.
func (v *verdicts) checkAuthors(h *host) {
	view := h.member.status.View()
	for _, e := range eventsOf(view, max(view.Compacted()-1, 1)) {
		want := v.authors[e.revision]
		if got := view.AuthorOf([]byte(e.key), e.revision); got != want {
			v.w.failf("%s says that %q was changed at revision %d by %q, and it was %q", h.name(), e.key, e.revision, got, want)
			return
		}
		if want != "" {
			v.w.totals.Authors++
		}
	}
}
