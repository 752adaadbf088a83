package index

import (
	"bytes"
	"testing"

	"qkv/index/kv"
)

// Who holds the backups: the first runner, then the one that took them, and nobody behind a runner that left. The first key stays. A snapshot
// has both.
func TestBackupHold(t *testing.T) {
	s := founded()
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, kv.BackupKeyBytes) }
	for i, step := range []struct {
		ask  kv.BackupHold
		want uint64
	}{
		{kv.BackupHold{Holder: 1, Key: key(1)}, 1},
		{kv.BackupHold{Holder: 2, Key: key(2)}, 1},
		{kv.BackupHold{Holder: 2, Key: key(2), Leave: true}, 1},
		{kv.BackupHold{Holder: 2, Key: key(2), Take: true}, 2},
		{kv.BackupHold{Holder: 1, Key: key(1)}, 2},
		{kv.BackupHold{Holder: 1, Key: key(1), Leave: true}, 2},
		{kv.BackupHold{Holder: 2, Key: key(2), Leave: true}, 0},
		{kv.BackupHold{Holder: 3, Key: key(3)}, 3},
	} {
		batch(t, s, int64(i)+1, AppendBackupHold(nil, &step.ask).Bytes)
		if now := s.View().BackupHold(); now.Holder != step.want || !bytes.Equal(now.Key, key(1)) {
			t.Errorf("step %d: %d holds, with the key %x", i, now.Holder, now.Key)
		}
	}
	for _, bad := range []kv.BackupHold{{Key: key(1)}, {Holder: 1}, {Holder: 1, Key: key(1)[1:]}} {
		if bad.Check() == nil {
			t.Errorf("%v is no request", bad)
		}
	}
	meta := s.ViewToSave().AppendMeta(nil)
	other := newState(NewReserve().ledger, s.limits)
	if _, err := other.readMeta(meta); err != nil || other.hold.Holder != 3 || !bytes.Equal(other.hold.Key, key(1)) {
		t.Errorf("a snapshot has %d, %x: %v", other.hold.Holder, other.hold.Key, err)
	}
	forgetShare(other)
}
