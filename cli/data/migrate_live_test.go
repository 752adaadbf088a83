//go:build linux

package data

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form/formtest"
)

// A process that cuts over for another one succeeds if the other's folder is complete, which the other says by removing the order.
func TestOrderCutOver(t *testing.T) {
	for _, completes := range []bool{true, false} {
		dir := t.TempDir()
		order := filepath.Join(dir, orderName)
		formtest.Must(t, os.WriteFile(order, nil, 0o600)) // of a killed process
		first, other, err := lockWork(dir, "a to b")
		if formtest.Must(t, err); other != "" {
			t.Fatalf("the free folder is used by %q", other)
		}
		if _, err := os.Lstat(order); err == nil {
			t.Error("the order of an earlier process stands")
		}
		second, other, err := lockWork(dir, "a to c")
		if formtest.Must(t, err); other != "a to b" {
			t.Fatalf("the lock is of %q", other)
		}
		ordered, ended := make(chan struct{}, 1), make(chan error, 1)
		go awaitOrder(t.Context(), order, ordered)
		go func() { ended <- orderCutOver(t.Context(), io.Discard, second, order, other) }()
		<-ordered
		if completes {
			formtest.Must(t, os.Remove(order))
		}
		formtest.Must(t, first.Close())
		switch err := <-ended; {
		case completes && err != nil:
			t.Error(err)
		case !completes && (err == nil || !strings.Contains(err.Error(), "ended without a cutover")):
			t.Errorf("the first process ended early: %v", err)
		}
		if _, err := os.Lstat(order); err == nil {
			t.Error("the order is still there")
		}
		formtest.Must(t, second.Close())
	}
}
