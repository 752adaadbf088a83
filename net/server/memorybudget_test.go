package server

import (
	"math/rand/v2"
	"testing"
)

// However many take all that they can and hold it: when those that are over have given back, there is room for one more
// identity, connection and stream, of at least a quarter of what would be even.
func TestShares(t *testing.T) {
	const total = 256 << 20
	for _, x := range []struct{ identities, connections, streams int }{
		{1, 1, 1}, {1, 1, 8}, {1, 1, 63}, {1, 6, 1}, {1, 6, 64}, {1, 100, 1}, {1, 1000, 2}, {5, 1, 1}, {3, 4, 5},
	} {
		whole := newMemoryBudget(total)
		var all []*memoryBudget
		for range x.identities {
			identity := whole.child()
			for range x.connections {
				c := identity.child()
				for range x.streams {
					all = append(all, c.child())
				}
			}
		}
		for range 4 {
			for _, s := range all {
				s.reserve(s.left())
			}
			for _, s := range all {
				if s.over() {
					s.release(s.reserved())
				}
			}
		}
		even := int64(total / (x.identities + 1))
		check := func(name string, s *memoryBudget) {
			if s.left() < even/4 {
				t.Errorf("%+v: another %s has room for %d, even were %d", x, name, s.left(), even)
			}
		}
		check("identity", whole.child())
		even /= int64(x.connections + 1)
		check("connection", all[0].parent.parent.child())
		even /= int64(x.streams + 1)
		check("stream", all[0].parent.child())
		for _, s := range all {
			s.release(s.reserved())
		}
		if whole.reserved() != 0 {
			t.Errorf("%+v: %d are left", x, whole.reserved())
		}
	}
}

// An advance holds at least what is used, a little more at most, and nothing when all has ended.
func TestAdvance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		whole := newMemoryBudget(16 << 20)
		stream := whole.child()
		a := newAdvance(stream)
		var held []int64
		used := int64(0)
		for range 1000 {
			if n := rng.Int64N(300); rng.IntN(3) > 0 {
				if rng.IntN(20) == 0 {
					n *= 10_000
				}
				if a.reserve(n) {
					held, used = append(held, n), used+n
				} else if used+n < 4<<20 {
					t.Fatalf("%d refused beside %d", n, used)
				}
			} else if len(held) > 0 {
				i := rng.IntN(len(held))
				a.release(held[i])
				used -= held[i]
				held = append(held[:i], held[i+1:]...)
			}
			if has := stream.reserved() + advanceLeast; has < used || has > used+2*advancePiece+advanceLeast {
				t.Fatalf("%d taken for %d", has, used)
			}
		}
		for _, n := range held {
			a.release(n)
		}
		if whole.reserved() != 0 {
			t.Fatalf("%d are left", whole.reserved())
		}
	}
}
