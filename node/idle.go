package node

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"qkv/internal/limits"
)

// idleWatch tells when a member that had much to do has become idle: what it has given up since its garbage was last collected
// is found by nobody then, since it makes no more. It is for the clock that calls look.
type idleWatch struct {
	applied   uint64 // at the last look
	collected uint64 // when memory was last given back
	looks     int    // in a row at which nothing was applied
}

func (w *idleWatch) look(applied uint64, retired int64) (give bool) {
	if applied != w.applied {
		w.applied, w.looks = applied, 0
		return false
	}
	w.looks++
	due := w.looks == limits.IdleLooks || w.looks == 3*limits.IdleLooks // what was compacted may go in between
	if !due || applied-w.collected < limits.IdleEntries && retired < limits.IdleBytes {
		return false
	}
	w.collected = applied
	return true
}

// retiredWatch tells when so much of the state's memory is given up that a collection of garbage is worth its time: the collector
// alone finds that no View reaches it any longer, but does not see that memory, and so does not run on its account. The applier
// does not wait for it: compacting a GiB would be several pauses for all writes. It is for one clock.
type retiredWatch struct{ at int64 }

func (w *retiredWatch) look(retired, mapped int64) (collect bool) {
	least := max(limits.RetiredBytes, mapped/limits.RetiredPart)
	if w.at = min(max(w.at, least), retired+least); retired < w.at {
		return false
	}
	w.at = retired + least // what Views still hold does not go, however often it runs
	return true
}

// collectWatch tells how much garbage there may be for what lives. Where clients hold much, the collector's room for as much again
// would be more than clients may cost a member; where little lives, collections come often for the little room that is saved. It is
// for one clock.
type collectWatch struct{ percent int } // 0 is usualPercent

// look returns the percentage, and whether it is another one. At a bound it is not now this one and now that one.
func (w *collectWatch) look(held, live int64) (percent int, changed bool) {
	before := cmp.Or(w.percent, usualPercent)
	switch {
	case held >= limits.ClientsMany:
		w.percent = limits.CollectedOften
	case w.percent == limits.CollectedOften && held >= limits.ClientsMany/2:
	case live < limits.HeapSmall:
		w.percent = limits.CollectedSeldom
	case w.percent != limits.CollectedSeldom || live >= limits.HeapSmall*5/4:
		w.percent = usualPercent
	}
	return w.percent, w.percent != before
}

// usualPercent is Go's own.
const usualPercent = 100

// heapMost is how large Go's heap may become with its garbage, where a process may use so much memory and the state has so much of
// it outside of the heap: beyond that the collector works as hard as it is let, which is better than to be killed.
func heapMost(memory, mapped int64) int64 {
	return max(memory-memory/limits.MemoryKept-mapped, memory/limits.HeapOfMemory)
}

// bound holds Go's heap within what the machine, or the group that this process is in, has for it, unless the one who started the
// process has said how large it may become.
func (n *Node) bound(memory int64) {
	if memory == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	mapped := memory // the state is read first, and how large it becomes is not known
	if n.member != nil {
		mapped = n.member.status.View().MappedBytes()
	}
	debug.SetMemoryLimit(heapMost(memory, mapped))
}

// collect goes by what the state has given up, by what clients hold and by what lives, unless the one who started this process has
// said how much garbage there may be.
func (n *Node) collect() {
	n.runtime.Every(limits.LookInterval, func() { n.bound(n.member.env.Memory) })
	n.runtime.Every(limits.RetiredInterval, func() {
		if view := n.member.status.View(); n.retired.look(view.RetiredBytes(), view.MappedBytes()) {
			runtime.GC()
		}
	})
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	n.runtime.Every(limits.LookInterval, func() {
		metrics.Read(live)
		if percent, changed := n.collects.look(n.held(), int64(live[0].Value.Uint64())); changed {
			debug.SetGCPercent(percent)
		}
	})
}

// held is what the clients of both endpoints hold of memory.
func (n *Node) held() int64 {
	stats := n.etcd.Stats()
	held := stats.MessageBytes + stats.GatewayBytes
	if n.server != nil {
		native := n.server.Stats()
		held += native.Bytes + native.Connections*limits.ClientConnectionBytes
	}
	return held
}
