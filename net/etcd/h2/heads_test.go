package h2

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"
)

// tableEntry is an entry of a client's header table.
type tableEntry struct{ name, value string }

func (e tableEntry) size() int { return len(e.name) + len(e.value) + 32 }

// headsModel writes header blocks for a connection's header table, and knows the entries that the table has. Package hpack's own decoder
// says what each block means.
type headsModel struct {
	r       *rapid.T
	heads   heads
	decoder *hpack.Decoder
	entries []tableEntry // newest first
	most    int
	values  int // that were written: each value is another one
}

func (m *headsModel) random(name string, most int) int {
	return rapid.IntRange(0, most).Draw(m.r, name)
}

// evict drops the oldest entries until the rest fits, as RFC 7541 4.3 and 4.4 say.
func (m *headsModel) evict() {
	total := 0
	for i, e := range m.entries {
		if total += e.size(); total > m.most {
			m.entries = m.entries[:i]
			return
		}
	}
}

// value is a new value. Large ones fill a table alone.
func (m *headsModel) value() string {
	sizes := []int{1, 20, 200, 1000, 1900, headBytes, 3000, 4000}
	m.values++
	return fmt.Sprintf("%d-%s", m.values, strings.Repeat("v", sizes[m.random("size", len(sizes)-1)]))
}

// integer appends an integer with a prefix of so many bits (RFC 7541, 5.1).
func integer(dst []byte, pattern byte, bits, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(dst, pattern|byte(n))
	}
	return binary.AppendUvarint(append(dst, pattern|byte(most)), uint64(n-most))
}

// block is a random header block: updates of the table's size, entries by their index, and literals that enter the table or do not.
func (m *headsModel) block() (block []byte) {
	if m.random("resize", 9) == 0 {
		for range 1 + m.random("again", 1) {
			m.most = []int{0, 100, 2000, 4096}[m.random("table", 3)]
			block = integer(block, 0x20, 5, m.most)
			m.evict()
		}
	}
	literals := m.random("literals", 3)
	for range m.random("references", 4) {
		if len(m.entries) > 0 { // the newest entries more often: equal blocks come again
			block = integer(block, 0x80, 7, 62+m.random("index", min(len(m.entries)-1, 3)))
		}
	}
	for range max(literals-1, 0) {
		e := tableEntry{fmt.Sprintf("x-%d", m.random("name", 2)), m.value()}
		if m.random("kept", 2) == 0 {
			block = appendField(block, e.name, e.value)
			continue
		}
		block = appendText(appendText(append(block, 0x40), e.name), e.value)
		m.entries = slices.Insert(m.entries, 0, e)
		m.evict()
	}
	return block
}

// meaning is what package hpack makes of a block.
func (m *headsModel) meaning(block []byte) (all metadata.MD, size uint32) {
	all = metadata.MD{}
	m.decoder.SetEmitFunc(func(f hpack.HeaderField) {
		size += f.Size()
		all.Append(f.Name, f.Value)
	})
	for len(block) > 0 {
		n := len(block)
		if update := updateLength(block); update > 0 {
			n = update
		}
		if _, err := m.decoder.Write(block[:n]); err != nil {
			m.r.Fatalf("the model's block %x: %v", block, err)
		}
		if err := m.decoder.Close(); err != nil {
			m.r.Fatalf("the model's block %x: %v", block, err)
		}
		block = block[n:]
	}
	return all, size
}

// TestHeadsModel compares header blocks of all kinds and sizes with package hpack's decoder: insertions, references, evictions and other
// sizes of the table. Most blocks of references come again, with another meaning after each change of the table.
func TestHeadsModel(t *testing.T) {
	_ = flag.Set("rapid.nofailfile", "true")
	c := bare(t, nil)
	defer c.cancel()
	rapid.Check(t, func(r *rapid.T) {
		m := &headsModel{r: r, decoder: hpack.NewDecoder(4096, nil), most: 4096}
		m.heads.init(c.server, noLedger{}, context.Background())
		for range 1 + m.random("blocks", 60) {
			block := m.block()
			want, size := m.meaning(block)
			got, err := m.heads.read(block)
			if err != nil {
				r.Fatalf("block %x: %v", block, err)
			}
			if size > c.server.config.HeaderBytes {
				if got.bad == 0 && got.status == 0 {
					r.Fatalf("a block of %d bytes is served", size)
				}
				continue
			}
			md, _ := metadata.FromIncomingContext(got.ctx)
			if !maps.EqualFunc(md, want, slices.Equal) {
				r.Fatalf("block %x is %.200v, want %.200v", block, md, want)
			}
		}
	})
}
