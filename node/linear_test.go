package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"qkv/index/kv"
)

// operation is one request of one client, from its own point of view.
type operation struct {
	kind     operationKind
	client   int
	member   string
	key, end string // end as kv.Range's; empty is one key
	value    string // of a put: unique; of a transaction the first that it puts
	at       int64  // of a read: the revision asked for, 0 is the newest; of a compaction the revision
	txn      *txnOperation

	// Moments are the order of things in the one loop: no two are equal.
	invoked, returned int64
	outcome           outcome // of one that was given up: what its late answer said, as if the client had waited for it

	revision int64 // of a write: the one it made; of a read: the newest one of the state that it was answered from
	deleted  int64
	pairs    []pairSeen
	problem  string
	code     kv.Code // of the problem
}

type operationKind uint8

const (
	opPut operationKind = iota
	opDelete
	opRead         // linearizable
	opSerializable // of whatever a member has
	opTxn
	opCompact
)

func (k operationKind) String() string {
	return [...]string{"put", "delete", "get", "serializable get", "transaction", "compact"}[k]
}

type outcome uint8

const (
	outcomeUnknown outcome = iota // it may have happened
	outcomeDone
	outcomeFailed // it certainly did not happen
)

func (o outcome) String() string { return [...]string{"unknown", "done", "failed"}[o] }

// pairSeen is a key as a read showed it.
type pairSeen struct {
	key, value           string
	create, mod, version int64
}

func (o *operation) String() string {
	return fmt.Sprintf("%v [%q %q) at %d = %q by client %d at %s, moments %d to %d: %v, revision %d, deleted %d, %v %s",
		o.kind, o.key, o.end, o.at, o.value, o.client, o.member, o.invoked, o.returned, o.outcome, o.revision, o.deleted, o.pairs, o.problem) + o.describeTxn()
}

func (o *operation) describeTxn() string {
	if o.txn == nil {
		return ""
	}
	return fmt.Sprintf(" %+v", *o.txn)
}

func (o *operation) write() bool { return o.kind != opRead && o.kind != opSerializable }

// covers tells whether a key is in the operation's range.
func (o *operation) covers(key string) bool {
	if o.end == "" {
		return key == o.key
	}
	return key >= o.key && key < o.end
}

// event is one change of one key in the history that all members agree on in the end.
type event struct {
	revision, sub   int64
	key, value      string
	deleted         bool
	create, version int64
}

// truth is the agreed history, ready to be asked.
type truth struct {
	events  []event // by revision
	keys    []string
	byKey   map[string][]int // positions in events
	byValue map[string]int
	visible []int64 // by revision: the moment at which a member first showed it; empty when nobody looked
}

// newTruth takes an agreed history and checks that it is one: dense revisions, and create revisions and versions as
// its own events make them.
func newTruth(events []event, newest int64, visible []int64) (*truth, error) {
	slices.SortFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.sub, b.sub))
	})
	t := &truth{events: events, byKey: map[string][]int{}, byValue: map[string]int{}, visible: visible}
	last := int64(1)
	for i, e := range events {
		if e.revision != last && e.revision != last+1 {
			return nil, fmt.Errorf("revision %d follows %d", e.revision, last)
		}
		last = e.revision
		if err := t.add(i, e); err != nil {
			return nil, err
		}
	}
	if last != newest {
		return nil, fmt.Errorf("the history ends at revision %d, the state at %d", last, newest)
	}
	for key := range t.byKey {
		t.keys = append(t.keys, key)
	}
	sort.Strings(t.keys)
	return t, nil
}

func (t *truth) add(i int, e event) error {
	create, version := e.revision, int64(1)
	of := t.byKey[e.key]
	live := len(of) > 0 && !t.events[of[len(of)-1]].deleted
	if live {
		before := t.events[of[len(of)-1]]
		create, version = before.create, before.version+1
	}
	switch {
	case e.deleted && !live:
		return fmt.Errorf("revision %d deletes %q, which is not there", e.revision, e.key)
	case !e.deleted && (e.create != create || e.version != version):
		return fmt.Errorf("revision %d of %q has create revision %d and version %d, right are %d and %d", e.revision, e.key, e.create, e.version, create, version)
	}
	if !e.deleted {
		if other, twice := t.byValue[e.value]; twice {
			return fmt.Errorf("value %.20q was written twice, at revisions %d and %d", e.value, t.events[other].revision, e.revision)
		}
		t.byValue[e.value] = i
	}
	t.byKey[e.key] = append(of, i)
	return nil
}

// at returns the events of a revision.
func (t *truth) at(revision int64) []event {
	i := sort.Search(len(t.events), func(i int) bool { return t.events[i].revision >= revision })
	j := i
	for j < len(t.events) && t.events[j].revision == revision {
		j++
	}
	return t.events[i:j]
}

// key returns a key's newest event up to a revision, or nil when it is not there then.
func (t *truth) key(key string, revision int64) *event {
	of := t.byKey[key]
	n := sort.Search(len(of), func(i int) bool { return t.events[of[i]].revision > revision })
	if n == 0 || t.events[of[n-1]].deleted {
		return nil
	}
	return &t.events[of[n-1]]
}

// oldest is the revision of a store that nobody has written to: no answer is of an earlier state.
const oldest = 1

// checkHistory decides in O(n log n) whether clients saw a linearizable store: each write has its own revision, so
// the order is known, and it remains to be checked that it is the order of real time, and that each answer is the
// state of its revision.
func checkHistory(t *truth, operations []*operation) error {
	for _, o := range operations {
		if o.outcome == outcomeDone && o.revision < oldest {
			return fmt.Errorf("an answer is of no revision:\n%v", o)
		}
	}
	if err := t.attribute(operations); err != nil {
		return err
	}
	if err := inRealTime(operations); err != nil {
		return err
	}
	var errs []error
	for _, o := range operations {
		if err := t.checkAnswer(o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// attribute finds each write in the history, and for each event its write.
func (t *truth) attribute(operations []*operation) error {
	claimed := map[int64]*operation{} // by revision
	claim := func(o *operation, revision int64) error {
		if other := claimed[revision]; other != nil {
			return fmt.Errorf("revision %d belongs to two writes:\n%v\n%v", revision, other, o)
		}
		claimed[revision] = o
		return nil
	}
	var unknown []*operation // deletes
	for _, o := range operations {
		revision, found, err := t.find(o)
		switch {
		case err != nil:
			return err
		case found:
			if err := claim(o, revision); err != nil {
				return err
			}
			o.revision = revision
		case o.kind == opDelete && o.outcome == outcomeUnknown:
			unknown = append(unknown, o)
		}
	}
	return t.match(claimed, unknown)
}

// match finds for each revision that nobody claims a delete of unknown outcome that may have made it, no delete twice.
func (t *truth) match(claimed map[int64]*operation, unknown []*operation) error {
	made := map[*operation]int64{}
	var assign func(revision int64, tried map[*operation]bool) bool
	assign = func(revision int64, tried map[*operation]bool) bool {
		for _, o := range unknown {
			if tried[o] || !t.mayHaveDeleted(o, revision) {
				continue
			}
			tried[o] = true
			if other, taken := made[o]; !taken || assign(other, tried) {
				made[o] = revision
				return true
			}
		}
		return false
	}
	for i, e := range t.events {
		if strings.HasPrefix(e.key, leaseKeys) || strings.HasPrefix(e.key, onceKeys) || claimed[e.revision] != nil || (i > 0 && t.events[i-1].revision == e.revision) {
			continue
		}
		if !assign(e.revision, map[*operation]bool{}) {
			return fmt.Errorf("nobody asked for the change %+v", e)
		}
	}
	for o, revision := range made {
		o.revision, o.deleted = revision, int64(len(t.at(revision)))
	}
	return nil
}

// find returns the revision that a write made, if that can be known from the write alone.
func (t *truth) find(o *operation) (revision int64, found bool, err error) {
	switch {
	case !o.write():
		return 0, false, nil
	case o.kind == opCompact:
		return 0, false, nil
	case o.kind == opPut:
		return t.findPut(o)
	case o.kind == opTxn:
		return t.findTxn(o)
	case o.outcome != outcomeDone || o.deleted == 0:
		return 0, false, nil
	}
	changes := t.at(o.revision)
	for _, e := range changes {
		if !e.deleted || !o.covers(e.key) {
			return 0, false, fmt.Errorf("an acknowledged delete is not in the history, which has %+v:\n%v", e, o)
		}
	}
	if int64(len(changes)) != o.deleted {
		return 0, false, fmt.Errorf("an acknowledged delete removed %d keys:\n%v", len(changes), o)
	}
	return o.revision, true, nil
}

func (t *truth) findPut(o *operation) (int64, bool, error) {
	i, found := t.byValue[o.value]
	switch {
	case !found && o.outcome == outcomeDone:
		return 0, false, fmt.Errorf("an acknowledged write is lost:\n%v", o)
	case !found:
		return 0, false, nil
	}
	e := t.events[i]
	switch {
	case o.outcome == outcomeFailed:
		return 0, false, fmt.Errorf("a write that certainly did not happen is revision %d:\n%v", e.revision, o)
	case e.key != o.key:
		return 0, false, fmt.Errorf("a write went to the key %q:\n%v", e.key, o)
	case o.outcome == outcomeDone && o.revision != e.revision:
		return 0, false, fmt.Errorf("an acknowledged write is revision %d:\n%v", e.revision, o)
	}
	return e.revision, true, nil
}

// mayHaveDeleted tells whether a delete can have made a revision: it was asked for before anybody saw it, and the
// revision removes all that was in its range.
func (t *truth) mayHaveDeleted(o *operation, revision int64) bool {
	if revision < int64(len(t.visible)) && o.invoked > t.visible[revision] {
		return false
	}
	live := 0
	for _, key := range t.keys {
		if o.covers(key) && t.key(key, revision-1) != nil {
			live++
		}
	}
	changes := t.at(revision)
	return live == len(changes) && !slices.ContainsFunc(changes, func(e event) bool { return !e.deleted || !o.covers(e.key) })
}

// inRealTime checks that the order of revisions is one of real time: what had been answered when an operation began
// is before it.
func inRealTime(operations []*operation) error {
	type moment struct {
		at    int64
		o     *operation
		ended bool
	}
	var moments []moment
	for _, o := range operations {
		// A write of unknown outcome that is in the history has been given its revision there; one that is not has none.
		if o.outcome == outcomeUnknown && o.revision < oldest || (o.write() && o.outcome == outcomeFailed) || (!o.write() && o.outcome != outcomeDone) {
			continue
		}
		moments = append(moments, moment{o.invoked, o, false})
		if o.outcome == outcomeDone {
			moments = append(moments, moment{o.returned, o, true})
		}
	}
	slices.SortFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	var newest *operation // of those that have ended
	for _, m := range moments {
		switch {
		case m.ended:
			if newest == nil || m.o.revision > newest.revision {
				newest = m.o
			}
		case newest == nil || m.o.kind == opSerializable:
		case m.o.revision < newest.revision, m.o.changed() && m.o.revision == newest.revision:
			return fmt.Errorf("an operation began after another one had ended, and is before it:\n%v\n%v", newest, m.o)
		}
	}
	return nil
}

// changed tells whether a write made a revision of its own.
func (o *operation) changed() bool {
	return o.kind == opPut || (o.kind == opDelete && o.deleted > 0) || (o.kind == opTxn && o.txn.succeeded)
}

// checkAnswer checks that an answer is the state of its revision.
func (t *truth) checkAnswer(o *operation) error {
	if o.outcome != outcomeDone || o.kind == opPut || o.kind == opCompact {
		return nil
	}
	if o.kind == opTxn {
		return t.checkTxn(o)
	}
	if o.kind == opDelete {
		before := o.revision
		if o.deleted > 0 {
			before--
		}
		if live := len(t.in(o, before)); int64(live) != o.deleted {
			return fmt.Errorf("%d keys were there for a delete:\n%v", live, o)
		}
		return nil
	}
	revision := o.revision
	if o.at != 0 {
		revision = o.at
	}
	if revision > o.revision {
		return fmt.Errorf("a read of revision %d was answered at revision %d:\n%v", o.at, o.revision, o)
	}
	want := t.in(o, revision)
	if !slices.Equal(want, o.pairs) {
		return fmt.Errorf("a read shows other things than revision %d holds, %v:\n%v", revision, want, o)
	}
	return nil
}

// in returns what a revision holds in an operation's range, by key.
func (t *truth) in(o *operation, revision int64) []pairSeen {
	var pairs []pairSeen
	for _, key := range t.keys {
		if !o.covers(key) {
			continue
		}
		if e := t.key(key, revision); e != nil {
			pairs = append(pairs, pairSeen{key: key, value: e.value, create: e.create, mod: e.revision, version: e.version})
		}
	}
	return pairs
}
