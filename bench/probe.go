package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"qkv/log/disk"
)

// Durable is a way to make bytes durable.
type Durable uint8

// The ways.
const (
	AsFdatasync Durable = iota // write, then fdatasync: what the log does
	AsDSync                    // write to a file that was opened with O_DSYNC
	AsDirect                   // the same past the page cache: O_DIRECT and O_DSYNC
)

var durableNames = [...]string{"fdatasync", "O_DSYNC", "O_DIRECT O_DSYNC"}

func (d Durable) String() string { return durableNames[d] }

// Before is what a file is like before a probe writes to it.
type Before uint8

// What files are like.
const (
	Growing   Before = iota // each write makes it longer: the file system's journal has work at each sync
	Allocated               // fallocate: the blocks are its own and were never written
	Zeroed                  // written with zeros and synced: a new segment of the log
	Recycled                // written with something else and synced: a segment that is used again
)

var beforeNames = [...]string{"growing", "allocated", "zero-filled", "recycled"}

func (b Before) String() string { return beforeNames[b] }

// ProbeConfig is one probe of a disk.
type ProbeConfig struct {
	Dir     string
	Bytes   int // of each write
	Before  Before
	Durable Durable
	Writers int           // that write to files of their own at the same time; 1
	Rest    time.Duration // of a writer before each write
	Count   int           // most writes of each writer; 1000
	// Longest is how long the writing may take at most; 1 s. Filling files comes before it.
	Longest time.Duration
}

// LoneRest is about how long a disk rests between the syncs of a lone caller: while the answer goes to it and the next
// request comes. That makes a difference of half as much again where the processor sleeps meanwhile, as a virtual one does:
// back to back, a sync is found done by a processor that is still awake.
const LoneRest = 200 * time.Microsecond

// LogSyncs is the log's own case: pages of a zero-filled file, each made durable before the next. No put can be faster.
func LogSyncs(dir string, rest time.Duration) ProbeConfig {
	return ProbeConfig{Dir: dir, Bytes: 4 << 10, Before: Zeroed, Rest: rest, Longest: time.Minute}
}

// ErrNotPossible says that this file system cannot do what a probe asks for.
var ErrNotPossible = errors.New("not possible on this file system")

// probeBlock is what writes past the page cache are aligned to.
const probeBlock = 4 << 10

// ProbeDisk measures how long writes in the folder take to be durable, one after the other for each writer. Its files are
// gone when it returns. It ends with ctx, and its error.
func ProbeDisk(ctx context.Context, config ProbeConfig) (Latencies, error) {
	setDefault(&config.Writers, 1)
	setDefault(&config.Count, 1000)
	if config.Longest == 0 {
		config.Longest = time.Second
	}
	if config.Bytes < 1 || config.Count < 1 || config.Writers < 1 {
		return Latencies{}, fmt.Errorf("bench: a probe of %d writes of %d bytes by %d writers is not possible", config.Count, config.Bytes, config.Writers)
	}
	files := make([]*probeFile, config.Writers)
	var errs []error
	for i := range files {
		var err error
		if files[i], err = openProbe(config); err != nil {
			errs = append(errs, err)
			files[i] = nil
		}
	}
	all := newHistogram()
	if len(errs) == 0 {
		var running sync.WaitGroup
		var mu sync.Mutex
		ends := time.Now().Add(config.Longest)
		for _, f := range files {
			running.Go(func() {
				h := newHistogram()
				err := f.write(ctx, config, ends, func(d time.Duration) { record(h, d) })
				mu.Lock()
				defer mu.Unlock()
				all.Merge(h)
				if err != nil {
					errs = append(errs, err)
				}
			})
		}
		running.Wait()
	}
	for _, f := range files {
		if f != nil {
			errs = append(errs, f.remove())
		}
	}
	return latencies(all), errors.Join(append(errs, ctx.Err())...)
}

// probeFSMost is how long ProbeFS takes at most.
const probeFSMost = 3 * time.Second

// ProbeFS is ProbeDisk of the log's own case on any file system: pages of a file that is there, a rest before each, each
// durable before the next. That is how a disk that is emulated is probed.
func ProbeFS(ctx context.Context, on disk.FS, dir string, rest time.Duration, count int) (_ Latencies, err error) {
	name := filepath.Join(dir, fmt.Sprintf("qkv-probe-%016x.tmp", rand.Uint64()))
	f, err := on.Create(name)
	if err != nil {
		return Latencies{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := on.Remove(name); err != nil { // at once, so that nothing is left where this process is killed
		return Latencies{}, err
	}
	if err := f.WriteZeros(min(count*probeBlock, disk.ZerosMost), 0); err != nil {
		return Latencies{}, err
	}
	if err := f.Sync(); err != nil {
		return Latencies{}, err
	}
	page, all := aligned(probeBlock), newHistogram()
	random(page)
	ends := time.Now().Add(probeFSMost)
	for i := range count {
		if ctx.Err() != nil {
			return latencies(all), ctx.Err()
		}
		if time.Now().After(ends) {
			break
		}
		time.Sleep(rest)
		begun := time.Now()
		_, err := f.WriteAt(page, int64(i)*probeBlock%disk.ZerosMost)
		if err == nil {
			err = f.Datasync()
		}
		if err != nil {
			return latencies(all), err
		}
		record(all, time.Since(begun))
	}
	return latencies(all), nil
}

// probeFile is a file that a probe writes.
type probeFile struct {
	name string
	fd   int
	data []byte
}

// openProbe makes a file as the probe wants it.
func openProbe(config ProbeConfig) (_ *probeFile, err error) {
	f := &probeFile{name: filepath.Join(config.Dir, fmt.Sprintf("qkv-probe-%016x.tmp", rand.Uint64())), fd: -1}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("probe %s: %w", config.Dir, err), f.remove())
		}
	}()
	if f.fd, err = unix.Open(f.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600); err != nil {
		return nil, err
	}
	size := int64(config.Count) * int64(config.Bytes)
	switch config.Before {
	case Growing:
	case Allocated:
		if err := again(func() error { return unix.Fallocate(f.fd, 0, 0, size) }); errors.Is(err, unix.EOPNOTSUPP) {
			return nil, ErrNotPossible
		} else if err != nil {
			return nil, err
		}
	default:
		if err := f.fill(size, config.Before == Recycled); err != nil {
			return nil, err
		}
	}
	if err := again(func() error { return unix.Fsync(f.fd) }); err != nil {
		return nil, err
	}
	if config.Durable != AsFdatasync {
		if err := f.reopen(config); err != nil {
			return nil, err
		}
	}
	f.data = aligned(config.Bytes)
	random(f.data)
	return f, nil
}

// reopen opens the file with the flags that make each write durable.
func (f *probeFile) reopen(config ProbeConfig) error {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_DSYNC
	if config.Durable == AsDirect {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(f.name, flags, 0)
	if errors.Is(err, unix.EINVAL) {
		return ErrNotPossible
	}
	if err != nil {
		return err
	}
	_ = unix.Close(f.fd) // what it wrote is synced
	f.fd = fd
	return nil
}

// fill writes the whole file.
func (f *probeFile) fill(size int64, other bool) error {
	block := make([]byte, 1<<20)
	if other {
		random(block)
	}
	for at := int64(0); at < size; at += int64(len(block)) {
		if err := f.writeAt(block[:min(int64(len(block)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

func (f *probeFile) write(ctx context.Context, config ProbeConfig, ends time.Time, took func(time.Duration)) error {
	for i := range config.Count {
		if config.Rest > 0 {
			time.Sleep(config.Rest)
		}
		begun := time.Now()
		if ctx.Err() != nil || begun.After(ends) && i > 0 {
			return nil
		}
		err := f.writeAt(f.data, int64(i)*int64(len(f.data)))
		if errors.Is(err, unix.EINVAL) && config.Durable == AsDirect {
			return ErrNotPossible // less than one of the disk's blocks
		}
		if err == nil && config.Durable == AsFdatasync {
			err = again(func() error { return unix.Fdatasync(f.fd) })
		}
		if err != nil {
			return fmt.Errorf("probe %s: %w", config.Dir, err)
		}
		took(time.Since(begun))
	}
	return nil
}

func (f *probeFile) writeAt(b []byte, at int64) error {
	for len(b) > 0 {
		var n int
		err := again(func() (err error) {
			n, err = unix.Pwrite(f.fd, b, at)
			return err
		})
		if err != nil {
			return &os.PathError{Op: "write", Path: f.name, Err: err}
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (f *probeFile) remove() error {
	if f.fd < 0 {
		return nil
	}
	return errors.Join(unix.Close(f.fd), os.Remove(f.name))
}

// again repeats a call that a signal interrupted: Go sends some to its own threads.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// aligned is a slice that begins at a multiple of the block.
func aligned(n int) []byte {
	b := make([]byte, n+probeBlock)
	skip := (probeBlock - int(uintptr(unsafe.Pointer(&b[0]))%probeBlock)) % probeBlock
	return b[skip : skip+n : skip+n]
}

func random(b []byte) {
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
}
