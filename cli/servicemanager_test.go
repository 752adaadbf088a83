package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/testlong"
)

// notifySocket is the end of a service manager: it collects the datagrams.
type notifySocket struct {
	t    testing.TB
	path string
	conn *net.UnixConn
}

func newNotifySocket(t testing.TB) *notifySocket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &notifySocket{t, path, conn}
}

// next returns the assignments of the next datagram, within a time; nil if none comes.
func (s *notifySocket) next(within time.Duration) []string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		s.t.Fatal(err)
	}
	datagram := make([]byte, 64<<10)
	n, err := s.conn.Read(datagram)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(string(datagram[:n]), "\n")
}

// until reads datagrams up to the first with an assignment, and returns those before it.
func (s *notifySocket) until(assignment string) (before [][]string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		said := s.next(time.Until(deadline))
		switch {
		case said == nil:
			s.t.Fatalf("no %s came, but %q", assignment, before)
		case slices.Contains(said, assignment):
			return before
		}
		before = append(before, said)
	}
}

func (s *notifySocket) environment(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + s.path, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds())}
}

// TestProcessTellsSystemd: of two founders the first asks for more time until the second has come. Both are ready then, report that
// they work, and say when they stop.
func TestProcessTellsSystemd(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 2)
	sockets := []*notifySocket{newNotifySocket(t), newNotifySocket(t)}
	for i, m := range c.members {
		m.environment = sockets[i].environment(600 * time.Millisecond)
	}
	first := c.members[0]
	first.start()
	first.says("waiting for n2")
	if said := sockets[0].next(processWait); !slices.Equal(said, []string{"EXTEND_TIMEOUT_USEC=30000000", "STATUS=reading the log"}) {
		t.Errorf("first it says %q", said)
	}
	if said := sockets[0].next(300 * time.Millisecond); said != nil {
		t.Fatalf("before the second founder has come it says %q", said)
	}
	c.members[1].start()
	for i, m := range c.members {
		for _, said := range sockets[i].until("READY=1") {
			if !strings.HasPrefix(said[0], "EXTEND_TIMEOUT_USEC=") {
				t.Errorf("before READY, %s says %q", m.name, said)
			}
		}
		m.says("ready to serve client requests")
		for range 3 {
			if said := sockets[i].next(10 * time.Second); !slices.Equal(said, []string{"WATCHDOG=1"}) {
				t.Fatalf("after READY, %s says %q", m.name, said)
			}
		}
	}
	for i, m := range c.members {
		m.stop()
		for _, said := range sockets[i].until("STOPPING=1") {
			if !slices.Equal(said, []string{"WATCHDOG=1"}) {
				t.Errorf("before STOPPING, %s says %q", m.name, said)
			}
		}
	}
}

// fakeMember is a member that becomes ready and hangs when a test says so.
type fakeMember struct {
	ready chan struct{}
	hangs atomic.Bool
}

func (f *fakeMember) Ready(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
func (f *fakeMember) Working(time.Duration) bool { return !f.hangs.Load() }
func (f *fakeMember) Err() error                 { return nil }
func (f *fakeMember) Status() kv.Status {
	return kv.Status{Alarms: []kv.Alarm{{Name: "FOUNDING", Text: "waiting\nfor n2"}}}
}

// TestWatchdogOfMemberThatHangs: the watchdog hears of no member that hangs, and hears of it again when it goes on.
func TestWatchdogOfMemberThatHangs(t *testing.T) {
	socket, logged := newNotifySocket(t), &strings.Builder{}
	environment := map[string]string{"NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "30000"}
	m := run.NewServiceManager(func(name string) string { return environment[name] }, slog.New(slog.NewTextHandler(logged, nil)))
	member := &fakeMember{ready: make(chan struct{})}
	close(member.ready)
	ctx, end := context.WithCancel(t.Context())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		m.Follow(ctx, member)
	}()
	if before := socket.until("READY=1"); len(before) > 0 {
		t.Errorf("before READY it says %q", before)
	}
	socket.until("WATCHDOG=1")
	member.hangs.Store(true)
	socket.next(50 * time.Millisecond) // it may have been on its way
	if said := socket.next(100 * time.Millisecond); said != nil {
		t.Errorf("while the member hangs it says %q", said)
	}
	member.hangs.Store(false)
	socket.until("WATCHDOG=1")
	end()
	<-followed
}
