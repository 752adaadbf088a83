package client

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

// BackupBase returns a snapshot of the client's member, of entry least or a later one; the member saves one if it has none, which may take
// long. Backups need a client with one endpoint and NoDiscovery, since each member has files of its own, and a user with the role root.
func (a *Admin) BackupBase(ctx context.Context, least uint64) (kv.BackupBase, error) {
	return asked[kv.BackupBase](ctx, a.c, wire.OpBackupBase, wire.Ask{Entry: least})
}

// BackupPiece returns the bytes of a snapshot, or of a part that it lists, from an offset on, up to a limit of the member; none behind the
// file's end. The error's code is Compacted if the member no longer has the file.
func (a *Admin) BackupPiece(ctx context.Context, name string, offset int64) ([]byte, error) {
	piece, err := asked[wire.Piece](ctx, a.c, wire.OpBackupPiece, wire.Ask{Name: name, Offset: offset})
	return piece.Bytes, err
}

// BackupLog returns committed entries of the log behind an entry. It waits up to two seconds for one, and then returns none. The error's
// code is Compacted if the member's log begins later: then a new base is needed.
func (a *Admin) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	piece, err := asked[wire.Piece](ctx, a.c, wire.OpBackupLog, wire.Ask{Entry: after})
	if err != nil {
		return kv.LogPart{}, err
	}
	entries, err := kv.ReadLogEntries(piece.Bytes)
	return kv.LogPart{Applied: piece.Applied, Entries: entries}, err
}

// BackupHold asks whether a runner may delete from backups, and returns which one may: package backuprun says how it is used.
func (a *Admin) BackupHold(ctx context.Context, hold kv.BackupHold) (kv.BackupHold, error) {
	return asked[kv.BackupHold](ctx, a.c, wire.OpBackupHold, wire.Ask{Hold: hold})
}
