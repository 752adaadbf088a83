package client

import (
	"context"
	"errors"
	"testing"
)

// What went well while the session ended did not: it may be another one's by now.
func TestSessionEndsMeanwhile(t *testing.T) {
	s := &LockSession{}
	s.ctx, s.end = context.WithCancelCause(t.Context())
	if err := s.within(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	err := s.within(t.Context(), func(ctx context.Context) error {
		s.end(ErrLockSessionLost)
		<-ctx.Done()
		return nil
	})
	if !errors.Is(err, ErrLockSessionLost) {
		t.Errorf("it goes well in a session that is lost: %v", err)
	}
}
