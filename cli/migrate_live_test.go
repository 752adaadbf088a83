//go:build linux

package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A process that cuts over for another one succeeds if the other's folder is complete, which the other says by removing the order.
func TestOrderCutOver(t *testing.T) {
	for _, completes := range []bool{true, false} {
		dir := t.TempDir()
		order := filepath.Join(dir, orderName)
		must(t, os.WriteFile(order, nil, 0o600)) // of a killed process
		first, other, err := lockWork(dir, "a to b")
		if must(t, err); other != "" {
			t.Fatalf("the free folder is used by %q", other)
		}
		if _, err := os.Lstat(order); err == nil {
			t.Error("the order of an earlier process stands")
		}
		second, other, err := lockWork(dir, "a to c")
		if must(t, err); other != "a to b" {
			t.Fatalf("the lock is of %q", other)
		}
		ordered, ended := make(chan struct{}, 1), make(chan error, 1)
		go awaitOrder(t.Context(), order, ordered)
		go func() { ended <- orderCutOver(t.Context(), io.Discard, second, order, other) }()
		<-ordered
		if completes {
			must(t, os.Remove(order))
		}
		must(t, first.Close())
		switch err := <-ended; {
		case completes && err != nil:
			t.Error(err)
		case !completes && (err == nil || !strings.Contains(err.Error(), "ended without a cutover")):
			t.Errorf("the first process ended early: %v", err)
		}
		if _, err := os.Lstat(order); err == nil {
			t.Error("the order is still there")
		}
		must(t, second.Close())
	}
}
