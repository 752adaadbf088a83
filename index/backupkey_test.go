package index

import (
	"bytes"
	"testing"

	"qkv/index/kv"
)

// The first key stays, if it has its length, also in a snapshot. A cluster that is made of the state has none.
func TestBackupKey(t *testing.T) {
	s := founded()
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, kv.BackupKeyBytes) }
	for i, one := range []struct{ proposed, want []byte }{{key(1)[1:], nil}, {key(1), key(1)}, {key(2), key(1)}} {
		batch(t, s, int64(i)+1, AppendBackupKey(nil, one.proposed).Bytes)
		if got := s.View().BackupKey(); !bytes.Equal(got, one.want) {
			t.Errorf("%x is proposed, and the key is %x", one.proposed, got)
		}
	}
	meta := s.ViewToSave().AppendMeta(nil)
	other := newState(NewReserve().ledger, s.limits)
	if err := (&metaReader{s: other}).read(meta); err != nil || !bytes.Equal(other.backupKey, key(1)) {
		t.Errorf("a snapshot has %x: %v", other.backupKey, err)
	}
	forgetShare(other)
	s.Refound(9, Founders(map[string]uint64{"n1": 99}), 0)
	if got := s.View().BackupKey(); len(got) > 0 {
		t.Errorf("a new cluster begins with %x", got)
	}
}
