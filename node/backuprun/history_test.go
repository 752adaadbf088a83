package backuprun

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// A cluster is set back to an older state, or a moment is restored a second time with the same id. Its backup does not follow it: the
// entries of two histories would make a state that was in neither. It is not complete while the cluster has less than the backup, either.
func TestAnotherHistory(t *testing.T) {
	for _, withLog := range []bool{false, true} {
		t.Run(fmt.Sprintf("log=%v", withLog), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "backup")
			m := &testMember{t: t, dir: t.TempDir(), base: func(int) {}}
			for range 10 {
				m.write()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			back := false
			complete, failed := make(chan struct{}, 1), make(chan error, 1)
			ended := make(chan error, 1)
			c := Config{
				Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
				Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
				Complete: func(time.Duration) {
					if back {
						t.Error("it is complete, and the cluster was set back")
					}
					select {
					case complete <- struct{}{}:
					default:
					}
				},
				Failed: func(err error) {
					select {
					case failed <- err:
					default:
					}
				},
			}
			go func() { ended <- Run(ctx, c) }()
			<-complete
			if withLog {
				if end := m.write(); !reaches(dir, end) {
					t.Fatalf("entry %d is not in the backup", end)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			m.log = m.log[:5]
			m.mu.Unlock()
			back = true
			ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			go func() { ended <- Run(ctx, c) }()
			select {
			case err := <-failed:
				if !strings.Contains(err.Error(), "lags, or its data folder was set back") {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("no failure, and the member has less than the backup")
			}
			for range 10 {
				m.write()
			}
			select {
			case err := <-ended:
				if !errors.Is(err, backup.ErrForeign) || !strings.Contains(err.Error(), "give another place") {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the backup goes on with another history")
			}
		})
	}
}

// A member restarts while the client's certificate is renewed. The backup goes on afterwards. An error of the command line ends it only at its
// begin.
func TestFinalAtTheBeginOnly(t *testing.T) {
	m := &testMember{t: t, dir: t.TempDir(), base: func(int) {}}
	m.write()
	m.write()
	missing := errors.New("no certificate")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := 0
	c := Config{
		Target: Target{Store: store.OpenFolder(disk.OS(), filepath.Join(t.TempDir(), "backup")), Every: time.Hour, Keep: time.Hour}, Say: func(text string) { t.Log(text) },
		Final: func(err error) bool { return errors.Is(err, missing) },
	}
	c.Open = func(context.Context, int) (Source, int, error) {
		switch opened++; opened {
		case 2:
			return nil, 0, missing
		case 3:
			cancel()
		}
		return failing{m}, 1, nil
	}
	if err := Run(ctx, c); err != nil || opened != 3 {
		t.Errorf("it ended with %v, after %d tries", err, opened)
	}
	opened = 1
	if err := Run(t.Context(), c); !errors.Is(err, missing) {
		t.Errorf("an error of the command line: %v", err)
	}
}

// failing is a member that gives a base, and no log.
type failing struct{ *testMember }

func (failing) BackupLog(context.Context, uint64) (part kv.LogPart, err error) {
	return part, errors.New("the member is shutting down")
}

// The clock of a cluster was ahead for a moment, so that its state is of next year. Each run of its backup makes bases nevertheless.
func TestClockAhead(t *testing.T) {
	m := &testMember{t: t, dir: t.TempDir(), base: func(int) {}, wall: time.Now().AddDate(1, 0, 0).UnixNano()}
	m.write()
	m.write()
	dir := filepath.Join(t.TempDir(), "backup")
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		before := m.made
		if err := Run(ctx, Config{
			Target: Target{Store: store.OpenFolder(disk.OS(), dir), Every: time.Millisecond, Keep: time.Hour},
			Say: func(text string) {
				if strings.Contains(text, "base of entry") {
					cancel()
				}
			},
			Open: func(context.Context, int) (Source, int, error) { return m, 1, nil },
			Complete: func(time.Duration) {
				if m.made == before {
					m.write()
				}
			},
		}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if m.made == before {
			t.Error("a run made no base")
		}
		m.write()
	}
}
