package log_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// nowhere is a file system whose files swallow what is written once it is on, so that a benchmark measures only the
// log.
type nowhere struct {
	disk.FS
	on bool
}

type nowhereFile struct {
	disk.File
	n *nowhere
}

func (n *nowhere) OpenWritable(name string) (disk.File, error) {
	f, err := n.FS.OpenWritable(name)
	return nowhereFile{f, n}, err
}

func (n *nowhere) Create(name string) (disk.File, error) {
	f, err := n.FS.Create(name)
	return nowhereFile{f, n}, err
}

func (f nowhereFile) WriteAt(p []byte, at int64) (int, error) {
	if f.n.on {
		return len(p), nil
	}
	return f.File.WriteAt(p, at)
}

func (f nowhereFile) Datasync() error {
	if f.n.on {
		return nil
	}
	return f.File.Datasync()
}

func benchLog(b testing.TB, d disk.FS, in string, segment int64) (*log.Log, log.Options) {
	b.Helper()
	o := log.Options{FS: d, Dir: in, Cluster: 1, Member: 2, SegmentBytes: segment, WindowBytes: limits.WindowBytes, Salt: rand.Uint64}
	must(b, log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}))
	l, _, err := log.Open(o)
	must(b, err)
	return l, o
}

// benchEntries are entries from one index on.
func benchEntries(from uint64, n, size int) []*raftpb.Entry {
	data := make([]byte, size)
	entries := make([]*raftpb.Entry, n)
	for i := range entries {
		entries[i] = &raftpb.Entry{Index: new(from + uint64(i)), Term: new(uint64(1)), Data: data}
	}
	return entries
}

// BenchmarkEncode appends one batch of 256 KiB and syncs it to nowhere: the log's own cost of about 900 puts.
func BenchmarkEncode(b *testing.B) {
	m := simdisk.New(1)
	must(b, m.MkdirAll("d"))
	n := &nowhere{FS: m}
	l, _ := benchLog(b, n, "d/wal", 64<<20)
	n.on = true
	entries := benchEntries(2, 1, 256<<10)
	b.SetBytes(256 << 10)
	b.ReportAllocs()
	for b.Loop() {
		l.Append(nil, entries)
		if _, err := l.Sync(); err != nil {
			b.Fatal(err)
		}
		*entries[0].Index++
	}
}

// BenchmarkEncodeSmall appends 1000 entries of 256 bytes and syncs them to nowhere.
func BenchmarkEncodeSmall(b *testing.B) {
	m := simdisk.New(1)
	must(b, m.MkdirAll("d"))
	n := &nowhere{FS: m}
	l, _ := benchLog(b, n, "d/wal", 64<<20)
	n.on = true
	entries := benchEntries(2, 1000, 256)
	b.SetBytes(256_000)
	b.ReportAllocs()
	for b.Loop() {
		l.Append(nil, entries)
		if _, err := l.Sync(); err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			*e.Index += 1000
		}
	}
}

// BenchmarkSync is one small entry made durable on the real disk, with spares made ahead.
func BenchmarkSync(b *testing.B) {
	for name, size := range map[string]int{"256B": 256, "16KiB": 16 << 10, "256KiB": 256 << 10} {
		b.Run(name, func(b *testing.B) {
			l, o := benchLog(b, disk.OS(), b.TempDir()+"/wal", 64<<20)
			maker := log.NewMaker(o)
			i := uint64(2)
			for b.Loop() {
				l.Append(nil, benchEntries(i, 1, size))
				i++
				if _, err := l.Sync(); err != nil {
					b.Fatal(err)
				}
				if l.Stats().Spares == 0 {
					b.StopTimer()
					makeSpare(b, l, maker)
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkSyncAtStart is BenchmarkSync's smallest right after a start, when there are no spares yet: it should cost as much.
func BenchmarkSyncAtStart(b *testing.B) {
	const each = 200 // entries, a page each
	for b.Loop() {
		b.StopTimer()
		l, _ := benchLog(b, disk.OS(), b.TempDir()+"/wal", 64<<20)
		b.StartTimer()
		for i := range uint64(each) {
			l.Append(nil, benchEntries(2+i, 1, 256))
			if _, err := l.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		must(b, l.Close())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/each, "ns/sync")
}

func makeSpare(b *testing.B, l *log.Log, maker *log.Maker) {
	for {
		spare, done, err := maker.Step()
		must(b, err)
		if done {
			l.AddSpare(spare)
			return
		}
	}
}

// BenchmarkOpen recovers a log of 256 MiB that is in the page cache, and reads it through.
func BenchmarkOpen(b *testing.B) {
	l, o := benchLog(b, disk.OS(), b.TempDir()+"/wal", 64<<20)
	for i := uint64(2); l.Stats().RecordBytes < 256<<20; i += 4 {
		l.Append(nil, benchEntries(i, 4, 256<<10))
		if _, err := l.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	must(b, l.Close())
	b.Run("open", func(b *testing.B) {
		b.SetBytes(256 << 20)
		for b.Loop() {
			l, _, err := log.Open(o)
			must(b, err)
			must(b, l.Close())
		}
	})
	b.Run("read", func(b *testing.B) {
		l, r, err := log.Open(o)
		must(b, err)
		s := log.Storage{Window: r.Window, Reader: log.NewReader(o.FS)}
		b.SetBytes(256 << 20)
		for b.Loop() {
			for lo := r.First; lo <= r.Last; {
				entries, err := s.Entries(lo, r.Last+1, math.MaxUint64)
				must(b, err)
				lo += uint64(len(entries))
			}
		}
		must(b, errors.Join(l.Close(), s.Reader.Close()))
	})
}

// counted is a file system that counts the bytes that are written to its files, zeros of new segments apart.
type counted struct {
	disk.FS
	bytes int
}

type countedFile struct {
	disk.File
	of *counted
}

func (c *counted) OpenWritable(name string) (disk.File, error) {
	f, err := c.FS.OpenWritable(name)
	return countedFile{f, c}, err
}

func (f countedFile) WriteAt(p []byte, at int64) (int, error) {
	f.of.bytes += len(p)
	return f.File.WriteAt(p, at)
}

func (f countedFile) WritePages(p []byte, at int64) error {
	f.of.bytes += len(p)
	return f.File.WritePages(p, at)
}

// TestDiskBytesOfLargeValues: a group with one entry of 64 KiB, or with 16 of 4 KiB, takes at most 1.2 times its values on the disk:
// its header, its records' and the rest of its last page.
func TestDiskBytesOfLargeValues(t *testing.T) {
	const group, groups, command = 64 << 10, 100, 100 // what a put has beside its value
	for _, value := range []int{4 << 10, 64 << 10} {
		d := &counted{FS: simdisk.New(1)}
		must(t, d.MkdirAll("d"))
		l, _ := benchLog(t, d, "d/wal", 16<<20)
		next := uint64(2)
		d.bytes = 0
		for range groups {
			var entries []*raftpb.Entry
			for range group / value {
				entries = append(entries, entry(next, 1, string(make([]byte, value+command))))
				next++
			}
			l.Append(&log.HardState{Term: 1, Commit: next - 2}, entries)
			if _, err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if each := float64(d.bytes) / (groups * group); each < 1 || each > 1.2 {
			t.Errorf("values of %d bytes: %.2f times as many on the disk", value, each)
		} else {
			t.Logf("values of %d bytes: %.3f times as many on the disk", value, each)
		}
	}
}
