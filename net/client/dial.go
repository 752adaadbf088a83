package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

const (
	// handshakeTimeout is how long one address is tried. The next try uses another port.
	handshakeTimeout = 2 * time.Second
	// roundPause is the first minimum time between two rounds over all endpoints; roundPauseMost is the maximum after several
	// failed rounds. Calls that ask for a connection meanwhile do not shorten it.
	roundPause     = 100 * time.Millisecond
	roundPauseMost = time.Second
	// refusedPause is the first pause after all endpoints have refused the client's certificate; refusedPauseMost is the maximum
	// after several times. Each handshake costs a member a signature and a line in its log.
	refusedPause     = time.Second
	refusedPauseMost = 15 * time.Second
)

var errNoHandshake = fmt.Errorf("no answer within %v"+whyNoAnswer, handshakeTimeout)

// dialLocked starts dialling if calls wait for a connection.
func (l *link) dialLocked() {
	if l.dialing || l.closed || len(l.waiting) == 0 || l.current.Load() != nil {
		return
	}
	l.dialing = true
	l.start(l.dial)
}

// dial tries all endpoints, repeatedly, until one answers or no call waits any more.
func (l *link) dial() {
	for {
		l.waitForRound()
		start := time.Now()
		k, hopeless := l.dialRound()
		var refused error
		if k != nil {
			if refused = l.begin(k); refused == nil {
				l.install(k)
				return
			}
			hopeless = isAnswer(refused) && !refused.(*kv.Error).Retryable()
		}
		var given []*call
		l.mu.Lock()
		if k := l.avoidedLocked(); k != nil {
			l.dialing = false
			k.avoided.Store(false)
			k.retired.Store(false)
			l.current.Store(k)
			l.mu.Unlock()
			l.connected(k)
			return
		}
		l.pauseLocked(start, hopeless)
		l.refusedBy = refused
		if hopeless || l.config.FailFast {
			given, l.waiting = l.waiting, nil
			l.queued.Store(0)
		}
		over := len(l.waiting) == 0 || l.closed
		if over {
			l.dialing = false
		}
		l.mu.Unlock()
		for _, x := range given {
			x.giveUp(l.refused(x))
		}
		if over {
			return
		}
	}
}

// begin logs in on a new connection, or closes it.
func (l *link) begin(k *conn) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.config.Timeout)
	defer cancel()
	err := l.logIn(ctx, k)
	if err != nil {
		l.note(k.endpoint, err)
		k.fail(errDone)
	}
	return err
}

// refused returns the error of a call that no member serves: the refusal of the login, which is the same at every member, or the reasons of
// all endpoints.
func (l *link) refused(x *call) error {
	l.mu.Lock()
	why := l.refusedBy
	l.mu.Unlock()
	if isAnswer(why) {
		return why
	}
	return l.unavailable(x.op, x.begun, nil, nil)
}

// avoidedLocked returns a connection that the client has left although no other member can be reached, as it turned out. A
// connection with an ended stream is not returned: it would take no calls, and block new connections for ever.
func (l *link) avoidedLocked() *conn {
	for k := range l.conns {
		if k.avoided.Load() && !k.broken() && !l.closed {
			return k
		}
	}
	return nil
}

// waitForRound waits until the next round may begin.
func (l *link) waitForRound() {
	l.mu.Lock()
	wait := time.Until(l.dialAt)
	l.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-l.ctx.Done():
	}
}

// pauseLocked sets when the next round may begin, after a failed one.
func (l *link) pauseLocked(start time.Time, hopeless bool) {
	pause := min(roundPause<<min(l.rounds, 10), roundPauseMost)
	if hopeless {
		pause = min(refusedPause<<min(l.rounds, 10), refusedPauseMost)
		l.refusedFor = start.Add(pause)
	}
	l.dialAt = start.Add(pause)
	l.rounds++
}

// install makes a new connection the current one.
func (l *link) install(k *conn) {
	l.learn(&k.member)
	l.mu.Lock()
	l.dialing = false
	if l.closed || k.failed.Load() {
		l.dialLocked()
		l.mu.Unlock()
		k.fail(ErrClosed)
		return
	}
	l.conns[k] = struct{}{}
	if !isAnswer(l.notes[k.endpoint].err) {
		delete(l.notes, k.endpoint)
	}
	l.rounds, l.dialAt, l.refusedFor, l.replaced = 0, time.Time{}, time.Time{}, time.Time{}
	l.current.Store(k)
	l.failedOverLocked(k, time.Now())
	l.mu.Unlock()
	l.connected(k)
}

// connected starts to use a connection that has become the current one.
func (l *link) connected(k *conn) {
	l.config.Logger.Debug("connected", "endpoint", k.endpoint, "member", k.member.Name, "version", k.member.Version)
	l.pump()
	l.watch()
	if k.failed.Load() { // since the check in install
		l.mu.Lock()
		delete(l.conns, k)
		l.mu.Unlock()
		l.replace(k)
	} else if k.broken() {
		k.retire(errStopping)
	}
}

// isAnswer reports whether a member gave the reason itself: the reason stays true when the member can be reached again.
func isAnswer(reason error) bool {
	_, ok := reason.(*kv.Error)
	return ok
}

// replace removes a connection as the current one. Its endpoint is then dialled last.
func (l *link) replace(k *conn) {
	if !l.current.CompareAndSwap(k, nil) {
		return
	}
	l.mu.Lock()
	l.leaveLocked(k.endpoint, time.Now())
	l.dialLocked()
	l.mu.Unlock()
	l.watch()
}

// alternatives returns the number of endpoints.
func (l *link) alternatives() int { return int(l.known.Load()) }

// dialRound tries each endpoint once. hopeless means that the reason does not pass by itself: each endpoint refused the client's
// certificate, or another cluster is in place of the client's.
func (l *link) dialRound() (k *conn, hopeless bool) {
	l.mu.Lock()
	endpoints := l.orderLocked()
	l.mu.Unlock()
	k, errs := race(l.ctx, len(endpoints), l.config.DialStagger, func(ctx context.Context, i int) (*conn, error) {
		k, err := l.dialEndpoint(ctx, endpoints[i])
		if err == nil {
			if err = l.sameCluster(k); err != nil {
				k.fail(errDone)
				k = nil
			} else if k.member.Stage != "" && len(endpoints) > 1 { // another may serve already
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(len(endpoints)) * l.config.DialStagger):
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			l.note(endpoints[i], err)
		}
		return k, err
	})
	untrusted, replaced := true, false
	for _, err := range errs {
		var trust *wire.TrustError
		untrusted = untrusted && errors.As(err, &trust)
		replaced = replaced || errors.Is(err, ErrClusterReplaced)
	}
	return k, k == nil && (untrusted || replaced)
}

// dialEndpoint connects to an endpoint, whose name may stand for several addresses.
func (l *link) dialEndpoint(ctx context.Context, endpoint string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	addrs, err := resolve(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	k, errs := race(ctx, len(addrs), l.config.DialStagger, func(ctx context.Context, i int) (*conn, error) {
		return l.dialAddress(ctx, endpoint, addrs[i])
	})
	switch {
	case k != nil:
		return k, nil
	case errs[0] != nil:
		return nil, errs[0]
	default: // ctx ended before the first try
		return nil, context.Cause(ctx)
	}
}

// dialAddress connects to an address, and at the same time asks its host whether the port is open.
func (l *link) dialAddress(ctx context.Context, endpoint string, addr *net.UDPAddr) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		if errors.Is(probePort(ctx, addr), syscall.ECONNREFUSED) {
			cancel(ErrConnectionRefused)
		}
	}()
	k, err := l.open(ctx, endpoint, addr)
	cancel(nil)
	<-probed
	switch {
	case err == nil:
		return k, nil
	case errors.Is(context.Cause(ctx), ErrConnectionRefused):
		return nil, ErrConnectionRefused
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return nil, errNoHandshake
	default:
		return nil, err
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// probePort sends a byte, which no QUIC endpoint answers, and waits for the host's report that the port is closed. QUIC's own
// socket gets no such report: it is not connected to one address.
func probePort(ctx context.Context, addr *net.UDPAddr) error {
	socket, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		return err
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := socket.Write([]byte{0}); err != nil {
		return err
	}
	_, err = socket.Read(make([]byte, 1))
	return err
}

// resolve returns the addresses of an endpoint.
func resolve(ctx context.Context, endpoint string) ([]*net.UDPAddr, error) {
	host, service, err := net.SplitHostPort(endpoint)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, fmt.Errorf("the port %q: %w", service, err)
	}
	if ip := net.ParseIP(host); ip != nil {
		return []*net.UDPAddr{{IP: ip, Port: port}}, nil
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := make([]*net.UDPAddr, 0, len(found))
	for _, a := range found {
		addrs = append(addrs, &net.UDPAddr{IP: a.IP, Zone: a.Zone, Port: port})
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address", net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return addrs, nil
}

// race runs try for 0 to n-1, each stagger after the previous one or as soon as all previous ones have failed. It returns the first
// success. The other attempts are canceled, and their late connections are closed.
func race(ctx context.Context, n int, stagger time.Duration, try func(ctx context.Context, i int) (*conn, error)) (*conn, []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		i    int
		conn *conn
		err  error
	}
	outcomes := make(chan outcome, n)
	errs := make([]error, n)
	started, running := 0, 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	var won *conn
	for (won == nil && started < n) || running > 0 {
		next := timer.C
		if won != nil || started == n || ctx.Err() != nil {
			next = nil
			if running == 0 {
				break
			}
		}
		select {
		case <-next:
			i := started
			started++
			running++
			go func() {
				k, err := try(ctx, i)
				outcomes <- outcome{i, k, err}
			}()
			timer.Reset(stagger)
		case o := <-outcomes:
			running--
			errs[o.i] = o.err
			switch {
			case o.conn != nil && won == nil:
				won = o.conn
				cancel()
			case o.conn != nil:
				o.conn.fail(errDone)
			case running == 0:
				timer.Reset(0)
			}
		}
	}
	return won, errs
}
