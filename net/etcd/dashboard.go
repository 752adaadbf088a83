package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/web"
	"qkv/net/wire"
)

// Dashboard configures the dashboard.
type Dashboard struct {
	Listeners []Listener // of the dashboard alone
	AtClients bool       // it is served at the clients' port, too
	Insecure  bool       // browsers on other hosts need no certificate while authentication is off
	// clients on this host need a certificate, and so do browsers on this host while authentication is off
	Certified bool

	Clients func() []kv.ClientLoad // of all endpoints
	Cluster func(context.Context) *web.Cluster
}

// dashboard carries out the requests of the dashboard (package web) as this endpoint carries out those of its clients: the same users, the
// same proposals and turns.
//
// The user is that of the token in the header Authorization, or else of the certificate that the browser shows, under the rules of
// certificates in general. A request that a proxy has passed on has no certificate's user: the certificate is the proxy's. While
// authentication is off, a request is served if it has a client's certificate, or comes from this host over loopback and clients there
// need none, in both cases through no proxy; or if the operator accepts clients without certificates anyway.
type dashboard struct {
	*core
	gateway *gateway
}

var errNoLogin = kv.Errorf(kv.UserEmpty, "log in with a user's name and password, or show a client's certificate")

// Identify implements web.Endpoint. Each request for data begins with it, so a request waits here for the member's start.
func (d dashboard) Identify(r *http.Request) (context.Context, error) {
	ctx := r.Context()
	if err := d.started(ctx, needs[r.URL.Path]); err != nil {
		return nil, plainError(err)
	}
	if !d.config.Member.View().Auth().Enabled() {
		local, _ := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
		trusted := local != nil && local.IP.IsLoopback() && !d.config.Dashboard.Certified || front.AccountOf(ctx).User != ""
		if trusted && !proxied(r) || d.config.Dashboard.Insecure {
			return ctx, nil
		}
		if d.config.Dashboard.Certified {
			return nil, kv.Errorf(kv.NotAllowed, "authentication is off, and the clients of this member show certificates: open the page over HTTPS with a certificate of `qkv cert client` in the browser and without a proxy between, or enable users with `qkv auth enable` and log in")
		}
		return nil, kv.Errorf(kv.NotAllowed, "authentication is off, so only browsers on this member's host and browsers with a client's certificate are served, without a proxy between: enable users with `qkv auth enable`, or add a certificate of `qkv cert client` to the browser")
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case token != "":
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(rpctypes.TokenFieldNameGRPC, token))
	case proxied(r):
		return nil, errNoLogin
	}
	c := d.identify(ctx)
	switch {
	case c.err != nil:
		return nil, kv.Errorf(kv.BadToken, "the login has ended: log in again")
	case c.name == "":
		return nil, errNoLogin
	}
	return withCaller(ctx, c), nil
}

// proxied tells whether a proxy has passed a request on.
func proxied(r *http.Request) bool {
	return r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Via") != ""
}

// Login implements web.Endpoint.
func (d dashboard) Login(ctx context.Context, user, password string) (string, error) {
	if err := d.started(ctx, wire.NeedKeys); err != nil {
		return "", plainError(err)
	}
	q := &pb.AuthenticateRequest{Name: user, Password: password}
	answer, err := authService{d.core}.authenticate(ctx, q)
	if err = d.audited(ctx, authenticateRPC, q, err); err != nil {
		if errors.Is(err, rpctypes.ErrGRPCAuthFailed) {
			return "", kv.Errorf(kv.AuthFailed, "the name or the password is wrong")
		}
		return "", plainError(err)
	}
	return answer.Token, nil
}

// User implements web.Endpoint.
func (d dashboard) User(ctx context.Context) (u web.User) {
	auth := d.config.Member.View().Auth()
	if !auth.Enabled() {
		return web.User{Name: front.AccountOf(ctx).User, Ranges: []web.Range{}}
	}
	name := d.callerOf(ctx).name
	u = web.User{Auth: true, Name: name, Admin: auth.IsRoot(name), Ranges: []web.Range{}}
	of, _ := auth.User(name)
	for _, role := range of.Roles {
		r, _ := auth.Role(role)
		for _, p := range r.Permissions {
			u.Ranges = append(u.Ranges, web.Range{Key: p.Key, End: p.End, Read: p.Type != kv.PermitWrite, Write: p.Type != kv.PermitRead})
		}
	}
	return u
}

// Permits implements web.Endpoint; without a View, in the newest one.
func (d dashboard) Permits(ctx context.Context, v *index.View, need kv.Access, q index.Toucher) error {
	if v == nil {
		v = d.config.Member.View()
	}
	if !v.Auth().Enabled() {
		return nil
	}
	c := d.callerOf(ctx)
	if c.err != nil {
		return kv.Errorf(kv.BadToken, "the login has ended: log in again")
	}
	if refusal := v.Permits(c.in(v), need, q); refusal != nil {
		return refusal
	}
	return nil
}

// Read implements web.Endpoint. A refusal is recorded.
func (d dashboard) Read(ctx context.Context, need kv.Access, q index.Toucher, step func(*index.View) (bool, error)) error {
	if refusal := d.config.Member.Refuse(); refusal != nil {
		return refusal
	}
	if err := d.calls.confirm(ctx); err != nil {
		return withoutQuorum(plainError(err))
	}
	d.metrics.ranges.Add(1)
	d.requests.Add(1)
	defer d.requests.Add(-1)
	var permitted *index.Auth
	err := d.admission.reads.Read(ctx, func() (done bool, err error) {
		v := d.config.Member.View()
		if auth := v.Auth(); auth != permitted {
			if err := d.Permits(ctx, v, need, q); err != nil {
				return true, err
			}
			permitted = auth
		}
		return step(v)
	})
	if refusal, ok := errors.AsType[*kv.Error](err); ok && refusal.Code == kv.NotAllowed {
		_ = d.audited(ctx, "Dashboard", nil, statusOf(refusal))
	}
	return err
}

// Write implements web.Endpoint.
func (d dashboard) Write(ctx context.Context, t *kv.Txn) (kv.Result, error) {
	if err := t.Check(d.bounds(), limits.TxnOperations); err != nil {
		return kv.Result{}, err
	}
	out, err := d.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendTxn(nil, t) })
	return out.Result, plainError(d.audited(ctx, "Dashboard", nil, err))
}

// Watch implements web.Endpoint, by a stream of etcd's service in this process.
func (d dashboard) Watch(ctx context.Context, key, end []byte, f func([]web.Event) error) error {
	own := d.newReservations(ctx)
	defer own.in.Shrink(0)
	defer own.out.Shrink(0)
	ctx, cancel := until(d.alive, context.WithValue(ctx, reservationsKey{}, own))
	defer cancel()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	stream, err := pb.NewWatchClient(d.gateway).Watch(ctx)
	if err == nil {
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: key, RangeEnd: end}}})
	}
	for err == nil {
		var answer *pb.WatchResponse
		if answer, err = stream.Recv(); err != nil {
			break
		}
		if answer.Canceled {
			return fmt.Errorf("the watch has ended: %s", answer.CancelReason)
		}
		events := make([]web.Event, 0, len(answer.Events))
		for _, e := range answer.Events {
			events = append(events, web.Event{Key: e.Kv.Key, Deleted: e.Type == mvccpb.Event_DELETE, Revision: e.Kv.ModRevision, Version: e.Kv.Version, Size: len(e.Kv.Value)})
		}
		err = f(events)
	}
	return plainError(err)
}

// TimesLeft implements web.Endpoint.
func (d dashboard) TimesLeft(ctx context.Context, leases []int64) (left []kv.LeaseTime, err error) {
	asks := make([]*call, len(leases))
	for i, id := range leases {
		asks[i] = &call{ask: kv.LeaseAsk{Lease: id}}
		if err := d.calls.submit(&d.calls.asks, asks[i]); err != nil {
			return nil, plainError(err)
		}
	}
	for _, one := range asks {
		out, err := d.calls.wait(ctx, one)
		if err != nil {
			return nil, plainError(err)
		}
		left = append(left, *out.Lease)
	}
	return left, nil
}

// Clients implements web.Endpoint.
func (d dashboard) Clients() (all []web.Client) {
	for _, c := range d.config.Dashboard.Clients() {
		all = append(all, web.Client{Name: c.Name, API: c.API, Connections: c.Connections, Requests: c.Requests, Watches: c.Watches, Waiting: c.Bytes})
	}
	return all
}

// Cluster implements web.Endpoint.
func (d dashboard) Cluster(ctx context.Context) *web.Cluster { return d.config.Dashboard.Cluster(ctx) }

// withoutQuorum explains why a read is refused.
func withoutQuorum(err error) error {
	if known, ok := errors.AsType[*kv.Error](err); ok && (known.Code == kv.Unavailable || known.Code == kv.Unknown) {
		return kv.Errorf(kv.Unavailable, "no quorum of members has confirmed that this member's keys are the newest ones (%s). The overview names the members that are missing; `qkv get --serializable` reads the keys of one member as they are", known.Message)
	}
	return err
}

// plainError converts an error in etcd's words to one of qkv's.
func plainError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*kv.Error](err); ok {
		return err
	}
	if errors.Is(err, errTimeout) {
		return kv.Errorf(kv.Unknown, "the members did not answer in time")
	}
	s := status.Convert(err)
	code := kv.BadRequest
	switch s.Code() {
	case codes.PermissionDenied:
		code = kv.NotAllowed
	case codes.Unauthenticated:
		code = kv.BadToken
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		code = kv.Unavailable
	}
	return kv.Errorf(code, "%s", strings.TrimPrefix(s.Message(), "etcdserver: "))
}
