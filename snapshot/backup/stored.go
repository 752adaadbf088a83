package backup

import (
	"errors"
	"io"
	"sort"

	"filippo.io/age"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// stored is a base's file in a backup, as the file that it was: a disk.File to read. It holds one chunk, so reading in
// order is quick. It is for one goroutine.
type stored struct {
	disk.File // nil: reading needs nothing else
	path      string
	scanner   *scanner
	keys      []age.Identity
	places    []place
	size      int64 // of the clear content

	held    int    // the chunk in content, -1 for none
	raw     []byte // reused
	content []byte
	read    func(bytes int64) // told of the chunks that are read; nil: nothing
}

// place is a chunk in a file.
type place struct {
	at     int64
	header []byte
	chunk  chunk
}

// openStored opens the file of a base. It reads the headers of all chunks, and none of their content.
func openStored(s store, name string, keys []age.Identity) (*stored, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	file, err := newStored(s.path(name), f, keys)
	if err == nil && !file.scanner.ended {
		err = damage.At(file.path, file.scanner.next, "its last chunk is missing: it was cut")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return file, nil
}

// newStored reads the headers of all chunks of a file, which may lack its end.
func newStored(path string, f file, keys []age.Identity) (*stored, error) {
	scanner, err := scan(path, f, &fileFormat)
	if err != nil {
		return nil, err
	}
	s := &stored{path: path, scanner: scanner, keys: keys, held: -1}
	for {
		c, err := scanner.chunk()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil {
			err = s.add(scanner.at, &c)
		}
		if err != nil {
			return s, err
		}
	}
}

// add adds the next chunk.
func (s *stored) add(at int64, c *chunk) error {
	if c.first != uint64(s.size) || c.last == c.first {
		return damage.At(s.path, at, "chunk %d holds the bytes %d to %d, and byte %d is next", c.number, c.first, c.last, s.size)
	}
	s.places = append(s.places, place{at, append([]byte(nil), s.scanner.raw...), *c})
	s.size = int64(c.last)
	return nil
}

// load reads one chunk.
func (s *stored) load(i int) (err error) {
	if s.held == i {
		return nil
	}
	s.held = -1
	p := &s.places[i]
	sc := *s.scanner
	sc.at, sc.raw = p.at, p.header
	if s.raw, err = sc.payload(&p.chunk, s.raw); err != nil {
		return err
	}
	if s.content, err = decrypt(s.path, p.at, &p.chunk, s.raw, s.keys); err != nil {
		return err
	}
	if uint64(len(s.content)) != p.chunk.last-p.chunk.first {
		return damage.At(s.path, p.at, "chunk %d has %d bytes of content instead of %d", i, len(s.content), p.chunk.last-p.chunk.first)
	}
	s.held = i
	if s.read != nil {
		s.read(int64(len(s.content)))
	}
	return nil
}

func (s *stored) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := off + int64(n)
		i := sort.Search(len(s.places), func(i int) bool { return int64(s.places[i].chunk.last) > at })
		if i == len(s.places) {
			return n, io.EOF
		}
		if err := s.load(i); err != nil {
			return n, err
		}
		n += copy(b[n:], s.content[at-int64(s.places[i].chunk.first):])
	}
	return n, nil
}

func (s *stored) ReadMedium(b []byte, off int64) (int, error) { return s.ReadAt(b, off) }

func (s *stored) Size() (int64, error) { return s.size, nil }

func (s *stored) Close() error { return s.scanner.f.Close() }

// encrypted reports whether a chunk is.
func (s *stored) encrypted() bool {
	for i := range s.places {
		if s.places[i].chunk.flags&flagEncrypted != 0 {
			return true
		}
	}
	return false
}

// onlyFile is a file system of one open file, for snapshot.Load.
type onlyFile struct {
	disk.FS
	file disk.File
}

func (o onlyFile) Open(string) (disk.File, error) { return o.file, nil }
