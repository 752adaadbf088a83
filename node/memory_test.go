//go:build linux && !race

package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// shortEnv is the folder whose snapshot a process of this test loads with too little memory.
const shortEnv = "QKV_TEST_SHORT_OF_MEMORY"

// A start whose memory does not suffice says so, and what to do; it does not take the snapshot for damaged.
func TestStartShortOfMemory(t *testing.T) {
	testlong.Skip(t)
	dir := os.Getenv(shortEnv)
	if dir != "" {
		loadShortOfMemory(t, dir)
		return
	}
	dir = t.TempDir()
	if err := os.Mkdir(dir+"/snap", 0o700); err != nil {
		t.Fatal(err)
	}
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 7}))
	head := new(index.Head)
	for n := range uint64(200) {
		put := head.AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n), Value: bytes.Repeat([]byte{byte(n)}, 1<<20)}).Bytes
		if _, err := state.Apply(n+1, 1, index.AppendEnvelope(nil, index.Envelope{Wall: 1}, [][]byte{put}), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := snapshot.Save(disk.OS(), dir+"/snap", snapshot.Meta{Index: 200, Term: 1}, state.ViewToSave(), nil)
	must(t, err)
	p := exec.Command(os.Args[0], "-test.run=^TestStartShortOfMemory$", "-test.v")
	p.Env = append(os.Environ(), shortEnv+"="+dir)
	said, err := p.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "--- PASS") {
		t.Fatalf("%v: %s", err, said)
	}
}

// haveRuntimeGrown gives Go's runtime the addresses that it needs later: the limit must stop the state and nothing else.
// The heap grows by arenas of 64 MiB and begins at a random place in the first one, and a thread's stack may take 8 MiB.
// The runtime keeps the addresses of a freed arena, and threads that have nothing to do.
func haveRuntimeGrown() {
	runtime.KeepAlive(make([]byte, 64<<20))
	runtime.GC()
	var all, locked sync.WaitGroup
	locked.Add(16)
	for range 16 {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			locked.Wait()
		})
	}
	all.Wait()
}

func loadShortOfMemory(t *testing.T, dir string) {
	listing, err := snapshot.List(disk.OS(), dir+"/snap")
	if err != nil || len(listing.Published) != 1 {
		t.Fatal(listing, err)
	}
	haveRuntimeGrown()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var kib uint64
	_, size, _ := strings.Cut(string(status), "VmSize:")
	if _, err := fmt.Sscan(size, &kib); err != nil {
		t.Fatal(err)
	}
	most := kib<<10 + 100<<20
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := storage{
		folder: &folder{fs: disk.OS(), dir: dir}, limits: limits.Defaults(), background: func(do func()) { go do() },
		memory: 100 << 20, logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	loading := s.load(listing.Published[0])
	got := loading.wait()
	if out, is := errors.AsType[*index.OutOfMemory](got.err); !is || !strings.Contains(out.Error(), "raise its limit of memory") {
		t.Fatalf("loading 200 MiB with 100 MiB: %v", got.err)
	}
	if !strings.Contains(log.String(), "the state may need more memory") {
		t.Errorf("nothing is said before the load: %s", log.String())
	}
}

// A start has the memory of one state at a time: a snapshot that cannot be loaded, or that is not used, is freed before the next one is loaded.
func TestStartHoldsOneState(t *testing.T) {
	testlong.Skip(t)
	const keys, size = 4 << 10, 1 << 10
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/snap", 0o700))
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 7}))
	var puts [][]byte
	for n := range keys {
		puts = append(puts, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n), Value: bytes.Repeat([]byte{byte(n)}, size)}).Bytes)
	}
	_, err := state.Apply(1, 1, index.AppendEnvelope(nil, index.Envelope{Wall: 1}, puts), nil)
	must(t, err)
	for at := range uint64(2) {
		if at > 0 {
			_, err = state.Apply(2, 1, nil, nil)
			must(t, err)
		}
		conf, err := proto.Marshal(actor.ConfStateOf(state.Members().Configuration()))
		must(t, err)
		_, err = snapshot.Save(disk.OS(), dir+"/snap", snapshot.Meta{Index: at + 1, Term: 1, ConfState: conf}, state.ViewToSave(), nil)
		must(t, err)
	}
	state, puts = nil, nil
	listing, err := snapshot.List(disk.OS(), dir+"/snap")
	must(t, err)
	newer, older := listing.Published[0], listing.Published[1]
	content, err := os.ReadFile(newer.Path)
	must(t, err)
	for _, harmed := range []bool{false, true} {
		if harmed {
			content[len(content)-size] ^= 1
			must(t, os.WriteFile(newer.Path, content, 0o600))
		}
		s := storage{
			folder: &folder{fs: disk.OS(), dir: dir}, limits: limits.Defaults(), background: func(do func()) { go do() },
			memory: 1 << 30, logger: slog.New(slog.DiscardHandler),
		}
		r, found := &recovered{}, &log.Recovered{}
		ahead := s.load(newer)
		if got := ahead.wait(); (got.err != nil) != harmed {
			t.Fatal(got.err)
		}
		if harmed {
			must(t, s.use(r, found, newer, ahead))
			if r.state != nil {
				t.Fatal("a damaged snapshot was loaded")
			}
		} else if must(t, s.use(r, found, older, ahead)); r.state == nil {
			t.Fatal("the older snapshot was not loaded")
		}
		if !ahead.reserve.Discard() {
			t.Errorf("harmed=%v: memory of the snapshot that is not used was not freed before the next one was loaded", harmed)
		}
		runtime.KeepAlive(r)
	}
}
