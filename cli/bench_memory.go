//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"qkv/net/client"
)

const (
	// restTime is the pause between a load and the reading of a member's memory.
	restTime = 10 * time.Second
	// stride spreads the keys over the whole key space: it is prime, so each key comes once.
	stride = 1_000_003
)

// memory loads one member with many keys. It measures the member's memory and the time from kill -9 to the first read: once right
// after the load, and once at the worst moment, just before a snapshot is due.
func (b *benchmark) memory(ctx context.Context, dir string) error {
	keys := b.c.Int("memory-keys")
	if keys == 0 {
		return nil
	}
	what := fmt.Sprintf("1 member, %d keys: ", keys)
	err := b.loaded(ctx, filepath.Join(dir, "killed"), what+"load", keys, func(l *localCluster) error {
		return b.restart(ctx, l, what+"kill -9 after load", goalRestart)
	})
	if err != nil {
		return err
	}
	return b.loaded(ctx, filepath.Join(dir, "settled"), what+"load again", keys, func(l *localCluster) error {
		time.Sleep(restTime)
		anonymous, err := anonymousBytes(l.members[0].PID())
		if err != nil {
			return err
		}
		b.goal(anonymous <= goalMemoryBytes, fmt.Sprintf("%d MB of memory, not %d", anonymous>>20, goalMemoryBytes>>20))
		b.line(what, "memory", fmt.Sprintf("%d MB RssAnon %v after the load", anonymous>>20, restTime))
		// Write most keys once more: the records then weigh about as much as the state, so a snapshot is nearly due.
		if err := b.fill(ctx, l, keys*9/10); err != nil {
			return err
		}
		return b.restart(ctx, l, what+"kill -9, longest log", goalWorstRestart)
	})
}

// loaded runs a function on one member that was just loaded with many keys.
func (b *benchmark) loaded(ctx context.Context, dir, name string, keys int, then func(l *localCluster) error) error {
	return b.onMembers(ctx, dir, setup{members: 1}, func(l *localCluster) error {
		begun := time.Now()
		if err := b.fill(ctx, l, keys); err != nil {
			return err
		}
		b.line("", name, fmt.Sprintf("%v, %.0f new keys/s", time.Since(begun).Round(time.Millisecond), float64(keys)/time.Since(begun).Seconds()))
		return then(l)
	})
}

// fill writes the keys in scattered order, with as many requests in flight as the other loads.
func (b *benchmark) fill(ctx context.Context, l *localCluster, keys int) error {
	c, err := l.target().open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	value := make([]byte, sizeOf(b.c, "value-bytes"))
	room := make(chan struct{}, b.c.Int("in-flight"))
	failed := make(chan error, 1)
	for i := range keys {
		select {
		case room <- struct{}{}:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		c.PutAsync(memoryKey(i*stride%keys), value, func(_ client.Written, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			<-room
		})
	}
	for range cap(room) {
		room <- struct{}{}
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func memoryKey(i int) []byte { return fmt.Appendf(nil, "bench/%010d", i) }

// restart kills the only member with -9, starts it again, and reads a key.
func (b *benchmark) restart(ctx context.Context, l *localCluster, name string, goal time.Duration) error {
	m := l.members[0]
	m.Signal(syscall.SIGKILL)
	begun := time.Now()
	m.Await(localWait)
	gone := time.Since(begun)
	if err := m.Start(); err != nil {
		return err
	}
	c, err := l.target().open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, found, err := c.Get(ctx, memoryKey(0)); err != nil || !found {
		return errors.Join(fmt.Errorf("bench: a key is missing after kill -9"), err)
	}
	b.goal(time.Since(begun) <= goal, fmt.Sprintf("%v from kill -9 to the first read, not %v", time.Since(begun).Round(time.Millisecond), goal))
	b.line("", name, fmt.Sprintf("%v to the first linearizable read, %v of it until the killed process had ended", time.Since(begun).Round(time.Millisecond), gone.Round(time.Millisecond)))
	return nil
}

// anonymousBytes returns the anonymous memory of a process, which belongs to no file.
func anonymousBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell RssAnon of process %d", pid)
}
