package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// onceKeys begin the keys that are written by writes with a name: nobody else writes them.
const onceKeys = "o/"

// onceKeysEach is how many of them each repeater has.
const onceKeysEach = 3

// A repeater is a client whose writes have names. It sends each of them more than once, to any members, also when it was answered
// long ago or its session has ended: a copy may come as late as it likes. However many are sent, one is applied.
type repeater struct {
	w        *world
	number   int
	user     user
	values   int
	session  uint64
	opened   int64 // 0: the session is there
	sequence uint64
	open     []*onceWrite // that are not given up, by sequence
	sent     []*onceWrite // all that were ever sent
}

// onceWrite is a write with a name.
type onceWrite struct {
	key, value string
	once       kv.WriteName  // as it was sent first
	txn        *kv.Txn       // nil: a put
	until      time.Duration // when its client gives it up
	revision   int64         // that it was answered with; 0: not yet
}

// drawSessions draws the rules of sessions, so short and few that most of them end.
func drawSessions(r *rand.Rand) limits.SessionRules {
	s := limits.FirstSessionRules
	if r.IntN(4) > 0 {
		s.TTL, s.Idle = logUniform(r, 300*time.Millisecond, 10*time.Second), logUniform(r, 50*time.Millisecond, time.Second)
		s.Pause = logUniform(r, 50*time.Millisecond, 2*time.Second)
		s.Sessions, s.Outcomes, s.Window = int64(1+r.IntN(6)), int64(16+r.IntN(100)), int64(4+r.IntN(28))
		s.Ends = r.IntN(3)
	}
	return s
}

// onceWeight is what the keys of a repeater weigh at most.
const onceWeight = onceKeysEach * (64 + 16)

// repeatAll begins the repeaters. Nobody deletes what they write, so that a quota must have room for it beside what is
// deleted: else NOSPACE, once it is raised, would never end.
func (w *world) repeatAll() {
	n := 1 + w.random.IntN(5)
	if w.shape.quota > 0 {
		w.shape.quota += int64(n) * onceWeight * 100 / quotaCleared
		for _, h := range w.hosts {
			h.config.QuotaBytes = w.shape.quota
		}
	}
	for i := range n {
		r := &repeater{w: w, number: i, user: user{name: w.drawUserOf("repeater")}}
		w.repeaters = append(w.repeaters, r)
		w.sim.After(w.between(0, time.Second), r.turn)
	}
}

func (r *repeater) turn() {
	w := r.w
	if w.stopping {
		return
	}
	at := w.any()
	if at.alive() && at.member.actors.consensus.Fits(4096) {
		r.act(&onceRequest{r: r, at: at, life: at.life, member: at.member})
	}
	w.sim.After(w.between(5*time.Millisecond, 250*time.Millisecond), r.turn)
}

// act sends a new write, or one that was sent before.
func (r *repeater) act(q *onceRequest) {
	w, now := r.w, r.w.sim.Now()
	r.open = slices.DeleteFunc(r.open, func(o *onceWrite) bool { return o.until <= now })
	switch n := w.random.IntN(100); {
	case n < 30 && len(r.open) > 0: // as a client does whose answer does not come
		o := r.open[w.random.IntN(len(r.open))]
		q.send(o, r.name(o.once.Session, o.once.Sequence))
	case n < 45 && len(r.sent) > 0: // a copy that was on its way for long
		o := r.sent[w.random.IntN(len(r.sent))]
		q.send(o, o.once)
	case n < 47 && r.session != 0: // a client that forgets what it was
		r.session = 0
	default:
		r.write(q)
	}
}

// name is the name of a write as it is sent now.
func (r *repeater) name(session, sequence uint64) kv.WriteName {
	first := sequence
	for _, o := range r.open {
		if o.once.Session == session {
			first = min(first, o.once.Sequence)
		}
	}
	n := kv.WriteName{Session: session, Sequence: sequence, Window: sequence + 1 - first}
	if session == r.session {
		n.Opened = r.opened
	}
	return n
}

func (r *repeater) write(q *onceRequest) {
	w := r.w
	if r.session == 0 {
		r.session, r.sequence, r.open = w.random.Uint64()|1, 0, nil
		r.opened = q.member.status.View().SessionClock()
	}
	r.sequence++
	r.values++
	o := &onceWrite{key: fmt.Sprintf("%s%d.%d", onceKeys, r.number, w.random.IntN(onceKeysEach)), value: fmt.Sprintf("O%d.%d", r.number, r.values)}
	o.until = w.sim.Now() + w.between(100*time.Millisecond, 6*time.Second)
	o.once = r.name(r.session, r.sequence)
	if w.probably(0.3) {
		read := kv.Op{Range: &kv.Range{Key: []byte(o.key)}}
		o.txn = &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte(o.key), Value: []byte(o.value)}}, read}}
	}
	r.open, r.sent = append(r.open, o), append(r.sent, o)
	w.totals.OnceWrites++
	q.send(o, o.once)
}

// onceRequest is one copy of a write on its way. It implements kv.ReplyTo.
type onceRequest struct {
	r      *repeater
	at     *host
	life   *simLife
	member *member
	write  *onceWrite // nil when it was answered
}

func (q *onceRequest) send(o *onceWrite, name kv.WriteName) {
	w, begun := q.r.w, q.r.w.sim.Now()
	q.write = o
	by := q.r.user
	if w.probably(0.1) { // another user who knows the name
		by.name = w.drawUserOf("admin")
	}
	head := index.Head{Once: name, By: by.by(q.member.status.View())}
	var command kv.Command
	if o.txn != nil {
		command = head.AppendTxn(nil, o.txn)
	} else {
		command = head.AppendPut(nil, &kv.Put{Key: []byte(o.key), Value: []byte(o.value)})
	}
	w.sim.After(clientTimeout*5/4+2*overdue, func() {
		if q.write != nil && !q.life.Over() && q.at.ranSince(begun) {
			w.failf("%s has not answered a repeater's request after %v", q.at.name(), w.sim.Now()-begun)
		}
	})
	endpoint{q.member}.Propose(kv.Proposal{ReplyTo: q, Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: leaseTimeout})
}

// Complete implements kv.ReplyTo.
func (q *onceRequest) Complete(done []kv.Completion) {
	done = slices.Clone(done) // it is read later
	w := q.r.w
	w.sim.Post(func() {
		if q.life.Over() {
			return
		}
		o := q.write
		if len(done) != 1 || o == nil {
			w.failf("a repeater's request is answered once more: %+v", done)
			return
		}
		q.write = nil
		q.take(o, &done[0].Result)
	})
}

// take is the answer to one copy.
func (q *onceRequest) take(o *onceWrite, result *kv.Result) {
	w, r := q.r.w, q.r
	if w.tracing {
		w.trace("repeater %d: write %d of session %016x, %s: %+v", r.number, o.once.Sequence, o.once.Session, o.value, *result)
	}
	w.note("once", uint64(result.Revision))
	if result.Err != nil {
		switch result.Err.Code {
		case kv.NameEnded:
			w.totals.OnceEnded++
			if o.once.Session == r.session && !slices.Contains(r.open, o) {
				return // an old copy
			}
			if o.once.Session == r.session && w.probably(0.8) {
				r.session = 0
			}
		case kv.Overloaded:
			w.totals.OnceNoPlace++
		}
		return
	}
	switch {
	case result.Revision <= 1 || result.Deleted != 0:
		w.failf("a write with a name is answered by %+v", *result)
	case o.revision == 0:
		o.revision = result.Revision
	case o.revision != result.Revision:
		w.failf("write %d of session %016x was made at revision %d, and at %d when it came again", o.once.Sequence, o.once.Session, o.revision, result.Revision)
	}
	if result.Resent {
		w.totals.OnceResent++
	}
	if o.once.Session == r.session {
		r.opened = 0
	}
	r.open = slices.DeleteFunc(r.open, func(other *onceWrite) bool { return other == o })
	if o.txn != nil {
		q.read(o, result)
	}
}

// read reads the answer to a transaction: it is that of its own revision, whenever it is read.
func (q *onceRequest) read(o *onceWrite, result *kv.Result) {
	w, view := q.r.w, q.member.status.View()
	if err := view.RecoverAnswer(o.txn, result); err != nil {
		if errorCode(err) != kv.AnswerGone || result.Revision >= view.Compacted() {
			w.failf("revision %d cannot be read, and %d is compacted: %v", result.Revision, view.Compacted(), err)
		}
		w.totals.OnceGone++
		return
	}
	reader := index.NewAnswerReader(o.txn, result, 1<<30)
	for {
		answer, done, err := reader.Step(view, 1+w.random.IntN(3))
		if errorCode(err) == kv.AnswerGone { // a value cannot be read from the disk
			w.totals.ValuesUnread++
			return
		}
		if err != nil {
			w.failf("the answer to a write with a name cannot be read: %v", err)
			return
		}
		if !done {
			continue
		}
		if found := answer.Answers[1].Range.KVs; !answer.Succeeded || len(found) != 1 || string(found[0].Value) != o.value || found[0].ModRevision != o.revision {
			w.failf("write %d of session %016x, made at revision %d, is answered by %+v", o.once.Sequence, o.once.Session, o.revision, found)
		}
		return
	}
}

// checkOnce holds what repeaters were told against all that was ever changed.
func (k *checker) checkOnce() {
	made := map[string][]int64{}
	for _, e := range k.changes {
		if strings.HasPrefix(e.key, onceKeys) {
			made[e.value] = append(made[e.value], e.revision)
		}
	}
	for _, r := range k.w.repeaters {
		for _, o := range r.sent {
			switch at := made[o.value]; {
			case len(at) > 1:
				k.w.failf("write %d of session %016x was made %d times, at revisions %d", o.once.Sequence, o.once.Session, len(at), at)
			case o.revision != 0 && (len(at) == 0 || at[0] != o.revision):
				k.w.failf("write %d of session %016x was answered with revision %d, and made at %d", o.once.Sequence, o.once.Session, o.revision, at)
			}
		}
	}
}
