package keys

// This file is `qkv lock`: take a lock, and hold it while a command runs or until Ctrl-C.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/local"
	"qkv/net/client"
)

func lock(c *cli.Context) error {
	words, command, err := form.CutCommand(c)
	if err != nil {
		return err
	}
	if len(words) != 1 || words[0] == "" {
		return form.Usagef("usage: %s [flags] %s; a command comes after `--`", c.Command.HelpName, c.Command.ArgsUsage)
	}
	return inSession(c, func(ctx context.Context, s *client.LockSession) error {
		m := client.NewMutex(s, words[0])
		if err := takeLock(ctx, c, m); err != nil {
			return err
		}
		if len(command) > 0 {
			err = holdWhile(ctx, c, s, m, command)
		} else {
			if err = writeHolder(c, m.Key(), nil, m.Token(), form.Hex(uint64(s.Lease().ID))); err == nil {
				err = hold(ctx, s)
			}
		}
		return afterwards(c, s, m.Unlock, err)
	})
}

// inSession runs f with a session. A signal ends f's context.
func inSession(c *cli.Context, f func(ctx context.Context, s *client.LockSession) error) error {
	if err := checkTTL(c.Int64("ttl")); err != nil {
		return err
	}
	return form.UntilSignal(c, func(ctx context.Context, one *client.Client) error {
		begin, cancel := form.Bounded(ctx, c.Duration("timeout"))
		defer cancel()
		s, err := client.NewLockSession(begin, one, client.LockSessionOptions{TTL: ofSeconds(c.Int64("ttl"))})
		if err != nil {
			return err
		}
		err = f(ctx, s)
		end, cancel := form.Bounded(context.WithoutCancel(ctx), c.Duration("timeout"))
		defer cancel()
		if closing := s.Close(end); err == nil && closing != nil {
			return fmt.Errorf("it is held for up to %d seconds longer: %w", s.Lease().TTL/time.Second, closing)
		}
		return err
	})
}

// takeLock waits for a lock for the time of --wait.
func takeLock(ctx context.Context, c *cli.Context, m *client.Mutex) error {
	wait := c.Duration("wait")
	var err error
	switch {
	case !c.IsSet("wait"):
		err = m.Lock(ctx)
	case wait == 0:
		err = m.TryLock(ctx)
	default:
		within, cancel := context.WithTimeoutCause(ctx, wait, client.ErrLocked)
		defer cancel()
		err = m.Lock(within)
	}
	if errors.Is(err, client.ErrLocked) || wait > 0 && errors.Is(err, context.DeadlineExceeded) {
		return form.Exitf(form.ExitCondition, "another client holds the lock")
	}
	return err
}

// hold waits until a signal or the loss of the session.
func hold(ctx context.Context, s *client.LockSession) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Done():
		return s.Err()
	}
}

// afterwards releases the lock or leadership, unless it is lost.
func afterwards(c *cli.Context, s *client.LockSession, giveUp func(context.Context) error, err error) error {
	if s.Err() != nil {
		return err
	}
	ctx, cancel := form.Bounded(context.WithoutCancel(c.Context), c.Duration("timeout"))
	defer cancel()
	if failed := giveUp(ctx); err == nil {
		err = failed
	}
	return err
}

// holder is a command that runs while a lock is held.
type holder struct {
	command *exec.Cmd
	session *client.LockSession
	ended   chan error
	told    bool // the command was told that the lock is lost or about to be
}

// holdWhile runs a command, and ends it before the lock is lost.
func holdWhile(ctx context.Context, c *cli.Context, s *client.LockSession, m *client.Mutex, words []string) error {
	h := &holder{command: exec.Command(words[0], words[1:]...), session: s, ended: make(chan error, 1)}
	h.command.Stdin, h.command.Stdout, h.command.Stderr = c.App.Reader, form.OutputOf(c.App.Writer), c.App.ErrWriter
	h.command.WaitDelay = time.Second // for processes that the command left behind with its output
	h.command.Env = append(os.Environ(),
		fmt.Sprintf("QKV_LOCK_KEY=%s", m.Key()), fmt.Sprintf("QKV_LOCK_TOKEN=%d", m.Token()), fmt.Sprintf("QKV_LOCK_LEASE=%016x", uint64(s.Lease().ID)),
		fmt.Sprintf("ETCD_LOCK_KEY=%s", m.Key()), fmt.Sprintf("ETCD_LOCK_REV=%d", m.Token()))
	end, err := local.StartGroup(h.command, s.Until)
	if err != nil {
		return fmt.Errorf("run the command: %w", err)
	}
	go func() {
		err := h.command.Wait()
		end()
		h.ended <- err
	}()
	err = h.wait(ctx)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		err = form.Exitf(form.CommandCode(ended), "")
	}
	if h.told || time.Now().After(s.Until()) { // a stopped command dies at its lease's end
		return form.Exitf(form.ExitFailed, "the lock was lost, or about to be, and the command was told to end: %w", cmp.Or(s.Err(), errLeaseShort))
	}
	return err
}

var errLeaseShort = errors.New("its lease was not renewed in time")

// warnings sets the time that the command has for its end: a fifth of the lease's time to live.
const warnings = 5

func (h *holder) margin() time.Duration {
	return min(h.session.Lease().TTL, 1<<20*time.Second) / warnings
}

// wait waits for the end of the command, forwards signals to it, and ends it when the lock is lost.
func (h *holder) wait(ctx context.Context) error {
	signaled, lost := ctx.Done(), h.session.Done()
	watch := time.NewTimer(0)
	defer watch.Stop()
	for {
		select {
		case err := <-h.ended:
			return err
		case <-signaled:
			signaled = nil
			if i, ok := errors.AsType[*form.Interruption](context.Cause(ctx)); ok {
				h.pass(i.Signal)
			}
		case <-lost:
			lost = nil
			if h.told { // its time to end is over
				h.kill()
				continue
			}
			h.tell()
			watch.Reset(h.margin())
		case <-watch.C:
			left := time.Until(h.session.Until()) - h.margin()
			switch {
			case lost == nil:
				h.kill()
			case left <= 0 && !h.told:
				h.tell()
				fallthrough
			default:
				watch.Reset(max(left, h.margin()/4, time.Millisecond))
			}
		}
	}
}

func (h *holder) tell() {
	h.told = true
	local.SignalChild(h.command, syscall.SIGTERM)
}

func (h *holder) kill() { local.SignalChild(h.command, syscall.SIGKILL) }

// pass forwards a signal.
func (h *holder) pass(s os.Signal) {
	if number, ok := s.(syscall.Signal); ok {
		local.SignalChild(h.command, number)
	}
}

// writeHolder prints the holder of a name: its key, its value unless that is nil, its token and its lease.
func writeHolder(c *cli.Context, key, value []byte, token int64, lease string) error {
	d, text := form.Document{{"key", form.Bytes(key)}}, string(key)+"\n"
	if value != nil {
		d, text = append(d, form.Field{"value", form.Bytes(value)}), text+string(value)+"\n"
	}
	return form.WriteOne(c, text, append(d, form.Field{"token", token}, form.Field{"lease", lease}))
}
