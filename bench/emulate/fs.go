package emulate

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"qkv/log/disk"
)

// On returns a file system whose syncs take as long as in the profile, without durability.
func On(under disk.FS, p Profile, seed uint64) disk.FS {
	return &fs{FS: under, disk: newDevice(p, seed)}
}

// device is the disk of one member.
type device struct {
	profile Profile
	waiter  *waiter

	mu    sync.Mutex
	draws draws
}

func newDevice(p Profile, seed uint64) *device {
	return &device{profile: p, waiter: newWaiter(), draws: draws{profile: p, random: rand.New(rand.NewPCG(seed, 1))}}
}

// sync waits as long as the disk would take for the given bytes.
func (d *device) sync(begun time.Duration, bytes int64) {
	d.mu.Lock()
	took := d.draws.next()
	d.mu.Unlock()
	d.waiter.until(begun + max(took, d.profile.moving(bytes)))
}

type fs struct {
	disk.FS
	disk *device
}

func (f *fs) file(under disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: under, disk: f.disk}, nil
}

func (f *fs) Create(name string) (disk.File, error)       { return f.file(f.FS.Create(name)) }
func (f *fs) Open(name string) (disk.File, error)         { return f.file(f.FS.Open(name)) }
func (f *fs) OpenWritable(name string) (disk.File, error) { return f.file(f.FS.OpenWritable(name)) }

func (f *fs) SyncDir(string) error {
	f.disk.sync(f.disk.waiter.now(), 0)
	return nil
}

type file struct {
	disk.File
	disk  *device
	dirty atomic.Int64 // bytes written since the last sync
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.dirty.Add(int64(len(p)))
	return f.File.WriteAt(p, off)
}

// WritePages writes to the page cache: a direct write would measure the real disk.
func (f *file) WritePages(p []byte, off int64) error {
	_, err := f.WriteAt(p, off)
	return err
}

// WriteZeros writes to the page cache for the same reason.
func (f *file) WriteZeros(n int, at int64) error {
	_, err := f.WriteAt(zeros()[:n], at)
	return err
}

// zeros is allocated for the first emulated disk: every member links this package.
var zeros = sync.OnceValue(func() []byte { return make([]byte, disk.ZerosMost) })

func (f *file) Datasync() error {
	f.disk.sync(f.disk.waiter.now(), f.dirty.Swap(0))
	return nil
}

func (f *file) Sync() error { return f.Datasync() }

// DropCache does nothing: the data exists only in the cache.
func (f *file) DropCache(_, _ int64) error { return nil }

// NoReadahead does nothing for the same reason.
func (f *file) NoReadahead() {}

// Prefetch does nothing for the same reason.
func (f *file) Prefetch(_, _ int64) {}

// ReadMedium reads the cache for the same reason.
func (f *file) ReadMedium(p []byte, off int64) (int, error) { return f.ReadAt(p, off) }
