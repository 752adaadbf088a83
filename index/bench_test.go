package index

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/index/kv"
	"qkv/internal/limits"
)

var benchKeys = flag.Int("keys", 1_000_000, "keys that benchmarks of a filled state begin with")

// benchKey is the n-th key, of 16 bytes, in no order.
func benchKey(dst []byte, n int) []byte {
	return fmt.Appendf(dst, "key-%012x", uint64(n)*0x9e3779b97f4a7c15>>16)
}

var benchValue = func() []byte {
	v := make([]byte, 256)
	for i := range v {
		v[i] = byte(rand.Uint32())
	}
	return v
}()

// loader applies batches of puts.
type loader struct {
	s        *State
	commands [][]byte
	envelope []byte
	results  []kv.Result
	wall     int64
	head     Head // the zero one, or that of the newest put
}

func (l *loader) add(key []byte) {
	value := benchValue
	binary.LittleEndian.PutUint64(value, uint64(len(l.commands))^uint64(l.wall))
	n := len(l.commands)
	if n == cap(l.commands) {
		l.commands = append(l.commands, nil)
	}
	l.commands = l.commands[:n+1]
	if l.head.Once.Session != 0 {
		l.head.Once.Sequence++
	}
	l.commands[n] = l.head.AppendPut(l.commands[n][:0], &kv.Put{Key: key, Value: value}).Bytes
}

// encode makes an entry of the commands, with a compaction as a leader proposes it.
func (l *loader) encode() {
	l.wall += 2e6
	if v := l.s.View(); v.HistoryBytes() > limits.HistoryBytes {
		l.commands = append(l.commands, new(Head).AppendCompact(nil, v.RevisionOfHistory(limits.HistoryBytes/8*7)).Bytes)
	}
	l.envelope = AppendEnvelope(l.envelope[:0], Envelope{Level: 1, Member: 1, Incarnation: 7, Wall: l.wall}, l.commands)
	l.commands = l.commands[:0]
}

func (l *loader) apply(tb testing.TB) {
	applied, _ := l.s.Applied()
	var err error
	if l.results, err = l.s.Apply(applied+1, 1, l.envelope, l.results[:0]); err != nil {
		tb.Fatal(err)
	}
}

// filled is a state of so many keys.
func filled(tb testing.TB, keys int) *loader {
	l := &loader{s: NewState(limits.Defaults().Index)}
	for n := range keys {
		l.add(benchKey(nil, n))
		if len(l.commands) == 1024 || n == keys-1 {
			l.encode()
			l.apply(tb)
			l.s.View()
		}
	}
	return l
}

// processor is the processor time of this thread, which other work on the host disturbs less than a clock.
func processor() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// applying is the time of the applies and Views of a benchmark.
type applying struct{ batches []time.Duration }

func (a *applying) apply(b *testing.B, l *loader) *View {
	before := processor()
	l.apply(b)
	v := l.s.View()
	a.batches = append(a.batches, processor()-before)
	if v.RetiredBytes() > limits.RetiredBytes {
		runtime.GC() // a member's does it beside the applier
	}
	return v
}

// report tells the quietest batches apart from all: on a host with other work, they are what the code costs.
func (a *applying) report(b *testing.B) {
	slices.Sort(a.batches)
	total := time.Duration(0)
	for _, d := range a.batches {
		total += d
	}
	n := len(a.batches)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(total.Nanoseconds())/float64(n*1024), "cpu-ns/put")
	b.ReportMetric(float64(a.batches[n/2].Nanoseconds())/1024, "median-ns/put")
	b.ReportMetric(float64(a.batches[n/10].Nanoseconds())/1024, "p10-ns/put")
	b.ReportMetric(float64(a.batches[n-1].Microseconds()), "worst-µs/batch")
}

// BenchmarkApplyUpdate applies envelopes of 1024 puts of keys that are there, in random order.
func BenchmarkApplyUpdate(b *testing.B) {
	for _, keys := range []int{100_000, *benchKeys} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) { benchUpdate(b, keys, Head{}) })
	}
}

// BenchmarkRevoke revokes leases with one key each, a thousand in an envelope, of 100,000.
func BenchmarkRevoke(b *testing.B) {
	b.Run("neighbours", func(b *testing.B) { benchRevoke(b, func(ids []int64) { slices.Sort(ids) }) })
	b.Run("scattered", func(b *testing.B) { benchRevoke(b, func([]int64) {}) })
}

// benchRevoke revokes random leases in the order that they are put into.
func benchRevoke(b *testing.B, order func(ids []int64)) {
	const leases, batch = 100_000, 512
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ids := rand.New(rand.NewPCG(1, 2))
	var a applying
	for range b.N {
		l := &loader{s: NewState(limits.Defaults().Index)}
		all := make([]int64, leases)
		for i := range all {
			all[i] = ids.Int64() + 1
			l.commands = append(l.commands, new(Head).AppendGrant(nil, kv.Lease{ID: all[i], TTL: 60}).Bytes, new(Head).AppendPut(nil, &kv.Put{Key: benchKey(nil, i), Value: benchValue, Lease: all[i]}).Bytes)
			if len(l.commands) >= batch || i == leases-1 {
				l.encode()
				l.apply(b)
				l.s.View()
			}
		}
		order(all)
		for some := range slices.Chunk(all, batch) {
			for _, id := range some {
				l.commands = append(l.commands, AppendRevoke(nil, id, 0, 0).Bytes)
			}
			l.encode()
			a.apply(b, l)
		}
		if n := l.s.View().LeaseCount(); n > 0 {
			b.Fatalf("%d leases are left", n)
		}
	}
	a.report(b)
}

// BenchmarkApplyOnce is BenchmarkApplyUpdate in a session.
func BenchmarkApplyOnce(b *testing.B) {
	for _, keys := range []int{100_000, *benchKeys} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			benchUpdate(b, keys, Head{Once: kv.WriteName{Session: 1 << 60, Sequence: 1000, Window: 1000, Opened: 1}})
		})
	}
}

func benchUpdate(b *testing.B, keys int, head Head) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := filled(b, keys)
	l.head = head
	random := rand.New(rand.NewPCG(1, 2))
	var view *View
	update := func(a *applying) {
		for range 1024 {
			l.add(benchKey(nil, random.IntN(keys)))
		}
		l.encode()
		view = a.apply(b, l)
	}
	for range 400 { // into the steady state: the history is full
		update(&applying{})
	}
	var a applying
	for range b.N {
		update(&a)
	}
	a.report(b)
	b.ReportMetric(float64(view.memory.bytes)/float64(1<<20), "MiB-mapped")
}

// BenchmarkApplyNew applies envelopes of 1024 puts of new keys, in random order, to a filled state.
func BenchmarkApplyNew(b *testing.B) {
	for _, keys := range []int{0, *benchKeys} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			l := filled(b, keys)
			n := keys
			var a applying
			for range b.N {
				for range 1024 {
					l.add(benchKey(nil, n))
					n++
				}
				l.encode()
				a.apply(b, l)
			}
			a.report(b)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	l := filled(b, *benchKeys)
	v := l.s.View()
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = benchKey(nil, rand.IntN(*benchKeys))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, found, _ := v.Get(keys[i&(len(keys)-1)], 0); !found {
			b.Fatal("not found")
		}
	}
	runtime.KeepAlive(v)
}

// BenchmarkGets reads single keys at random, as an endpoint does that has so many together, and copies what it reads.
func BenchmarkGets(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, keys := range []int{100_000, *benchKeys} {
		v := filled(b, keys).s.View()
		for _, together := range []int{1, 8, PrefetchKeys} {
			b.Run(fmt.Sprintf("%d/%d", keys, together), func(b *testing.B) { benchGets(b, v, keys, together) })
		}
	}
}

func benchGets(b *testing.B, v *View, keys, together int) {
	all := make([][]byte, 1024)
	var times []time.Duration
	var out []byte
	for range b.N {
		for i := range all {
			all[i] = benchKey(all[i][:0], rand.IntN(keys))
		}
		before := processor()
		for some := range slices.Chunk(all, together) {
			v.Prefetch(some)
			out = out[:0]
			for _, key := range some {
				pair, found, _ := v.Get(key, 0)
				if !found {
					b.Fatal("not found")
				}
				out = append(append(out, pair.Key...), pair.Value...)
			}
		}
		times = append(times, processor()-before)
	}
	slices.Sort(times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1024, "median-ns/get")
	b.ReportMetric(float64(times[len(times)/10].Nanoseconds())/1024, "p10-ns/get")
	runtime.KeepAlive(v)
}

func BenchmarkRange(b *testing.B) {
	l := filled(b, *benchKeys)
	v := l.s.View()
	for _, limit := range []int64{10, 10_000} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if a, _ := v.Range(kv.Range{Key: []byte("key-7"), End: []byte("key-8"), Limit: limit}, 0); int64(len(a.KVs)) != limit {
					b.Fatal(len(a.KVs))
				}
			}
		})
	}
	b.Run("count", func(b *testing.B) {
		for range b.N {
			if a, _ := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, CountOnly: true}, 0); a.Count != int64(*benchKeys) {
				b.Fatal(a.Count)
			}
		}
	})
	runtime.KeepAlive(v)
}

// BenchmarkRestore builds a state from the parts of a snapshot, as they come out of its blocks.
// BenchmarkCountBack counts all keys as of 100,000 revisions ago, in a row of updates, creations and deletions.
func BenchmarkCountBack(b *testing.B) {
	l := filled(b, *benchKeys)
	old := l.s.View().Revision()
	for n := range 100_000 {
		switch key := benchKey(nil, n); n % 4 {
		case 0:
			l.add(append(key, 'x'))
		case 1:
			l.commands = append(l.commands, new(Head).AppendDelete(nil, &kv.Delete{Key: key, End: nil}).Bytes)
		default:
			l.add(key)
		}
		if len(l.commands) >= 1024 || n == 99_999 {
			l.encode()
			l.apply(b)
		}
	}
	v := l.s.View()
	b.ResetTimer()
	for b.Loop() {
		answer, err := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: old, CountOnly: true}, 0)
		if err != nil || answer.Count != int64(*benchKeys) {
			b.Fatal(answer.Count, err)
		}
	}
}

// BenchmarkViewToSave is for how long a full table of sessions holds up the applier, once a snapshot.
func BenchmarkViewToSave(b *testing.B) {
	l := &loader{s: NewState(limits.Defaults().Index)}
	random := rand.New(rand.NewPCG(5, 6))
	ids := make([]uint64, limits.FirstSessionRules.Sessions)
	for i := range ids {
		ids[i] = random.Uint64() | 1
	}
	for sequence := range uint64(3) {
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for i, id := range ids {
			l.head.Once = kv.WriteName{Session: id, Sequence: sequence, Window: 1, Opened: 1}
			l.add(benchKey(nil, i&1023))
			if len(l.commands) == 1024 {
				l.encode()
				l.apply(b)
				l.s.View()
			}
		}
	}
	if n := l.s.View().Sessions(); n != int64(len(ids)) {
		b.Fatalf("%d sessions", n)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := processor()
	for b.Loop() {
		l.s.ViewToSave()
	}
	b.ReportMetric(float64((processor()-before).Microseconds())/float64(b.N), "cpu-us/snapshot")
}

// BenchmarkScan goes through keys with four versions each, as a snapshot does.
func BenchmarkScan(b *testing.B) {
	keys := min(*benchKeys, 200_000)
	l := filled(b, keys)
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 3 * keys {
		l.add(benchKey(nil, random.IntN(keys)))
		if len(l.commands) == 1024 || n == 3*keys-1 {
			l.encode()
			l.apply(b)
			l.s.View()
		}
	}
	v := l.s.View()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	versions, before := 0, processor()
	for b.Loop() {
		v.Scan(nil, func(_ []byte, all []Version) bool {
			versions += len(all)
			return true
		})
	}
	b.ReportMetric(float64((processor()-before).Nanoseconds())/float64(versions), "cpu-ns/version")
}

func BenchmarkRestore(b *testing.B) {
	v := filled(b, *benchKeys).s.ViewToSave()
	meta := v.AppendMeta(nil)
	var keys [][]byte
	var versions []Version
	var file []byte // in their order, as they lie in it
	v.Scan(nil, func(key []byte, kept []Version) bool {
		file = append(append(file, key...), kept[0].Value...)
		versions = append(versions, kept[0])
		return true
	})
	for i := range versions {
		keys = append(keys, file[:16:16])
		versions[i].Value = file[16 : 16+256 : 16+256]
		file = file[16+256:]
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ResetTimer()
	before := processor()
	for range b.N {
		builder, err := NewBuilder(NewReserve(), meta, limits.Defaults().Index)
		for i := 0; i < len(keys) && err == nil; i++ {
			err = builder.Add(keys[i], versions[i:i+1])
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, err := builder.Finish(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processor()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	runtime.KeepAlive(v)
}

// BenchmarkMemory is the memory of a process with a filled state: all of it, and the part that is Go's heap.
func BenchmarkMemory(b *testing.B) {
	runtime.GC()
	before := rssAnon(b)
	began := time.Now()
	l := filled(b, *benchKeys)
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-to-fill")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys-m.HeapReleased)/(1<<20), "MiB-heap")
	b.ReportMetric(float64(rssAnon(b)-before)/(1<<20), "MiB-grown")
	b.ReportMetric(float64(rssAnon(b))/(1<<20), "MiB-RssAnon")
	b.ReportMetric(float64(l.s.keys.memory.bytes)/(1<<20), "MiB-mapped")
	runtime.KeepAlive(l)
}

func rssAnon(tb testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("memory is measured on Linux only")
	}
	var kb int64
	_, after, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(after, &kb); err != nil {
		tb.Fatal(err)
	}
	return kb << 10
}
