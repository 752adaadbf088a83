package client

import (
	"errors"
	"testing"

	"qkv/index/kv"
)

// The first attempt after a lost connection goes to another member at once. What a member answered is asked again after a pause, which
// doubles up to its limit, and no two clients make the same one.
func TestBackoff(t *testing.T) {
	lost, busy := errors.New("connection lost"), kv.Errorf(kv.Unavailable, "busy")
	if d := backoff(1, lost); d != 0 {
		t.Errorf("after a lost connection: %v", d)
	}
	if d := backoff(1, busy); d == 0 {
		t.Error("a busy member is asked again at once")
	}
	for attempts := range 50 {
		most := min(backoffLeast<<min(attempts, 10), backoffMost)
		if d := backoff(attempts, busy); d < most/2 || d >= most {
			t.Errorf("attempt %d: %v, of %v at most", attempts, d, most)
		}
	}
	if d := backoff(2, lost); d == 0 {
		t.Error("each attempt after lost connections is made at once")
	}
}
