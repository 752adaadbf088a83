package node

import (
	"errors"
	"sync/atomic"
	"time"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// opening is the read index that ends a member's start: the first one that is confirmed and applied since. It is repeated until it is.
type opening struct {
	start    *wire.Start
	underWay atomic.Bool
}

// Complete implements kv.ReplyTo.
func (o *opening) Complete(done []kv.Completion) {
	if done[0].Result.Err == nil {
		o.start.Raise(wire.StageCurrent)
	}
	o.underWay.Store(false)
}

// Uncounted implements actor.Uncounted: no client has asked.
func (o *opening) Uncounted() {}

// stuck returns an error while the log takes no entries of the leader, for want of space: requests of this member's clients wait for
// entries that do not come, until an operator frees space. While a quorum is full, no entry is committed, and no member lags.
func (m *member) stuck() error {
	if d := m.status.Disk(); d.Lags && !d.LogTakes(limits.LogKept) {
		return errors.New("the disk of this member is full, and its log takes no entries: free space on it, or use another member")
	}
	return nil
}

// startRead is the timeout of the read index that ends a member's start, which is repeated. It is short, because the reads of one round
// wait for the longest of their timeouts.
const startRead = time.Second

// open takes the member's start to the stages that it has reached. A member that takes no part in the cluster, or finds no quorum, stays at
// what its disk knew: its start ends when it takes part.
func (m *member) open() {
	if m.startup.Reached(wire.StageListed) {
		return
	}
	if m.startup.Current() {
		if m.announced() {
			m.startup.Raise(wire.StageListed)
		}
		return
	}
	if applied, _ := m.status.View().Applied(); applied > foundingIndex && applied >= m.applyTo {
		m.startup.Raise(wire.StageReplayed)
	}
	if m.opening.underWay.Swap(true) {
		return
	}
	if !m.actors.consensus.Offer(actor.ReadIndex{ReplyTo: &m.opening, Requests: []uint64{1}, Timeout: startRead}) {
		m.opening.underWay.Store(false)
	}
}
