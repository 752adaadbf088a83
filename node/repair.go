package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/log"
	"qkv/log/disk"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// A part of a snapshot has the same bytes on all members. So a starting member that has lost one fetches it from another member. Both
// snapshots that a member keeps usually list the same parts: without that, one damaged part would end the member.

// repairs is the state of the repair of parts at a start.
type repairs struct {
	// fetch gets a part from another one of these members; nil where no member runs.
	fetch func(members index.Members, to peer.PartSink) error
	seed  func() (*backup.Reader, error) // opens the backup with which a joining member begins; nil: none
	// by the name of a part, why no member gave it: another snapshot that lists it is not tried again
	failed map[string]error
	newer  bool // parts are fetched for another member's snapshot
	alarms []kv.Alarm
}

// lacksPart is the error of a snapshot with a part that is missing, damaged or unreadable, and that no other member gave.
type lacksPart struct {
	info   snapshot.Info
	defect snapshot.Defect
	why    error
}

func (l *lacksPart) Error() string {
	return fmt.Sprintf("the snapshot %s needs its part %s (%v), and it could not be fetched from another member: %v", l.info.Path, l.defect.Name(), l.defect.Err, l.why)
}

// Unwrap makes it damage, for which another snapshot is used.
func (l *lacksPart) Unwrap() []error {
	return []error{damage.ErrDamaged, l.defect.Err, l.why}
}

// unusable is the error of a start without another snapshot.
func (l *lacksPart) unusable() error {
	if errors.Is(l.why, syscall.ENOSPC) {
		return fmt.Errorf("%w; no other snapshot is usable. Free space on this member's disk, and start it again", l)
	}
	return fmt.Errorf("%w; no other snapshot is usable. Nothing was removed. Start this member again when another member is reachable: "+
		"it takes the part from there, or a newer state. Without other members, put that file back, or restore from a backup, or run `qkv recover --accept-loss`: "+
		"it makes a new cluster of everything else, and names the lost keys. docs/emergencies.md says under \"Damaged files\" how", l)
}

// repairParts fetches all parts of a snapshot that are missing or damaged, or that the disk cannot read. It reports false if there are none.
// An error is a *lacksPart, or of this member's disk.
func (s *storage) repairParts(info snapshot.Info) (repaired bool, err error) {
	defects, err := snapshot.Defects(s.folder.fs, info)
	if err != nil || len(defects) == 0 {
		return false, err
	}
	members, err := snapshot.Members(s.folder.fs, info.Path, s.limits.Index)
	if errors.Is(err, damage.ErrDamaged) {
		return false, nil // with parts, too, it could not be loaded
	}
	if err != nil {
		return false, err
	}
	for _, d := range defects {
		if s.repairs.failed[d.Name()] == nil {
			if err := s.fetchPart(d, members); err != nil {
				if s.repairs.failed == nil {
					s.repairs.failed = map[string]error{}
				}
				s.repairs.failed[d.Name()] = err
			}
		}
		if why := s.repairs.failed[d.Name()]; why != nil {
			return false, &lacksPart{info, d, why}
		}
	}
	return true, nil
}

// fetchPart gets a part from another member, and publishes it.
func (s *storage) fetchPart(d snapshot.Defect, members index.Members) error {
	if s.repairs.fetch == nil {
		return errors.New("only a member that starts can fetch it (`qkv serve`)")
	}
	if s.repairs.newer && d.Missing {
		return s.fetch(d.Part, members)
	}
	s.logger.Warn("a part of a snapshot is missing or damaged, and the other members are asked for it", "part", d.Name(), "bytes", d.Bytes, "error", d.Err)
	if err := s.fetch(d.Part, members); err != nil {
		return err
	}
	text := fmt.Sprintf("a part of the snapshots was missing or damaged, and was fetched again; nothing is lost, but look at the disk: %v", d.Err)
	s.logger.Error(text)
	s.repairs.alarms = append(s.repairs.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: d.Path, Text: text})
	return nil
}

// fetch receives a part from another one of these members, and publishes it in place of a damaged file.
func (s *storage) fetch(p snapshot.Part, members index.Members) error {
	from := func(to *snapshot.Incoming) error { return s.repairs.fetch(members, to) }
	return snapshot.Fetch(s.folder.fs, s.folder.path("snap"), s.folder.path("damaged"), p.Name(), p.Bytes, p.SHA, from)
}

// repairPart fetches a part that was found damaged while the member runs. If no other member gives the part, the damaged file stays: its
// other values can be read. It may be sound by then: it was written again, or the error of the disk, or of its mode, has ended. A part in
// the backup of a branch is only read again.
func (m *member) repairPart(p snapshot.Part) error {
	path := m.folder.path("snap/" + p.Name())
	if m.inBackup(path) {
		return snapshot.VerifyPart(m.env.FS, path, p)
	}
	err := m.storage.fetch(p, m.status.View().Members())
	if err != nil && snapshot.VerifyPart(m.folder.fs, path, p) == nil {
		return nil
	}
	return err
}

// takeNewest takes over the newest snapshot of another member, in place of own ones that lack a part which no member has any more.
//
// A snapshot has committed entries only. If the log continues it, the log stays. Otherwise the log must end before the snapshot, by term
// and then by index: everything in the log that is committed is then in the snapshot too, since a log with another entry at the
// snapshot's index has nothing committed from there on. So no entry is lost whose acknowledgement counted. The log begins anew behind the
// snapshot, as if raft had installed it. Term and vote stay, so the member never votes twice in a term; and its log never moves back in
// raft's order, so it grants no vote that the old log would have refused. The snapshot is loaded with all its parts before the log is
// reset. After a crash before that, the snapshot is one that was received and not installed; after that, the log continues it.
func (s *storage) takeNewest(r *recovered, found *log.Recovered) error {
	lacks := r.lacking[0]
	if s.repairs.fetch == nil {
		return lacks.unusable()
	}
	s.logger.Warn("no member has a lost part of this member's snapshots: another member's newest snapshot is fetched", "error", lacks)
	info, err := s.fetchNewest(lacks.info, func(n *peerframe.Newest) error {
		if info := (snapshot.Info{Meta: snapshot.Meta{Index: n.Index, Term: n.Term}}); continues(found, info) || follows(found, info) {
			return nil
		}
		return fmt.Errorf("its snapshot of entry %d, term %d, does not follow this member's log, which ends with entry %d, term %d", n.Index, n.Term, found.Last, found.LastTerm)
	})
	if err == nil && info.Cluster != s.folder.Cluster {
		err = fmt.Errorf("it belongs to cluster %016x", info.Cluster)
	}
	if err == nil {
		s.repairs.newer = true
		err = s.use(r, found, info, nil)
	}
	if err == nil && r.state == nil {
		err = errors.New("it lacks a part, too, or is damaged")
		if newer := r.lacking[len(r.lacking)-1]; newer != lacks {
			err = newer.why
		}
	}
	if err == nil && !continues(found, info) {
		err = s.resetLog(r, found)
	}
	if err != nil {
		return (&lacksPart{lacks.info, lacks.defect, fmt.Errorf("%w; and no newer snapshot could be used: %w", lacks.why, err)}).unusable()
	}
	r.snapshots = append(r.snapshots, info)
	// an interrupted start may have fetched it, and the log did not continue it
	r.useless = slices.DeleteFunc(r.useless, func(one snapshot.Info) bool { return one.Path == info.Path })
	for _, one := range r.lacking {
		r.useless = append(r.useless, one.info)
	}
	r.lacking = nil
	text := fmt.Sprintf("a part of the snapshots was missing or damaged, and no member has it any more; the state at index %d was fetched from another member; "+
		"nothing is lost, but look at the disk: %v", info.Index, lacks.defect.Err)
	s.logger.Error(text)
	s.repairs.alarms = append(s.repairs.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: lacks.defect.Path, Text: text})
	return nil
}

// follows reports whether a snapshot is behind the end of the log, in raft's order.
func follows(found *log.Recovered, info snapshot.Info) bool {
	return info.Index > found.HardState.Commit && cmp.Or(cmp.Compare(info.Term, found.LastTerm), cmp.Compare(info.Index, found.Last)) > 0
}

// resetLog makes the log begin anew behind the snapshot of the state. Term and vote stay, unless the snapshot is of a later term, in which
// this member has not voted.
func (s *storage) resetLog(r *recovered, found *log.Recovered) error {
	at := r.newest.GetMetadata()
	if at.GetTerm() > r.hardState.Term {
		r.log.Append(&log.HardState{Term: at.GetTerm(), Commit: r.hardState.Commit}, nil)
	}
	r.log.Reset(log.Marker{Index: at.GetIndex(), Term: at.GetTerm(), ConfState: r.confState})
	_, err := r.log.Sync()
	if err = errors.Join(err, r.log.Close()); err != nil {
		return fmt.Errorf("reset the log: %w", err)
	}
	opened, again, err := log.Open(s.logOptions())
	if err == nil {
		*found = *again
		r.take(opened, found)
	}
	return err
}

// fetchNewest gets the newest snapshot of another member without its parts, if it is usable.
func (s *storage) fetchNewest(known snapshot.Info, usable func(*peerframe.Newest) error) (snapshot.Info, error) {
	members, err := snapshot.Members(s.folder.fs, known.Path, s.limits.Index)
	if err != nil {
		return snapshot.Info{}, err
	}
	sink := newestSink{usable: usable}
	if err := s.repairs.fetch(members, &sink); err != nil {
		return snapshot.Info{}, err
	}
	offer := sink.offer
	from := func(to *snapshot.Incoming) error { return s.repairs.fetch(members, to) }
	name := snapshot.Name(offer.Index, offer.Term)
	err = snapshot.Fetch(s.folder.fs, s.folder.path("snap"), "", name, int64(offer.Size), offer.SHA, from)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return snapshot.Info{}, err
	}
	listing, err := snapshot.List(s.folder.fs, s.folder.path("snap"))
	if err != nil {
		return snapshot.Info{}, err
	}
	info := listing.Published[slices.IndexFunc(listing.Published, func(one snapshot.Info) bool { return one.Index == offer.Index && one.Term == offer.Term })]
	return info, info.Err
}

// newestSink receives the description of a member's newest snapshot. It implements peer.PartSink.
type newestSink struct {
	offer  peerframe.Newest
	usable func(*peerframe.Newest) error
	whole  bool // offer came
}

func (n *newestSink) Name() string { return peerframe.NewestSnapshot }
func (n *newestSink) Size() int64  { return peerframe.NewestBytes }

func (n *newestSink) Offset() int64 {
	if n.whole {
		return peerframe.NewestBytes
	}
	return 0
}

// Write drops a piece that a broken connection has cut: the next member's newest snapshot may be another one.
func (n *newestSink) Write(piece []byte) error {
	if len(piece) < peerframe.NewestBytes {
		return nil
	}
	n.offer = peerframe.ReadNewest(piece)
	if err := n.usable(&n.offer); err != nil {
		return fmt.Errorf("%w: %w", damage.ErrOtherBytes, err)
	}
	n.whole = true
	return nil
}

// newestSnapshot describes this member's newest snapshot, for a member that cannot use its own ones. A member that starts and gives parts may
// lack some itself, and the state of a suspended member may be wrong.
func (h peerHandler) newestSnapshot() (readFile, error) {
	if h.status.View() == nil || h.status.Raft().Role == actor.RoleSuspended {
		return nil, errors.New("it takes no part in the cluster now")
	}
	listing, err := snapshot.List(h.folder.fs, h.folder.path("snap"))
	if err != nil {
		return nil, err
	}
	if len(listing.Published) == 0 {
		return nil, errors.New("it has none")
	}
	r, err := snapshot.Open(h.folder.fs, listing.Published[0].Path)
	if err != nil {
		return nil, err
	}
	newest := peerframe.Newest{Index: r.Meta().Index, Term: r.Meta().Term, Size: uint64(r.Size()), SHA: r.SHA()}
	return inMemory{bytes.NewReader(newest.Append(nil))}, r.Close()
}

// inMemory is a readFile without a file.
type inMemory struct{ *bytes.Reader }

func (m inMemory) Size() (int64, error) { return m.Reader.Size(), nil }
func (inMemory) Close() error           { return nil }

// pulls are the requests of this member for files of other members' snapshots, until they are stopped.
type pulls struct {
	ctx    context.Context
	stop   context.CancelFunc
	config peer.PartConfig // without what a folder and a call say
	open   *peer.Puller    // the snapshot reader's; nil: it has pulled nothing yet
}

func newPulls(ctx context.Context, c peer.PartConfig) *pulls {
	p := &pulls{config: c}
	p.ctx, p.stop = context.WithCancel(ctx)
	return p
}

func (p *pulls) asks(addresses []string, f *folder) peer.PartConfig {
	c := p.config
	c.Addresses, c.Cluster, c.Member = addresses, f.Cluster, f.Member
	return c
}

// fetch gets a whole file, from any of the addresses.
func (p *pulls) fetch(addresses []string, f *folder, to peer.PartSink) error {
	return peer.FetchPart(p.ctx, p.asks(addresses, f), to)
}

// next gets a piece of a file, for the snapshot reader.
func (p *pulls) next(address string, f *folder, name string, size, offset int64) ([]byte, error) {
	if p.open == nil {
		p.open = peer.NewPuller(p.asks(nil, f))
	}
	return p.open.Next(p.ctx, address, name, size, offset)
}

// close closes the connection of the snapshot reader, which has ended.
func (p *pulls) close() {
	if p.open != nil {
		p.open.Close()
	}
}

// fetchPart gets a part from another member, or from the backup if none gives it.
func (m *member) fetchPart(members index.Members, to peer.PartSink) error {
	err := m.askMembers(members, to)
	if err == nil || m.env.Backup == nil || to.Name() == peerframe.NewestSnapshot {
		return err
	}
	from, failed := m.env.Backup()
	if failed == nil {
		failed = from.Part(to.Name(), to.Size(), to.Offset(), to.Write)
	}
	if failed != nil {
		return fmt.Errorf("%w; nor from the backup: %w", err, failed)
	}
	m.logger.Info("a part came from the backup, since no member gave it", "part", to.Name(), "backup", from.Path, "error", err)
	return nil
}

// askMembers asks the other members, at the addresses of the snapshot and of the configuration: all may have moved.
func (m *member) askMembers(members index.Members, to peer.PartSink) error {
	var at []string
	for _, one := range members.All() {
		if one.ID != m.folder.Member {
			at = append(at, one.Peers...)
		}
	}
	for _, one := range m.config.InitialCluster {
		if one.Name != m.config.Name {
			at = append(at, one.Address)
		}
	}
	at = append(at, m.config.Join...)
	at = slices.DeleteFunc(at, func(address string) bool { return address == m.config.AdvertisePeer })
	slices.Sort(at)
	if at = slices.Compact(at); len(at) == 0 || m.env.FetchPart == nil {
		return errors.New("this member knows no other member")
	}
	if m.status.View() == nil { // it starts
		if err := m.serveParts(members); err != nil {
			return err
		}
	}
	return m.env.FetchPart(at, m.folder, to)
}

// serveParts gives parts to these members while this one starts: each may have what the other one has lost.
func (m *member) serveParts(members index.Members) error {
	err := m.drawProcess()
	if err == nil {
		err = m.makeTransport()
	}
	if err != nil {
		return err
	}
	m.contacts.mu.Lock()
	m.contacts.members = members
	m.setPeers()
	m.contacts.mu.Unlock()
	return m.transport.ServeParts(peerHandler{m})
}

// Part implements peer.Handler.
func (h peerHandler) Part(request peerframe.PartRequest) (peer.PartFile, *peerframe.Refusal) {
	refuse := func(format string, args ...any) (peer.PartFile, *peerframe.Refusal) {
		return nil, &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf(format, args...)}
	}
	h.contacts.mu.Lock()
	known := h.contacts.members.Get(request.From) != nil
	h.contacts.mu.Unlock()
	if !known {
		return refuse("the member %s (%016x) is not in the member list of %s", request.Name, request.From, h.config.Name)
	}
	if request.Part == peerframe.NewestSnapshot {
		newest, err := h.newestSnapshot()
		if err != nil {
			return refuse("%s cannot offer a snapshot: %v", h.config.Name, err)
		}
		return sentFile{newest, h.status}, nil
	}
	if !snapshot.IsFile(request.Part) {
		return refuse("%q is not the name of a part of a snapshot", request.Part)
	}
	f, err := h.folder.fs.Open(h.folder.path("snap/" + request.Part))
	if err != nil {
		h.suspect(request.Part)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("%s does not have the part %s", h.config.Name, request.Part)
	}
	if err != nil {
		return refuse("%s cannot read the part %s: %v", h.config.Name, request.Part, err)
	}
	return sentFile{f, h.status}, nil
}

// suspect has a snapshot, or a part, verified that could not be read for another use. If a snapshot needs it, it is fetched.
func (m *member) suspect(name string) {
	if m.status.View() != nil { // otherwise the start verifies it
		m.actors.snapshots.Offer(actor.Suspect{Path: m.folder.path("snap/" + name)})
	}
}

// readFile is an open file, or a description in memory.
type readFile interface {
	io.ReaderAt
	Size() (int64, error)
	Close() error
}

// sentFile is a file that is sent to a member, at the rate for members that lag. It implements peer.PartFile.
type sentFile struct {
	readFile
	status *actor.Status
}

// Close implements peer.PartFile. The file is not read again soon, and would take memory from other uses.
func (f sentFile) Close() error {
	if file, is := f.readFile.(disk.File); is {
		_ = file.DropCache(0, 0)
	}
	return f.readFile.Close()
}

// Sent implements peer.PartFile.
func (f sentFile) Sent(bytes int) time.Duration { return f.status.SentPiece(bytes) }
