package index

import (
	"bytes"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// backupHold is the newest runner of backups that was given the right to delete. Views share the key.
type backupHold kv.BackupHold

const holdFields = 2

func (b *backupHold) append(dst []byte) []byte {
	return pack.AppendBytes(pack.AppendUint(pack.AppendArray(dst, holdFields), b.Holder), b.Key)
}

func readBackupHold(r *pack.Reader) (b backupHold) {
	s := r.Struct(holdFields)
	b.Holder, b.Key = r.Uint(), bytes.Clone(r.Bytes())
	r.End(s)
	if n := len(b.Key); r.Err() == nil && n != 0 && n != kv.BackupKeyBytes {
		r.Fail("a key of backups with another length")
	}
	return b
}

// holdBackup notes the holder: a runner when there is none, or when it takes the hold from another. Whether the runner holds now is in the next View.
func (s *State) holdBackup(b *kv.BackupHold) kv.Result {
	switch {
	case b.Leave && s.hold.Holder == b.Holder:
		s.hold.Holder = 0
	case !b.Leave && (s.hold.Holder == 0 || b.Take):
		s.hold.Holder = b.Holder
	}
	if len(s.hold.Key) == 0 {
		s.hold.Key = bytes.Clone(b.Key)
	}
	return kv.Result{Revision: s.revision}
}

// BackupHold returns the runner that holds the backups. The caller must not change the key.
func (v *View) BackupHold() kv.BackupHold { return kv.BackupHold(v.hold) }
