package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
	"qkv/net/wire"
)

// link is a client's way to the cluster: it keeps one member connected, and brings each call to its outcome there.
type link struct {
	// Invariants:
	//
	//  1. current gets the new calls; it is nil while there is none. It becomes another connection only under mu.
	//  2. While current is nil and calls wait, exactly one goroutine dials.
	//  3. waiting holds calls without a connection, oldest first; delayed holds calls that wait for their next attempt.
	//  4. Locks are taken in the order mu, then a stream's; no user's function is called under a lock.

	// Constant.
	config Config
	first  int             // the index in config.Endpoints of the endpoint that the client begins with
	ctx    context.Context // of the client's own background work
	stop   context.CancelFunc

	// Shared.
	running atomic.Int64 // the client's own goroutines
	calling atomic.Int64 // running calls of users' functions, on any goroutine
	// current gets the new calls; nil while there is none. It is in conns.
	current  atomic.Pointer[conn]
	queued   atomic.Int64                  // len(waiting), to be read without mu
	known    atomic.Int64                  // endpoints: len(config.Endpoints) + len(learned)
	cluster  atomic.Pointer[ClusterMember] // the last member that answered of the client's cluster; nil: none yet
	asleep   atomic.Bool                   // the keeper has nothing to watch: a change of that must wake it
	wake     chan struct{}                 // one token: the keeper must look again
	watching watching
	naming   naming
	token    atomic.Pointer[string] // of the last login; nil: none

	mu         sync.Mutex
	closed     bool               // Close was called: new calls and connections are refused
	dialing    bool               // a goroutine dials
	waiting    []*call            // that wait for a connection, oldest first
	delayed    []*call            // that wait for their next attempt, in no order
	conns      map[*conn]struct{} // all open ones: the current one, and those that only finish their requests
	notes      map[string]note    // the latest reason why each endpoint did not serve
	told       []string           // endpoints that members reported (learn.go)
	learned    []string           // the endpoints in told that are not in config.Endpoints
	left       []string           // endpoints that the client has left, in that order: they are dialled last
	leftAt     time.Time          // when the client last left an endpoint
	switchedAt time.Time          // when the client last left a member because it could not serve
	rounds     int                // failed rounds of dialling since the last connection
	dialAt     time.Time          // the earliest start of the next round
	// until then, all endpoints are assumed to refuse this client's certificate or login, as they did before
	refusedFor time.Time
	refusedBy  error     // why the login failed in the last round; nil: it did not
	replaced   time.Time // since when another cluster answers in place of the client's
	failback   failback
}

// newLink returns a link whose keeper runs. It connects when the first call waits.
func newLink(config Config) *link {
	l := &link{
		config: config, wake: make(chan struct{}, 1), conns: map[*conn]struct{}{}, notes: map[string]note{},
	}
	if !config.InOrder {
		l.first = rand.IntN(len(config.Endpoints))
	}
	l.watching.link, l.watching.wake = l, make(chan struct{}, 1)
	l.known.Store(int64(len(config.Endpoints)))
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.start(l.keep)
	return l
}

// connect waits until there is a connection.
func (l *link) connect(ctx context.Context) error {
	x := l.newCall(ctx, wire.OpStatus)
	if err := l.do(ctx, x); err != nil {
		var unavailable *UnavailableError
		if errors.As(err, &unavailable) {
			unavailable.Op = ""
		}
		return err
	}
	x.recycle()
	return nil
}

// start runs a goroutine of the client; Close waits for it.
func (l *link) start(f func()) {
	l.running.Add(1)
	go func() {
		defer l.running.Add(-1)
		f()
	}()
}

// close is [Client.Close].
func (l *link) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	lost := append(l.waiting, l.delayed...)
	l.waiting, l.delayed = nil, nil
	l.queued.Store(0)
	open := l.openLocked()
	l.mu.Unlock()

	l.stop()
	l.watching.close()
	for _, x := range lost {
		x.giveUp(ErrClosed)
	}
	for _, k := range open {
		k.fail(ErrClosed)
	}
	for l.running.Load() > l.calling.Load() {
		time.Sleep(time.Millisecond)
	}
}

func (l *link) openLocked() []*conn {
	open := make([]*conn, 0, len(l.conns))
	for k := range l.conns {
		open = append(open, k)
	}
	return open
}

// newCall begins a call.
func (l *link) newCall(ctx context.Context, op wire.Op) *call {
	x := newCall(op)
	x.link = l
	x.deadline = l.until(ctx, x.begun)
	return x
}

// until is when a call ends that began then: at its context's deadline, or after the client's timeout if there is none.
func (l *link) until(ctx context.Context, begun time.Time) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline
	}
	return begun.Add(l.config.Timeout)
}

// do sends a call and waits for its outcome. If it returns nil, x.answer is set and the caller must recycle x; otherwise x is
// recycled.
func (l *link) do(ctx context.Context, x *call) error {
	begun, op, write := x.begun, x.op, x.write
	if ctx.Err() != nil {
		x.recycle()
		return l.notSent(ctx, op, begun, nil)
	}
	l.submit(x)
	if ctx.Done() == nil {
		<-x.ready
		return x.outcome()
	}
	select {
	case <-x.ready:
		return x.outcome()
	case <-ctx.Done():
	}
	where := x.where.Load()
	switch state := x.abandon(); {
	case state == over:
		<-x.ready
		return x.outcome()
	case state == sent && write, state == doubtful:
		return unknown(op, where, context.Cause(ctx))
	default:
		return l.notSent(ctx, op, begun, where)
	}
}

// notSent returns the error of a call that changed nothing before its context ended, as the table in doc.go has it.
func (l *link) notSent(ctx context.Context, op wire.Op, begun time.Time, where *conn) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return l.unavailable(op, begun, where, context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// outcome returns the call's error, and recycles the call if there is one.
func (x *call) outcome() error {
	err := x.err
	if err != nil {
		x.recycle()
	}
	return err
}

// submit sends a call on the current connection, or queues it until there is a connection.
func (l *link) submit(x *call) {
	if l.queued.Load() == 0 {
		if k := l.current.Load(); k != nil && k.send(x) {
			l.watch()
			return
		}
	}
	l.park(x)
}

// watch wakes the keeper if it sleeps. It is called after each change that the keeper must see.
func (l *link) watch() {
	if l.asleep.Load() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// park queues a call until a connection takes it.
func (l *link) park(x *call) {
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		x.giveUp(ErrClosed)
		return
	case x.session == nil && x.done != nil && len(l.waiting) >= limits.RequestsInflight:
		l.mu.Unlock()
		x.fail(ErrOverloaded)
		return
	case l.current.Load() == nil && time.Now().Before(l.refusedFor):
		l.mu.Unlock()
		x.giveUp(l.refused(x))
		return
	}
	if x.session != nil { // other calls may wait for its name until it is over
		l.waiting = slices.Insert(l.waiting, 0, x)
	} else {
		l.waiting = append(l.waiting, x)
	}
	l.queued.Store(int64(len(l.waiting)))
	l.dialLocked()
	l.mu.Unlock()
	l.watch()
	l.pump()
}

// pump hands waiting calls to the current connection, as many as it takes.
func (l *link) pump() {
	if l.queued.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.current.Load()
	if k == nil {
		l.dialLocked()
		return
	}
	taken := 0
	for taken < len(l.waiting) && k.send(l.waiting[taken]) {
		taken++
	}
	l.waiting = slices.Delete(l.waiting, 0, taken)
	l.queued.Store(int64(len(l.waiting)))
}

// giveUp ends a call that no member has served, with the reason.
func (x *call) giveUp(err error) {
	if x.doubt {
		err = unknown(x.op, x.where.Load(), err)
	}
	x.fail(err)
}

// doubts is retry for a call that may have happened; it must be repeatable.
func (l *link) doubts(x *call, at *conn, err error) {
	x.doubt = x.write
	l.retry(x, at, err)
}

// retry decides what happens to a call whose attempt failed. The attempt certainly changed nothing, or doubts is the caller.
func (l *link) retry(x *call, at *conn, err error) {
	l.note(at.endpoint, err)
	if !x.again() {
		x.recycle()
		return
	}
	now := time.Now()
	x.attempts++
	x.retryAt = now.Add(backoff(x.attempts, err))
	l.mu.Lock()
	last := x.deadline
	if x.write && !x.doubt {
		last = last.Add(-answerMargin)
	}
	if l.closed || !x.retryAt.Before(last) {
		closed := l.closed
		l.mu.Unlock()
		if closed {
			x.giveUp(ErrClosed)
		} else if x.doubt {
			x.giveUp(err)
		} else {
			x.giveUp(l.unavailable(x.op, x.begun, at, nil))
		}
		return
	}
	l.delayed = append(l.delayed, x)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// note records why an endpoint did not serve.
func (l *link) note(endpoint string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes[endpoint] = note{at: time.Now(), err: err}
}

// unavailable returns the error of a call that no member served: each endpoint's reason since the call began, or, if there is none,
// the latest reasons.
func (l *link) unavailable(op wire.Op, begun time.Time, where *conn, cause error) *UnavailableError {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &UnavailableError{Op: op.String(), Cause: cause}
	for _, since := range []time.Time{begun, begun.Add(-time.Minute)} {
		for _, endpoint := range l.endpointsLocked() {
			if n, ok := l.notes[endpoint]; ok && !n.at.Before(since) && (since.Equal(begun) || !isAnswer(n.err)) {
				e.Endpoints = append(e.Endpoints, EndpointError{endpoint, n.err})
			}
		}
		if len(e.Endpoints) > 0 {
			break
		}
	}
	if where != nil && !slices.ContainsFunc(e.Endpoints, func(x EndpointError) bool { return x.Endpoint == where.endpoint }) {
		e.Endpoints = append(e.Endpoints, EndpointError{where.endpoint, errNoAnswer})
	}
	if len(e.Endpoints) == 0 {
		for _, endpoint := range l.endpointsLocked() {
			e.Endpoints = append(e.Endpoints, EndpointError{endpoint, errSilent})
		}
	}
	return e
}

// errNoAnswer is for an endpoint that was connected, errSilent for one without a connection. errSilent mentions firewalls that know
// this port only from etcd, which uses TCP.
var (
	errNoAnswer = errors.New("no answer")
	errSilent   = errors.New("no answer" + whyNoAnswer)
)

const whyNoAnswer = ": it is not running, or UDP packets are blocked (an open TCP port is not enough)"

func (l *link) endpointsLocked() []string {
	return append(slices.Clone(l.config.Endpoints), l.learned...)
}

// note is the reason why an endpoint did not serve.
type note struct {
	at  time.Time
	err error
}
