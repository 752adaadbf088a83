package bench

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// touchStep is how many bytes are written between two checks of the context: some 0.2 s if the host must allocate the memory.
const touchStep = 64 << 20

// TouchMemory writes every page of the given amount of free memory once, and releases the memory. A virtual machine's host allocates
// memory at the first write to it, which took 15 times as long as later ones (419 and 6800 MiB/s): otherwise the side that is measured
// first pays for all others. It returns the context's error when that ends.
func TouchMemory(ctx context.Context, bytes int64) error {
	page := unix.Getpagesize()
	size := int(bytes) / page * page
	if size <= 0 {
		return nil
	}
	all, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("bench: %d bytes of memory to touch: %w", size, err)
	}
	defer func() { _ = unix.Munmap(all) }()
	_ = unix.Madvise(all, unix.MADV_HUGEPAGE) // fewer page faults, if the kernel has huge pages
	for at := 0; at < size; at += page {
		if at%touchStep == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		all[at] = 1
	}
	return nil
}
