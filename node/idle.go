package node

import "qkv/internal/limits"

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
