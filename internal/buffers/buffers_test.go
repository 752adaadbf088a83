package buffers

import (
	"testing"
	"unsafe"
)

// TestSizes: each size has room for what was asked, a quarter or a step more at most, and a pool of its own.
func TestSizes(t *testing.T) {
	sizes := map[int]int{} // by place
	for n := Least + 1; n <= most; n += 1 + n/997 {
		at, size, pooled := place(n)
		if !pooled || size < n || size-n > n/4 || size-n >= step {
			t.Fatalf("%d bytes: a buffer of %d, pooled %v", n, size, pooled)
		}
		if other, known := sizes[at]; known && other != size {
			t.Fatalf("one pool has buffers of %d and %d bytes", size, other)
		}
		sizes[at] = size
		if again, same, _ := place(size); again != at || same != size {
			t.Fatalf("a buffer of %d bytes goes to another pool than it came from", size)
		}
	}
	if at, size, pooled := place(most); !pooled || at != len(pools)-1 || size != most {
		t.Errorf("the largest size has place %d of %d", at, len(pools))
	}
	for _, n := range []int{0, 1, Least, most + 1} {
		if b := Get(n); len(b) != 0 || cap(b) < n {
			t.Errorf("%d bytes: %d of %d", n, len(b), cap(b))
		}
	}
}

// TestReuse: a buffer that was put back is the next one of its size, without an allocation; slices that Get did not return are not kept.
func TestReuse(t *testing.T) {
	const n = 70_000
	if allocated := testing.AllocsPerRun(1000, func() { Put(append(Get(n), 1, 2, 3)) }); allocated > 0.5 && !raceEnabled {
		t.Errorf("%v allocations for each buffer", allocated)
	}
	odd := make([]byte, 0, 65_537)
	Put(odd)
	if b := Get(65_537); unsafe.SliceData(b) == unsafe.SliceData(odd) || cap(b) < 65_537 {
		t.Error("a slice of another size is in the pool")
	}
}
