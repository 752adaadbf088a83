package index

// outcomes is a hash table of outcomes by sequence, with linear probing: outcomes of consecutive sequences are neighbours. Its memory
// depends on the number of outcomes, and not on the sequences and windows that a client claims. Neighbours are in the order of the slots
// that they would take first (Robin Hood hashing): so a removal ends at the next outcome that has its own, and not at the end of thousands
// of consecutive sequences.
type outcomes struct {
	slots []numberedOutcome // a power of two, or none; at most three quarters are used
	held  int
}

type numberedOutcome struct {
	sequence uint64
	outcome  // kind 0: the slot is free
}

// leastSlots is the length of the table with its first outcome.
const leastSlots = 8

// search returns the slot of a sequence, or the free slot that it would take.
func (t *outcomes) search(sequence uint64) (slot uint64, found bool) {
	mask := uint64(len(t.slots) - 1)
	for slot = sequence & mask; t.slots[slot].kind != 0; slot = (slot + 1) & mask {
		if t.slots[slot].sequence == sequence {
			return slot, true
		}
	}
	return slot, false
}

// find returns the outcome of a sequence, or nil.
func (t *outcomes) find(sequence uint64) *outcome {
	if t.held > 0 {
		if slot, found := t.search(sequence); found {
			return &t.slots[slot].outcome
		}
	}
	return nil
}

// add adds the outcome of a sequence that has none.
func (t *outcomes) add(sequence uint64, o outcome) {
	if 4*(t.held+1) > 3*len(t.slots) {
		t.resize(max(leastSlots, 2*len(t.slots)))
	}
	mask, one := uint64(len(t.slots)-1), numberedOutcome{sequence, o}
	slot := sequence & mask
	for ; t.slots[slot].kind != 0; slot = (slot + 1) & mask {
		if there := &t.slots[slot]; (slot-one.sequence)&mask > (slot-there.sequence)&mask {
			one, *there = *there, one
		}
	}
	t.slots[slot] = one
	t.held++
}

func (t *outcomes) resize(slots int) {
	old := *t
	*t = outcomes{slots: make([]numberedOutcome, slots)}
	for n, o := range old.all {
		t.add(n, *o)
	}
}

// remove frees a slot, and moves back the outcomes behind it that have not the slot that they would take first.
func (t *outcomes) remove(slot uint64) {
	mask := uint64(len(t.slots) - 1)
	for next := (slot + 1) & mask; t.slots[next].kind != 0 && t.slots[next].sequence&mask != next; next = (next + 1) & mask {
		t.slots[slot], slot = t.slots[next], next
	}
	t.slots[slot] = numberedOutcome{}
	t.held--
}

// forget removes the outcomes of the sequences before first, after it has called gone with each. None is below from. It looks at the
// sequences between them or at all slots, whichever are fewer.
func (t *outcomes) forget(from, first uint64, gone func(sequence uint64, o *outcome)) {
	if slots := uint64(len(t.slots)); first-from <= slots {
		for n := from; n < first && t.held > 0; n++ {
			if slot, found := t.search(n); found {
				gone(n, &t.slots[slot].outcome)
				t.remove(slot)
			}
		}
	} else {
		for slot := uint64(0); slot < slots && t.held > 0; {
			if one := &t.slots[slot]; one.kind != 0 && one.sequence < first {
				gone(one.sequence, &one.outcome)
				t.remove(slot)
			} else {
				slot++
			}
		}
	}
	slots := len(t.slots)
	for slots > leastSlots && 8*t.held < slots {
		slots /= 2
	}
	if slots < len(t.slots) {
		t.resize(slots)
	}
}

// all calls f with each outcome, unordered, until f returns false.
func (t *outcomes) all(f func(sequence uint64, o *outcome) bool) {
	for i, held := 0, t.held; held > 0 && i < len(t.slots); i++ {
		if one := &t.slots[i]; one.kind != 0 {
			if held--; !f(one.sequence, &one.outcome) {
				return
			}
		}
	}
}
