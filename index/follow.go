package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// following is the source whose revisions the state takes over, and the progress. It is never changed in place.
type following struct {
	source uint64 // the id of the source cluster
	name   string // for messages
	// at is the newest accepted record.
	at Position
	// loaded says that the state has all data that the source had at some revision. Until then reads are refused.
	loaded bool
	// pending are the records of an incomplete revision, as AppendRecord wrote them. pendingBytes is their size, and
	// pendingSum the sum of their hashes.
	pending      [][]byte
	pendingBytes int64
	pendingSum   uint64
}

// FollowStatus is the progress of a state that follows a source.
type FollowStatus struct {
	Source uint64
	Name   string
	At     Position // the newest accepted record
	Held   bool     // the revision of At is incomplete
	Loaded bool
}

// Following returns the source that the state follows, or nil.
func (v *View) Following() *FollowStatus {
	if v.following == nil {
		return nil
	}
	f := v.following
	return &FollowStatus{Source: f.source, Name: f.name, At: f.at, Held: len(f.pending) > 0, Loaded: f.loaded}
}

// Inherited returns the compacted revision of the source that the state follows or followed; 0: none.
func (v *View) Inherited() int64 { return v.inherited }

// AppendFollow appends a step of following, which a client has encoded, with this author in the place of the one that the client claims.
func (h *Head) AppendFollow(dst, step []byte) ([]byte, error) {
	r := pack.NewExactReader(step)
	n, c := r.Array(), command{kind: r.Uint()}
	version := r.Uint()
	if c.readHead(&r); r.Err() != nil {
		return dst, fmt.Errorf("read a step of following: %w", r.Err())
	}
	if n != commandFields || c.kind != kindFollow || version != commandVersion {
		return dst, fmt.Errorf("a command of kind %d and version %d with %d fields is no step of following", c.kind, version, n)
	}
	return append(h.append(dst, kindFollow), r.Rest()...), nil
}

// FollowedRecord is one version of a source with all its metadata.
type FollowedRecord struct {
	Key []byte
	Version
}

// The steps of a command of kind 16.
const (
	followBegin   = 1
	followRecords = 2
	followLeases  = 3
	followLoaded  = 4
	followCompact = 5
	followEnd     = 6

	recordFields      = 8
	followLeaseFields = 3
	followingFields   = 2
	sourceFields      = 6
)

// followFields is the number of fields of each step.
var followFields = [...]int{followBegin: 4, followRecords: 7, followLeases: 5, followLoaded: 3, followCompact: 3, followEnd: 3}

// follow is a decoded command of kind 16.
type follow struct {
	step     uint64
	source   uint64
	name     string
	revision int64 // the source's compacted, loaded, compact or last revision, by step
	after    Position
	complete bool
	ttl      int64
	records  [][]byte
	from, to int64
	leases   []kv.Lease
}

func appendFollow(dst []byte, step, source uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindFollow), followFields[step])
	return pack.AppendUint(pack.AppendUint(dst, step), source)
}

// AppendFollowBegin appends the command with which an empty state begins to follow a source; compacted is the source's
// compacted revision (0: none).
func AppendFollowBegin(dst []byte, source uint64, name string, compacted int64) []byte {
	return pack.AppendInt(pack.AppendString(appendFollow(dst, followBegin, source), name), compacted)
}

// AppendFollowRecords appends the command that takes over the records after a position, in order, each written by
// AppendRecord. complete says that the last record is the last one of its revision. An unknown lease is granted for ttl
// seconds.
func AppendFollowRecords(dst []byte, source uint64, after Position, complete bool, ttl int64, records [][]byte) []byte {
	dst = appendFollow(dst, followRecords, source)
	dst = pack.AppendInt(pack.AppendInt(dst, after.Revision), after.Sub)
	dst = pack.AppendArray(pack.AppendInt(pack.AppendBool(dst, complete), ttl), len(records))
	for _, one := range records {
		dst = pack.AppendBytes(dst, one)
	}
	return dst
}

// AppendFollowLeases appends the command that lists the source's leases with ids from from to to. Other leases in that
// range are removed if they have no keys.
func AppendFollowLeases(dst []byte, source uint64, from, to int64, leases []kv.Lease) []byte {
	dst = appendFollow(dst, followLeases, source)
	dst = pack.AppendArray(pack.AppendInt(pack.AppendInt(dst, from), to), len(leases))
	for _, l := range leases {
		dst = pack.AppendInt(pack.AppendArray(dst, followLeaseFields), l.ID)
		dst = pack.AppendInt(pack.AppendInt(dst, l.TTL), l.Remaining)
	}
	return dst
}

// AppendFollowLoaded appends the command that says that the state has all data that the source had at a revision.
func AppendFollowLoaded(dst []byte, source uint64, revision int64) []byte {
	return pack.AppendInt(appendFollow(dst, followLoaded, source), revision)
}

// AppendFollowCompact appends the command that compacts as the source did.
func AppendFollowCompact(dst []byte, source uint64, revision int64) []byte {
	return pack.AppendInt(appendFollow(dst, followCompact, source), revision)
}

// AppendFollowEnd appends the command that ends following at the newest revision: from then on clients may write.
func AppendFollowEnd(dst []byte, source uint64, revision int64) []byte {
	return pack.AppendInt(appendFollow(dst, followEnd, source), revision)
}

// AppendRecord appends a record for AppendFollowRecords.
func AppendRecord(dst []byte, one *FollowedRecord) []byte {
	dst = pack.AppendInt(pack.AppendInt(pack.AppendArray(dst, recordFields), one.Mod), one.Sub)
	dst = pack.AppendBool(dst, one.Tombstone)
	dst = pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, one.Create), one.Version.Version), one.Lease)
	return pack.AppendBytes(pack.AppendBytes(dst, one.Key), one.Value)
}

func readRecord(b []byte) (one FollowedRecord, err error) {
	r := pack.NewExactReader(b)
	s := r.Struct(recordFields)
	one.Mod, one.Sub, one.Tombstone = r.Int(), r.Int(), r.Bool()
	one.Create, one.Version.Version, one.Lease = r.Int(), r.Int(), r.Int()
	one.Key, one.Value = r.Bytes(), r.Bytes()
	r.End(s)
	return one, r.Done()
}

// readFollow reads the body of a command of kind 16.
func readFollow(r *pack.Reader) *follow {
	f := &follow{}
	n := r.Array()
	f.step, f.source = r.Uint(), r.Uint()
	if r.Err() == nil && (f.step == 0 || f.step >= uint64(len(followFields))) {
		r.Fail(fmt.Sprintf("step %d of following, which this qkv does not know", f.step))
	}
	if r.Err() != nil {
		return f
	}
	s := r.Fields(n-2, followFields[f.step]-2)
	switch f.step {
	case followBegin:
		f.name, f.revision = r.String(), r.Int()
	case followRecords:
		f.after = Position{r.Int(), r.Int()}
		f.complete, f.ttl = r.Bool(), r.Int()
		for n := r.Array(); n > 0 && r.Err() == nil; n-- {
			f.records = append(f.records, r.Bytes())
		}
	case followLeases:
		f.from, f.to = r.Int(), r.Int()
		for n := r.Array(); n > 0 && r.Err() == nil; n-- {
			s := r.Struct(followLeaseFields)
			f.leases = append(f.leases, kv.Lease{ID: r.Int(), TTL: r.Int(), Remaining: r.Int()})
			r.End(s)
		}
	case followLoaded, followCompact, followEnd:
		f.revision = r.Int()
	}
	r.End(s)
	return f
}

func (f *follow) describe() string {
	switch f.step {
	case followBegin:
		return fmt.Sprintf("follow cluster %x (%s), compacted %d", f.source, f.name, f.revision)
	case followRecords:
		return fmt.Sprintf("%d records of cluster %x after %d.%d", len(f.records), f.source, f.after.Revision, f.after.Sub)
	case followLeases:
		return fmt.Sprintf("%d leases of cluster %x", len(f.leases), f.source)
	case followLoaded:
		return fmt.Sprintf("cluster %x is loaded up to revision %d", f.source, f.revision)
	case followCompact:
		return fmt.Sprintf("compact to revision %d like cluster %x", f.revision, f.source)
	}
	return fmt.Sprintf("stop following cluster %x at revision %d", f.source, f.revision)
}

// refuses returns why a command is refused while the state follows a source, or nil. Client writes and checkpoints of leases would
// make the state differ from the source.
func (f *following) refuses(kind uint64) *kv.Error {
	if f == nil || !kinds[kind].session && kind != kindCheckpoint {
		return nil
	}
	return kv.Errorf(kv.Following, "this cluster follows the etcd %s and accepts no writes until `qkv migrate from-etcd --cut-over` ends that: write to that etcd; "+
		"the write certainly did not happen", f.name)
}

// unloaded returns why reads are refused while the source's data are being loaded, or nil.
func (v *View) unloaded() error {
	if f := v.following; f != nil && !f.loaded {
		return kv.Errorf(kv.Following, "this cluster is being loaded from the etcd %s and has only a part of its keys: read there", f.name)
	}
	return nil
}

// follow applies a step. A refused step changes nothing, except that complete revisions of a refused step of records
// stay.
func (s *State) follow(f *follow) kv.Result {
	var err *kv.Error
	now := s.following
	switch {
	case f.step == followBegin:
		err = s.beginFollowing(f)
	case now == nil || now.source != f.source:
		err = kv.Errorf(kv.Following, "this cluster does not follow the etcd cluster %x", f.source)
	case f.step == followRecords:
		err = s.takeRecords(f)
	case f.step == followLeases:
		err = s.takeLeases(f)
	case len(now.pending) > 0 || f.step != followCompact && f.revision != s.revision || f.step == followEnd && !now.loaded:
		err = kv.Errorf(kv.Following, "the newest complete revision is %d, the source's is %d: records are missing", s.revision, f.revision)
	case f.step == followLoaded:
		next := *now
		s.scratch.loaded = s.scratch.loaded || !now.loaded
		next.loaded = true
		s.following = &next
	case f.step == followEnd:
		s.following = nil
	case f.revision > s.revision:
		err = kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", f.revision, s.revision)
	default:
		s.compacted = max(s.compacted, f.revision)
	}
	if err != nil {
		return s.refused(err)
	}
	return kv.Result{Revision: s.revision}
}

// beginFollowing takes over a source's compacted revision. The history begins after it. The records up to and including
// it come first.
func (s *State) beginFollowing(f *follow) *kv.Error {
	switch {
	case s.following != nil && s.following.source == f.source:
		return nil // a duplicate
	case s.following != nil:
		return kv.Errorf(kv.BadRequest, "this cluster follows the etcd %s already", s.following.name)
	case s.revision != 1 || s.history.kept != 0 || s.leases.granted.Len() != 0:
		return kv.Errorf(kv.BadRequest, "this cluster is at revision %d and has %d keys and %d leases: only a cluster that was never written to can follow another one",
			s.revision, s.totals.live, s.leases.granted.Len())
	case f.revision < 0 || f.revision > limits.FollowRevision:
		return kv.Errorf(kv.BadRequest, "a source that is compacted up to revision %d, which is not between 0 and %d", f.revision, int64(limits.FollowRevision))
	}
	next := &following{source: f.source, name: f.name}
	if err := next.check(); err != nil {
		return err
	}
	s.following = next
	s.inherited = f.revision
	if s.compacted = f.revision; f.revision > 1 {
		s.moveTo(f.revision)
		s.history.slots.startAt(f.revision + 1)
	}
	return nil
}

// check returns why a state cannot follow a source like this, or nil.
func (f *following) check() *kv.Error {
	if len(f.name) > limits.FollowNameBytes || f.pendingBytes > limits.FollowPendingBytes {
		return kv.Errorf(kv.BadRequest, "a source with a name of %d bytes and a revision of %d bytes, the limits are %d and %d",
			len(f.name), f.pendingBytes, limits.FollowNameBytes, limits.FollowPendingBytes)
	}
	return nil
}

// moveTo sets the revision of a state without history. What the source has up to there is the base.
func (s *State) moveTo(revision int64) {
	if s.revision = revision; s.extents.base > 0 {
		s.extents.begin(revision, s.compacted)
	}
}

// takeRecords takes over the records after the newest one, one complete revision at a time. Records that are duplicates
// or come too early are refused: the sender asks for the state's progress and continues from there.
func (s *State) takeRecords(f *follow) *kv.Error {
	if f.after != s.following.at {
		return kv.Errorf(kv.Following, "records after %d.%d, but the newest is %d.%d", f.after.Revision, f.after.Sub, s.following.at.Revision, s.following.at.Sub)
	}
	if l := (kv.Lease{ID: 1, TTL: f.ttl}); l.Check() != nil {
		return l.Check()
	}
	for rest := f.records; len(rest) > 0; {
		n, mod := 0, int64(0)
		for ; n < len(rest); n++ {
			one, err := readRecord(rest[n])
			if err != nil {
				return kv.Errorf(kv.BadRequest, "a record after %d.%d cannot be read: %v", s.following.at.Revision, s.following.at.Sub, err)
			}
			if n > 0 && one.Mod != mod {
				break
			}
			mod = one.Mod
		}
		group := rest[:n]
		if rest = rest[n:]; len(rest) == 0 && !f.complete {
			return s.hold(group)
		}
		if err := s.takeRevision(group, f.ttl); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps the records of a revision that continues in the next command.
func (s *State) hold(group [][]byte) *kv.Error {
	next := *s.following
	for _, b := range group {
		one, _ := readRecord(b)
		if err := next.follows(&one); err != nil {
			return err
		}
		next.at = Position{one.Mod, one.Sub}
		next.pendingBytes += int64(len(b))
		if err := next.check(); err != nil {
			return err
		}
		next.pending = append(next.pending, bytes.Clone(b))
		next.pendingSum += xxhash.Sum64(b)
	}
	s.following = &next
	return nil
}

// follows returns why a record cannot be the next one, or nil.
func (f *following) follows(one *FollowedRecord) *kv.Error {
	if (Position{one.Mod, one.Sub}).Compare(f.at) <= 0 || len(f.pending) > 0 && one.Mod != f.at.Revision {
		return kv.Errorf(kv.BadRequest, "record %d.%d cannot come after %d.%d", one.Mod, one.Sub, f.at.Revision, f.at.Sub)
	}
	return nil
}

// takeRevision takes over the records of one revision: the pending ones and the last ones.
func (s *State) takeRevision(group [][]byte, ttl int64) *kv.Error {
	next := *s.following
	all := make([]FollowedRecord, 0, len(next.pending)+len(group))
	for _, b := range next.pending {
		one, _ := readRecord(b)
		all = append(all, one)
	}
	for _, b := range group {
		one, _ := readRecord(b)
		if err := next.follows(&one); err != nil {
			return err
		}
		next.at = Position{one.Mod, one.Sub}
		all = append(all, one)
	}
	if err := s.fitsRevision(all); err != nil {
		return err
	}
	next.pending, next.pendingBytes, next.pendingSum = nil, 0, 0
	s.following = &next
	for i := range all {
		if id := all[i].Lease; id != 0 && s.checkLease(id) != nil {
			s.setLease(kv.Lease{ID: id, TTL: ttl, Granted: s.applied + 1})
		}
	}
	switch mod := all[0].Mod; {
	case mod < s.compacted:
		for i := range all {
			s.loadVersion(&all[i])
		}
		return nil
	case mod == s.compacted: // the history begins with it
		for i := range all {
			if before, needed := beforeCompacted(&all[i]); needed {
				s.loadVersion(&before)
			}
		}
		s.history.slots.startAt(mod)
		s.moveTo(mod - 1)
	}
	for i := range all {
		one := &all[i]
		hash := hashOf(one.Key)
		if one.Tombstone {
			s.addTombstone(s.keys.find(hash, one.Key))
		} else {
			s.put(hash, &kv.Put{Key: one.Key, Value: one.Value, Lease: one.Lease})
		}
	}
	s.end()
	return nil
}

// fitsRevision returns why records cannot be the next revision, or nil: the source's versions of a key must equal the
// versions that this state derives.
func (s *State) fitsRevision(all []FollowedRecord) *kv.Error {
	seen := map[string]*FollowedRecord{} // of this revision
	mod := all[0].Mod
	if mod > s.compacted && mod != s.revision+1 || mod < 2 {
		return kv.Errorf(kv.BadRequest, "revision %d cannot follow revision %d: the source lacks the revisions between", mod, s.revision)
	}
	for i := range all {
		one := &all[i]
		if e := (kv.Put{Key: one.Key, Value: one.Value}).Check(requestBounds); e != nil {
			return e
		}
		if mod >= s.compacted && one.Sub != int64(i) || one.Sub < 0 || one.Sub > math.MaxUint32 {
			return kv.Errorf(kv.BadRequest, "change %d of revision %d is number %d: the source lacks the changes between", i, mod, one.Sub)
		}
		if !s.fits(one, seen[string(one.Key)]) {
			return kv.Errorf(kv.BadRequest, "change %d.%d of the key %q (version %d since revision %d) does not continue the key's stored version: the source lacks changes",
				mod, one.Sub, one.Key, one.Version.Version, one.Create)
		}
		if len(all) > 1 {
			seen[string(one.Key)] = one
		}
	}
	return nil
}

// fits says whether a record continues the key's previous version: one of the same revision, or the newest stored one.
func (s *State) fits(one, same *FollowedRecord) bool {
	exists, create, number := false, int64(0), int64(0)
	if same != nil {
		exists, create, number = !same.Tombstone, same.Create, same.Version.Version
	} else if r := s.keys.find(hashOf(one.Key), one.Key); r != 0 {
		newest := r.record().newest()
		exists, create, number = !newest.has(tombstone), newest.create(), newest.number()
		if one.Mod <= s.compacted {
			return false // the source has at most one version of a key up to its compacted revision
		}
	}
	first := one.Version.Version == 1 && one.Create == one.Mod
	switch {
	case one.Tombstone && (one.Create != 0 || one.Version.Version != 0 || one.Lease != 0 || len(one.Value) != 0):
		return false
	case one.Tombstone && one.Mod == s.compacted && same == nil:
		return one.Mod > 2 // the tombstone of a key that no longer exists
	case one.Tombstone:
		return exists && one.Mod > s.compacted
	case one.Mod <= s.compacted:
		return same == nil && (first || one.Version.Version > 1 && one.Version.Version <= limits.FollowRevision && one.Create >= 2 && one.Create < one.Mod)
	case exists:
		return one.Create == create && one.Version.Version == number+1
	}
	return first
}

// beforeCompacted returns the version before a change of the compacted revision, which the source no longer has. No
// client can read it, but the state keeps a version before each change of its history.
func beforeCompacted(one *FollowedRecord) (before FollowedRecord, needed bool) {
	before = FollowedRecord{Key: one.Key, Version: Version{Mod: one.Mod - 1, Create: one.Create, Version: one.Version.Version - 1}}
	switch {
	case one.Tombstone:
		before.Create, before.Version.Version = before.Mod, 1
	case before.Version.Version == 1:
		before.Mod = before.Create
	}
	return before, before.Version.Version > 0
}

// loadVersion adds the single version of a key that is older than the history.
func (s *State) loadVersion(one *FollowedRecord) {
	hash := hashOf(one.Key)
	r := s.keys.newRecord(one.Key)
	flags, words := uint32(0), [2]int64{one.Create, one.Version.Version}
	if one.Version.Version == 1 {
		flags = created
		words = [2]int64{}
	}
	if one.Lease != 0 {
		flags |= leased
		s.attach(one.Lease, r)
	}
	at := s.newVersion(flags, len(one.Value), 0)
	v := at.version()
	v.mod, v.sub = one.Mod, uint32(one.Sub)
	v.sum = sumOf(hash, one.Value, one.Create, one.Mod, one.Sub, one.Version.Version, one.Lease, 0)
	v.setWords(words, one.Lease)
	copy(v.value(), one.Value)
	s.push(r, at, 0)
	s.keys.table.insert(hash, r)
	s.keys.newKeys = append(s.keys.newKeys, r)
	s.totals.live++
	s.totals.liveBytes += int64(len(one.Key) + len(one.Value))
	s.note(v)
}

// takeLeases sets the leases in a range of ids to the source's. A lease that the source no longer has stays while it has
// keys: a later revision deletes them.
func (s *State) takeLeases(f *follow) *kv.Error {
	has := map[int64]bool{}
	for i, l := range f.leases {
		if e := l.Check(); e != nil {
			return e
		}
		if l.ID < f.from || l.ID > f.to || i > 0 && f.leases[i-1].ID >= l.ID {
			return kv.Errorf(kv.BadRequest, "lease %016x is not in order, or not between %016x and %016x", uint64(l.ID), uint64(f.from), uint64(f.to))
		}
		has[l.ID] = true
	}
	var gone []kv.Lease
	s.leases.granted.Ascend(kv.Lease{ID: f.from}, func(l kv.Lease) bool {
		used := false
		if !has[l.ID] && l.ID <= f.to {
			s.leases.each(l.ID, nil, &s.keys.probe, func(ref) bool {
				used = true
				return false
			})
			if !used {
				gone = append(gone, l)
			}
		}
		return l.ID <= f.to
	})
	for _, l := range gone {
		s.removeLease(l)
	}
	for _, l := range f.leases {
		before, had := s.leases.get(l.ID)
		if had && before.TTL == l.TTL && before.Remaining == l.Remaining {
			continue
		}
		if l.Granted = s.applied + 1; had {
			l.Granted, l.By = before.Granted, before.By
		}
		s.setLease(l)
	}
	return nil
}

// appendFollowing appends the following state in the format of a snapshot's meta data.
func (r *replicated) appendFollowing(dst []byte) []byte {
	return r.following.append(pack.AppendInt(pack.AppendArray(dst, followingFields), r.inherited))
}

func (s *State) readFollowing(r *pack.Reader) {
	fields := r.Struct(followingFields)
	s.inherited = r.Int()
	s.following = readFollowing(r)
	r.End(fields)
}

func (f *following) append(dst []byte) []byte {
	if f == nil {
		return pack.AppendArray(dst, 0)
	}
	dst = pack.AppendUint(pack.AppendArray(dst, sourceFields), f.source)
	dst = pack.AppendInt(pack.AppendInt(pack.AppendString(dst, f.name), f.at.Revision), f.at.Sub)
	dst = pack.AppendArray(pack.AppendBool(dst, f.loaded), len(f.pending))
	for _, b := range f.pending {
		dst = pack.AppendBytes(dst, b)
	}
	return dst
}

func readFollowing(r *pack.Reader) *following {
	n := r.Array()
	if n == 0 {
		return nil
	}
	s := r.Fields(n, sourceFields)
	f := &following{source: r.Uint(), name: r.String(), at: Position{r.Int(), r.Int()}, loaded: r.Bool()}
	for n := r.Array(); n > 0 && r.Err() == nil; n-- {
		b := bytes.Clone(r.Bytes())
		if _, err := readRecord(b); err != nil {
			r.Fail(fmt.Sprintf("a pending record: %v", err))
		}
		f.pending = append(f.pending, b)
		f.pendingBytes += int64(len(b))
		f.pendingSum += xxhash.Sum64(b)
	}
	if err := f.check(); err != nil {
		r.Fail(err.Message)
	}
	r.End(s)
	return f
}

// digest appends the following state's part of the digest; nothing if the state follows no source.
func (f *following) digest(dst []byte) []byte {
	if f == nil {
		return dst
	}
	whole := *f
	whole.pending = nil
	return binary.BigEndian.AppendUint64(whole.append(dst), f.pendingSum)
}
