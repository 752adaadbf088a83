package actor

import "testing"

// mailboxRound puts messages into a mailbox, and takes them out of it as an actor does.
func mailboxRound(box *Mailbox[int], spare []int, n int) []int {
	for i := range n {
		box.MustPost(i)
	}
	batch := box.take(spare)
	box.endTurn()
	return batch
}

// TestMailboxCost: a message costs no memory once the mailbox has seen as many.
func TestMailboxCost(t *testing.T) {
	box := NewMailbox[int]("test", Capacity{MustPost: 1 << 20})
	var batch []int
	for range 4 { // both slices grow
		batch = mailboxRound(box, batch[:0], 100)
	}
	if n := testing.AllocsPerRun(100, func() { batch = mailboxRound(box, batch[:0], 100) }); n > 0 || len(batch) != 100 {
		t.Errorf("%v allocations for 100 messages, %d came", n, len(batch))
	}
}

func BenchmarkMailbox(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(map[int]string{1: "one", 100: "hundred"}[n], func(b *testing.B) {
			box := NewMailbox[int]("test", Capacity{MustPost: 1 << 20})
			var batch []int
			b.ReportAllocs()
			for b.Loop() {
				batch = mailboxRound(box, batch[:0], n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
		})
	}
}
