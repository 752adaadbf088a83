package index

import (
	"testing"

	"qkv/index/kv"
)

func TestDescribe(t *testing.T) {
	commands := [][]byte{
		new(Head).AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello")}).Bytes, new(Head).AppendDelete(nil, &kv.Delete{Key: []byte("a\n"), End: nil}).Bytes,
		new(Head).AppendDelete(nil, &kv.Delete{Key: []byte("a"), End: []byte("b")}).Bytes, AppendAnnounce(nil, &kv.Member{Name: "n1", Version: "v", Boot: 3}).Bytes,
		AppendFeatureLevel(nil, 1).Bytes, new(Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 7, Name: kv.NoSpaceAlarm}).Bytes, new(Head).AppendAlarm(nil, kv.AlarmChange{}).Bytes,
		AppendBackupKey(nil, make([]byte, kv.BackupKeyBytes)).Bytes,
	}
	const want = `put "greeting" 5 bytes, delete "a\n", delete from "a" to "b", announce n1, version v, boot 3, feature level 1, raise NOSPACE of 0000000000000007, disarm every alarm of every member, key of the names in encrypted backups`
	b := AppendEnvelope(nil, Envelope{Level: 1}, commands)
	if got := Describe(b); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := Describe(nil); got != "nothing" {
		t.Error(got)
	}
	for n := range b { // whatever is cut off, something is said
		if Describe(b[:n]) == want {
			t.Errorf("%d bytes say it all", n)
		}
	}
}
