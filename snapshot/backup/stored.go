package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	iofs "io/fs"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// openFile opens a file of a base as it is stored.
func openFile(s store, of File) (file, error) {
	path := s.path(fileName(of))
	f, err := s.open(fileName(of))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, damage.Of(path, 0, err)
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && size != of.Stored {
		err = damage.At(path, min(size, of.Stored), "it has %d bytes, and its base has %d of it", size, of.Stored)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sumOfFile returns the SHA-256 of a file.
func sumOfFile(f file, size int64) (sum [32]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(f, 0, size))
	h.Sum(sum[:0])
	return sum, err
}

// stored is a base's file in a backup, as the file that it was: a disk.File to read. It is for one goroutine.
type stored struct {
	disk.File // nil: reading needs nothing else
	of        File
	file      file              // as it is stored
	clear     io.ReaderAt       // its content
	high      int64             // up to which it was read
	read      func(bytes int64) // told of the bytes that are read; nil: nothing
}

// openClear opens a file of a base to read its content. An encrypted one is decrypted into memory.
func (r *Reader) openClear(of File) (*stored, error) {
	f, err := openFile(r.store, of)
	if err != nil {
		return nil, err
	}
	s, path := &stored{of: of, file: f, clear: f}, r.store.path(fileName(of))
	if of.Encrypted {
		b := make([]byte, of.Stored)
		if err = damage.ReadAt(path, f, b, 0); err == nil {
			b, err = decrypt(path, 0, b, of.Bytes+1, r.keys)
		}
		if err == nil && int64(len(b)) != of.Bytes {
			err = damage.At(path, 0, "it holds %d bytes, and its base has %d", len(b), of.Bytes)
		}
		s.clear = bytes.NewReader(b)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *stored) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.clear.ReadAt(b, off)
	if end := off + int64(n); end > s.high {
		if s.read != nil {
			s.read(end - s.high)
		}
		s.high = end
	}
	return n, err
}

func (s *stored) ReadMedium(b []byte, off int64) (int, error) { return s.ReadAt(b, off) }

func (s *stored) Size() (int64, error) { return s.of.Bytes, nil }

func (s *stored) Close() error { return s.file.Close() }
