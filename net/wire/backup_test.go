package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// Requests and answers of backups are read as they were written.
func TestBackupMessages(t *testing.T) {
	base := kv.BackupBase{Name: "00000000000000000007-00000000000000000002.snap", Index: 7, Term: 2, Revision: 5, Bytes: 1 << 40, SHA: [32]byte{1, 31: 2}}
	part := kv.LogPart{Applied: 1 << 60, Entries: []kv.LogEntry{{Index: 8, Term: 3, Envelope: []byte{}}, {Index: 9, Term: 3, Change: true, Envelope: bytes.Repeat([]byte("e"), 70_000)}}}
	for op, want := range map[Op]BackupRequest{OpBackupBase: {Entry: 1 << 50}, OpBackupLog: {Entry: 6}, OpBackupPiece: {Name: base.Name, SHA: base.SHA, Offset: 1 << 41}} {
		body := AppendBackupEntryBody(nil, want.Entry)
		if op == OpBackupPiece {
			body = AppendBackupPieceBody(nil, &base, want.Offset)
		}
		var q Request
		if err := ReadRequest(frameOf(t, AppendRequest(nil, 4, op, 1, body)), &q); err != nil || !reflect.DeepEqual(*q.Backup, want) {
			t.Errorf("%s: %v %+v, want %+v", op, err, q.Backup, want)
		}
	}
	answer := func(frame []byte, most int) *Response {
		if len(frame) > most {
			t.Errorf("a frame of %d bytes, over its bound of %d", len(frame), most)
		}
		p, err := ReadResponse(frameOf(t, frame))
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if got, err := ReadAnswer[kv.BackupBase](answer(AppendAnswer(nil, 4, &base), limits.ResponseBytes)); err != nil || got != base {
		t.Errorf("%v %+v", err, got)
	}
	piece := bytes.Repeat([]byte("p"), 70_000)
	if got, err := answer(AppendBackupPiece(nil, 4, piece), BackupPieceAnswer(len(piece))).BackupPiece(); err != nil || !bytes.Equal(got, piece) {
		t.Errorf("%v %d bytes", err, len(got))
	}
	if got, err := answer(AppendLogPart(nil, 4, &part), LogPartBytes(&part)).LogPart(); err != nil || !reflect.DeepEqual(got, part) {
		t.Errorf("%v %+v", err, got)
	}
}

// A request for a verification, and its answer, are read as they were written. Rates outside of the limits are refused.
func TestVerifyMessages(t *testing.T) {
	for rate, refused := range map[int64]bool{0: true, -1: true, limits.VerifyRateLeast - 1: true, limits.VerifyRateLeast: false, limits.VerifyRateMost: false, limits.VerifyRateMost + 1: true} {
		var q Request
		err := ReadRequest(frameOf(t, AppendRequest(nil, 4, OpVerify, 1, AppendVerifyBody(nil, 1<<63, rate))), &q)
		if err != nil || q.Backup.Run != 1<<63 || q.Backup.Rate != rate || (q.Check(kv.Bounds{}) != nil) != refused {
			t.Errorf("%d: %v %+v, %v", rate, err, q.Backup, q.Check(kv.Bounds{}))
		}
	}
	long := kv.DamagedFile{Name: "wal/0000000000000001.wal", Reason: strings.Repeat("r", 70_000), Help: "h"}
	for _, want := range []kv.Verified{{Run: 1 << 63, Bytes: 1 << 62}, {Run: 1, Done: true, Files: 1 << 40, Bytes: 1 << 50, Damaged: []kv.DamagedFile{{}, long, {Name: "snap/1"}}}} {
		frame := AppendAnswer(nil, 4, &want)
		p, err := ReadResponse(frameOf(t, frame))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadAnswer[kv.Verified](&p); err != nil || !reflect.DeepEqual(got, want) && len(got.Damaged)+len(want.Damaged) > 0 {
			t.Errorf("%v %+v", err, got)
		}
	}
}
