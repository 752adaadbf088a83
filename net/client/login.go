package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// tokenTime bounds a login with a token. A member that lags behind the token waits until it has caught up; the password does not.
const tokenTime = time.Second

// logIn makes the configured user that of a connection, with the token of an earlier login or with the password. It succeeds if the cluster
// has no authentication. While the member has too many passwords to check, it tries again until ctx ends.
func (l *link) logIn(ctx context.Context, k *conn) error {
	if l.config.User == "" {
		return nil
	}
	if token := l.token.Load(); token != nil {
		short, cancel := context.WithTimeout(ctx, tokenTime)
		_, err := l.askLogin(short, k, &wire.Ask{Token: *token})
		cancel()
		if err == nil || !isAnswer(err) {
			return err
		}
		l.token.CompareAndSwap(token, nil)
	}
	for attempt := 1; ; attempt++ {
		token, err := l.askLogin(ctx, k, &wire.Ask{Name: l.config.User, Password: []byte(l.config.Password)})
		if err == nil && token != "" {
			l.token.Store(&token)
		}
		answer, ok := errors.AsType[*kv.Error](err)
		if !ok || !answer.Retryable() {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff(attempt, err)):
		}
	}
}

// askLogin sends one login. A cluster without authentication, and a member of a version that knows none, need none.
func (l *link) askLogin(ctx context.Context, k *conn, q *wire.Ask) (string, error) {
	var answer wire.Login
	x := l.newCall(ctx, wire.OpLogin)
	x.body = wire.AppendAsk(x.body[:0], q)
	err := k.ask(ctx, x, func(p *wire.Response) (err error) {
		answer, err = wire.ReadAnswer[wire.Login](p)
		return err
	})
	if answer, ok := errors.AsType[*kv.Error](err); ok && (answer.Code == kv.AuthNotEnabled || answer.Code == kv.BadRequest) {
		return "", nil
	}
	return answer.Token, err
}

// logIns are the calls that wait for a new login of a connection, because the earlier one has ended.
type logIns struct {
	mu      sync.Mutex
	waiting []func(err error)
}

// logInAgain logs in again, once for all callers meanwhile, and calls then with the outcome, on a goroutine of the client.
func (k *conn) logInAgain(then func(err error)) {
	k.logIns.mu.Lock()
	defer k.logIns.mu.Unlock()
	k.logIns.waiting = append(k.logIns.waiting, then)
	if len(k.logIns.waiting) > 1 {
		return
	}
	l := k.link
	l.start(func() {
		ctx, cancel := context.WithTimeout(l.ctx, l.config.Timeout)
		defer cancel()
		err := l.logIn(ctx, k)
		k.logIns.mu.Lock()
		waiting := k.logIns.waiting
		k.logIns.waiting = nil
		k.logIns.mu.Unlock()
		for _, then := range waiting {
			then(err)
		}
	})
}

// renew logs in again for a call that was refused because the login of its connection has ended. The call certainly did nothing.
func (k *conn) renew(x *call, refused *kv.Error) {
	x.renewed = true
	k.logInAgain(func(err error) {
		if isAnswer(err) {
			x.giveUp(err)
			return
		}
		k.link.retry(x, k, refused)
	})
}

// renewWatch does the same for a watch, which has left the stream.
func (ws *watching) renewWatch(w *Watcher, k *conn) {
	k.logInAgain(func(err error) {
		if isAnswer(err) {
			w.end(err)
			return
		}
		ws.resume(w)
	})
}
