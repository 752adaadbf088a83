package client_test

import (
	"runtime"
	"testing"

	"qkv/net/client"
)

// TestLargePutsAllocateLittle: the bodies, frames and buffers of puts of 64 KiB are used again, on both sides: client and a member
// that does nothing allocate much less for a put than its value.
func TestLargePutsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools forget a quarter of what they are given")
	}
	c := benchClient(t, newNull())
	value := make([]byte, 64<<10)
	ended := make(chan error, 16)
	puts := func(n int) {
		for begun, done := 0, 0; done < n; {
			for ; begun < n && begun-done < cap(ended); begun++ {
				c.PutAsync(benchKey, value, func(_ client.Written, err error) { ended <- err })
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			done++
		}
	}
	puts(200) // windows and pools grow
	const count = 500
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	puts(count)
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / count; each > 40<<10 {
		t.Errorf("%d bytes are allocated for a put of %d", each, len(value))
	} else {
		t.Logf("%d bytes and %d allocations for each put", each, (after.Mallocs-before.Mallocs)/count)
	}
}
