package backuprun

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// chaos is a store of all runners of a test. It is slow, throttles, loses connections before and behind the effect of a call, answers with
// old lists, and is full at times.
type chaos struct {
	mu       sync.Mutex
	r        *rand.Rand
	objects  map[string][]byte
	before   map[string][]byte // as they were a while ago, which old lists show
	calm     bool              // it is a good store from now on
	full     bool
	deleted  int // objects
	disturbs int // faults
}

var errLost = errors.New("the connection is lost")

// maybe draws an event of this probability; a calm store has none.
func (c *chaos) maybe(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := !c.calm && c.r.Float64() < p
	if is {
		c.disturbs++
	}
	return is
}

func (c *chaos) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full
}

func (c *chaos) set(full, calm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full, c.calm = full, c.calm || calm
}

func (c *chaos) upTo(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.r.Int64N(int64(most)))
}

// call makes a call that changes the store. Its effect may come although the call fails, up to backupCall later.
func (c *chaos) call(ctx context.Context, effect func()) error {
	locked := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		effect()
	}
	if c.maybe(0.2) {
		time.Sleep(c.upTo(12 * time.Second))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case c.maybe(0.05):
		return errors.New("503: the server throttles")
	case c.maybe(0.05):
		late := c.upTo(backupCall)
		go func() {
			time.Sleep(late)
			locked()
		}()
		return errLost
	}
	locked()
	if c.maybe(0.05) {
		return errLost
	}
	return nil
}

// process is a runner's process: it may be killed at any moment. It is both its store and its member.
type process struct {
	*testMember
	on     *chaos
	killed atomic.Bool
}

var errKilled = errors.New("the process is killed")

func (p *process) alive() error {
	if p.killed.Load() {
		return errKilled
	}
	return nil
}

func (p *process) Put(ctx context.Context, name string, content []byte) error {
	if err := p.alive(); err != nil {
		return err
	}
	if p.on.isFull() {
		return fmt.Errorf("the store is full: %w", syscall.ENOSPC)
	}
	content = bytes.Clone(content)
	return cmp.Or(p.on.call(ctx, func() {
		if len(p.on.objects[name]) != len(content) {
			p.on.objects[name] = content
		}
	}), p.alive())
}

func (p *process) Delete(ctx context.Context, names ...string) error {
	if err := p.alive(); err != nil {
		return err
	}
	return cmp.Or(p.on.call(ctx, func() {
		for _, name := range names {
			if _, is := p.on.objects[name]; is {
				p.on.deleted++
			}
			delete(p.on.objects, name)
		}
	}), p.alive())
}

func (p *process) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	if p.on.maybe(0.02) {
		return nil, errLost
	}
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	b, is := p.on.objects[name]
	if !is {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	b = b[min(offset, int64(len(b))):]
	return bytes.Clone(b[:min(most, int64(len(b)))]), cmp.Or(ctx.Err(), p.alive())
}

func (p *process) List(ctx context.Context, folder string) ([]store.Info, error) {
	old := p.on.maybe(0.1)
	if p.on.maybe(0.02) {
		return nil, errLost
	}
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	of := p.on.objects
	if old {
		of = p.on.before
	}
	var all []store.Info
	for _, name := range slices.Sorted(maps.Keys(of)) {
		at, rest, below := strings.Cut(name, "/")
		switch {
		case folder == "" && !below:
			all = append(all, store.Info{Name: name, Bytes: int64(len(of[name]))})
		case folder == "" && (len(all) == 0 || all[len(all)-1].Name != at+"/"):
			all = append(all, store.Info{Name: at + "/"})
		case at == folder && below:
			all = append(all, store.Info{Name: rest, Bytes: int64(len(of[name]))})
		}
	}
	return all, cmp.Or(ctx.Err(), p.alive())
}

func (p *process) Free() (int64, bool)          { return 0, false }
func (p *process) Path(name string) string      { return "chaos/" + name }
func (p *process) Lock(bool) (io.Closer, error) { return io.NopCloser(nil), nil }

func (p *process) BackupHold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, error) {
	if err := p.alive(); err != nil {
		return kv.BackupHold{}, err
	}
	return p.testMember.BackupHold(ctx, ask)
}

func (p *process) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	if err := p.alive(); err != nil {
		return kv.LogPart{}, err
	}
	return p.testMember.BackupLog(ctx, after)
}

// complete fails unless each manifest's files are there.
func (c *chaos) complete(t *testing.T) {
	p := &process{on: &chaos{calm: true}}
	c.mu.Lock()
	p.on.objects = maps.Clone(c.objects)
	c.mu.Unlock()
	if _, begun := p.on.objects["backup"]; !begun {
		return
	}
	r, err := backup.Open(t.Context(), p)
	must(t, err)
	for i := range r.Bases {
		if _, _, err := r.Bytes(&r.Bases[i]); err != nil {
			t.Fatalf("base %d of %d: %v", i+1, len(r.Bases), err)
		}
	}
}

// Two hosts run the same backup of one cluster, each begun anew after it was killed or stopped, on a store with every fault. In every other round
// their clocks are an hour off, and jump by an hour or two. No base ever lists a file that is not there. When the store is calm, the backup has every entry, and any moment that is kept is restored as it was.
func TestChaos(t *testing.T) {
	testlong.Skip(t)
	rounds := 20
	if os.Getenv("QKV_FULL") != "" {
		rounds = 200
	}
	bases, deleted, disturbs, moments := 0, 0, 0, 0
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{r: rand.New(rand.NewPCG(uint64(seed), 49)), objects: map[string][]byte{}}
				m := &testMember{t: t, dir: "snap", idle: 2 * time.Second, cut: 300, base: func(int) {}, clock: true, fs: simdisk.New(uint64(seed)), digests: map[uint64]uint64{}}
				must(t, m.fs.MkdirAll(m.dir))
				m.write()
				m.write()
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { // the cluster
					for ctx.Err() == nil {
						time.Sleep(c.upTo(40 * time.Second))
						m.write()
					}
				})
				running.Go(func() { // the store
					for ctx.Err() == nil {
						c.complete(t)
						c.mu.Lock()
						c.before = maps.Clone(c.objects)
						c.mu.Unlock()
						full := c.maybe(0.05)
						c.set(full, false)
						time.Sleep(backupCall)
					}
				})
				for range 2 {
					var off atomic.Int64 // of the host's clock
					if seed%2 == 1 {
						running.Go(func() { // the clock
							for ctx.Err() == nil {
								off.Store(int64([]time.Duration{-time.Hour, 0, time.Hour}[c.upTo(3)]))
								time.Sleep(c.upTo(30 * time.Minute))
							}
						})
					}
					running.Go(func() { // a host
						for ctx.Err() == nil {
							life, end := context.WithCancel(ctx)
							p := &process{testMember: m, on: c}
							ended := make(chan struct{})
							go func() {
								must(t, Run(life, Config{
									Target: Target{Store: p, Every: 4 * time.Minute, Keep: 20 * time.Minute}, Say: func(string) {},
									Open: func(context.Context, int) (Source, int, error) { return p, 1, p.alive() },
									wall: func() time.Time { return time.Now().Add(time.Duration(off.Load())) },
								}))
								close(ended)
							}()
							select {
							case <-time.After(time.Minute + c.upTo(40*time.Minute)):
							case <-ctx.Done():
							}
							p.killed.Store(c.maybe(0.5))
							end()
							<-ended
						}
					})
				}
				time.Sleep(70 * time.Minute)
				c.set(false, true)
				time.Sleep(5 * time.Minute)
				last := m.entries()
				time.Sleep(30 * time.Second)
				stop()
				running.Wait()
				c.complete(t)
				r, err := backup.Open(t.Context(), &process{on: c})
				must(t, err)
				reach, err := r.Reaches()
				must(t, err)
				if newest := reach[len(reach)-1]; newest.Index < last {
					t.Errorf("the backup has entry %d of %d", newest.Index, last)
				}
				oldest := r.Bases[0]
				if kept := time.Since(time.Unix(0, oldest.Wall)); kept < 20*time.Minute || kept > time.Hour && seed%2 == 0 { // a clock that is behind keeps more
					t.Errorf("the oldest base is %v old", kept)
				}
				for range 10 {
					m.digestAt(t, 1)
					revision := oldest.Revision + c.r.Int64N(m.newest-10-oldest.Revision)
					got, err := r.Restore(backup.At{Revision: revision}, m.limits(), nil)
					must(t, err)
					if d := got.State.View().Digest(); d != m.digestAt(t, got.Index) || got.Lost != nil {
						t.Errorf("entry %d has the digest %016x, and had %016x", got.Index, d, m.digestAt(t, got.Index))
					}
					moments++
				}
				bases, deleted, disturbs = bases+len(r.Bases), deleted+c.deleted, disturbs+c.disturbs
			})
		})
	}
	t.Logf("%d rounds: %d faults of the store, %d objects were deleted, %d bases are left, %d moments were restored", rounds, disturbs, deleted, bases, moments)
	if deleted == 0 || disturbs == 0 {
		t.Error("no fault, or no deletion")
	}
}

// entries returns the newest entry.
func (m *testMember) entries() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.log))
}

// digestAt returns the digest of the state after an entry.
func (m *testMember) digestAt(t *testing.T, entry uint64) uint64 {
	if len(m.digests) == 0 {
		s := m.state()
		for _, e := range m.log {
			_, err := s.Apply(e.Index, e.Term, e.Envelope, nil)
			must(t, err)
			m.digests[e.Index], m.newest = s.View().Digest(), s.Revision()
		}
	}
	return m.digests[entry]
}

func (m *testMember) limits() limits.Index {
	l := limits.Defaults().Index
	l.ExtentBytes = m.cut
	return l
}

// state returns the cluster's state before its first entry.
func (m *testMember) state() *index.State {
	s := index.NewState(m.limits())
	s.Found(index.Founders(map[string]uint64{"n1": 1}))
	return s
}
