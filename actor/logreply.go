package actor

import (
	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
)

// LogReply gets the answer to AskLog. LogTold is called once by consensus, and must not wait. The entries are those in memory; if the first
// one is not, the order is for the caller's own [log.Reader]. The order's read may fail because the entries were released meanwhile: then
// the caller asks again. The error is raft.ErrCompacted if the log begins later.
type LogReply interface {
	LogTold(entries []*raftpb.Entry, order log.ColdRead, err error)
}
