package index

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Apply applies one entry and appends the results of its commands, one for each. Empty data, as in raft's own entries,
// only advance the applied index. An error means that this qkv does not understand the entry: nothing was changed, and
// the member must stop; or it is ErrUnread. Apply keeps no reference to data. An entry that does not follow the applied one is a bug and
// panics.
func (s *State) Apply(entry, term uint64, data []byte, results []kv.Result) ([]kv.Result, error) {
	return s.ApplyUntil(entry, term, data, math.MaxInt64, results)
}

// ApplyUntil is Apply, but it leaves out the commands behind the one that makes this revision: the state is then as if
// the entry ended there. It is for a restore. No member has that state, so the next entry must not be applied.
func (s *State) ApplyUntil(entry, term uint64, data []byte, revision int64, results []kv.Result) ([]kv.Result, error) {
	if entry != s.applied+1 || term < s.term {
		panic(fmt.Sprintf("entry %d of term %d cannot follow the applied entry %d of term %d", entry, term, s.applied, s.term))
	}
	if len(data) > 0 {
		envelope, err := s.decode(data)
		if err == nil {
			err = s.warm()
		}
		if err != nil {
			clear(s.scratch.commands) // they refer to data
			return results, err
		}
		s.term = term
		results = s.applyAll(&envelope, revision, results)
	}
	s.applied, s.term = entry, term
	if s.check.entry == entry {
		s.own = ownDigest{entry: entry, digest: s.Digest()}
	}
	return results, nil
}

// ApplyChange is Apply for an entry that raft treats as a configuration change. A membership change takes effect only in
// such an entry, and at most one per entry. The caller compares Configuration before and after to tell raft about the
// change.
func (s *State) ApplyChange(entry, term uint64, data []byte, results []kv.Result) ([]kv.Result, error) {
	s.changing = true
	results, err := s.Apply(entry, term, data, results)
	s.changing = false
	return results, err
}

// decode reads the whole envelope before any of it has an effect.
func (s *State) decode(data []byte) (e Envelope, err error) {
	e, err = ReadEnvelope(data)
	if err != nil {
		return e, err
	}
	if e.Level > MaxLevel {
		return e, newerLevel("the batch was proposed at", e.Level)
	}
	d := decoders.Get().(*decoder)
	defer d.release()
	d.reader = pack.NewExactReader(e.Commands)
	if cap(s.scratch.commands) < e.Count {
		s.scratch.commands = make([]command, 0, max(e.Count, limits.BatchCommands))
	}
	s.scratch.commands = s.scratch.commands[:e.Count]
	for i := range s.scratch.commands {
		if err := s.scratch.commands[i].read(&d.reader); err != nil {
			return e, fmt.Errorf("command %d of %d: %w", i, e.Count, err)
		}
	}
	return e, d.reader.Done()
}

// applyAll applies the decoded commands, and stops behind the one that makes revision `until`. Then it frees memory, in
// steps that are bounded by the size of the commands' additions.
func (s *State) applyAll(envelope *Envelope, until int64, results []kv.Result) []kv.Result {
	envelope.Wall = max(envelope.Wall, 0) // differences of times do not overflow
	s.sessions.moveClock(envelope.Member, envelope.Wall)
	s.wall = max(s.wall, envelope.Wall)
	began := s.beginBatch()
	before := len(results)
	for rest := s.scratch.commands; len(rest) > 0; {
		next := rest[:min(len(rest), prefetchCommands)]
		rest = rest[len(next):]
		s.keys.prefetch(next)
		for i := range next {
			if s.revision >= until {
				rest = nil
				break
			}
			results = append(results, s.apply(&next[i]))
		}
	}
	applied := len(results) - before
	s.sessions.endSilent(s.sessions.rules.Ends + applied)
	s.accounts.author.setAuthor(nil)
	clear(s.scratch.commands) // they refer to data
	s.finishBatch(&began, envelope.Wall, applied)
	return results
}

// batchStart is the state's revision, its totals.weight and memory.allocated before a batch.
type batchStart struct{ revision, weight, allocated int64 }

func (s *State) beginBatch() batchStart {
	return batchStart{s.revision, s.totals.weight, s.keys.memory.allocated}
}

// finishBatch records the time of a batch's revisions, and frees memory in steps that are bounded by the batch.
func (s *State) finishBatch(began *batchStart, wall int64, commands int) {
	s.keys.flushNewKeys()
	if s.revision != began.revision {
		s.times.note(point{revision: s.history.next(began.revision), wall: s.wall, weight: began.weight}, wall)
	}
	s.times.trim(s.oldest())
	work := s.limits.CompactionWork + commandWork*int64(commands) + (s.totals.weight-began.weight)*dropWork/versionOverhead
	s.setBudget()
	s.drop(work)
	if s.budget == 0 || s.overBudget() { // below the budget, superseded values wait for a pause of the writes
		s.evictValues(work)
	}
	s.evacuate(s.limits.EvacuationBytes + evacuationPerByte*(s.keys.memory.allocated-began.allocated))
}

func (s *State) apply(c *command) kv.Result {
	if s.auth.Enabled() { // before the alarms, and before the outcome of a named write is given away
		if err := s.accounts.permits(c, s); err != nil {
			return s.refused(err)
		}
	}
	s.accounts.author.setAuthor(c.name)
	switch {
	case c.once.Session == 0:
		return s.perform(c)
	case c.once.Check() != nil:
		return s.refused(c.once.Check())
	}
	return s.applyOnce(c)
}

// perform applies a command, whether it has a write name or not.
func (s *State) perform(c *command) kv.Result {
	if e := c.refusal(); e != nil {
		return s.refused(e)
	}
	if grows := kinds[c.kind].grows; grows != nil && s.alarms.has(kv.NoSpaceAlarm) && grows(c) {
		return s.refused(errNoSpace)
	}
	return kinds[c.kind].apply(s, c)
}

// versionOverhead is the weight of a version in addition to its key and value: about its size in memory.
const versionOverhead = 64

func weight(key, value int) int64 { return int64(versionOverhead + key + value) }

// find returns a key's record, or 0.
func (s *keyspace) find(hash uint64, key []byte) ref {
	r, overflow := s.table.find(hash, key)
	if r == 0 && overflow {
		s.flushNewKeys()
		r, _ = s.tree.Get(s.probe.set(key))
	}
	return r
}

// putAlone puts a key at a revision of its own.
func (s *State) putAlone(c *command) kv.Result {
	p := &c.put
	if err := s.leases.refuses(p.Lease); err != nil {
		return s.refused(err)
	}
	if p.IgnoreValue || p.IgnoreLease {
		if r := s.keys.find(c.hash, p.Key); r == 0 || r.record().newest().has(tombstone) {
			return s.refused(keyNotFound(p.Key))
		}
	}
	s.put(c.hash, p)
	s.endRevision()
	return kv.Result{Revision: s.revision}
}

// deleteAlone deletes a key or a range at a revision of its own.
func (s *State) deleteAlone(c *command) kv.Result {
	deleted := s.delete(c.hash, c.delete.Key, c.delete.End)
	s.endRevision()
	return kv.Result{Revision: s.revision, Deleted: deleted}
}

// refuses returns why a key cannot have this lease, or nil; 0 means none.
func (s *leaseState) refuses(id int64) *kv.Error {
	if id != 0 {
		if _, ok := s.Lease(id); !ok {
			return leaseNotFound(id)
		}
	}
	return nil
}

func keyNotFound(key []byte) *kv.Error {
	return kv.Errorf(kv.KeyNotFound, "the key %q does not exist: a put cannot keep its value or lease", key)
}

// put puts a key in the current revision. With IgnoreValue or IgnoreLease the key must exist.
func (s *State) put(hash uint64, p *kv.Put) {
	s.counts.Puts++
	s.counts.PutBytes += uint64(len(p.Key) + len(p.Value))
	r := s.keys.find(hash, p.Key)
	if r != 0 {
		if newest := r.record().newest(); p.IgnoreValue || p.IgnoreLease {
			s.addVersion(r, hash, withKeptFields(newest, p))
		} else {
			s.addVersion(r, hash, p)
		}
		return
	}
	r = s.keys.newRecord(p.Key)
	s.addVersion(r, hash, p)
	s.keys.table.insert(hash, r)
	s.keys.newKeys = append(s.keys.newKeys, r)
}

// withKeptFields returns the put with the value or lease of the previous version, as IgnoreValue and IgnoreLease demand.
func withKeptFields(before *version, p *kv.Put) *kv.Put {
	whole := *p
	if p.IgnoreValue {
		whole.Value = before.value()
	}
	if p.IgnoreLease {
		whole.Lease = before.lease()
	}
	return &whole
}

// endRevision makes the collected changes the next revision, if there are any.
func (s *State) endRevision() {
	switch len(s.scratch.made) {
	case 0:
		return
	case 1:
		s.history.add(s.scratch.made[0])
	default:
		g := &group{changes: make([]atomic.Uint64, len(s.scratch.made))}
		for i, at := range s.scratch.made {
			g.changes[i].Store(changeWord(at))
		}
		s.history.addGroup(g)
	}
	s.countExtents()
	s.revision++
	if s.scratch.made = s.scratch.made[:0]; cap(s.scratch.made) > changesKept {
		s.scratch.made = nil // the buffer of a large deletion
	}
}

// newRecord makes the record of a new key. It needs a version before the table or tree contains it.
func (s *keyspace) newRecord(key []byte) ref {
	r := s.memory.alloc(&s.records, recordSize(len(key)))
	record := r.record()
	record.head.Store(0)
	record.size, record.owner = uint16(len(key)), 0
	record.unuse()
	copy(record.key(), key)
	return r
}

// addVersion makes a put the newest version of a key.
func (s *State) addVersion(r ref, hash uint64, p *kv.Put) {
	record := r.record()
	before := ref(record.head.Load())
	mod := s.revision + 1
	flags, create, number := uint32(0), mod, int64(1)
	var words [2]int64
	switch {
	case before == 0:
		flags = created
	case before.version().has(tombstone):
		flags = created | recreated
		words = [2]int64{before.version().mod, int64(before.version().sub)}
		s.keys.tombstoned.Delete(r)
		s.keys.changed = true
	default:
		create, number = before.version().create(), before.version().number()+1
		words = [2]int64{create, number}
		s.supersede(r, before.version(), nil)
	}
	if p.Lease != 0 {
		flags |= leased
		s.leases.attach(p.Lease, r)
	}
	at := s.newVersion(flags, len(p.Value), s.accounts.authorOfChange())
	v := at.version()
	v.sum = sumOf(hash, p.Value, create, mod, int64(v.sub), number, p.Lease, v.author())
	v.setWords(words, p.Lease)
	copy(v.value(), p.Value)
	r.push(at, before)
	s.scratch.made = append(s.scratch.made, at)
	s.totals.live++
	s.totals.liveBytes += int64(len(p.Key) + len(p.Value))
	s.addToSums(v)
}

func (s *State) addToSums(v *version) {
	s.totals.sum += v.sum
	s.history.keptSum += v.sum
	s.history.kept++
}

func (s *State) newVersion(flags uint32, value int, author uint32) ref {
	if author != 0 {
		flags |= authored
	}
	at := s.keys.memory.alloc(&s.keys.versions, versionSize(flags, value))
	s.history.valueBytes += int64(value)
	v := at.version()
	v.shape = uint32(value)<<flagBits | flags
	v.mod, v.sub, v.owner = s.revision+1, uint32(len(s.scratch.made)), 0
	if author != 0 {
		*v.authorWord() = author
	}
	return at
}

// setWords fills the words between a version's header and its value.
func (v *version) setWords(words [2]int64, lease int64) {
	n := 0
	if pair(v.flags()) {
		*v.word(0), *v.word(1) = words[0], words[1]
		n = 2
	}
	if v.has(leased) {
		*v.word(n) = lease
	}
}

// push makes a version, complete except for its links, the newest version of a record's key.
func (r ref) push(at, before ref) {
	v := at.version()
	v.record.Store(uint64(r))
	v.prev.Store(uint64(before))
	if before != 0 {
		before.version().setNewer(at)
	}
	r.record().head.Store(uint64(at))
}

// supersede removes the previously newest version from the live counts. hint is for the tree of attached keys, or nil.
func (s *State) supersede(r ref, v *version, hint *btree.PathHint) {
	size := int(r.record().size)
	if v.has(cold) {
		s.coldLive -= int64(v.valueSize())
	}
	s.totals.live--
	s.totals.liveBytes -= int64(size) + int64(v.valueSize())
	s.totals.weight += weight(size, v.valueSize())
	s.leases.detach(v.lease(), r, hint)
}

// delete deletes a key, or all keys of a range, in the current revision, and returns their number.
func (s *State) delete(hash uint64, key, end []byte) (deleted int64) {
	s.counts.Deletes++
	matches := s.scratch.matches[:0]
	if len(end) == 0 {
		if r := s.keys.find(hash, key); r != 0 && !r.record().newest().has(tombstone) {
			matches = append(matches, r)
		}
	} else {
		s.keys.each(key, end, func(r ref) bool {
			matches = append(matches, r)
			return true
		})
	}
	s.addTombstones(matches)
	return int64(len(matches))
}

// each calls f with the records of a range's live keys, until f returns false.
func (s *keyspace) each(key, end []byte, f func(r ref) bool) {
	s.flushNewKeys()
	s.tree.Ascend(s.probe.set(key), func(r ref) bool {
		if beyond(r.record().key(), end) {
			return false
		}
		return r.record().newest().has(tombstone) || f(r)
	})
}

// pathHints remember the last key's position in the trees, for keys in key order: the next key is close to it. A lookup
// from the root for each key is half the cost of a large deletion.
type pathHints struct{ tombstoned, attached btree.PathHint }

// addTombstones deletes keys that are in key order. The slice reuses s.scratch.matches and is kept for the next call.
func (s *State) addTombstones(matches []ref) {
	s.scratch.hints = pathHints{}
	s.scratch.made = slices.Grow(s.scratch.made, len(matches))
	for _, r := range matches {
		s.addTombstone(r)
	}
	if s.scratch.matches = matches[:0]; cap(matches) > changesKept {
		s.scratch.matches = nil // the buffer of a large deletion
	}
}

// addTombstone makes a tombstone the newest version of a key.
func (s *State) addTombstone(r ref) {
	record := r.record()
	before := ref(record.head.Load())
	s.supersede(r, before.version(), &s.scratch.hints.attached)
	at := s.newVersion(tombstone, 0, s.accounts.authorOfChange())
	v := at.version()
	v.sum = sumOf(hashOf(record.key()), nil, 0, v.mod, int64(v.sub), 0, 0, v.author())
	s.totals.weight += weight(int(record.size), 0)
	r.push(at, before)
	s.scratch.made = append(s.scratch.made, at)
	s.keys.tombstoned.SetHint(r, &s.scratch.hints.tombstoned)
	s.keys.changed = true
	s.addToSums(v)
}

// beyond says that a key is at or after the end of a range. The end "\0" means no end.
func beyond(key, end []byte) bool {
	if len(end) == 1 && end[0] == 0 {
		return false
	}
	return bytes.Compare(key, end) >= 0
}

func (s *State) changeConfiguration(c *command) kv.Result {
	if !s.changing {
		return s.refused(kv.Errorf(kv.BadRequest, "a membership change in an entry of another type"))
	}
	s.changing = false
	if c.kind == kindEndExchange {
		return s.changeMembers(s.members.EndExchange(), nil)
	}
	return s.changeMembers(s.members.Change(c.change, s.wall))
}

// changeMembers stores the changed members, unless the change was refused.
func (s *State) changeMembers(next Members, err *kv.Error) kv.Result {
	if err == nil {
		err = next.check()
	}
	if err != nil {
		return s.refused(err)
	}
	s.members = next
	s.alarms.disarm(func(one kv.Alarm) bool { return next.Get(one.Member) == nil })
	return kv.Result{Revision: s.revision}
}

func (s *State) raiseLevel(c *command) kv.Result {
	if c.level < s.level {
		return s.refused(kv.Errorf(kv.FeatureLevel, "the feature level is %d already and never falls to %d", s.level, c.level))
	}
	s.level = c.level
	return kv.Result{Revision: s.revision}
}

func (r *replicated) refused(e *kv.Error) kv.Result { return kv.Result{Revision: r.revision, Err: e} }

// A key that was not used for a while costs its command four cache misses: the table's slot, the record, the newest
// version, and the version that compaction drops for it. One after the other they are most of the cost of a put.
// Therefore a part of the batch first visits these locations, one kind after the other: independent loads overlap. The
// loaded data are discarded; only the timing depends on them.

// prefetchCommands is the number of keys that are prefetched at once. Their memory fits the caches.
const prefetchCommands = 128

// prefetching is scratch space for prefetching.
type prefetching struct {
	hashes [prefetchCommands]uint64
	slots  [prefetchCommands]*atomic.Uint64
	refs   [prefetchCommands]ref
	sink   uint64 // keeps the compiler from removing the loads
}

// prefetch hashes the keys of at most prefetchCommands commands and loads the memory that they will need.
func (s *keyspace) prefetch(commands []command) {
	w := &s.prefetching
	for i := range commands {
		c := &commands[i]
		c.hash = hashOf(c.firstKey())
		w.hashes[i] = c.hash
	}
	s.prefetchHashes(len(commands))
}

// firstKey returns the key that a command needs first, if any.
func (c *command) firstKey() []byte {
	switch c.kind {
	case kindPut:
		return c.put.Key
	case kindDelete:
		return c.delete.Key
	case kindTxn:
		return firstKey(c.txn)
	}
	return nil
}

// firstKey returns the key that a transaction needs first. Most transactions have one key, or prefetch the others
// themselves.
func firstKey(t *kv.Txn) []byte {
	switch {
	case len(t.Compares) > 0:
		return t.Compares[0].Key
	case len(t.Success) > 0 && t.Success[0].Put != nil:
		return t.Success[0].Put.Key
	}
	return nil
}

// prefetchOps hashes the keys of at most prefetchCommands operations and loads the memory that the puts will need. It
// returns the hashes, which are valid until the next prefetch.
func (s *keyspace) prefetchOps(ops []kv.Op) []uint64 {
	w := &s.prefetching
	for i := range ops {
		w.hashes[i] = 0
		if p := ops[i].Put; p != nil {
			w.hashes[i] = hashOf(p.Key)
		}
	}
	s.prefetchHashes(len(ops))
	return w.hashes[:len(ops)]
}

// prefetchHashes loads the memory for the first n hashes of s.prefetching.
func (s *keyspace) prefetchHashes(n int) {
	w := &s.prefetching
	d := s.table.dir.Load()
	for i, hash := range w.hashes[:n] {
		w.slots[i] = &d.segments[d.entry(hash)].Load().slots[startOf(hash)]
	}
	sum := uint64(0)
	for _, slot := range w.slots[:n] {
		sum += slot.Load()
	}
	refs := w.refs[:0]
	for _, hash := range w.hashes[:n] {
		if r := s.table.segment(hash).guess(hash); r != 0 {
			refs = append(refs, r)
		}
	}
	for _, r := range refs {
		sum += r.record().head.Load()
	}
	for i, r := range refs {
		refs[i] = ref(r.record().head.Load())
	}
	for _, at := range refs {
		sum += at.version().sum + at.version().prev.Load()
	}
	w.sink += sum
}

// guess returns the first record whose slot has the fingerprint of the hash, or 0.
func (s *segment) guess(hash uint64) ref {
	want := finger(hash)
	for i := startOf(hash); i < segmentSlots; i++ {
		slot := s.slots[i].Load()
		if slot == 0 {
			break
		}
		if slot&^refMask == want && slot != slotRemoved {
			return ref(slot & refMask)
		}
	}
	return 0
}

// prefetchHistory loads the memory that the versions before the changes of the next slots need to be dropped, or let go.
func (s *store) prefetchHistory(from int64) {
	w := &s.keys.prefetching
	h := &s.history
	refs := w.refs[:0]
	for slot := from; slot < min(h.slots.end, from+prefetchCommands); slot++ {
		if change := h.slots.at(slot).Load(); change&(slotGroup|changeCreated) == 0 {
			refs = append(refs, refOfChange(change))
		}
	}
	sum := uint64(0)
	for _, at := range refs {
		sum += at.version().prev.Load()
	}
	for _, at := range refs {
		v := at.version()
		sum += uint64(ref(v.record.Load()).record().size)
		if older := v.older(); older != 0 {
			sum += uint64(older.version().shape)
		}
	}
	w.sink += sum
}

// prefetchNeighbours loads the memory that relocating the next versions of the evacuated slab will need.
func (s *keyspace) prefetchNeighbours() {
	w, e := &s.prefetching, &s.evacuation
	refs := w.refs[:0]
	for e.prefetched = e.offset; e.prefetched < e.source.used && len(refs) < prefetchCommands-1; {
		v := (e.source.address + ref(e.prefetched)).version()
		if e.prefetched += v.size(); v.owner&versionDead != 0 {
			continue
		}
		next := v.newer()
		if next == 0 {
			next = ref(v.record.Load())
		}
		if refs = append(refs, next); v.owner&prevDropped == 0 && v.prev.Load() != 0 {
			refs = append(refs, ref(v.prev.Load()))
		}
	}
	sum := uint64(0)
	for _, r := range refs {
		sum += *(*uint64)(r.pointer())
	}
	w.sink += sum
}
