package server

import (
	"context"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// Backups gives the member's data to backups. All methods may be called from many goroutines, and may wait for the disk.
type Backups interface {
	// Base returns the newest snapshot, of entry least or later. If there is none, Base orders one and waits for it. A member that has
	// not applied that entry returns its newest snapshot.
	Base(ctx context.Context, least uint64) (kv.BackupBase, *kv.Error)
	// Piece returns the bytes of a snapshot, or of a part of one, from an offset on, at most limits.BackupPieceBytes; none behind its end.
	// The error is Compacted if the file is gone.
	Piece(name string, offset int64) ([]byte, *kv.Error)
	// Log returns committed entries behind an index. If there are none, it waits for some until ctx ends, and then returns an empty
	// part. The error is Compacted if the log begins later.
	Log(ctx context.Context, after uint64) (kv.LogPart, *kv.Error)
	// Hold asks whether a runner may delete from backups, by a command in the log, and returns which one may.
	Hold(ctx context.Context, ask kv.BackupHold) (kv.BackupHold, *kv.Error)
}

// backupReads bounds the requests of backups that a member works on at once, including those that wait for an entry or a snapshot. A backup
// has one, or two while it waits for a snapshot. Others are answered Overloaded.
const backupReads = 32

// backUp carries out a request for a backup, in a goroutine of its own: it waits for the disk, for a snapshot, or for an entry. The number
// of these requests is bounded, and so is the memory of their answers.
func (s *stream) backUp(q *wire.Request, x slot) *kv.Error {
	server := s.conn.server
	if server.config.Backups == nil {
		s.end(1, int64(x.bytes))
		return kv.Errorf(kv.BadRequest, "this member gives no backups")
	}
	if server.backups.Add(1) > backupReads {
		server.backups.Add(-1)
		s.end(1, int64(x.bytes))
		return kv.Errorf(kv.Overloaded, "%d requests of backups are under way at this member, which is the limit", backupReads)
	}
	b := &body{request: wire.Request{ID: q.ID, Op: q.Op, Ask: q.Ask}}
	x.read = &read{body: b}
	timeout := q.Timeout
	if q.Op == wire.OpBackupLog {
		timeout = min(timeout/2, limits.BackupLogWait)
	}
	if !s.runInBackground(x, timeout, func(ctx context.Context, number uint64) {
		err := b.fetch(ctx, server.config.Backups)
		server.backups.Add(-1)
		s.complete(number, err)
	}) {
		server.backups.Add(-1)
	}
	return nil
}

// fetch gets the answer from the member.
func (b *body) fetch(ctx context.Context, from Backups) (err *kv.Error) {
	switch q := b.request.Ask; b.request.Op {
	case wire.OpBackupBase:
		var base kv.BackupBase
		base, err = from.Base(ctx, q.Entry)
		b.value = &base
	case wire.OpBackupPiece:
		var piece wire.Piece
		piece.Bytes, err = from.Piece(q.Name, q.Offset)
		b.value = &piece
	case wire.OpBackupHold:
		var hold kv.BackupHold
		hold, err = from.Hold(ctx, q.Hold)
		b.value = &hold
	default:
		var part kv.LogPart
		part, err = from.Log(ctx, q.Entry)
		b.value = &wire.Piece{Bytes: kv.AppendLogEntries(nil, part.Entries), Applied: part.Applied}
	}
	return err
}
