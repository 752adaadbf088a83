package node

import (
	"fmt"
	"strings"
	"time"

	"qkv/actor"
	"qkv/index"
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
	session *session
	open    int // operations of this turn without an answer
	values  int
}

func newClient(w *world) *client {
	c := &client{w: w, number: len(w.clients), at: w.hosts[w.random.IntN(len(w.hosts))]}
	w.sim.After(w.between(0, w.shape.think), c.turn)
	return c
}

// turn begins operations at a member that can be reached.
func (c *client) turn() {
	w := c.w
	if w.stopping {
		return
	}
	if w.chance(0.1) || !c.at.alive() {
		c.at = w.hosts[w.random.IntN(len(w.hosts))]
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
	if w.chance(0.1) {
		n = 2 + w.random.IntN(7)
	}
	c.open = n
	timeout := w.between(200*time.Millisecond, patience)
	if w.chance(0.5) {
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
	switch {
	case write && w.chance(0.8):
		o.kind = opPut
		c.values++
		o.value = fmt.Sprintf("%d.%d.", c.number, c.values)
		pad := w.random.IntN(w.shape.valueMost + 1)
		if w.chance(0.002) { // larger than a segment of the log
			pad = 10_000 + w.random.IntN(100_000)
		}
		if pad > len(o.value) {
			o.value += strings.Repeat("x", pad-len(o.value))
		}
	case write:
		o.kind = opDelete
		if w.chance(0.1) {
			o.key, o.end = "k", "l"
		}
	default:
		o.kind = opRead
		if w.chance(0.3) {
			o.kind = opSerializable
		}
		if w.chance(0.15) {
			o.key, o.end = "k", "l"
		} else if w.chance(0.1) {
			o.end = w.key()
		}
		if known := int64(len(w.watch.visible)) - 1; w.chance(0.15) && known > 2 {
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
	if w.tracing {
		w.trace("client %d: %.200v", c.number, o)
	}
	if c.open--; c.open > 0 {
		return
	}
	pause := time.Duration(w.random.ExpFloat64() * float64(w.shape.think))
	if as != outcomeDone { // fail over
		c.at = w.hosts[w.random.IntN(len(w.hosts))]
		pause = w.between(0, 50*time.Millisecond)
	}
	w.sim.After(pause, c.turn)
}

// session is a client's connection to one life of a member. It implements index.Asker.
type session struct {
	c      *client
	life   *actor.Life
	member *member
	next   uint64
	open   map[uint64]*asked
	newest int64 // of the revisions that serializable reads showed
}

// asked is an operation that a member has not answered.
type asked struct {
	o     *operation
	given bool // the client has given it up
}

func newSession(c *client, at *host) *session {
	s := &session{c: c, life: at.life, member: at.member, open: map[uint64]*asked{}}
	at.sessions = append(at.sessions, s)
	return s
}

const (
	// patience is the longest time that a client gives a request. A request that shares a batch with others may be
	// kept for the longest time of all.
	patience = 4 * time.Second
	// overdue is how much later than its time, by a slow clock, a member may answer a request.
	overdue = 3 * time.Second
)

// ask numbers an operation, and gives it up when its answer is much too late.
func (s *session) ask(o *operation, timeout time.Duration) uint64 {
	s.next++
	number, a := s.next, &asked{o: o}
	s.open[number] = a
	begun, at := s.c.w.sim.Now(), s.c.at
	s.c.w.sim.After(patience*5/4+overdue, func() {
		if s.open[number] == a && !s.life.Over() && at.pausedUntil < begun && !at.lost() {
			s.c.w.failf("%s has not answered request %d after %v, its time was %v: %v", at.name(), number, s.c.w.sim.Now()-begun, timeout, o)
		}
	})
	s.c.w.sim.After(timeout+s.c.w.between(0, 2*time.Second), func() {
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

func (s *session) propose(operations []*operation, timeout time.Duration) {
	p := index.Proposal{From: s, Timeout: timeout}
	for _, o := range operations {
		p.Requests = append(p.Requests, s.ask(o, timeout))
		var command []byte
		switch {
		case o.kind == opPut:
			command = index.AppendPut(nil, []byte(o.key), []byte(o.value), 0)
		case o.end != "":
			command = index.AppendDelete(nil, []byte(o.key), []byte(o.end))
		default:
			command = index.AppendDelete(nil, []byte(o.key), nil)
		}
		p.Commands = append(p.Commands, command)
	}
	endpoint{s.member}.Propose(p)
}

func (s *session) confirm(o *operation, timeout time.Duration) {
	endpoint{s.member}.Confirm(s, []uint64{s.ask(o, timeout)}, timeout)
}

// serializable reads whatever the member has.
func (s *session) serializable(o *operation) {
	s.read(o)
	if o.outcome != outcomeDone || o.end != "" && o.at != 0 {
		return
	}
	if o.revision < s.newest {
		s.c.w.failf("a connection's serializable reads went back from revision %d: %v", s.newest, o)
	}
	s.newest = max(s.newest, o.revision)
}

// Deposit implements index.Asker.
func (s *session) Deposit(done []index.Done) {
	s.c.w.sim.Post(func() {
		for _, d := range done {
			s.take(d)
		}
	})
}

// take is the answer to one request: there is exactly one.
func (s *session) take(d index.Done) {
	w, a := s.c.w, s.open[d.Request]
	if a == nil {
		if !s.life.Over() {
			w.failf("request %d has another answer: %+v", d.Request, d)
		}
		return
	}
	delete(s.open, d.Request)
	o := a.o
	if write := d.Kind == index.Applied; write != o.write() {
		w.failf("%v is answered by %+v", o, d)
		return
	}
	if a.given {
		o.late, o.lateRevision = outcomeOf(o, d)
		return
	}
	as, revision := outcomeOf(o, d)
	if as == outcomeDone && !o.write() {
		s.read(o)
		return
	}
	o.revision, o.deleted = revision, d.Result.Deleted
	problem := ""
	if d.Err != nil {
		problem = d.Err.Error()
	}
	s.c.end(o, as, problem)
}

func outcomeOf(o *operation, d index.Done) (outcome, int64) {
	switch {
	case d.Err == nil && d.Result.Code == index.CodeOK:
		return outcomeDone, d.Result.Revision
	case d.Err != nil && !d.Err.Certain():
		return failureOf(o), 0
	default:
		return outcomeFailed, 0
	}
}

// read answers a read from the member's View.
func (s *session) read(o *operation) {
	view := s.member.status.View()
	var end []byte
	if o.end != "" {
		end = []byte(o.end)
	}
	answer, err := view.Range(index.Query{Key: []byte(o.key), End: end, Revision: o.at})
	if err != nil {
		s.c.end(o, outcomeFailed, err.Error())
		return
	}
	o.revision = answer.Revision
	for _, kv := range answer.KVs {
		o.pairs = append(o.pairs, pairSeen{key: string(kv.Key), value: string(kv.Value), create: kv.Create, mod: kv.Mod, version: kv.Version})
	}
	if answer.Count != int64(len(answer.KVs)) || answer.More {
		s.c.w.failf("a range without a limit has %d of %d keys, more %v", len(answer.KVs), answer.Count, answer.More)
	}
	s.c.end(o, outcomeDone, "")
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
