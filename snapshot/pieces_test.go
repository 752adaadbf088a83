package snapshot

import (
	"bytes"
	"testing"

	"qkv/log/disk"
)

// asked is a disk that notes the largest read, and the largest write, past the page cache.
type asked struct {
	disk.FS
	read, written int
}

type askedFile struct {
	disk.File
	a *asked
}

func (a *asked) Create(name string) (disk.File, error) {
	f, err := a.FS.Create(name)
	return askedFile{f, a}, err
}

func (a *asked) Open(name string) (disk.File, error) {
	f, err := a.FS.Open(name)
	return askedFile{f, a}, err
}

func (f askedFile) WritePages(p []byte, off int64) error {
	f.a.written = max(f.a.written, len(p))
	return f.File.WritePages(p, off)
}

func (f askedFile) ReadMedium(p []byte, off int64) (int, error) {
	f.a.read = max(f.a.read, len(p))
	return f.File.ReadMedium(p, off)
}

// A snapshot that is written, read back, and checked later in small pieces is the same file, and no call is for more than a piece:
// the log's sync waits behind each.
func TestSaveInPieces(t *testing.T) {
	const piece = 3 * disk.DirectBytes // of which neither a gathered room nor a block is a multiple
	source := blocks()
	whole := newDisk(t)
	want := slurp(t, whole, save(t, whole, "d", source, 1<<20))
	a := &asked{FS: newDisk(t)}
	s, err := beginFake(a, "d", source.meta(), source)
	if err != nil {
		t.Fatal(err)
	}
	s.CallBytes = piece
	for done := false; !done; {
		if done, err = s.Step(1 << 20); err != nil {
			t.Fatal(err)
		}
	}
	if a.written != piece || a.read != piece {
		t.Errorf("%d bytes are written, and %d read back, with one call, a piece has %d", a.written, a.read, piece)
	}
	if got := slurp(t, a.FS, s.Info().Path); !bytes.Equal(got, want) {
		t.Errorf("%d bytes in pieces are not the %d that were written at once", len(got), len(want))
	}
	a.read = 0
	v, err := BeginVerify(a, s.Info().Path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.CallBytes = piece
	for done := false; !done; {
		if done, err = v.Step(1 << 20); err != nil {
			t.Fatal(err)
		}
	}
	if a.read != piece {
		t.Errorf("%d bytes are checked with one call, a piece has %d", a.read, piece)
	}
}
