//go:build linux

package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"qkv/index/kv"
)

const (
	// startExtension is the time that a member asks for again and again until it is ready: a replay of a long log takes minutes, and a
	// founder waits for the others as long as it takes. A process that hangs asks for nothing, and the manager ends it.
	startExtension = 30 * time.Second
	// startExtensionEvery leaves two further requests before the time is over.
	startExtensionEvery = startExtension / 3
)

// serviceManager is the program that supervises a member and wants to know its state: systemd, for a unit of Type=notify. It gets
// datagrams at NOTIFY_SOCKET (sd_notify(3)): EXTEND_TIMEOUT_USEC until the member is ready, READY, WATCHDOG while the member works,
// and STOPPING. Without that variable nothing is sent.
type serviceManager struct {
	socket   string
	watchdog time.Duration // WatchdogSec= of the unit; 0: none
	failed   sync.Once     // the log names the first failure only
	logger   *slog.Logger
}

// NewServiceManager reads the variables of sd_notify(3) and sd_watchdog_enabled(3).
func NewServiceManager(getenv func(string) string, logger *slog.Logger) *serviceManager {
	m := &serviceManager{socket: getenv("NOTIFY_SOCKET"), logger: logger}
	if strings.HasPrefix(m.socket, "@") { // an abstract socket name
		m.socket = "\x00" + m.socket[1:]
	}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		us, _ := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 40) // 12 days
		m.watchdog = time.Duration(us) * time.Microsecond
	}
	return m
}

// tell sends assignments, as in "READY=1", in one datagram. A manager that does not take it is no reason to stop serving.
func (m *serviceManager) tell(assignments ...string) {
	if m.socket == "" {
		return
	}
	c, err := net.DialTimeout("unixgram", m.socket, time.Second)
	if err == nil {
		err = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, failed := c.Write([]byte(strings.Join(assignments, "\n")))
		err = errors.Join(err, failed, c.Close())
	}
	if err != nil {
		m.failed.Do(func() { m.logger.Error("failed to notify systemd of this member's state", "error", err.Error()) })
	}
}

// starting extends the start's timeout while a member reads its folder, until the returned function is called.
func (m *serviceManager) starting() (started func()) {
	if m.socket == "" {
		return func() {}
	}
	ended := make(chan struct{})
	var extending sync.WaitGroup
	extending.Go(func() {
		tick := time.NewTicker(startExtensionEvery)
		defer tick.Stop()
		for {
			m.extend("reading the log")
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(ended)
		extending.Wait()
	}
}

// extend asks for more time, and says what for.
func (m *serviceManager) extend(why string) {
	m.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startExtension.Microseconds()), "STATUS="+strings.ReplaceAll(why, "\n", " "))
}

// supervised is a started member as its service manager sees it: a *node.Node.
type supervised interface {
	Ready(ctx context.Context) error
	Working(d time.Duration) bool
	Status() kv.Status
	Err() error
}

// Follow reports a started member's state until ctx or the member ends.
func (m *serviceManager) Follow(ctx context.Context, n supervised) {
	if !m.awaitReady(ctx, n) {
		return
	}
	m.logger.Info("ready to serve client requests")
	m.tell("READY=1", "STATUS=serving")
	if m.watchdog == 0 || m.socket == "" {
		return
	}
	every := max(m.watchdog/3, time.Millisecond) // two reports may be late
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n.Err() == nil {
		if n.Working(every) {
			m.tell("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// awaitReady extends the start's timeout until the cluster has a leader, and reports whether it has one.
func (m *serviceManager) awaitReady(ctx context.Context, n supervised) bool {
	for {
		turn, end := context.WithTimeout(ctx, startExtensionEvery)
		err := n.Ready(turn)
		end()
		if err == nil {
			return true
		}
		if ctx.Err() != nil || n.Err() != nil {
			return false
		}
		if why := "waiting for a leader"; n.Working(startExtensionEvery) {
			for _, a := range n.Status().Alarms {
				why += "; " + string(a.Name) + ": " + a.Text
			}
			m.extend(why)
		}
	}
}
