package run

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServiceManagerVariables reads the variables of sd_notify(3).
func TestServiceManagerVariables(t *testing.T) {
	for _, c := range []struct {
		socket, watchdog, pid string
		wantSocket            string
		want                  time.Duration
	}{
		{"", "", "", "", 0},
		{"/run/notify", "60000000", "", "/run/notify", time.Minute},
		{"@abstract", "60000000", "1", "\x00abstract", 0}, // another process's watchdog
		{"/run/notify", "soon", "", "/run/notify", 0},
	} {
		environment := map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.watchdog, "WATCHDOG_PID": c.pid}
		m := NewServiceManager(func(name string) string { return environment[name] }, slog.New(slog.DiscardHandler))
		if m.socket != c.wantSocket || m.watchdog != c.want {
			t.Errorf("%+v gives the socket %q and the watchdog %v", c, m.socket, m.watchdog)
		}
	}
}

// TestServiceManagerGone: a manager that does not listen costs one line of the log.
func TestServiceManagerGone(t *testing.T) {
	logged := &strings.Builder{}
	m := NewServiceManager(func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "nothing")}[name]
	}, slog.New(slog.NewTextHandler(logged, nil)))
	for range 3 {
		m.tell("WATCHDOG=1")
	}
	if n := strings.Count(logged.String(), "failed to notify systemd"); n != 1 {
		t.Errorf("%d lines:\n%s", n, logged)
	}
}
