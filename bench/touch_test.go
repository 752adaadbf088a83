package bench

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTouchMemory: each page is written, which the kernel counts as a fault of a small or a huge page, and none stays.
func TestTouchMemory(t *testing.T) {
	const bytes, huge = 64 << 20, 2 << 20
	faults := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return u.Minflt
	}
	before := faults()
	if err := TouchMemory(t.Context(), bytes+1); err != nil {
		t.Fatal(err)
	}
	if n := faults() - before; n < bytes/huge {
		t.Errorf("%d page faults: %d pages of %d bytes were to be touched", n, bytes/huge, huge)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := TouchMemory(ended, bytes); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
	if err := TouchMemory(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
