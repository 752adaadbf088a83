package server

import (
	"context"
	"errors"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/net/auth"
	"qkv/net/wire"
)

// A password takes 60 to 100 ms of a processor. The requests that need it have a goroutine of their own: neither the reader nor the
// writer of a stream waits for it. The Hasher bounds how many of them compute or wait, and refuses the others at once.

// source names the client for the Hasher's fair queue: its host.
func (c *conn) source() string { return wire.SourceOf(c.qc.RemoteAddr()).String() }

// runInBackground carries out an admitted request in a goroutine of its own, for at most the request's timeout and the life of the
// connection. Earlier requests of the stream go first. It returns false if the stream is closed.
func (r *reader) runInBackground(x slot, timeout time.Duration, do func(ctx context.Context, number uint64)) bool {
	r.flush()
	r.s.mu.Lock()
	if r.s.closed {
		r.s.mu.Unlock()
		r.s.end(1, int64(x.bytes))
		return false
	}
	number := r.s.registerLocked(nil, []slot{x})[0]
	r.s.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.s.qs.Context(), timeout)
	r.s.conn.server.running.Go(func() {
		defer cancel()
		do(ctx, number)
	})
	return true
}

// complete ends a request that was carried out apart.
func (s *stream) complete(number uint64, err *kv.Error) {
	s.Complete([]kv.Completion{{Request: number, Kind: kv.CommandDone, Result: kv.Result{Err: err}}})
}

// answerOf returns the answer for an error of the Hasher or of tokens.
func answerOf(err error) *kv.Error {
	if known, ok := errors.AsType[*kv.Error](err); ok {
		return known
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return kv.Errorf(kv.Overloaded, "too many passwords wait for their check: this one was not checked within the request's timeout")
	}
	return kv.Errorf(kv.Internal, "%v", err)
}

// proposeAuthChange proposes a change of users after its password is hashed.
func (r *reader) proposeAuthChange(q *wire.Request, x slot, frame int) *kv.Error {
	if len(q.Ask.Password) == 0 {
		return r.addWrite(q, x, frame)
	}
	once, change, password := q.Once, q.Ask.Auth, auth.Secret(q.Ask.Password)
	config, begun, timeout := &r.s.conn.server.config, time.Now(), q.Timeout
	r.runInBackground(x, timeout, func(ctx context.Context, number uint64) {
		hash, err := config.Hasher.Hash(ctx, r.s.conn.source(), password)
		clear(password)
		if err != nil {
			r.s.complete(number, answerOf(err))
			return
		}
		change.Password = hash
		by, ended := r.s.conn.author(config.Member.View())
		if ended != nil {
			r.s.complete(number, ended)
			return
		}
		head := index.Head{Once: once, By: by}
		config.Member.Propose(kv.Proposal{
			ReplyTo: r.s, Requests: []uint64{number}, Commands: []kv.Command{head.AppendAuthChange(nil, withSecret(&change))}, Timeout: max(timeout-time.Since(begun), time.Millisecond),
		})
	})
	return nil
}

// logIn makes the user of a password or token that of the connection.
func (r *reader) logIn(q *wire.Request, x slot, _ int) *kv.Error {
	answer := &body{request: wire.Request{ID: q.ID, Op: q.Op}}
	x.read = &read{body: answer}
	name, password, token := q.Ask.Name, auth.Secret(q.Ask.Password), q.Ask.Token
	r.runInBackground(x, q.Timeout, func(ctx context.Context, number uint64) {
		var err *kv.Error
		proof := audit.Password
		if token != "" {
			proof = audit.Token
			name, err = r.s.conn.resume(ctx, token)
		} else {
			token, err = r.s.conn.verify(ctx, name, password)
		}
		if r.s.conn.server.config.Audit != nil && (err == nil || err.Code == kv.AuthFailed || err.Code == kv.BadToken) {
			r.s.conn.auditLogin(name, proof, err)
		}
		clear(password)
		answer.value = &wire.Login{Token: token}
		r.s.complete(number, err)
	})
	return nil
}

var (
	errAuthOff   = kv.Errorf(kv.AuthNotEnabled, "authentication is not enabled: there is nothing to log in for")
	errWrong     = kv.Errorf(kv.AuthFailed, "authentication failed: unknown user, or wrong password")
	errBadToken  = kv.Errorf(kv.BadToken, "invalid token: log in with the password")
	errTokenLate = kv.Errorf(kv.Unavailable, "this member lags: it has not applied the login that the token stands for")
)

// refuseWhileDisabled answers a login while authentication is off. If authentication is enabled later, the connection has no user until it
// logs in: otherwise its requests would be those of its certificate, which the client did not ask for.
func (c *conn) refuseWhileDisabled() *kv.Error {
	c.login.Store(&login{name: c.user})
	return errAuthOff
}

// verify checks a user's password, and returns a token for later logins, or "" if this cluster's members issue none.
func (c *conn) verify(ctx context.Context, name string, password auth.Secret) (token string, refused *kv.Error) {
	config := &c.server.config
	before := config.Member.View()
	if !before.Auth().Enabled() {
		return "", c.refuseWhileDisabled()
	}
	u, _ := before.Auth().User(name)
	fits, err := config.Hasher.Verify(ctx, c.source(), name, u.Password, password)
	switch {
	case err != nil:
		return "", answerOf(err)
	case !fits:
		return "", errWrong
	}
	v := config.Member.View()
	if now, ok := v.Auth().User(name); !ok || now.Epoch != u.Epoch {
		return "", errWrong // it got another password meanwhile
	}
	applied, _ := v.Applied()
	token, err = config.Tokens.Assign(auth.Claims{User: name, Epoch: u.Epoch, Revision: v.Auth().Revision(), Applied: applied}, time.Now())
	if err != nil && !errors.Is(err, auth.ErrVerifyOnly) {
		return "", answerOf(err)
	}
	c.login.Store(&login{name: name, epoch: u.Epoch, proof: kv.ProofPassword})
	return token, nil
}

// appliedPoll is how often a login by a token looks whether this member has caught up with the token.
const appliedPoll = 5 * time.Millisecond

// resume logs in with the token of an earlier login.
// A JWT is void after any change of users or roles, as in etcd.
func (c *conn) resume(ctx context.Context, token string) (name string, refused *kv.Error) {
	config := &c.server.config
	v := config.Member.View()
	if !v.Auth().Enabled() {
		return "", c.refuseWhileDisabled()
	}
	claims, err := config.Tokens.Info(token, time.Now())
	if err != nil {
		return "", errBadToken
	}
	for applied, _ := v.Applied(); applied < claims.Applied; applied, _ = v.Applied() {
		select {
		case <-ctx.Done():
			return claims.User, errTokenLate
		case <-time.After(appliedPoll):
			v = config.Member.View()
		}
	}
	u, ok := v.Auth().User(claims.User)
	switch jwt := claims.Epoch == 0; {
	case !ok, jwt && claims.Revision < v.Auth().Revision(), !jwt && claims.Epoch != u.Epoch:
		return claims.User, errBadToken
	}
	c.login.Store(&login{name: claims.User, epoch: u.Epoch, proof: kv.ProofToken, until: claims.Until})
	return claims.User, nil
}

// endLogins closes the connections whose logins have ended with their tokens, with their watches and long reads: the clients log in on
// other ones.
func (s *Server) endLogins() {
	auth := s.config.Member.View().Auth()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eachLocked(func(c *conn) {
		if _, err := c.loginIn(auth); err == errTokenEnded {
			s.running.Go(func() { c.close(wire.CloseDone, err.Message) })
		}
	})
}
