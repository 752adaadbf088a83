package server

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

// Backups is the backup that the leader makes.
type Backups interface {
	// BackUpNow waits until the backup has an entry, or with 0 all that the member has applied, or until ctx ends, and says how far it is.
	BackUpNow(ctx context.Context, entry uint64) (kv.BackedUp, *kv.Error)
}

// backupAsks bounds the requests that wait for the backup at once. Others are answered Overloaded.
const backupAsks = 32

// backUp carries out a request that waits for the backup, in a goroutine of its own.
func (r *reader) backUp(q *wire.Request, x slot, _ int) *kv.Error {
	server := r.s.conn.server
	if server.config.Backups == nil {
		r.s.end(1, int64(x.bytes))
		return kv.Errorf(kv.BadRequest, "this member has no backup: give --backup to all members")
	}
	if server.backups.Add(1) > backupAsks {
		server.backups.Add(-1)
		r.s.end(1, int64(x.bytes))
		return kv.Errorf(kv.Overloaded, "%d requests wait for the backup at this member, which is the limit", backupAsks)
	}
	b, entry := &body{request: wire.Request{ID: q.ID, Op: q.Op}}, q.Ask.Entry
	x.read = &read{body: b}
	if !r.runInBackground(x, q.Timeout/2, func(ctx context.Context, number uint64) { // so that the answer comes in time
		got, err := server.config.Backups.BackUpNow(ctx, entry)
		b.value = &got
		server.backups.Add(-1)
		r.s.complete(number, err)
	}) {
		server.backups.Add(-1)
	}
	return nil
}
