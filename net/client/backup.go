package client

import (
	"context"

	"qkv/index/kv"
	"qkv/net/wire"
)

// BackUpNow asks the client's member, which must be the leader, how far its backup is, and waits a while for an entry; 0: for all that the
// member has applied, and then the answer names that entry. The user needs the role root.
func (a *Admin) BackUpNow(ctx context.Context, entry uint64) (kv.BackedUp, error) {
	return asked[kv.BackedUp](ctx, a.c, wire.OpBackUpNow, wire.Ask{Entry: entry})
}
