package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	iofs "io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/log/disk"
)

// sent is a snapshot on another member's disk.
func sent(t testing.TB, s *fake) (*Reader, []byte) {
	t.Helper()
	fs := newDisk(t)
	path := save(t, fs, "d", s, 1<<30)
	r, err := Open(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, slurp(t, fs, path)
}

const pieceBytes = 256 << 10 // of a file that comes

func receive(t testing.TB, fs disk.FS, from *Reader) *Incoming {
	t.Helper()
	r, err := begun(fs, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func begun(fs disk.FS, from *Reader) (*Incoming, error) {
	return BeginIncoming(fs, "d", from.Name(), from.Size(), from.SHA(), nil)
}

// feed hands over pieces from the offset of a file that comes, until it has to bytes.
func feed(r *Incoming, b []byte, piece int, to int64) error {
	for r.Offset() < to {
		off := int(r.Offset())
		if err := r.Write(b[off:min(off+piece, len(b))]); err != nil {
			return err
		}
	}
	return nil
}

// finish publishes a file that has come, perhaps all of it in an earlier try.
func finish(r *Incoming) (Info, error) {
	if err := r.Write(nil); err != nil {
		return Info{}, err
	}
	return r.Finish()
}

func finished(t testing.TB, fs disk.FS, r *Incoming, s *fake) {
	t.Helper()
	info, err := finish(r)
	if err != nil {
		t.Fatal(err)
	}
	got, m, err := contents(fs, info.Path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, s)
	if m.Member != s.meta().Member || info.Index != s.applied || info.Path != "d/"+Name(s.applied, s.term) {
		t.Errorf("received %+v, head %+v", info, m)
	}
	wantFiles(t, fs, "d", Name(s.applied, s.term))
}

func TestReceive(t *testing.T) {
	s := blocks()
	from, b := sent(t, s)
	if from.Size() != int64(len(b)) || from.Name() != Name(s.applied, s.term) || from.Meta().Revision != s.revision {
		t.Errorf("a reader of %s, %d bytes, %+v", from.Name(), from.Size(), from.Meta())
	}
	fs := newDisk(t)
	r := receive(t, fs, from)
	if err := feed(r, b, pieceBytes, from.Size()); err != nil {
		t.Fatal(err)
	}
	finished(t, fs, r, s)
	if _, err := begun(fs, from); !errors.Is(err, iofs.ErrExist) {
		t.Errorf("received again: %v", err)
	}
	if err := r.Write(nil); err == nil {
		t.Error("written after Finish")
	}
}

// Interrupted after each piece, by a close or by a kill that leaves garbage at the end, it goes on where the last
// whole block ends.
func TestReceiveInterrupted(t *testing.T) {
	s := blocks()
	from, b := sent(t, s)
	ends := []int64{0, preludeBytes}
	eachBlock(t, b, func(bl block) { ends = append(ends, bl.at+headerBytes+int64(bl.length)) })
	for garbage := range 2 {
		fs := newDisk(t)
		for to := int64(0); ; {
			r := receive(t, fs, from)
			if garbage == 1 || r.Offset() == from.Size() {
				want := int64(0)
				for _, end := range ends {
					if end <= to {
						want = end
					}
				}
				if r.Offset() != want {
					t.Fatalf("%d bytes had arrived, it goes on at %d, the last whole block ends at %d", to, r.Offset(), want)
				}
			}
			if r.Offset() == from.Size() {
				finished(t, fs, r, s)
				break
			}
			to = min(max(to, r.Offset())+pieceBytes, from.Size())
			if err := feed(r, b, pieceBytes, to); err != nil {
				t.Fatal(err)
			}
			to = r.Offset()
			if garbage == 1 && to < from.Size() {
				if _, err := r.file.WriteAt(bytes.Repeat([]byte{0xa5}, 100_000), to); err != nil {
					t.Fatal(err)
				}
			}
			r.Close()
		}
	}
}

// What rots while it waits to be continued is sent again.
func TestReceiveRotten(t *testing.T) {
	s := blocks()
	from, b := sent(t, s)
	for _, at := range []int64{3, 40, 300_000, 900_000, from.Size() - 1} {
		fs := newDisk(t)
		r := receive(t, fs, from)
		if err := feed(r, b, 1<<20, from.Size()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.file.WriteAt([]byte{b[at] ^ 4}, at); err != nil {
			t.Fatal(err)
		}
		r.Close()
		r = receive(t, fs, from)
		if r.Offset() > at {
			t.Fatalf("byte %d is wrong, it goes on at %d", at, r.Offset())
		}
		if err := feed(r, b, 1<<20, from.Size()); err != nil {
			t.Fatal(err)
		}
		finished(t, fs, r, s)
	}
}

// A wrong byte in any piece, or another file than was announced, is never published, and leaves nothing.
func TestReceiveWrong(t *testing.T) {
	from, b := sent(t, small())
	other := small()
	other.keys[0].versions[0].Value = []byte("another value")
	_, foreign := sent(t, other)
	flipped := bytes.Clone(b)
	flipped[len(b)/2] ^= 1
	for name, x := range map[string]struct {
		bytes []byte
		name  string
		sha   [32]byte
	}{
		"another snapshot": {foreign[:min(len(b), len(foreign))], from.Name(), from.SHA()},
		"a flipped bit":    {flipped, from.Name(), from.SHA()},
		"no tail":          {b[:len(b)-tailBytes], from.Name(), from.SHA()},
		"zeros at the end": {append(bytes.Clone(b), make([]byte, 100)...), from.Name(), from.SHA()},
		// Whole and sound, but not what was announced.
		"another SHA-256": {b, from.Name(), [32]byte{1}},
		"another name":    {b, Name(43, 3), from.SHA()},
	} {
		fs := newDisk(t)
		r, err := BeginIncoming(fs, "d", x.name, int64(len(x.bytes)), x.sha, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := feed(r, x.bytes, 1000, int64(len(x.bytes))); !errors.Is(err, damage.ErrOtherBytes) || !errors.Is(err, damage.ErrDamaged) || r.Offset() != 0 {
			t.Errorf("%s: %v, and it goes on at %d", name, err, r.Offset())
		}
		r.Close()
		wantFiles(t, fs, "d")
	}
}

// A file that carries the announced SHA-256, with every checksum right, but does not have it.
func TestReceiveForged(t *testing.T) {
	b := forged().head(0).block(kindKeys, 1, 0, record("k", 2)).tail(1, 1).b
	fs := newDisk(t)
	r, err := BeginIncoming(fs, "d", Name(42, 3), int64(len(b)), [32]byte{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(b); !errors.Is(err, damage.ErrOtherBytes) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("taken, or refused with %v", err)
	}
	r.Close()
	wantFiles(t, fs, "d")
}

// Only a whole file is published, and nothing is written behind its end, or once it was given up.
func TestReceivePieces(t *testing.T) {
	s := small()
	from, b := sent(t, s)
	fs := newDisk(t)
	r := receive(t, fs, from)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	wrong := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), from.Name()) {
			t.Errorf("refused with %v", err)
		}
	}
	_, err := r.Finish()
	wrong(err)
	ok(r.Write(b[:100]))
	ok(r.Write(nil))
	wrong(r.Write(append(bytes.Clone(b[100:]), 0)))
	if r.Offset() != 100 {
		t.Errorf("offset %d after 100 bytes", r.Offset())
	}
	_, err = r.Finish()
	wrong(err)
	ok(r.Write(b[100:]))
	finished(t, fs, r, s)

	fs = newDisk(t)
	r = receive(t, fs, from)
	ok(r.Write(b[:100]))
	r.Abort()
	wantFiles(t, fs, "d")
	wrong(r.Write(b[:100]))
}

// What cannot be received is refused before the first byte is written. Bytes of a newer format do not stay.
func TestReceiveRefused(t *testing.T) {
	from, b := sent(t, small())
	fs := newDisk(t)
	for _, c := range []struct {
		name string
		size int64
	}{
		{"../x", from.Size()},
		{"x", from.Size()},
		{from.Name() + "/y", from.Size()},
		{"", from.Size()},
		{from.Name(), 0},
		{from.Name(), -1},
		{from.Name(), tailBytes},
		{from.Name(), 1 << 62},
	} {
		if r, err := BeginIncoming(fs, "d", c.name, c.size, from.SHA(), nil); err == nil {
			t.Errorf("%q of %d bytes is received", c.name, c.size)
			r.Abort()
		}
	}
	r := receive(t, fs, from)
	bad := bytes.Clone(b[:preludeBytes])
	binary.LittleEndian.PutUint32(bad[8:], format.Version+1)
	damage.Seal(bad)
	if err := r.Write(bad); !errors.Is(err, damage.ErrFormat) || !errors.Is(err, damage.ErrOtherBytes) || r.Offset() != 0 {
		t.Errorf("the first piece of a newer format: %v", err)
	}
	r.Abort()
	put(t, fs, "d/"+receiving(from.Name(), from.SHA()), bad)
	if r = receive(t, fs, from); r.Offset() != 0 {
		t.Errorf("a partial file of a newer format is continued at %d", r.Offset())
	}
	r.Abort()
}

// However it is cut into pieces and interrupted, the same file is published.
func TestReceiveOfAnyShape(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := drawn(r)
		from, b := sent(t, s)
		fs := newDisk(t)
		rc := receive(t, fs, from)
		for rc.Offset() < from.Size() {
			to := min(rc.Offset()+1+r.Int64N(from.Size()), from.Size())
			if err := feed(rc, b, 1+r.IntN(1<<19), to); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.IntN(2) == 0 {
				rc.Close()
				rc = receive(t, fs, from)
			}
		}
		finished(t, fs, rc, s)
		if !bytes.Equal(slurp(t, fs, "d/"+from.Name()), b) {
			t.Fatalf("seed %d: the file differs", seed)
		}
	}
}

// What was received of another snapshot goes when one is begun: it takes the room that this one needs.
func TestReceiveRemovesOthers(t *testing.T) {
	fs := newDisk(t)
	s := blocks()
	from, b := sent(t, s)
	other := receiving(Name(s.applied-1, s.term), [32]byte{1})
	put(t, fs, "d/"+other, bytes.Repeat([]byte("x"), 1000))
	r := receive(t, fs, from)
	wantFiles(t, fs, "d", fileName(r.Path()))
	if err := feed(r, b, pieceBytes, from.Size()/2); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if r = receive(t, fs, from); r.Offset() == 0 {
		t.Error("it begins anew")
	}
	r.Abort()
}

// What has come of a snapshot stays where the disk has no room for the rest, and is not held open meanwhile: the sender offers it
// again and again, and goes on there when there is room.
func TestReceiveOnAFullDisk(t *testing.T) {
	fs := newDisk(t)
	from, b := sent(t, blocks())
	r := receive(t, fs, from)
	if err := feed(r, b, pieceBytes, from.Size()/2); err != nil {
		t.Fatal(err)
	}
	r.Close()
	fs.SetCapacity(1)
	for range 3 {
		if _, err := begun(fs, from); err == nil || !strings.Contains(err.Error(), "free space there") {
			t.Fatal(err)
		}
	}
	fs.SetCapacity(1 << 50)
	if r = receive(t, fs, from); r.Offset() == 0 {
		t.Error("it begins anew")
	}
	r.Close()
}
