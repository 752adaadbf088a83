package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"qkv/net/client"
	"qkv/net/wire"
)

const (
	writers   = 8
	keysEach  = 10
	loadKeys  = "load/"
	writeRest = 2 * time.Millisecond // a member on a busy host must keep up beside builds and tests
)

// acknowledged is one write that the cluster has confirmed.
type acknowledged struct{ key, value string }

// load is what clients write and see while members change.
type load struct {
	client *client.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	acked   map[int64]acknowledged // by revision
	refused map[string]bool        // values that were certainly not written
	unknown int
	gap     time.Duration // the longest time without an acknowledged write
	last    time.Time
	seen    map[int64]acknowledged // by a watch
	upTo    int64                  // that the watch was told of
	wrong   error                  // the first thing that must not be
}

// startLoad begins to write, read and watch.
func startLoad(ctx context.Context, all []*member) (*load, error) {
	credentials, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(all[0].home)
	if err != nil {
		return nil, err
	}
	c, err := client.Open(ctx, client.Config{Endpoints: endpoints(all), Credentials: credentials, Timeout: patience / 2})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &load{client: c, cancel: cancel, acked: map[int64]acknowledged{}, refused: map[string]bool{}, seen: map[int64]acknowledged{}, last: time.Now()}
	w, err := c.Watch(ctx, client.Watch{Key: []byte(loadKeys), End: client.Prefix([]byte(loadKeys)), Revision: 1, ProgressNotify: true})
	if err != nil {
		cancel()
		return nil, errors.Join(err, c.Close())
	}
	go l.watch(w)
	for i := range writers {
		l.done.Go(func() { l.write(ctx, i) })
	}
	return l, nil
}

// write writes and reads the keys of one writer, which nobody else writes.
func (l *load) write(ctx context.Context, writer int) {
	newest := map[string]int{}
	for n := 1; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%s%d/%d", loadKeys, writer, n%keysEach)
		value := fmt.Sprintf("%d.%d", writer, n)
		written, err := l.client.Put(context.WithoutCancel(ctx), []byte(key), []byte(value))
		switch {
		case err == nil:
			newest[key] = n
			l.acknowledge(written.Revision, acknowledged{key, value})
		case errors.Is(err, client.ErrOutcomeUnknown):
			newest[key] = 0 // either may be there
			l.mu.Lock()
			l.unknown++
			l.mu.Unlock()
		default:
			l.mu.Lock()
			l.refused[value] = true
			l.mu.Unlock()
			l.fail(fmt.Errorf("put %s: %w", key, err))
		}
		if n%7 == 0 {
			l.read(context.WithoutCancel(ctx), key, writer, newest[key])
		}
		time.Sleep(writeRest)
	}
}

// read holds a key against the newest value that its writer knows of.
func (l *load) read(ctx context.Context, key string, writer, newest int) {
	pair, found, err := l.client.Get(ctx, []byte(key))
	if err != nil {
		l.fail(fmt.Errorf("get %s: %w", key, err))
		return
	}
	if want := fmt.Sprintf("%d.%d", writer, newest); newest > 0 && (!found || string(pair.Value) != want) {
		l.fail(fmt.Errorf("%s is %q, and %s was written", key, pair.Value, want))
	}
}

func (l *load) acknowledge(revision int64, a acknowledged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.gap, l.last = max(l.gap, now.Sub(l.last)), now
	if before, there := l.acked[revision]; there {
		l.wrong = errors.Join(l.wrong, fmt.Errorf("revision %d is that of %v and of %v", revision, before, a))
	}
	l.acked[revision] = a
}

// fail keeps the first thing that must not be.
func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil {
		l.wrong = err
	}
}

// watch notes all changes, each of which must come once and in order.
func (l *load) watch(w *client.Watcher) {
	for response, err := range w.All() {
		if err != nil {
			if !errors.Is(err, client.ErrWatchClosed) && !errors.Is(err, client.ErrClosed) && !errors.Is(err, context.Canceled) {
				l.fail(fmt.Errorf("the watch: %w", err))
			}
			return
		}
		l.mu.Lock()
		for _, e := range response.Events {
			if e.KV.ModRevision <= l.upTo && l.wrong == nil {
				l.wrong = fmt.Errorf("the watch tells of revision %d again, or late", e.KV.ModRevision)
			}
			l.seen[e.KV.ModRevision] = acknowledged{string(e.KV.Key), string(e.KV.Value)}
		}
		l.upTo = max(l.upTo, response.Revision)
		l.mu.Unlock()
	}
}

// judge ends the load, and says what of it is lost or different.
func (l *load) judge(ctx context.Context) (string, error) {
	l.mu.Lock()
	l.gap = max(l.gap, time.Since(l.last))
	l.mu.Unlock()
	written, err := l.client.Put(ctx, []byte(loadKeys+"end"), []byte("end"))
	if err != nil {
		return "", err
	}
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		upTo := l.upTo
		l.mu.Unlock()
		if upTo >= written.Revision {
			break
		}
		if time.Since(begun) > patience {
			return "", fmt.Errorf("the watch is at revision %d, and %d was written", upTo, written.Revision)
		}
	}
	l.cancel()
	l.done.Wait()
	err = l.client.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := 0
	for revision, a := range l.acked {
		if got, ok := l.seen[revision]; !ok && revision <= written.Revision || ok && got != a {
			missing++
			l.wrong = errors.Join(l.wrong, fmt.Errorf("revision %d was acknowledged as %v, and the watch has %v", revision, a, got))
			if missing > 5 {
				break
			}
		}
	}
	for revision, a := range l.seen {
		if l.refused[a.value] {
			l.wrong = errors.Join(l.wrong, fmt.Errorf("revision %d has %v, which was certainly not written", revision, a))
		}
	}
	return fmt.Sprintf("%d writes acknowledged, %d unknown, longest time without one %v", len(l.acked), l.unknown, l.gap.Round(time.Millisecond)), errors.Join(l.wrong, err)
}

// clients runs the commands of a client's program against one member.
func clients(ctx context.Context, dir, program string, at *member) error {
	common := []string{"--home", at.home, "--endpoints", at.listen}
	ask := func(want string, arguments ...string) error {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		text, err := run(limited, program, append(arguments, common...)...)
		if err != nil {
			return err
		}
		if !strings.Contains(text, want) {
			return fmt.Errorf("%s %s: %q has no %q", program, strings.Join(arguments, " "), text, want)
		}
		return nil
	}
	key := fmt.Sprintf("cli/%d", time.Now().UnixNano())
	lease := fmt.Sprintf("%x", time.Now().UnixNano())
	for _, c := range []struct {
		want      string
		arguments []string
	}{
		{"", []string{"put", key, "one"}},
		{"one", []string{"get", key}},
		{"", []string{"put", key, "two"}},
		{key, []string{"get", "cli/", "--prefix"}},
		{"one", []string{"history", key}},
		{key, []string{"watch", key, "--rev", "1", "--limit", "2"}},
		{lease, []string{"lease", "grant", "60", "--id", lease}},
		{"", []string{"put", key + "/leased", "v", "--lease", lease}},
		{"", []string{"lease", "keep-alive", lease, "--once"}},
		{key, []string{"lease", "timetolive", lease, "--keys"}},
		{lease, []string{"lease", "list"}},
		{"", []string{"lease", "revoke", lease}},
		{at.name, []string{"status"}},
		{at.name, []string{"status", "-w", "json"}},
		{at.name, []string{"member", "list"}},
		{"", []string{"alarm", "list"}},
		{key, []string{"log", "cli/", "--from", "1"}},
		{"", []string{"export", "--prefix", "cli/", fmt.Sprintf("%s/export%d", dir, time.Now().UnixNano())}},
		{"", []string{"del", key}},
	} {
		if err := ask(c.want, c.arguments...); err != nil {
			return err
		}
	}
	return nil
}
