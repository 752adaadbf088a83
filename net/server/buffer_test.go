package server

import (
	"math/rand/v2"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/testlong"
)

// A buffer holds what was appended through any growth, takes what it needs of its share, and returns all of it.
func TestBuffer(t *testing.T) {
	testlong.Skip(t)
	rng := rand.New(rand.NewPCG(1, 2))
	whole := newMemoryBudget(64 << 20)
	b := buffer{share: whole.child().child().child()}
	for range 200 {
		var want strings.Builder
		for range rng.IntN(6) {
			piece := strings.Repeat(string(rune('a'+rng.IntN(26))), 1+rng.IntN([]int{100, 5000, 200_000, 2_000_000}[rng.IntN(4)]))
			if !b.fit(len(piece)) {
				t.Fatalf("no room for %d bytes behind %d", len(piece), len(b.out))
			}
			b.out = append(b.out, piece...)
			want.WriteString(piece)
			if taken := whole.reserved(); taken != int64(b.reserved) || b.reserved > 0 && b.reserved < cap(b.out) || b.reserved == 0 && len(b.out) > smallBuffer {
				t.Fatalf("%d bytes are taken and %d held for a buffer of %d", taken, b.reserved, cap(b.out))
			}
		}
		if string(b.out) != want.String() {
			t.Fatalf("%d bytes differ", want.Len())
		}
		if b.release(); whole.reserved() != 0 || len(b.out) != 0 || cap(b.out) > smallBuffer {
			t.Fatalf("released: %d bytes are taken, for a buffer of %d", whole.reserved(), cap(b.out))
		}
	}
}

// Without any room there is still the small buffer: what does not fit waits until that is written, or is refused.
func TestBufferWithoutRoom(t *testing.T) {
	whole := newMemoryBudget(0)
	b := buffer{share: whole.child()}
	answers := 0
	for b.appendError(1, kv.Unavailable, "there is no leader") {
		answers++
	}
	if answers < 50 || len(b.out) > smallBuffer {
		t.Errorf("%d answers in %d bytes", answers, len(b.out))
	}
	b.release()
	if b.fit(smallBuffer + 1) {
		t.Error("room that there is not")
	}
	if !b.appendError(1, kv.Unavailable, strings.Repeat("x", smallBuffer)) || len(b.out) > 100 {
		t.Errorf("an error whose text does not fit: %d bytes", len(b.out))
	}
}
