package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/auth"
	"qkv/net/etcd/front"
	"qkv/net/wire"
)

// caller is the user of a request, as a token or a certificate proves it.
type caller struct {
	name     string // "": no user
	jwt      bool   // the token is a JWT
	revision uint64 // the auth revision in the JWT
	epoch    uint64 // of the user, as a simple token has it; 0: another proof
	err      error  // why the token was refused
}

// in returns the caller as the author of a request that is checked in a View. A JWT keeps the auth revision of its issue, as in etcd.
func (c *caller) in(v *index.View) kv.Principal {
	by := v.By(c.name)
	by.Login = c.epoch
	if c.jwt {
		by.Auth = c.revision
	}
	return by
}

type callerKey struct{}

// withCaller returns the context of a request whose caller was identified.
func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the caller of a request. A request that began while authentication was off is identified now, and so is each message of
// a stream of requests. A request can outlive its simple token, as one that waits for a lock: it ends with the user and with the password.
func (s *core) callerOf(ctx context.Context) *caller {
	c, ok := ctx.Value(callerKey{}).(*caller)
	if !ok {
		return s.identify(ctx)
	}
	if user, _ := s.config.Member.View().Auth().User(c.name); c.epoch != 0 && user.Epoch != c.epoch {
		return &caller{err: rpctypes.ErrGRPCInvalidAuthToken}
	}
	return c
}

// identify finds the caller of a request, in etcd's order:
//
//  1. The metadata "token", or else "authorization", with or without "Bearer ". An invalid token is an error, whatever the certificate is.
//  2. The name in the client's certificate, if CertificateUsers is set. It never counts for requests over HTTP, and never for a request
//     with a header of a gateway: another client may have sent it to that gateway (CVE-2018-16886).
func (s *core) identify(ctx context.Context) *caller {
	if token, given := tokenIn(ctx); given {
		return s.identifyToken(ctx, token)
	}
	return &caller{name: s.certificateUser(ctx)}
}

// certificateUser returns the user of a request without a token, or "".
func (s *core) certificateUser(ctx context.Context) string {
	if !s.config.CertificateUsers || ofGateway(ctx) {
		return ""
	}
	return front.AccountOf(ctx).User
}

// tokenIn returns the token in a request's metadata.
func tokenIn(ctx context.Context) (token string, given bool) {
	all := metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameGRPC)
	if all == nil {
		all = metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameSwagger)
	}
	if len(all) == 0 {
		return "", false
	}
	return strings.TrimPrefix(all[0], "Bearer "), true
}

// gatewayHeader is metadata that etcd's gateway adds to each request.
const gatewayHeader = "grpcgateway-accept"

// ofGateway tells whether a request came through a gateway from JSON to gRPC: this endpoint's own, or another.
func ofGateway(ctx context.Context) bool {
	return overHTTP(ctx) || len(metadata.ValueFromIncomingContext(ctx, gatewayHeader)) > 0
}

func (s *core) identifyToken(ctx context.Context, token string) *caller {
	claims, err := s.config.Tokens.Info(token, time.Now())
	if err == nil && claims.Epoch != 0 {
		err = s.checkClaims(ctx, &claims)
	}
	switch {
	case errors.Is(err, auth.ErrInvalidToken):
		client := front.AccountOf(ctx).Client()
		s.log.Warn("token "+client, "a client's token is refused", "client", client, "reason", err)
		return &caller{err: rpctypes.ErrGRPCInvalidAuthToken}
	case err != nil:
		return &caller{err: err}
	}
	return &caller{name: claims.User, jwt: claims.Epoch == 0, revision: claims.Revision, epoch: claims.Epoch}
}

// checkClaims compares the claims of a simple token with the state. If this member has applied less than the member that issued the token,
// checkClaims first waits until it has caught up.
func (s *core) checkClaims(ctx context.Context, c *auth.Claims) error {
	v := s.config.Member.View()
	if applied, _ := v.Applied(); applied < c.Applied {
		if err := s.calls.confirm(ctx); err != nil {
			return err
		}
		v = s.config.Member.View()
	}
	user, found := v.Auth().User(c.User)
	switch applied, _ := v.Applied(); {
	case applied < c.Applied:
		return fmt.Errorf("%w: it was issued at index %d, and the cluster is at %d", auth.ErrInvalidToken, c.Applied, applied)
	case !found:
		return fmt.Errorf("%w: the user %q was deleted", auth.ErrInvalidToken, c.User)
	case user.Epoch != c.Epoch:
		return fmt.Errorf("%w: the password of the user %q was changed", auth.ErrInvalidToken, c.User)
	}
	return nil
}

// UserByIdentity returns the name in a client certificate that qkv has made. A member's certificate is no user's.
func UserByIdentity(state tls.ConnectionState) string {
	if id, err := wire.PeerIdentity(state); err == nil && id.Class == wire.ClassClient {
		return id.Name
	}
	return ""
}

// UserByCommonName returns the common name of a verified certificate, as etcd reads it. A certificate that qkv has made for a member is no
// user's, also if a client presents it.
func UserByCommonName(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 {
		return ""
	}
	certificate := state.VerifiedChains[0][0]
	if id, err := wire.IdentityOf(certificate); err == nil && id.Class != wire.ClassClient {
		return ""
	}
	return certificate.Subject.CommonName
}
