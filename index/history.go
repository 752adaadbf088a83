package index

import "sync/atomic"

// history is all changes since the compacted revision, in their order: for each revision its one change, or the group
// of those that have it together. A copy of the struct is a view of it.
//
// Of every change that is in it, the version before is kept as well.
type history struct {
	// slots has one element for each revision, numbered by it: the change, or its group's number times four, plus one.
	slots  fifo[atomic.Uint64]
	groups fifo[*group]
	// sub is where the first revision begins: the changes before it are compacted already.
	sub int64
}

// group is the changes of one revision, by sub revision.
type group struct{ changes []atomic.Uint64 }

const (
	slotGroup = 1
	// changeCreated stands beside the version of a change, so that compaction need not look at those that drop nothing.
	changeCreated = 2
	changeFlags   = 3
)

// changeOf is how a version is noted as a change.
func changeOf(r ref) uint64 {
	if r.version().has(created) {
		return uint64(r) | changeCreated
	}
	return uint64(r)
}

func changed(change uint64) ref { return ref(change &^ changeFlags) }

// add appends a change that has its revision alone.
func (h *history) add(r ref) { h.slots.push().Store(changeOf(r)) }

// addGroup appends changes of one revision.
func (h *history) addGroup(g *group) {
	h.slots.push().Store(uint64(h.groups.end)<<2 | slotGroup)
	*h.groups.push() = g
}

// group returns the group of a revision, or nil when there is one change only.
func (h *history) group(revision int64) *group {
	slot := h.slots.at(revision).Load()
	if slot&slotGroup == 0 {
		return nil
	}
	return *h.groups.at(int64(slot >> 2))
}

// changes returns how many changes a revision has.
func (h *history) changes(revision int64) int64 {
	if g := h.group(revision); g != nil {
		return int64(len(g.changes))
	}
	return 1
}

// change returns where the version of a change is noted.
func (h *history) change(revision, sub int64) *atomic.Uint64 {
	if g := h.group(revision); g != nil {
		return &g.changes[sub]
	}
	return h.slots.at(revision)
}

// holds says whether a change is in the history.
func (h *history) holds(mod, sub int64) bool {
	return mod > h.slots.first || mod == h.slots.first && sub >= h.sub
}

// trim drops the first change.
func (h *history) trim() {
	first := h.slots.first
	g := h.group(first)
	if h.sub++; g != nil && h.sub < int64(len(g.changes)) {
		return
	}
	if g != nil {
		h.groups.trim(h.groups.first + 1)
	}
	h.slots.trim(first + 1)
	h.sub = 0
}
