package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

// history is what all clients did, in the order in which they began it.
type history struct {
	clock      int64
	operations []*operation
}

// moment returns a number that is larger than all before it.
func (h *history) moment() int64 {
	h.clock++
	return h.clock
}

// client is a caller: it begins a turn of one or more operations, waits for all of their answers, and thinks.
type client struct {
	w       *world
	number  int
	at      *host // the member that it talks to
	user    user
	session *session
	open    int // operations of this turn without an answer
	values  int
}

func newClient(w *world) *client {
	c := &client{w: w, number: len(w.clients), at: w.any(), user: user{name: w.drawUser(), keeps: w.probably(0.15)}}
	w.sim.After(w.between(0, w.shape.think), c.turn)
	return c
}

// turn begins operations at a member that can be reached.
func (c *client) turn() {
	w := c.w
	if w.stopping {
		return
	}
	if w.probably(0.1) || !c.at.alive() {
		c.at = w.any()
	}
	if !c.at.alive() {
		w.sim.After(w.between(time.Millisecond, 50*time.Millisecond), c.turn)
		return
	}
	if c.session == nil || c.session.life != c.at.life {
		c.session = newSession(c, c.at)
	}
	c.begin()
}

// begin draws what the turn does.
func (c *client) begin() {
	w := c.w
	n := 1
	if w.probably(0.1) {
		n = 2 + w.random.IntN(7)
	}
	c.open = n
	timeout := w.between(200*time.Millisecond, clientTimeout)
	if w.probably(0.5) {
		operations := make([]*operation, n)
		for i := range operations {
			operations[i] = c.draw(true)
		}
		c.session.propose(operations, timeout)
		return
	}
	for range n {
		o := c.draw(false)
		if o.kind == opSerializable {
			c.session.serializable(o)
		} else {
			c.session.confirm(o, timeout)
		}
	}
}

// draw makes an operation.
func (c *client) draw(write bool) *operation {
	w := c.w
	o := &operation{client: c.number, member: c.at.name(), key: w.key()}
	known := int64(len(w.watch.visible)) - 1
	switch {
	case write && w.probably(0.15):
		c.drawTxn(o)
	case write && known > 2 && len(w.shape.cramped) == 0 && w.probably(0.01):
		o.kind, o.at = opCompact, 1+w.random.Int64N(known)
		if w.probably(0.3) {
			o.at = known
		}
	case write && w.probably(0.8):
		o.kind = opPut
		c.values++
		o.value = fmt.Sprintf("%d.%d.", c.number, c.values)
		pad := w.random.IntN(w.shape.valueMost + 1)
		if w.probably(w.shape.large) {
			pad = 10_000 + w.random.IntN(100_000)
		}
		if pad > len(o.value) {
			o.value += strings.Repeat("x", pad-len(o.value))
		}
	case write:
		o.kind = opDelete
		if w.probably(0.1) {
			o.key, o.end = "k", "l"
		}
	default:
		o.kind = opRead
		if w.probably(0.3) {
			o.kind = opSerializable
		}
		if w.probably(0.15) {
			o.key, o.end = "k", "l"
		} else if w.probably(0.1) {
			o.end = w.key()
		}
		if w.probably(0.15) && known > 2 {
			o.at = 1 + w.random.Int64N(known)
		}
	}
	o.invoked = w.history.moment()
	w.history.operations = append(w.history.operations, o)
	w.totals.Operations++
	return o
}

func (w *world) key() string { return fmt.Sprintf("k%x", w.random.IntN(w.shape.keys)) }

// end notes an operation's outcome.
func (c *client) end(o *operation, as outcome, problem string) {
	w := c.w
	o.outcome, o.problem, o.returned = as, problem, w.history.moment()
	w.note(o.kind.String(), uint64(as)<<56|uint64(o.revision))
	switch {
	case as == outcomeDone && o.write():
		w.totals.Acknowledged++
	case as == outcomeDone:
		w.totals.Reads++
	case as == outcomeUnknown && o.write():
		w.totals.Unknown++
	default:
		w.totals.Refused++
	}
	if o.code == kv.NoSpace {
		w.totals.RefusedFull++
	}
	c.user.refused(o.code)
	if as != outcomeDone {
		c.unserved(o)
	}
	if w.tracing {
		w.trace("client %d: %.200v", c.number, o)
	}
	if c.open--; c.open > 0 {
		return
	}
	pause := time.Duration(w.random.ExpFloat64() * float64(w.shape.think))
	if as != outcomeDone { // fail over
		c.at = w.any()
		pause = w.between(0, max(w.shape.think, 50*time.Millisecond)) // refusals come at once: without a pause they are all that happens
	}
	w.sim.After(pause, c.turn)
}

// session is a client's connection to one life of a member. It implements kv.ReplyTo.
type session struct {
	c      *client
	at     *host
	life   *simLife
	member *member
	next   uint64
	open   map[uint64]*asked
	newest int64 // of the revisions that serializable reads showed

	blocked []blockedRequest
}

// asked is an operation that a member has not answered.
type asked struct {
	o      *operation
	given  bool // the client has given it up
	handed bool // the member has it
}

func newSession(c *client, at *host) *session {
	s := &session{c: c, at: at, life: at.life, member: at.member, open: map[uint64]*asked{}}
	at.sessions = append(at.sessions, s)
	return s
}

const (
	// clientTimeout is the longest time that a client gives a request. A request that shares a batch with others may be
	// kept for the longest time of all.
	clientTimeout = 4 * time.Second
	// overdue is how much later than its time, by a slow clock, a member may answer a request.
	overdue = 3 * time.Second
)

// ask numbers an operation, and gives it up when its answer is much too late.
func (s *session) ask(o *operation, timeout time.Duration) uint64 {
	s.next++
	number, a := s.next, &asked{o: o}
	s.open[number] = a
	givesUp := timeout + s.c.w.between(0, 2*time.Second)
	if s.c.w.shape.calm {
		givesUp = 2*timeout + overdue
	}
	s.c.w.sim.After(givesUp, func() {
		if s.open[number] == a && !a.given {
			a.given = true
			s.c.end(o, failureOf(o), "given up")
		}
	})
	return number
}

// failureOf is what no answer means: a write may have happened.
func failureOf(o *operation) outcome {
	if o.write() {
		return outcomeUnknown
	}
	return outcomeFailed
}

// handed notes that the member has requests: from now on it is to answer them in their time.
func (s *session) handed(numbers []uint64, timeout time.Duration) {
	begun, at := s.c.w.sim.Now(), s.c.at
	for _, number := range numbers {
		a := s.open[number]
		if a == nil {
			continue
		}
		a.handed = true
		s.c.w.sim.After(max(timeout, clientTimeout)*5/4+overdue, func() {
			if s.open[number] == a && !s.life.Over() && at.ranSince(begun) {
				s.c.w.failf("%s has not answered request %d after %v, its time was %v: %v", at.name(), number, s.c.w.sim.Now()-begun, timeout, a.o)
			}
		})
	}
}

func (s *session) propose(operations []*operation, timeout time.Duration) {
	p := kv.Proposal{ReplyTo: s, Timeout: timeout}
	head := &index.Head{By: s.c.user.by(s.member.status.View())}
	for _, o := range operations {
		p.Requests = append(p.Requests, s.ask(o, timeout))
		p.Commands = append(p.Commands, o.command(head))
	}
	s.send(kv.CommandBytes(p.Commands), func() {
		s.handed(p.Requests, timeout)
		endpoint{s.member}.Propose(p)
	})
}

// command is a write as its member proposes it.
func (o *operation) command(head *index.Head) kv.Command {
	switch o.kind {
	case opTxn:
		return head.AppendTxn(nil, o.request())
	case opCompact:
		return head.AppendCompact(nil, o.at)
	case opPut:
		return head.AppendPut(nil, &kv.Put{Key: []byte(o.key), Value: []byte(o.value)})
	}
	d := &kv.Delete{Key: []byte(o.key)}
	if o.end != "" {
		d.End = []byte(o.end)
	}
	return head.AppendDelete(nil, d)
}

func (s *session) confirm(o *operation, timeout time.Duration) {
	numbers := []uint64{s.ask(o, timeout)}
	s.send(0, func() {
		s.handed(numbers, timeout)
		endpoint{s.member}.ReadIndex(s, numbers, timeout)
	})
}

// send hands the member a request, in order, when it has room for it: until then the connection's stream stands.
func (s *session) send(weight int64, request func()) {
	s.blocked = append(s.blocked, blockedRequest{weight, request})
	if len(s.blocked) == 1 {
		s.unblock()
	}
}

func (s *session) unblock() {
	for len(s.blocked) > 0 && !s.life.Over() {
		if first := s.blocked[0]; s.member.actors.consensus.Fits(first.weight) {
			s.blocked = s.blocked[1:]
			first.send()
			continue
		}
		s.c.w.reached("proposal bytes")
		s.c.w.sim.After(time.Millisecond, s.unblock)
		return
	}
}

// blockedRequest is a request that a member has no room for yet.
type blockedRequest struct {
	weight int64
	send   func()
}

// serializable reads whatever the member has.
func (s *session) serializable(o *operation) {
	newest := s.newest // others that read from the disk may end before this one does
	s.read(o, func() {
		if o.outcome != outcomeDone || o.end != "" && o.at != 0 {
			return
		}
		if o.revision < newest {
			s.c.w.failf("a connection's serializable reads went back from revision %d: %v", newest, o)
		}
		s.newest = max(s.newest, o.revision)
	})
}

// fetch reads from a View, and goes on when the disk has given the values that are not in memory. It reports what the process may have done
// if that ends meanwhile.
func (s *session) fetch(read, then, lost func()) {
	w := s.c.w
	b := s.at.disk.StartBatch()
	read()
	s.at.disk.StopBatch()
	if b.Calls() == 0 {
		b.Finish()
		then()
		return
	}
	w.totals.ValuesRead += b.Reads()
	w.sim.After(s.at.duration(b), func() {
		if b.Finish(); s.life.Over() {
			lost()
		} else {
			then()
		}
	})
}

// Complete implements kv.ReplyTo. What a transaction is answered with is read from the View that is there when the turn is
// over in which it was completed: what a turn shows, it shows at its end.
func (s *session) Complete(done []kv.Completion) {
	done = slices.Clone(done) // it is read later
	s.c.w.sim.Post(func() {
		view := s.member.status.View()
		for _, d := range done {
			s.take(d, view)
		}
	})
}

// take is the answer to one request: there is exactly one.
func (s *session) take(d kv.Completion, view *index.View) {
	w, a := s.c.w, s.open[d.Request]
	if a == nil {
		if !s.life.Over() {
			w.failf("request %d has another answer: %+v", d.Request, d)
		}
		return
	}
	delete(s.open, d.Request)
	o := a.o
	if write := d.Kind == kv.CommandDone; write != o.write() {
		w.failf("%v is answered by %+v", o, d)
		return
	}
	as, revision := outcomeOf(o, d)
	if as == outcomeDone && o.kind == opTxn {
		o.revision = revision
		var err error
		s.fetch(func() { err = s.readTxn(o, &d.Result, view) }, func() {
			if err != nil { // a value cannot be read from the disk: the client does not learn what has happened
				as, d.Result.Err = outcomeUnknown, kv.Errorf(errorCode(err), "%v", err)
			}
			s.answered(a, d, as, revision)
		}, func() { s.answered(a, kv.Completion{}, outcomeUnknown, 0) })
		return
	}
	s.answered(a, d, as, revision)
}

// answered is the end of a request that a member has answered, unless it is a read.
func (s *session) answered(a *asked, d kv.Completion, as outcome, revision int64) {
	w, o := s.c.w, a.o
	if a.given { // the client did not wait, but the judge does
		if o.write() {
			o.outcome, o.revision, o.deleted, o.returned = as, revision, d.Result.Deleted, w.history.moment()
			w.totals.LateAnswers++
		}
		return
	}
	if as == outcomeDone && !o.write() {
		s.read(o, func() {})
		return
	}
	if as == outcomeDone && o.kind == opCompact {
		w.totals.Compactions++
	}
	o.revision, o.deleted = revision, d.Result.Deleted
	problem := ""
	if d.Result.Err != nil {
		problem, o.code = d.Result.Err.Error(), d.Result.Err.Code
	}
	s.c.end(o, as, problem)
}

func outcomeOf(o *operation, d kv.Completion) (outcome, int64) {
	switch {
	case d.Result.Err == nil:
		return outcomeDone, d.Result.Revision
	case !d.Result.Err.Certain():
		return failureOf(o), 0
	default:
		return outcomeFailed, 0
	}
}

// read answers a read from the member's View.
func (s *session) read(o *operation, then func()) {
	view := s.member.status.View()
	var end []byte
	if o.end != "" {
		end = []byte(o.end)
	}
	q := kv.Range{Key: []byte(o.key), End: end, Revision: o.at}
	if err := s.c.w.permits(view, s.c.user.by(view), kv.AccessRead, &q, accessOf(q.Key, q.End)); err != nil {
		o.code = err.Code
		s.c.end(o, outcomeFailed, err.Error())
		return
	}
	var answer kv.RangeResult
	var err error
	s.fetch(func() { answer, err = view.Range(q, 0) }, func() {
		s.show(o, view, answer, err)
		then()
	}, func() { s.c.end(o, outcomeFailed, "the connection was lost") })
}

// show gives a client the answer to a read.
func (s *session) show(o *operation, view *index.View, answer kv.RangeResult, err error) {
	if err != nil {
		if o.kind == opRead && o.at < int64(len(s.c.w.watch.visible)) && errorCode(err) == kv.FutureRevision {
			s.c.w.failf("a confirmed read does not find a revision that was seen before it began: %v: %v", err, o)
		}
		if o.code = errorCode(err); o.code == kv.Unavailable {
			s.c.w.totals.ValuesUnread++
		}
		if o.code == kv.Compacted && (o.at == 0 || o.at >= view.Compacted()) {
			s.c.w.failf("a revision is not compacted, the oldest is %d: %v: %v", view.Compacted(), err, o)
		}
		s.c.end(o, outcomeFailed, err.Error())
		return
	}
	o.revision = answer.Revision
	for _, pair := range answer.KVs {
		o.pairs = append(o.pairs, pairOf(&pair))
	}
	if answer.Count != int64(len(answer.KVs)) || answer.More {
		s.c.w.failf("a range without a limit has %d of %d keys, more %v", len(answer.KVs), answer.Count, answer.More)
	}
	s.c.end(o, outcomeDone, "")
}

func errorCode(err error) kv.Code {
	var e *kv.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return kv.OK
}

// lose is the end of the connection: its member's process is gone.
func (s *session) lose() {
	w := s.c.w
	for number := uint64(1); number <= s.next; number++ {
		a := s.open[number]
		if a == nil {
			continue
		}
		delete(s.open, number)
		if !a.given {
			w.sim.After(w.between(0, 50*time.Millisecond), func() { s.c.end(a.o, failureOf(a.o), "the connection was lost") })
		}
	}
}
