package wire

import (
	"qkv/index/kv"
	"qkv/internal/pack"
)

// BackupRequest is the body of a request for a backup, or for a verification of the member's files.
type BackupRequest struct {
	Entry  uint64   // of a base: the oldest one allowed. Of a part of the log: the entry before it
	Name   string   // of a base's file
	SHA    [32]byte // its identity
	Offset int64    // of a piece of it
	Run    uint64   // of a verification; 0: a new one
	Rate   int64    // of a new verification: bytes a second
}

// AppendBackupEntryBody appends the body of a request for a base, or for a part of the log.
func AppendBackupEntryBody(dst []byte, entry uint64) []byte { return pack.AppendUint(dst, entry) }

func readBackupEntry(r *pack.Reader, q *Request) { q.Backup = &BackupRequest{Entry: r.Uint()} }

// AppendBackupPieceBody appends the body of a request for a piece of a base.
func AppendBackupPieceBody(dst []byte, b *kv.BackupBase, offset int64) []byte {
	return pack.AppendInt(pack.AppendBytes(pack.AppendString(dst, b.Name), b.SHA[:]), offset)
}

func readBackupPiece(r *pack.Reader, q *Request) {
	q.Backup = &BackupRequest{Name: r.String()}
	r.Fixed(q.Backup.SHA[:])
	q.Backup.Offset = r.Int()
}

func checkBackupPiece(q *Request, _ kv.Bounds) *kv.Error {
	if q.Backup.Offset < 0 {
		return kv.Errorf(kv.BadRequest, "a piece of a base at the offset %d", q.Backup.Offset)
	}
	return nil
}

// BackupPieceAnswer bounds the answer with a piece of so many bytes.
func BackupPieceAnswer(bytes int) int { return AnswerBytes + bytes }

// AppendBackupPiece appends the frame with a piece of a base.
func AppendBackupPiece(dst []byte, id uint64, piece []byte) []byte {
	guess := BackupPieceAnswer(len(piece))
	dst, start := beginAnswer(dst, id, 1, guess)
	return endFrame(pack.AppendBytes(dst, piece), start, guess)
}

// BackupPiece reads the answer to a request for a piece. The piece is a part of the frame.
func (p *Response) BackupPiece() (piece []byte, err error) {
	r, s := p.body(1, 1)
	piece = r.Bytes()
	return piece, p.end(&r, s)
}

// logEntryHeader is the maximum size of an entry without its envelope.
const logEntryHeader = 1 + 2*9 + 1 + 5

// LogPartBytes bounds the answer with a part of the log.
func LogPartBytes(l *kv.LogPart) int {
	size := AnswerBytes
	for i := range l.Entries {
		size += logEntryHeader + len(l.Entries[i].Envelope)
	}
	return size
}

// AppendLogPart appends the frame with a part of the log.
func AppendLogPart(dst []byte, id uint64, l *kv.LogPart) []byte {
	guess := LogPartBytes(l)
	dst, start := beginAnswer(dst, id, 2, guess)
	dst = pack.AppendArray(pack.AppendUint(dst, l.Applied), len(l.Entries))
	for i := range l.Entries {
		e := &l.Entries[i]
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, logEntryFields), e.Index), e.Term)
		dst = pack.AppendBytes(pack.AppendBool(dst, e.Change), e.Envelope)
	}
	return endFrame(dst, start, guess)
}

const logEntryFields = 4

// LogPart reads the answer to a request for a part of the log. The envelopes are parts of the frame.
func (p *Response) LogPart() (l kv.LogPart, err error) {
	r, s := p.body(2, 2)
	l.Applied = r.Uint()
	l.Entries = readArray(&r, func(r *pack.Reader) (e kv.LogEntry) {
		s := r.Struct(logEntryFields)
		e = kv.LogEntry{Index: r.Uint(), Term: r.Uint(), Change: r.Bool(), Envelope: r.Bytes()}
		r.End(s)
		return e
	})
	return l, p.end(&r, s)
}
