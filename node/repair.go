package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// A part of a snapshot has the same bytes on all members. So a starting member that has lost one fetches it from another member. Both
// snapshots that a member keeps usually list the same parts: without that, one damaged part would end the member.

// repairs is the state of the repair of parts at a start.
type repairs struct {
	// fetch gets a part from another one of these members; nil where no member runs.
	fetch  func(members index.Members, to peer.PartSink) error
	failed map[string]error // by the name of a part, why no member gave it: another snapshot that lists it is not tried again
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
	return fmt.Errorf("%w; no other snapshot is usable. The snapshot itself stays where it is; damaged parts are in damaged/. Start this member again when another member is reachable; "+
		"if the others no longer have that part, run `qkv member replace` on one of them. Without other members, put that file back, or restore from a backup: "+
		"docs/emergencies.md says under \"Damaged files\" how", l)
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
		aside := ""
		if !d.Missing {
			// A start needs no space, but a received file needs the name.
			if aside, err = snapshot.SetAside(s.folder.fs, d.Path, s.folder.path("damaged")); err != nil {
				return false, fmt.Errorf("the part %s (%w) could not be moved aside: %w; move it away by hand, and this member fetches it from another one", d.Path, d.Err, err)
			}
		}
		if s.repairs.failed[d.Name()] == nil {
			if err := s.fetchPart(d, members); err != nil {
				if s.repairs.failed == nil {
					s.repairs.failed = map[string]error{}
				}
				s.repairs.failed[d.Name()] = err
			}
		}
		if why := s.repairs.failed[d.Name()]; why != nil {
			if aside != "" && !errors.Is(d.Err, damage.ErrDamaged) { // perhaps the next start can read it
				_ = s.folder.fs.Rename(aside, d.Path)
			}
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
	s.logger.Warn("a part of a snapshot is missing or damaged, and is fetched from another member", "part", d.Name(), "bytes", d.Bytes, "error", d.Err)
	if err := s.fetch(d.Part, members); err != nil {
		return err
	}
	text := fmt.Sprintf("a part of the snapshots was missing or damaged, and was fetched from another member; nothing is lost, but look at the disk: %v", d.Err)
	s.logger.Error(text)
	s.repairs.alarms = append(s.repairs.alarms, kv.Alarm{Name: kv.CorruptAlarm, Subject: d.Path, Text: text})
	return nil
}

// fetch receives a part from another one of these members, and publishes it.
func (s *storage) fetch(p snapshot.Part, members index.Members) error {
	sink := &partSink{storage: s, part: p}
	if err := sink.begin(); err != nil {
		return err
	}
	err := sink.Write(nil) // verifies what an earlier process received, which begins anew if it is wrong
	if err == nil || errors.Is(err, peer.ErrOtherBytes) {
		err = s.repairs.fetch(members, sink)
	}
	if err == nil {
		_, err = sink.receiver.Finish(sink.check)
	}
	sink.close()
	return err
}

// repairPart fetches a part that was found damaged while the member runs. If no other member gives the part, the damaged file is moved
// back: its other values can be read.
func (m *member) repairPart(p snapshot.Part) error {
	path := m.folder.path("snap/" + p.Name())
	aside, err := snapshot.SetAside(m.folder.fs, path, m.folder.path("damaged"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = m.storage.fetch(p, m.status.View().Members()); err != nil && aside != "" {
		err = errors.Join(err, m.folder.fs.Rename(aside, path), m.folder.fs.SyncDir(m.folder.path("snap")))
	}
	return err
}

// partSink receives a part into the folder of snapshots. It implements peer.PartSink.
type partSink struct {
	storage  *storage
	part     snapshot.Part
	receiver *snapshot.Receiver
	check    *snapshot.Readback
}

func (p *partSink) Name() string  { return p.part.Name() }
func (p *partSink) Size() int64   { return p.part.Bytes }
func (p *partSink) Offset() int64 { return p.receiver.Offset() }

func (p *partSink) begin() (err error) {
	p.receiver, err = snapshot.Receive(p.storage.folder.fs, p.storage.folder.path("snap"), p.part.Name(), p.part.Bytes, p.part.SHA)
	if err == nil {
		p.check = p.receiver.Check()
	}
	return err
}

// Write verifies the bytes against the part's name as they come. Wrong bytes are removed, those of earlier members, too.
func (p *partSink) Write(piece []byte) error {
	err := p.receiver.WriteAt(p.receiver.Offset(), piece)
	if err == nil {
		_, err = p.check.Step(p.receiver.Offset())
	}
	if !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) {
		return err
	}
	p.check.Close()
	p.receiver.Abort()
	return cmp.Or(p.begin(), fmt.Errorf("%w: %w", peer.ErrOtherBytes, err))
}

func (p *partSink) close() {
	p.check.Close()
	p.receiver.Close()
}

// fetchPart asks the other members, at the addresses of the snapshot and of the configuration: all may have moved.
func (m *member) fetchPart(members index.Members, to peer.PartSink) error {
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
	if !snapshot.IsPart(request.Part) {
		return refuse("%q is not the name of a part of a snapshot", request.Part)
	}
	f, err := h.folder.fs.Open(h.folder.path("snap/" + request.Part))
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("%s does not have the part %s", h.config.Name, request.Part)
	}
	if err != nil {
		return refuse("%s cannot read the part %s: %v", h.config.Name, request.Part, err)
	}
	return f, nil
}
