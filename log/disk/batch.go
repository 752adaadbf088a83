package disk

// Batch is the calls of one turn of an actor, which take time: between StopBatch and Finish they are seen by whoever
// made them, but a crash may find that they did not happen. Then the batch is cut at a random call: the calls after
// the cut never happened, those before it are lost or kept as unsynced operations are, and its syncs before the cut
// hold. The cut is behind the calls that others have heard of, which Happened says. Batches of several actors may be
// unfinished at the same time, on different files.
type Batch struct {
	m        *Mem
	life     int
	calls    int
	syncs    int
	bytes    int64
	reads    int
	finished bool
	least    int // calls that have certainly happened
	cut      int // the last call that happened, drawn by a crash
}

// StartBatch makes a batch the owner of all calls until StopBatch.
func (m *Mem) StartBatch() *Batch {
	if m.batch != nil {
		panic("disk: a batch is started inside a batch")
	}
	m.batch = &Batch{m: m, life: m.life}
	m.open = append(m.open, m.batch)
	return m.batch
}

// StopBatch ends the calls of the batch; they stay uncertain until Finish.
func (m *Mem) StopBatch() { m.batch = nil }

func (b *Batch) count(op Op) {
	b.calls++
	if op == OpRead {
		b.reads++
	}
	if op == OpSync || op == OpSyncDir {
		b.syncs++
	}
}

// Calls returns the number of calls, Syncs that of syncs of files and directories, Bytes what was written.
func (b *Batch) Calls() int { return b.calls }

// Syncs returns the number of syncs, of files and directories.
func (b *Batch) Syncs() int { return b.syncs }

// Bytes returns how many bytes were written.
func (b *Batch) Bytes() int64 { return b.bytes }

// Reads returns how often was read.
func (b *Batch) Reads() int { return b.reads }

// Happened says that the time of so many calls is over: a crash does not undo them.
func (b *Batch) Happened(calls int) { b.least = max(b.least, calls) }

// Finish makes the calls final: the time that they take is over. After a crash it does nothing.
func (b *Batch) Finish() {
	m := b.m
	if b.finished || b.life != m.life {
		return
	}
	b.finished = true
	for i, o := range m.open {
		if o == b {
			m.open = append(m.open[:i], m.open[i+1:]...)
			break
		}
	}
	for _, i := range m.pending {
		i.makeDurable()
	}
	m.tidy()
	m.names = makeNamesDurable(m.names)
}

// cutBatches decides for each unfinished batch how far it came.
func (m *Mem) cutBatches() {
	for _, b := range m.open {
		b.cut = b.least + m.random.IntN(b.calls-b.least+1)
	}
}

// endBatches makes what is left of the unfinished batches ordinary operations.
func (m *Mem) endBatches() {
	for _, b := range m.open {
		b.finished = true
	}
	m.open, m.batch = nil, nil
}
