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
		if now := s.View().BackupHold(0); now.Holder != step.want || !bytes.Equal(now.Key, key(1)) {
			t.Errorf("step %d: %d holds, with the key %x", i, now.Holder, now.Key)
		}
	}
	for _, bad := range []kv.BackupHold{{Key: key(1)}, {Holder: 1}, {Holder: 1, Key: key(1)[1:]}} {
		if bad.Check() == nil {
			t.Errorf("%v is no request", bad)
		}
	}
	if !HoldsBackupsOnly(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{AppendBackupHold(nil, &kv.BackupHold{Holder: 1, Key: key(1)}).Bytes})) ||
		HoldsBackupsOnly(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{AppendBackupHold(nil, &kv.BackupHold{Holder: 1, Key: key(1)}).Bytes, put("a", "b")})) || HoldsBackupsOnly(nil) {
		t.Error("a write is a hold, or a hold is a write")
	}
	meta := s.ViewToSave().AppendMeta(nil)
	other := newState(NewReserve().ledger, s.limits)
	if err := (&metaReader{s: other}).read(meta); err != nil || len(other.holds.all) != 1 || other.holds.all[0].holder != 3 || !bytes.Equal(other.holds.key, key(1)) {
		t.Errorf("a snapshot has %+v: %v", other.holds, err)
	}
	forgetShare(other)
}

// The backups of a cluster have holders of their own. Of too many, the oldest is forgotten; a cluster that is made of the state has none.
func TestBackupHoldOfPlaces(t *testing.T) {
	s := founded()
	key := bytes.Repeat([]byte{1}, kv.BackupKeyBytes)
	for place := uint64(1); place <= backupPlaces+1; place++ {
		batch(t, s, int64(place), AppendBackupHold(nil, &kv.BackupHold{Place: place, Holder: 10 * place, Key: key}).Bytes)
	}
	v := s.View()
	if v.BackupHold(1).Holder != 0 || v.BackupHold(2).Holder != 20 || v.BackupHold(backupPlaces+1).Holder != 10*(backupPlaces+1) || len(v.holds.all) != backupPlaces {
		t.Errorf("the holders are %+v", v.holds.all)
	}
	batch(t, s, 100, AppendBackupHold(nil, &kv.BackupHold{Place: 3, Holder: 30, Key: key, Leave: true}).Bytes)
	if now := s.View(); now.BackupHold(3).Holder != 0 || now.BackupHold(4).Holder != 40 || v.BackupHold(3).Holder != 30 {
		t.Errorf("after one has left, the holders are %+v, and an older View has %+v", now.holds.all, v.holds.all)
	}
	batch(t, s, 101, AppendBackupHold(nil, &kv.BackupHold{Place: 2, Holder: 21, Key: key, Take: true}).Bytes)
	for place := uint64(1000); place < 1002; place++ {
		batch(t, s, int64(place), AppendBackupHold(nil, &kv.BackupHold{Place: place, Holder: 1, Key: key}).Bytes)
	}
	if now := s.View(); now.BackupHold(2).Holder != 21 || now.BackupHold(4).Holder != 0 {
		t.Errorf("the backup that was taken last is forgotten first: %+v", now.holds.all)
	}
	s.Refound(9, Founders(map[string]uint64{"n1": 99}), 0)
	if now := s.View(); len(now.holds.all) > 0 || len(now.holds.key) > 0 {
		t.Errorf("a new cluster begins with %+v", now.holds)
	}
}
