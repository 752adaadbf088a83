package snapshot

import (
	"qkv/index"
	"qkv/log/disk"
)

// Examined describes a file that was read and verified completely.
type Examined struct {
	Meta  // of a part only its number, as Index
	SHA   [32]byte
	Part  bool
	State index.Numbers // of a snapshot
}

// examining keeps the numbers of the state.
type examining struct {
	ignore
	numbers index.Numbers
}

func (e *examining) open(_ Meta, state []byte) (err error) {
	if len(state) > 0 {
		e.numbers, err = index.ReadNumbers(state)
	}
	return err
}

// BeginExamine is BeginVerify for an open file, which the Verifier then owns. It reads each byte once, in order, so the file may be one that
// arrives while it is read. Examined then describes the file.
func BeginExamine(path string, f disk.File) (*Verifier, error) {
	return beginVerify(path, f, &examining{})
}

// Examined describes the file of BeginExamine, after Step has returned done.
func (v *Verifier) Examined() Examined {
	return Examined{v.reading.meta, v.tail.sha, v.reading.part, v.reading.to.(*examining).numbers}
}
