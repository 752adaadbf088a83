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

// Config is the configuration of a Client. Endpoints, and Credentials or TLS, must be given; the zero values of all other fields are usual.
type Config struct {
	// Endpoints are members' client addresses, host:port. One is enough: the client learns the others from it. The client never
	// forgets these endpoints. A host name may stand for several members.
	Endpoints []string
	// InOrder makes the client begin with the first endpoint. Otherwise it begins with a random one, which spreads clients with the
	// same list over the members; the others are tried in order after it. Either way the client returns to its first endpoint when
	// that serves again.
	InOrder bool
	// ReturnAfter is the minimum time that the client stays with another member before it checks whether its first endpoint serves
	// again. The maximum is twice that, and up to sixteen times more if the first endpoint fails repeatedly. 0: 30 s.
	ReturnAfter time.Duration
	// Credentials are the client's identity and its trusted CAs: LoadCredentials, or LocalCredentials.
	Credentials Credentials
	// User and Password log in on each connection: its requests are then by this user, and not by the name in the certificate. If the
	// cluster has no authentication, they are not used. "": no login. After a refused login, calls fail with an Error with the code
	// AuthFailed, without asking, for 1 to 15 s.
	User, Password string
	// TLS replaces the TLS configuration from Credentials, if it is not nil. It must have the client's certificate, and verify members.
	TLS *tls.Config
	// DialStagger is the delay before the next endpoint is tried in parallel. 0: 200 ms.
	DialStagger time.Duration
	// Timeout bounds calls whose context has no deadline, and the asynchronous calls. 0: 5 s.
	Timeout time.Duration
	// FailFast makes calls fail as soon as every endpoint has been tried once without success. Otherwise they are retried until the
	// deadline, which lets calls survive a restart of the cluster.
	FailFast bool
	// NoDiscovery limits the client to Endpoints. Otherwise it follows the list of the members: it also uses the addresses that a
	// member reports, and forgets those of removed members.
	NoDiscovery bool
	// AnyCluster allows endpoints of several clusters in one list, for a tool that shows all of them. Otherwise Open fails with
	// ErrSeveralClusters, and later connections must belong to the cluster of the first one.
	AnyCluster bool
	// NoNames sends writes without a name: a write that may have happened is not retried, and more writes end with an unknown
	// outcome. It is for comparisons; AnyCluster implies it.
	NoNames bool
	// Logger logs connections that are made and lost, at the level Debug. nil: no log.
	Logger *slog.Logger
}

const (
	defaultStagger = 200 * time.Millisecond
	defaultTimeout = 5 * time.Second
	defaultReturn  = 30 * time.Second
)

// complete checks the configuration and fills in defaults.
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
		c.TLS = c.Credentials.ClientTLS()
	default:
		return errors.New("client: Config has neither Credentials nor TLS: the protocol requires TLS with certificates on both sides")
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

// Client is a connection to a cluster, to one member at a time. It is safe for use by any number of goroutines.
//
// The caller may reuse the slices that it passed to a call when the call returns; those of an iterator when the iteration has ended. The
// slices of a result are the caller's, except those of [WatchResponse] and in the function of [Client.GetAsync].
type Client struct {
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
	cluster  atomic.Pointer[ClusterMember] // of the first connection; set once
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
	refusedFor time.Time          // until then, all endpoints are assumed to refuse this client's certificate or login, as they did before
	refusedBy  error              // why the login failed in the last round; nil: it did not
	failback   failback
}

// note is the reason why an endpoint did not serve.
type note struct {
	at  time.Time
	err error
}

// Open connects to the first endpoint that answers, and logs in. ctx bounds this call alone; if it has no deadline, Open gives up after
// Config.Timeout. The error is an [UnavailableError] with each endpoint's reason, a [ClusterError], a [kv.Error] with the code AuthFailed
// if the login was refused, or says which field of config is wrong. The client needs [Client.Close].
func Open(ctx context.Context, config Config) (*Client, error) {
	config.Endpoints = slices.Clone(config.Endpoints)
	config.NoNames = config.NoNames || config.AnyCluster // each cluster has its own clock
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

// start runs a goroutine of the client; Close waits for it.
func (c *Client) start(f func()) {
	c.running.Add(1)
	go func() {
		defer c.running.Add(-1)
		f()
	}()
}

// Close ends the client, and always returns nil. Calls and watches end with [ErrClosed]. Writes that were sent, and have no answer, end
// with an [OutcomeUnknownError]. Keep-alives and lock sessions of the client are lost. Close waits for the client's own goroutines, but not
// for a running user's function: a user's function may call Close. A second call does nothing.
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

// newCall begins a call that ends with ctx, or after the client's timeout if ctx has no deadline.
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

// do sends a call and waits for its outcome. If it returns nil, x.answer is set and the caller must recycle x; otherwise x is
// recycled.
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

// outcome returns the call's error, and recycles the call if there is one.
func (x *call) outcome() error {
	err := x.err
	if err != nil {
		x.recycle()
	}
	return err
}

// submit sends a call on the current connection, or queues it until there is a connection.
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

// park queues a call until a connection takes it.
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
		x.giveUp(c.refused(x))
		return
	}
	if x.session != nil { // other calls may wait for its name until it is over
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

// pump hands waiting calls to the current connection, as many as it takes.
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

// giveUp ends a call that no member has served, with the reason.
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

// retry decides what happens to a call whose attempt failed. The attempt certainly changed nothing, or doubts is the caller.
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

// note records why an endpoint did not serve.
func (c *Client) note(endpoint string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes[endpoint] = note{at: time.Now(), err: err}
}

// unavailable returns the error of a call that no member served: each endpoint's reason since the call began, or, if there is none,
// the latest reasons.
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

// errNoAnswer is for an endpoint that was connected, errSilent for one without a connection. errSilent mentions firewalls that know
// this port only from etcd, which uses TCP.
var (
	errNoAnswer = errors.New("no answer")
	errSilent   = errors.New("no answer" + whyNoAnswer)
)

const whyNoAnswer = ": it is not running, or UDP packets are blocked (an open TCP port is not enough)"

// Endpoints returns the known endpoints, host:port: the configured ones, then the endpoints that members reported.
func (c *Client) Endpoints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpointsLocked()
}

func (c *Client) endpointsLocked() []string {
	return append(slices.Clone(c.config.Endpoints), c.learned...)
}
