package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
	"qkv/net/wire"
)

// Config says how to reach a cluster. Endpoints, and Credentials or TLS, must be given.
type Config struct {
	// Endpoints are members' client addresses, host:port. One is enough: the others are learned from it. They are never
	// forgotten. A host name may stand for several members.
	Endpoints []string
	// InOrder makes the client begin with the first endpoint. Otherwise it begins with one at random, so that clients with
	// one list spread over the members; the others are tried in order after it. Either way it returns to the one that
	// it began with when that serves again.
	InOrder bool
	// ReturnAfter is for how long the client stays with another member, at least, before it looks whether the one that
	// it began with serves again; at most it is twice as long, and up to sixteen times longer when that one
	// fails again and again. 0: 30 s.
	ReturnAfter time.Duration
	// Credentials prove who the client is and say whom it believes: wire.LoadClient, or Maker.LocalClient.
	Credentials *wire.Credentials
	// TLS is used in place of what Credentials would make, when it is not nil.
	TLS *tls.Config
	// DialStagger is how long one endpoint is tried before the next is tried beside it. 0: 200 ms.
	DialStagger time.Duration
	// Timeout bounds calls whose context has no deadline. 0: 5 s.
	Timeout time.Duration
	// FailFast makes calls fail as soon as every endpoint has been tried once without success. Otherwise they
	// are tried again until the deadline, which lets calls survive a cluster that restarts.
	FailFast bool
	// NoDiscovery keeps the client to Endpoints. Otherwise it follows the list of the members: it also uses the addresses
	// that a member tells, and forgets those of members that are gone.
	NoDiscovery bool
	// AnyCluster lets endpoints of several clusters stand in one list, for a tool that shows what is there. Otherwise
	// Open fails with ErrSeveralClusters, and no later connection leaves the cluster of the first one.
	AnyCluster bool
	// NoSessions lets writes go without a name, so that none is sent twice where it may have happened, and more of them end with
	// an unknown outcome.
	NoSessions bool
	// Logger is told of connections that are made and lost. nil: nobody is.
	Logger *slog.Logger
}

const (
	defaultStagger = 200 * time.Millisecond
	defaultTimeout = 5 * time.Second
	defaultReturn  = 30 * time.Second
)

// complete checks what was given and fills in what was not.
func (c *Config) complete() error {
	if len(c.Endpoints) == 0 {
		return errors.New("client: Config.Endpoints is empty: give at least one member's client address")
	}
	for _, endpoint := range c.Endpoints {
		if _, port, err := net.SplitHostPort(endpoint); err != nil || port == "" {
			return fmt.Errorf("client: the endpoint %q is not of the form host:port", endpoint)
		}
	}
	switch {
	case c.TLS != nil:
		c.TLS = c.TLS.Clone()
		c.TLS.NextProtos = []string{wire.ProtocolClient}
	case c.Credentials != nil:
		c.TLS = wire.ClientTLS(c.Credentials, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	default:
		return errors.New("client: Config has neither Credentials nor TLS: the protocol is always encrypted, and both sides prove who they are")
	}
	if c.DialStagger <= 0 {
		c.DialStagger = defaultStagger
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.ReturnAfter <= 0 {
		c.ReturnAfter = defaultReturn
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Client is a connection to a cluster. It is safe for use by any number of goroutines.
//
//  1. current is where new calls go; nil while there is none. Only under mu does it become another one.
//  2. While current is nil and calls wait, one goroutine dials, and no more than one.
//  3. waiting are calls that no connection took yet, oldest first; delayed are calls that wait for their next attempt.
//  4. Locks are taken in the order mu, then a stream's; no user's function is called under one.
type Client struct {
	// Constant.
	config Config
	first  int             // the place in config.Endpoints of the endpoint that the client begins with
	ctx    context.Context // of all that the client does by itself
	stop   context.CancelFunc

	// Shared.
	running atomic.Int64 // the client's own goroutines
	calling atomic.Int64 // users' functions that are being called, on those goroutines or on users'
	// current is where new calls go; nil while there is none. It is in conns.
	current  atomic.Pointer[conn]
	queued   atomic.Int64                  // len(waiting), for who does not hold mu
	known    atomic.Int64                  // endpoints: len(config.Endpoints) + len(learned)
	cluster  atomic.Pointer[ClusterMember] // of the first connection; set once
	asleep   atomic.Bool                   // the keeper has nothing to watch: who changes that wakes it
	wake     chan struct{}                 // one token: the keeper is to look again
	watching watching
	naming   naming

	mu         sync.Mutex
	closed     bool               // Close was called: no call and no connection is taken any more
	dialing    bool               // a goroutine dials
	waiting    []*call            // that no connection took yet, oldest first
	delayed    []*call            // that wait for their next attempt, in no order
	conns      map[*conn]struct{} // all that are open: the current one, and those that only finish what they have
	notes      map[string]note    // why endpoints did not serve, the last time
	told       []string           // endpoints that members told (learn.go)
	learned    []string           // those among them that are not in config.Endpoints
	left       []string           // the endpoints to be dialled last: those that were left, the last one last
	leftAt     time.Time          // when the last one was
	switchedAt time.Time          // when a member was left last because it said that it cannot serve
	rounds     int                // of dialling that failed, since the last connection
	dialAt     time.Time          // no round begins before, whoever asks for it
	refusedFor time.Time          // until then all endpoints are taken to refuse this client's certificate, as they did
	failback   failback
}

// note is why an endpoint did not serve.
type note struct {
	at  time.Time
	err error
}

// Open connects to the first endpoint that answers. When ctx has no deadline, it gives up after Config.Timeout;
// the error then lists why each endpoint did not answer.
func Open(ctx context.Context, config Config) (*Client, error) {
	config.Endpoints = slices.Clone(config.Endpoints)
	config.NoSessions = config.NoSessions || config.AnyCluster // each cluster has its own clock
	if err := config.complete(); err != nil {
		return nil, err
	}
	c := &Client{
		config: config, wake: make(chan struct{}, 1), conns: map[*conn]struct{}{}, notes: map[string]note{},
	}
	if !config.InOrder {
		c.first = rand.IntN(len(config.Endpoints))
	}
	c.watching.client, c.watching.wake = c, make(chan struct{}, 1)
	c.known.Store(int64(len(config.Endpoints)))
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.start(c.keep)
	err := c.connect(ctx)
	if err == nil {
		err = c.checkClusters(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// connect waits until there is a connection.
func (c *Client) connect(ctx context.Context) error {
	x := c.newCall(ctx, wire.OpStatus)
	if err := c.do(ctx, x); err != nil {
		var unavailable *UnavailableError
		if errors.As(err, &unavailable) {
			unavailable.Op = ""
		}
		return err
	}
	x.recycle()
	return nil
}

// start runs a goroutine of the client's, for which Close waits.
func (c *Client) start(f func()) {
	c.running.Add(1)
	go func() {
		defer c.running.Add(-1)
		f()
	}()
}

// Close ends the client. Calls under way end with ErrClosed, writes among them with an unknown outcome. It waits for what
// the client does by itself, but for no function of a user's that is being called: it may be called by one.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	lost := append(c.waiting, c.delayed...)
	c.waiting, c.delayed = nil, nil
	c.queued.Store(0)
	open := c.openLocked()
	c.mu.Unlock()

	c.stop()
	c.watching.close()
	for _, x := range lost {
		x.giveUp(ErrClosed)
	}
	for _, k := range open {
		k.fail(ErrClosed)
	}
	for c.running.Load() > c.calling.Load() {
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (c *Client) openLocked() []*conn {
	open := make([]*conn, 0, len(c.conns))
	for k := range c.conns {
		open = append(open, k)
	}
	return open
}

// newCall begins a call that ends by ctx, or by the client's timeout where ctx has no end.
func (c *Client) newCall(ctx context.Context, op wire.Op) *call {
	x := newCall(op)
	x.client = c
	if deadline, ok := ctx.Deadline(); ok {
		x.deadline = deadline
	} else {
		x.deadline = x.begun.Add(c.config.Timeout)
	}
	return x
}

// do sends a call and waits for its outcome. When it returns nil, x.answer is there, and x is the caller's to
// recycle; otherwise x is gone.
func (c *Client) do(ctx context.Context, x *call) error {
	if ctx.Err() != nil {
		x.recycle()
		return context.Cause(ctx)
	}
	begun, op, write := x.begun, x.op, x.write
	c.submit(x)
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
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return c.unavailable(op, begun, where, context.Cause(ctx))
	default:
		return context.Cause(ctx)
	}
}

// outcome returns the call's error, and gives it back when there is one.
func (x *call) outcome() error {
	err := x.err
	if err != nil {
		x.recycle()
	}
	return err
}

// submit sends a call on the current connection, or leaves it until there is one.
func (c *Client) submit(x *call) {
	if c.queued.Load() == 0 {
		if k := c.current.Load(); k != nil && k.send(x) {
			c.watch()
			return
		}
	}
	c.park(x)
}

// watch wakes the keeper if it sleeps. It is called after each change that the keeper must see.
func (c *Client) watch() {
	if c.asleep.Load() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// park leaves a call until a connection takes it.
func (c *Client) park(x *call) {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		x.giveUp(ErrClosed)
		return
	case x.session == nil && x.done != nil && len(c.waiting) >= limits.RequestsInflight:
		c.mu.Unlock()
		x.fail(ErrOverloaded)
		return
	case c.current.Load() == nil && time.Now().Before(c.refusedFor):
		c.mu.Unlock()
		x.giveUp(c.unavailable(x.op, x.begun, nil, nil))
		return
	}
	if x.session != nil { // others may wait until it is over, for their names
		c.waiting = slices.Insert(c.waiting, 0, x)
	} else {
		c.waiting = append(c.waiting, x)
	}
	c.queued.Store(int64(len(c.waiting)))
	c.dialLocked()
	c.mu.Unlock()
	c.watch()
	c.pump()
}

// pump hands calls that wait to the current connection, as many as it takes.
func (c *Client) pump() {
	if c.queued.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.current.Load()
	if k == nil {
		c.dialLocked()
		return
	}
	taken := 0
	for taken < len(c.waiting) && k.send(c.waiting[taken]) {
		taken++
	}
	c.waiting = slices.Delete(c.waiting, 0, taken)
	c.queued.Store(int64(len(c.waiting)))
}

// giveUp ends a call that no member has served, with why.
func (x *call) giveUp(err error) {
	if x.doubt {
		err = unknown(x.op, x.where.Load(), err)
	}
	x.fail(err)
}

// doubts is retry for a call that may have happened; it must be repeatable.
func (c *Client) doubts(x *call, at *conn, err error) {
	x.doubt = x.write
	c.retry(x, at, err)
}

// retry decides what becomes of a call whose attempt failed. The attempt certainly changed nothing, or doubts has asked.
func (c *Client) retry(x *call, at *conn, err error) {
	c.note(at.endpoint, err)
	if !x.again() {
		x.recycle()
		return
	}
	now := time.Now()
	x.attempts++
	x.retryAt = now.Add(backoff(x.attempts, err))
	c.mu.Lock()
	last := x.deadline
	if x.write && !x.doubt {
		last = last.Add(-answerMargin)
	}
	if c.closed || !x.retryAt.Before(last) {
		closed := c.closed
		c.mu.Unlock()
		if closed {
			x.giveUp(ErrClosed)
		} else if x.doubt {
			x.giveUp(err)
		} else {
			x.giveUp(c.unavailable(x.op, x.begun, at, nil))
		}
		return
	}
	c.delayed = append(c.delayed, x)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// note remembers why an endpoint did not serve.
func (c *Client) note(endpoint string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes[endpoint] = note{at: time.Now(), err: err}
}

// unavailable is the error of a call that nobody served: what each endpoint said since it began, or, when nothing
// was said, lately.
func (c *Client) unavailable(op wire.Op, begun time.Time, where *conn, cause error) *UnavailableError {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &UnavailableError{Op: op.String(), Cause: cause}
	for _, since := range []time.Time{begun, begun.Add(-time.Minute)} {
		for _, endpoint := range c.endpointsLocked() {
			if n, ok := c.notes[endpoint]; ok && !n.at.Before(since) && (since.Equal(begun) || !isAnswer(n.err)) {
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
		for _, endpoint := range c.endpointsLocked() {
			e.Endpoints = append(e.Endpoints, EndpointError{endpoint, errSilent})
		}
	}
	return e
}

// errNoAnswer is of one that was connected, errSilent of one that was not; it names the firewalls that know this port by etcd,
// which has TCP.
var (
	errNoAnswer = errors.New("no answer")
	errSilent   = errors.New("no answer" + whyNoAnswer)
)

const whyNoAnswer = ": it does not run, or UDP packets do not get through (that TCP does is not enough)"

// Endpoints returns the endpoints that the client knows: those it was given, then those that members told.
func (c *Client) Endpoints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpointsLocked()
}

func (c *Client) endpointsLocked() []string {
	return append(slices.Clone(c.config.Endpoints), c.learned...)
}
