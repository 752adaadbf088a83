package admit

import "testing"

// TestFairSlots: a client alone gets half of the places, the next one half of the rest, and what is given back is there again.
func TestFairSlots(t *testing.T) {
	p := &FairSlots{Total: 16}
	count := func(client string) (n int) {
		for p.TryTake(client) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		client string
		want   int
	}{{"a", 8}, {"b", 4}, {"c", 2}, {"a", 0}} {
		if n := count(c.client); n != c.want {
			t.Errorf("%s gets %d more places, not %d", c.client, n, c.want)
		}
	}
	for range 8 {
		p.Release("a")
	}
	if n := count("b"); n != 3 {
		t.Errorf("b gets %d more places when a has none, not 3", n)
	}
	if n := count("d"); n == 0 {
		t.Error("one more client gets none")
	}
}
