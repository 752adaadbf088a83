package node

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"qkv/internal/limits"
)

// idleWatch detects that a busy member has become idle. Memory freed since its last garbage collection would then stay unnoticed, because
// the member produces no more garbage. The clock that calls look owns it.
type idleWatch struct {
	applied   uint64 // at the last call of look
	collected uint64 // when memory was last freed
	looks     int    // consecutive calls without an applied entry
}

const (
	// clientConnectionBytes is the memory that an idle connection holds in a member: 42 KiB of the heap and of its goroutines' stacks
	// (measured), for QUIC and TLS. clientsMany is a watermark on the memory of all connections plus their charges to limits.ClientBytes.
	// Above it, Go's collector runs at collectedOften percent of the live heap until the sum falls to half. At its default the collector
	// keeps as much again, which is 120 KiB per connection.
	clientConnectionBytes = 56 << 10
	clientsMany           = 64 << 20
	collectedOften        = 50
	// heapSmall is the live heap below which a member's collector runs at collectedSeldom percent. At Go's default of one hundred,
	// collections took an eighth of the processor time of a put by etcd's API (measured). Such a heap grows at most as large as a heap with
	// half as much more live data does.
	heapSmall       = 24 << 20
	collectedSeldom = 200
	// 1/memoryKept of a process's memory is left to the kernel, stacks and other memory outside Go's heap. The heap may always have
	// 1/heapOfMemory of it, because a collector with less space than live data runs constantly. A member with 216 MB in 1 MB values
	// restarted with a peak of 578 MB without a bound, and of 363 MB with a bound of 150 MiB.
	memoryKept   = 8
	heapOfMemory = 4
	// idleLooks is how many consecutive checks without an applied entry, five seconds, make a member release unused memory. A release also
	// needs idleEntries applied since the last one, or idleBytes waiting: a garbage collection costs milliseconds.
	idleLooks   = 25
	idleEntries = 64
	idleBytes   = 8 << 20
)

func (w *idleWatch) look(applied uint64, retired int64) (give bool) {
	if applied != w.applied {
		w.applied, w.looks = applied, 0
		return false
	}
	w.looks++
	due := w.looks == idleLooks || w.looks == 3*idleLooks // compacted data may be freed in between
	if !due || applied-w.collected < idleEntries && retired < idleBytes {
		return false
	}
	w.collected = applied
	return true
}

// retiredWatch detects that enough of the state's memory is retired for a garbage collection to be worth its time. Only the collector
// finds that no View references that memory, but it does not see the memory, and so does not run because of it. The applier does not wait
// for it: compacting a GiB would cause several pauses for all writes. One clock owns it.
type retiredWatch struct{ at int64 }

func (w *retiredWatch) look(retired, mapped int64) (collect bool) {
	least := max(limits.RetiredBytes, mapped/limits.RetiredPart)
	if w.at = min(max(w.at, least), retired+least); retired < w.at {
		return false
	}
	w.at = retired + least // memory held by Views stays, however often the collector runs
	return true
}

// collectWatch sets the garbage percentage by the live memory. If clients hold much memory, the collector's usual allowance of as much
// again would exceed the memory that clients may cost a member. If little memory is live, collections would be frequent for a small
// saving. One clock owns it.
type collectWatch struct{ percent int } // 0 is usualPercent

// look returns the percentage, and whether it has changed. It has hysteresis at its bounds.
func (w *collectWatch) look(held, live int64) (percent int, changed bool) {
	before := cmp.Or(w.percent, usualPercent)
	switch {
	case held >= clientsMany:
		w.percent = collectedOften
	case w.percent == collectedOften && held >= clientsMany/2:
	case live < heapSmall:
		w.percent = collectedSeldom
	case w.percent != collectedSeldom || live >= heapSmall*5/4:
		w.percent = usualPercent
	}
	return w.percent, w.percent != before
}

// usualPercent is Go's default.
const usualPercent = 100

// heapMost is the limit of Go's heap with its garbage, for a process with this memory and a state with that much of it outside the heap.
// Beyond it the collector works as hard as it may, which is better than an out-of-memory kill.
func heapMost(memory, mapped int64) int64 {
	return max(memory-memory/memoryKept-mapped, memory/heapOfMemory)
}

// bound limits Go's heap to the memory of the machine, or of this process's group, unless the operator has set a limit.
func (n *Node) bound(memory int64) {
	if memory == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	mapped := memory // the state is read first, and its final size is unknown
	if n.member != nil {
		mapped = n.member.status.View().MappedBytes()
	}
	debug.SetMemoryLimit(heapMost(memory, mapped))
}

// collect adapts garbage collection to the state's retired memory, the clients' memory and the live memory, unless the operator has set
// the percentage.
func (n *Node) collect() {
	n.runtime.Every(lookInterval, func() { n.bound(n.member.env.Memory) })
	n.runtime.Every(limits.RetiredInterval, func() {
		if view := n.member.status.View(); n.retired.look(view.RetiredBytes(), view.MappedBytes()) {
			runtime.GC()
		}
	})
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	n.runtime.Every(lookInterval, func() {
		metrics.Read(live)
		if percent, changed := n.collects.look(n.held(), int64(live[0].Value.Uint64())); changed {
			debug.SetGCPercent(percent)
		}
	})
}

// held returns the memory held by the clients of both endpoints.
func (n *Node) held() (held int64) {
	if n.etcd != nil {
		stats := n.etcd.Stats()
		held = stats.MessageBytes + stats.GatewayBytes
	}
	if n.server != nil {
		native := n.server.Stats()
		held += native.Bytes + native.Connections*clientConnectionBytes
	}
	return held
}
