package index

import (
	"bytes"
	"fmt"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// backupKey is the key of the names of all encrypted backups; nil until the first leader needs one. The first one stays. Views share it.
type backupKey []byte

const backupKeyFields = 1

func (b backupKey) append(dst []byte) []byte {
	return pack.AppendBytes(pack.AppendArray(dst, backupKeyFields), b)
}

func readBackupKey(r *pack.Reader) backupKey {
	s := r.Struct(backupKeyFields)
	key := bytes.Clone(r.Bytes())
	r.End(s)
	if n := len(key); r.Err() == nil && n != 0 && n != kv.BackupKeyBytes {
		r.Fail(fmt.Sprintf("a key of backups with %d bytes", n))
	}
	return key
}

// BackupKey returns the key; empty: there is none yet. The caller must not change it.
func (r *replicated) BackupKey() []byte { return r.backupKey }
