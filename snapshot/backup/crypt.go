package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"qkv/internal/damage"
)

// encrypt returns content as it is stored: unchanged without recipients, otherwise an age stream of its own.
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

// decrypt returns the content of stored bytes, at most so many bytes.
func decrypt(path string, stored []byte, most int64, keys []age.Identity) ([]byte, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %s: give the file with its age identity", ErrKey, path)
	}
	r, err := age.Decrypt(bytes.NewReader(stored), keys...)
	if other, is := errors.AsType[*age.NoIdentityMatchError](err); is && other != nil {
		return nil, fmt.Errorf("%w: %s: none of the %d given identities decrypts it: give that of the recipient for which it was encrypted", ErrKey, path, len(keys))
	}
	var clear []byte
	if err == nil {
		clear, err = io.ReadAll(io.LimitReader(r, most))
	}
	if err != nil {
		return nil, damage.At(path, 0, "it cannot be decrypted: %v", err)
	}
	return clear, nil
}
