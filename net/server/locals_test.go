package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/meter"
	"qkv/net/server"
)

// Each serializable read of one key that is answered counts once, whether the reader answers it or leaves it to the writer. One that is
// refused for want of room counts as little as any other refused request.
func TestReadsCountOnce(t *testing.T) {
	for name, most := range map[string]int64{"answered": 0, "refused": 1} {
		operations := meter.NewOperations()
		counts := meter.NewRecent(operations, 1)
		e := newEndpoint(t, func(c *server.Config) {
			if c.Operations = operations; most > 0 {
				c.Limits.RequestsInflight = most
			}
		})
		e.member.Propose(kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{
			new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte(strings.Repeat("v", 60<<10))}),
		}})
		r := e.raw(t)
		const reads = 8 // three fill what the reader encodes
		var all [][]byte
		for i := range uint64(reads) {
			all = append(all, getSerializable(i, "k"))
		}
		r.send(slices.Concat(all...))
		codes := map[kv.Code]int{}
		for range reads {
			p, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			codes[p.Code]++
		}
		if refused := codes[kv.Overloaded]; codes[kv.OK]+refused != reads || (refused > 0) != (most > 0) {
			t.Errorf("%s: %v", name, codes)
		}
		counts.Look(time.Now(), time.Second)
		if n := counts.Newest().Rates[meter.Gets]; int(n) != codes[kv.OK] {
			t.Errorf("%s: %v reads count, want %d", name, n, codes[kv.OK])
		}
	}
}
