package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"qkv/internal/damage"
)

// encrypt returns compressed content as it is stored: unchanged without recipients, otherwise an age stream of its own.
func encrypt(clear []byte, to []age.Recipient) (stored []byte, err error) {
	if len(to) == 0 {
		return clear, nil
	}
	var b bytes.Buffer
	b.Grow(len(clear) + len(clear)/4096 + 4<<10)
	w, err := age.Encrypt(&b, to...)
	if err == nil {
		_, err = w.Write(clear)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt with age: %w", err)
	}
	return b.Bytes(), nil
}

// ageHeader bounds the header of an age stream: some hundred bytes for each recipient.
const ageHeader = 64 << 10

// readAt is a function as an io.ReaderAt.
type readAt func(b []byte, off int64) (int, error)

func (f readAt) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

// unread is why a stream cannot be read.
type unread struct{ error }

// decrypting returns the content of an age stream, and its size. A failure to read the stream is no damage of it, and stays as it is.
func decrypting(path string, from io.ReaderAt, stored int64, keys []age.Identity) (io.ReaderAt, int64, error) {
	if len(keys) == 0 {
		return nil, 0, fmt.Errorf("%w: %s: give the file with its age identity", ErrKey, path)
	}
	source := readAt(func(b []byte, off int64) (int, error) {
		n, err := from.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			err = unread{err}
		}
		return n, err
	})
	explain := func(err error) error {
		if failed, is := errors.AsType[unread](err); is {
			return failed.error
		}
		if err == nil || err == io.EOF { //nolint:errorlint // another error may wrap it: that of a stream which ends early
			return err
		}
		return damage.At(path, 0, "it cannot be decrypted: %v", err)
	}
	head := make([]byte, min(ageHeader, stored))
	n, err := source.ReadAt(head, 0)
	// the library would look for its end in all of the stream
	if n < len(head) || !bytes.Contains(head, []byte("\n---")) {
		return nil, 0, explain(fmt.Errorf("it has no header of age: %w", err))
	}
	clear, size, err := age.DecryptReaderAt(source, stored, keys...)
	if other, is := errors.AsType[*age.NoIdentityMatchError](err); is && other != nil {
		return nil, 0, fmt.Errorf("%w: %s: none of the %d given identities decrypts it: give that of the recipient for which it was encrypted", ErrKey, path, len(keys))
	}
	return readAt(func(b []byte, off int64) (int, error) {
		n, err := clear.ReadAt(b, off)
		return n, explain(err)
	}), size, explain(err)
}

// decrypt returns the content of stored bytes.
func decrypt(path string, stored []byte, keys []age.Identity) ([]byte, error) {
	r, size, err := decrypting(path, bytes.NewReader(stored), int64(len(stored)), keys)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, size))
}
