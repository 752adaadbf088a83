package index

import (
	"bytes"
	"slices"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// backupPlaces bounds the backups of a cluster with a holder. With one more, the holder that was given its right first has lost it, and
// asks for it again. It is part of feature level 1.
const backupPlaces = 16

// backupHolds are the newest runners that were given the right to delete from a backup, and the key of the names of all backups. Views share
// them.
type backupHolds struct {
	key []byte
	all []backupHolder // the one that was given it last is the last one
}

type backupHolder struct{ place, holder uint64 }

const (
	holdFields   = 2
	holderFields = 2
)

func (b *backupHolds) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendBytes(pack.AppendArray(dst, holdFields), b.key), len(b.all))
	for _, one := range b.all {
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, holderFields), one.place), one.holder)
	}
	return dst
}

func readBackupHolds(r *pack.Reader) (b backupHolds) {
	whole := r.Struct(holdFields)
	b.key = bytes.Clone(r.Bytes())
	for range r.Array() {
		s := r.Struct(holderFields)
		b.all = append(b.all, backupHolder{r.Uint(), r.Uint()})
		if r.End(s); r.Err() != nil {
			return b
		}
	}
	r.End(whole)
	if n := len(b.key); r.Err() == nil && (n != 0 && n != kv.BackupKeyBytes || len(b.all) > backupPlaces) {
		r.Fail("a key of backups with another length, or too many holders")
	}
	return b
}

func (b *backupHolds) at(place uint64) int {
	return slices.IndexFunc(b.all, func(one backupHolder) bool { return one.place == place })
}

// note notes the holder of a backup: a runner when there is none, or when it takes the hold from another. Whether the runner holds now is
// in the next View.
func (h *backupHolds) note(b *kv.BackupHold) {
	i := h.at(b.Place)
	if free := i < 0; b.Leave && !free && h.all[i].holder == b.Holder || !b.Leave && !free && b.Take {
		h.all = slices.Delete(slices.Clone(h.all), i, i+1)
		i = -1
	}
	if i < 0 && !b.Leave {
		h.all = append(slices.Clone(h.all[max(0, len(h.all)+1-backupPlaces):]), backupHolder{b.Place, b.Holder})
	}
	if len(h.key) == 0 {
		h.key = bytes.Clone(b.Key)
	}
}

// BackupHold returns the runner that holds a backup. The caller must not change the key.
func (r *replicated) BackupHold(place uint64) kv.BackupHold {
	b := kv.BackupHold{Place: place, Key: r.holds.key}
	if i := r.holds.at(place); i >= 0 {
		b.Holder = r.holds.all[i].holder
	}
	return b
}

// HoldsBackupsOnly reports whether an entry has nothing but requests of runners of backups: for a backup, nothing was written then.
func HoldsBackupsOnly(envelope []byte) bool {
	e, err := ReadEnvelope(envelope)
	r := pack.NewReader(e.Commands)
	for range e.Count {
		var c command
		if c.read(&r) != nil || c.kind != kindBackupHold {
			return false
		}
	}
	return err == nil && e.Count > 0
}
