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
)

// Durable is a method of durable writing.
type Durable uint8

// The methods.
const (
	asFdatasync Durable = iota // write, then fdatasync, as the log does
	asDSync                    // write to a file opened with O_DSYNC
	asDirect                   // the same without the page cache: O_DIRECT and O_DSYNC
)

var durableNames = [...]string{"fdatasync", "O_DSYNC", "O_DIRECT O_DSYNC"}

func (d Durable) String() string { return durableNames[d] }

// Before is the state of a file before a probe writes to it.
type Before uint8

// The states of files.
const (
	growing   Before = iota // each write extends the file: each sync commits the file system's journal
	allocated               // fallocate: allocated blocks that were never written
	zeroed                  // written with zeros and synced: a new segment of the log
	recycled                // written with other data and synced: a recycled segment
)

var beforeNames = [...]string{"growing", "allocated", "zero-filled", "recycled"}

func (b Before) String() string { return beforeNames[b] }

// ProbeConfig configures one probe of a disk.
type ProbeConfig struct {
	Dir     string
	Bytes   int // of each write
	Before  Before
	Durable Durable
	Writers int           // concurrent writers, each with a file of its own; 1
	Rest    time.Duration // pause of a writer before each write
	Count   int           // maximum of each writer's writes; 1000
	Around  bool          // after Count writes, begin again at the start of the file
	// Longest bounds the time of the writes, without filling the files; 1 s.
	Longest time.Duration
}

// LoneRest is about the pause of a disk between the syncs of a lone caller, during which the answer and the next request travel. If the
// processor sleeps meanwhile, as a virtual one does, it adds half as much again. Without pauses, an awake processor notices the end of a
// sync.
const LoneRest = 200 * time.Microsecond

// LogSyncs is the log's own case: pages of a zero-filled file, each made durable before the next. No put of a lone caller can be faster.
func LogSyncs(dir string) ProbeConfig {
	return ProbeConfig{Dir: dir, Bytes: 4 << 10, Before: zeroed, Rest: LoneRest, Longest: 3 * time.Second}
}

// ErrNotPossible reports that this file system does not support a probe, or that a running cluster's members are not killed.
var ErrNotPossible = errors.New("not possible here")

// probeBlock is the alignment of writes without the page cache.
const probeBlock = 4 << 10

// ProbeDisk measures how long writes in the folder take to become durable, in sequence for each writer. If ctx ends, it returns the
// context's error.
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
	all := NewHistogram()
	if len(errs) == 0 {
		var running sync.WaitGroup
		var mu sync.Mutex
		ends := time.Now().Add(config.Longest)
		for _, f := range files {
			running.Go(func() {
				h := NewHistogram()
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
			errs = append(errs, unix.Close(f.fd))
		}
	}
	return LatenciesOf(all), errors.Join(append(errs, ctx.Err())...)
}

// probeFile is a file of a probe.
type probeFile struct {
	name string
	fd   int
	data []byte
}

// openProbe creates a file in the probe's state.
func openProbe(config ProbeConfig) (_ *probeFile, err error) {
	f := &probeFile{name: filepath.Join(config.Dir, fmt.Sprintf("qkv-probe-%016x.tmp", rand.Uint64()))}
	if f.fd, err = unix.Open(f.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600); err != nil {
		return nil, fmt.Errorf("probe %s: %w", config.Dir, err)
	}
	defer func() { // before the measurement: a process that is killed during it leaves no file
		if err = errors.Join(err, os.Remove(f.name)); err != nil {
			err = fmt.Errorf("probe %s: %w", config.Dir, errors.Join(err, unix.Close(f.fd)))
		}
	}()
	size := int64(config.Count) * int64(config.Bytes)
	switch config.Before {
	case growing:
	case allocated:
		if err := again(func() error { return unix.Fallocate(f.fd, 0, 0, size) }); errors.Is(err, unix.EOPNOTSUPP) {
			return nil, ErrNotPossible
		} else if err != nil {
			return nil, err
		}
	default:
		if err := f.fill(size, config.Before == recycled); err != nil {
			return nil, err
		}
	}
	if err := again(func() error { return unix.Fsync(f.fd) }); err != nil {
		return nil, err
	}
	if config.Durable != asFdatasync {
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
	if config.Durable == asDirect {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(f.name, flags, 0)
	if errors.Is(err, unix.EINVAL) {
		return ErrNotPossible
	}
	if err != nil {
		return err
	}
	_ = unix.Close(f.fd) // its writes are synced
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
	for i := 0; i < config.Count || config.Around; i++ {
		if config.Rest > 0 {
			time.Sleep(config.Rest)
		}
		begun := time.Now()
		if ctx.Err() != nil || begun.After(ends) && i > 0 {
			return nil
		}
		err := f.writeAt(f.data, int64(i%config.Count)*int64(len(f.data)))
		if errors.Is(err, unix.EINVAL) && config.Durable == asDirect {
			return ErrNotPossible // smaller than a block of the disk
		}
		if err == nil && config.Durable == asFdatasync {
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

// again repeats an interrupted system call: Go signals its own threads.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// aligned returns a slice that begins at a multiple of the block.
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
