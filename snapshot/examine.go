package snapshot

import (
	"qkv/index"
	"qkv/log/disk"
)

// Examined describes a file that was read and verified completely.
type Examined struct {
	Meta
	SHA   [32]byte
	State index.Numbers
}

// examining keeps the numbers of the state, and proves the rest.
type examining struct {
	proven
	numbers index.Numbers
}

func (e *examining) open(m Meta, state []byte) (err error) {
	if e.numbers, err = index.ReadNumbers(state); err != nil {
		return err
	}
	return e.proven.open(m, state)
}

// BeginExamine is BeginVerify for an open file with all keys, which the Verifier then owns. It also checks that the file can be loaded. It
// reads each byte once, in order, so the file may be one that arrives while it is read. Examined then describes the file.
func BeginExamine(path string, f disk.File) (*Verifier, error) {
	return beginVerify(path, f, &examining{proven: proven{index.NewProof()}})
}

// Examined describes the file of BeginExamine, after Step has returned done.
func (v *Verifier) Examined() Examined {
	return Examined{v.reading.meta, v.tail.sha, v.reading.to.(*examining).numbers}
}
