package index

import (
	"testing"

	"qkv/index/kv"
)

// A put as it is encoded and packed into an envelope, and its envelope as it is opened.
func commandRound(dst, packed []byte, p *kv.Put, head *Head, commands [][]byte) ([]byte, []byte, error) {
	dst = head.AppendPut(dst[:0], p).Bytes
	commands[0] = dst
	packed = AppendEnvelope(packed[:0], Envelope{Level: 1, Member: 1, Incarnation: 2, First: 3, Wall: 4}, commands)
	_, err := ReadEnvelope(packed)
	return dst, packed, err
}

func TestCommandCost(t *testing.T) {
	var head Head
	var err error
	dst, packed, commands := make([]byte, 0, 1024), make([]byte, 0, 1024), make([][]byte, 1)
	p := &kv.Put{Key: []byte("key"), Value: benchValue}
	if n := testing.AllocsPerRun(100, func() { dst, packed, err = commandRound(dst, packed, p, &head, commands) }); n > 0 || err != nil {
		t.Errorf("%v allocations for a put on its way: %v", n, err)
	}
}

func BenchmarkCommand(b *testing.B) {
	var head Head
	dst, packed, commands := make([]byte, 0, 1024), make([]byte, 0, 1024), make([][]byte, 1)
	p := &kv.Put{Key: []byte("key-0123456789ab"), Value: benchValue}
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, packed, err = commandRound(dst, packed, p, &head, commands); err != nil {
			b.Fatal(err)
		}
	}
}
