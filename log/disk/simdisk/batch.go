package simdisk

// Batch is the disk calls of one turn of an actor, which take time. Between StopBatch and Finish the actor sees their
// effect, but a crash may undo them. The crash cuts the batch at a random call. Calls after the cut never happened.
// Calls before the cut are lost or kept like unsynced operations, and syncs before the cut hold. The cut is behind the
// calls whose effect other actors know, which Happened counts. Batches of several actors may be unfinished at the same
// time, on different files.
type Batch struct {
	d        *Disk
	life     int
	calls    int
	syncs    int
	bytes    int64
	reads    int
	finished bool
	least    int // calls that have certainly happened
	cut      int // the last call that happened; a crash draws it
}

// StartBatch makes a batch the owner of all calls until StopBatch.
func (d *Disk) StartBatch() *Batch {
	if d.batch != nil {
		panic("simdisk: a batch is started inside a batch")
	}
	d.batch = &Batch{d: d, life: d.life}
	d.open = append(d.open, d.batch)
	return d.batch
}

// StopBatch ends the calls of the batch; they stay uncertain until Finish.
func (d *Disk) StopBatch() { d.batch = nil }

func (b *Batch) count(op Op) {
	b.calls++
	if op == OpRead {
		b.reads++
	}
	if op == OpSync || op == OpSyncDir {
		b.syncs++
	}
}

// Calls returns the number of calls.
func (b *Batch) Calls() int { return b.calls }

// Syncs returns the number of syncs of files and directories.
func (b *Batch) Syncs() int { return b.syncs }

// Bytes returns how many bytes were written.
func (b *Batch) Bytes() int64 { return b.bytes }

// Reads returns the number of reads.
func (b *Batch) Reads() int { return b.reads }

// Happened says that so many calls have taken their time: a crash does not undo them.
func (b *Batch) Happened(calls int) { b.least = max(b.least, calls) }

// Finish makes the calls final: their time is over. After a crash it does nothing.
func (b *Batch) Finish() {
	d := b.d
	if b.finished || b.life != d.life {
		return
	}
	b.finished = true
	for i, o := range d.open {
		if o == b {
			d.open = append(d.open[:i], d.open[i+1:]...)
			break
		}
	}
	for _, i := range d.pending {
		i.makeDurable()
	}
	d.tidy()
	d.names = makeNamesDurable(d.names)
}

// cutBatches draws the cut of each unfinished batch.
func (d *Disk) cutBatches() {
	for _, b := range d.open {
		b.cut = b.least + d.random.IntN(b.calls-b.least+1)
	}
}

// endBatches turns the remaining calls of unfinished batches into ordinary operations.
func (d *Disk) endBatches() {
	for _, b := range d.open {
		b.finished = true
	}
	d.open, d.batch = nil, nil
}
