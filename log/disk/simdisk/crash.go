package simdisk

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// Variant is the effect of a crash on unsynced operations.
type Variant uint8

// The variants of a crash. Synced operations survive all of them.
const (
	// Prefix keeps the first operations in call order; the last kept write may end at any sector.
	Prefix Variant = iota
	// Subset keeps each sector, size and entry at random.
	Subset
	// Reordered keeps a random subset of whole calls.
	Reordered
	// Torn keeps the first operations and a part of the next write, to the byte.
	Torn
	// Zeros keeps names and sizes; lost sectors read as zeros.
	Zeros
	// Garbage keeps names and sizes; lost sectors read as random bytes.
	Garbage
	// LostEntry keeps contents and sizes, and loses directory entries.
	LostEntry
	// LostSize keeps contents and names, and loses sizes.
	LostSize
	// Mixture draws one of these for each operation.
	Mixture
	// Variants is the number of variants, Mixture included.
	Variants
)

var variantNames = [Variants]string{
	"prefix", "subset", "reordered", "torn", "zeros", "garbage", "lost entry", "lost size", "mixture",
}

func (v Variant) String() string { return variantNames[v] }

// pendingOp is an operation, on a file or on names, whose fate a crash decides.
type pendingOp struct {
	origin
	inode *inode
	file  fileOp
	name  *nameOp
}

// units counts the parts that are kept or lost independently.
func (o *pendingOp) units() int {
	if o.inode == nil || o.file.kind != opWrite {
		return 1
	}
	return int((o.file.off+o.file.length-1)/sectorBytes - o.file.off/sectorBytes + 1)
}

// Crash is a power loss: unsynced operations meet the variant's fate, all handles and locks become invalid, and the
// disk shows the surviving state.
func (d *Disk) Crash(v Variant) {
	d.cutBatches()
	pending := d.gather()
	d.endBatches()
	switch v {
	case Prefix:
		d.crashPrefix(pending)
	case Reordered:
		d.crashReordered(pending)
	case Torn:
		d.crashTorn(pending)
	default:
		d.crashEach(v, pending)
	}
	d.pending, d.names = nil, nil
	d.restart(d.root, func(i *inode) { i.ops, i.isPending = nil, false })
}

// Kill ends the process but not the machine: handles and locks become invalid, unfinished batches are cut, and unsynced
// data stays in the cache.
func (d *Disk) Kill() {
	d.cutBatches()
	for _, i := range d.pending {
		i.ops = slices.DeleteFunc(slices.Clone(i.ops), func(o fileOp) bool { return !o.happened() })
	}
	d.names = slices.DeleteFunc(slices.Clone(d.names), func(o nameOp) bool { return !o.happened() })
	d.endBatches()
	for _, i := range d.pending {
		i.makeDurable()
	}
	d.tidy()
	d.names = makeNamesDurable(d.names)
	d.restart(d.root, func(*inode) {})
	for _, o := range d.names {
		for _, e := range o.edits {
			e.apply(e.dir.names)
		}
	}
	d.used = 0
	d.measure(d.root)
}

// restart calls change for every inode, and sets its cache to the state of the disk.
func (d *Disk) restart(root *inode, change func(*inode)) {
	d.life++
	clear(d.handles)
	clear(d.locks)
	seen := map[*inode]bool{}
	var walk func(i *inode)
	walk = func(i *inode) {
		if seen[i] {
			return
		}
		seen[i] = true
		change(i)
		if !i.isDir() {
			i.disk.resize(i.disk.size) // drop data beyond the size
			i.refresh()
			i.unsynced, i.links = nil, 0
			return
		}
		i.names = maps.Clone(i.durable)
		for _, child := range i.durable {
			walk(child)
		}
	}
	walk(root)
	for _, i := range d.pending {
		walk(i)
	}
	for _, o := range d.names { // inodes that only a pending entry refers to
		for _, e := range o.edits {
			walk(e.dir)
			if e.to != nil {
				walk(e.to)
			}
		}
	}
	d.used = 0
	d.measure(root)
}

func (d *Disk) measure(i *inode) {
	d.used += i.cache.size
	for _, child := range i.names {
		d.measure(child)
	}
}

// gather makes durable the operations covered by syncs that happened. It returns the operations whose fate a crash
// decides, in call order.
func (d *Disk) gather() []pendingOp {
	var pending []pendingOp
	for _, i := range d.pending {
		ops := slices.DeleteFunc(slices.Clone(i.ops), func(o fileOp) bool { return !o.happened() })
		end := 0
		for k := range ops {
			if ops[k].kind == opSync {
				end = k + 1
			}
		}
		for k := range ops {
			switch {
			case ops[k].failed:
				d.dropHalf(&ops[k], &i.disk)
			case k < end:
				i.complete(&ops[k])
			case ops[k].kind == opWrite && slices.Contains(i.reservedPages(&ops[k]), true) && d.random.IntN(4) == 0:
				// Its pages stay reserved, and read as zeros.
			default:
				pending = append(pending, pendingOp{origin: ops[k].origin, inode: i, file: ops[k]})
			}
		}
	}
	names := slices.DeleteFunc(slices.Clone(d.names), func(o nameOp) bool { return !o.happened() })
	for k := range names {
		names[k].batch = nil
	}
	names = makeNamesDurable(names)
	for k := range names {
		pending = append(pending, pendingOp{origin: names[k].origin, name: &names[k]})
	}
	slices.SortFunc(pending, func(a, b pendingOp) int { return cmp.Compare(a.seq, b.seq) })
	return pending
}

// keep applies an operation completely.
func (o *pendingOp) keep() {
	if o.inode != nil {
		o.file.apply(&o.inode.disk)
		return
	}
	for _, e := range o.name.edits {
		e.apply(e.dir.durable)
	}
}

// piece writes the bytes lo to hi of a write.
func (o *fileOp) piece(t *table, lo, hi int64) {
	if hi <= lo {
		return
	}
	var p []byte
	if o.data != nil {
		p = o.data[lo:hi]
	}
	t.put(o.off+lo, p, hi-lo)
}

// sectors calls f with the range of each sector of a write, relative to its beginning.
func (o *fileOp) sectors(f func(lo, hi int64)) {
	for lo := int64(0); lo < o.length; {
		hi := min((o.off+lo)/sectorBytes*sectorBytes+sectorBytes-o.off, o.length)
		f(lo, hi)
		lo = hi
	}
}

// dropHalf keeps each sector of a write, or a size, with a probability of one half.
func (d *Disk) dropHalf(o *fileOp, t *table) { d.drop(o, t, 4) }

// drop keeps each part with a probability of eighths/8.
func (d *Disk) drop(o *fileOp, t *table, eighths int) {
	if o.kind != opWrite {
		if d.random.IntN(8) < eighths {
			o.apply(t)
		}
		return
	}
	o.sectors(func(lo, hi int64) {
		if d.random.IntN(8) < eighths {
			o.piece(t, lo, hi)
		}
	})
}

// tear keeps a part of a write, to the byte: its beginning, its end, or both.
func (d *Disk) tear(o *fileOp, t *table) {
	if o.kind != opWrite {
		d.dropHalf(o, t)
		return
	}
	a, b := d.random.Int64N(o.length+1), d.random.Int64N(o.length+1)
	switch d.random.IntN(3) {
	case 0:
		o.piece(t, 0, a)
	case 1:
		o.piece(t, a, o.length)
	default:
		o.piece(t, 0, min(a, b))
		o.piece(t, max(a, b), o.length)
	}
}

// corrupt keeps each sector of a write with a probability of one half, and overwrites the others.
func (d *Disk) corrupt(o *fileOp, t *table, garbage bool) {
	if o.kind != opWrite {
		o.apply(t)
		return
	}
	o.sectors(func(lo, hi int64) {
		switch {
		case d.random.IntN(2) == 0:
			o.piece(t, lo, hi)
		case garbage:
			t.put(o.off+lo, garble(d.random, hi-lo), hi-lo)
		default:
			t.put(o.off+lo, nil, hi-lo)
		}
	})
}

func garble(r *rand.Rand, n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func (d *Disk) crashPrefix(pending []pendingOp) {
	total := 0
	for k := range pending {
		total += pending[k].units()
	}
	left := d.random.IntN(total + 1)
	for k := range pending {
		o := &pending[k]
		if n := o.units(); n <= left {
			o.keep()
			left -= n
			continue
		}
		if o.inode != nil {
			o.file.sectors(func(lo, hi int64) {
				if left > 0 {
					o.file.piece(&o.inode.disk, lo, hi)
					left--
				}
			})
		}
		return
	}
}

func (d *Disk) crashReordered(pending []pendingOp) {
	order := d.random.Perm(len(pending))
	order = order[:d.random.IntN(len(pending)+1)]
	slices.Sort(order) // of several kept writes to one place, the newest wins
	for _, k := range order {
		pending[k].keep()
	}
}

func (d *Disk) crashTorn(pending []pendingOp) {
	cut := d.random.IntN(len(pending) + 1)
	for k := range pending[:cut] {
		pending[k].keep()
	}
	if cut < len(pending) && pending[cut].inode != nil {
		d.tear(&pending[cut].file, &pending[cut].inode.disk)
	}
}

// crashEach decides the fate of each operation independently.
func (d *Disk) crashEach(v Variant, pending []pendingOp) {
	eighths := []int{1, 4, 7}[d.random.IntN(3)]
	for k := range pending {
		one := v
		if v == Mixture {
			one = Variant(d.random.IntN(int(Variants)))
		}
		d.applyFate(one, &pending[k], eighths)
	}
}

// applyFate decides the fate of one operation.
func (d *Disk) applyFate(v Variant, o *pendingOp, eighths int) {
	if o.inode == nil {
		kept := true
		switch v {
		case Subset, Reordered, Torn, LostEntry, Mixture:
			kept = d.random.IntN(8) < eighths
		}
		if kept {
			o.keep()
		}
		return
	}
	t := &o.inode.disk
	switch v {
	case Subset, Reordered, Mixture:
		d.drop(&o.file, t, eighths)
	case Torn:
		d.tear(&o.file, t)
	case Zeros, Garbage:
		d.corrupt(&o.file, t, v == Garbage)
	case LostSize:
		if o.file.kind == opWrite {
			o.file.apply(t)
		} else if d.random.IntN(8) < 8-eighths {
			o.file.apply(t)
		}
	default: // Prefix, LostEntry
		o.keep()
	}
}

// Clone returns a disk of the same state, with its own seed, faults, trace and hook. Handles, locks and batches of the
// original are not valid for it. A crash of the clone still cuts the original's unfinished batches.
func (d *Disk) Clone(seed uint64) *Disk {
	c := New(seed)
	c.life, c.seq = d.life, d.seq
	c.capacity, c.used, c.others = d.capacity, d.used, d.others
	c.guarded, c.guardPanic = d.guarded, d.guardPanic
	k := cloner{c, map[*inode]*inode{}, map[*Batch]*Batch{}}
	c.root = k.inode(d.root)
	for _, o := range d.names {
		edits := make([]edit, len(o.edits))
		for i, e := range o.edits {
			edits[i] = edit{k.inode(e.dir), e.name, k.inode(e.to)}
		}
		c.names = append(c.names, nameOp{origin: k.origin(o.origin), edits: edits, sync: k.inode(o.sync)})
	}
	for _, i := range d.pending {
		c.pending = append(c.pending, k.inode(i))
	}
	return c
}

// cloner remembers the copies of shared inodes and batches.
type cloner struct {
	d       *Disk
	inodes  map[*inode]*inode
	batches map[*Batch]*Batch
}

func (k cloner) origin(o origin) origin {
	if o.batch == nil {
		return o
	}
	b := k.batches[o.batch]
	if b == nil {
		copied := *o.batch
		b = &copied
		b.d = k.d
		k.batches[o.batch] = b
		if !b.finished {
			k.d.open = append(k.d.open, b)
		}
	}
	o.batch = b
	return o
}

func (k cloner) inode(i *inode) *inode {
	if i == nil {
		return nil
	}
	if c := k.inodes[i]; c != nil {
		return c
	}
	c := &inode{isPending: i.isPending}
	k.inodes[i] = c
	c.cache, c.disk = i.cache.clone(), i.disk.clone()
	c.synced, c.unsynced, c.reserved = slices.Clone(i.synced), slices.Clone(i.unsynced), slices.Clone(i.reserved)
	for _, o := range i.ops {
		o.origin = k.origin(o.origin)
		c.ops = append(c.ops, o)
	}
	if i.isDir() {
		c.names, c.durable = k.entries(i.names), k.entries(i.durable)
	}
	return c
}

// entries copies a directory's entries ordered by name, so that cloning is deterministic.
func (k cloner) entries(names map[string]*inode) map[string]*inode {
	c := make(map[string]*inode, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c[name] = k.inode(names[name])
	}
	return c
}
