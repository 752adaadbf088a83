package backup

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"filippo.io/age"
)

// Many goroutines read an encrypted file of a branch. A read of the store that fails is that failure for its reader, and no damage, whatever the
// others read meanwhile.
func TestFailedReadsBesideOthers(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	stored, err := encrypt(make([]byte, 256<<10), []age.Recipient{key.Recipient()})
	must(t, err)
	errAway := errors.New("the store is away")
	fails := int64(len(stored)) // the reads behind it
	r, _, err := decrypting("file", readAt(func(b []byte, off int64) (int, error) {
		if off+int64(len(b)) > fails {
			return 0, errAway
		}
		return bytes.NewReader(stored).ReadAt(b, off)
	}), fails, []age.Identity{key})
	must(t, err)
	fails = 150 << 10
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i := range int64(300) {
				if _, err := r.ReadAt(make([]byte, 16), i%2*(64<<10)); err != nil { // one chunk is kept
					t.Errorf("a sound chunk: %v", err)
					return
				}
			}
		})
		done.Go(func() {
			for range 1000 {
				if _, err := r.ReadAt(make([]byte, 16), 128<<10); err != errAway { //nolint:errorlint // damage might wrap it
					t.Errorf("a failed read: %v", err)
					return
				}
			}
		})
	}
	done.Wait()
}
