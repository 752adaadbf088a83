package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/limits"
	"qkv/net/wire"
)

// environment is all of the world that a member touches. The simulator puts its own in place of each part, and of
// nothing else.
type environment struct {
	FS     disk.FS
	Driver actor.Driver
	Random io.Reader
	// Link connects the member to the others: frames go out through what it returns, and come in through l.
	Link  func(l links) (actor.Peers, error)
	Yield func() // lets other goroutines run
	// Limits that the simulator makes small, so that rare things are frequent; zero is the normal size.
	Tuning tuning
}

type tuning struct {
	MessageEntryBytes, ApplyingBytes uint64
	WindowBytes, SnapshotBytes       int64
	SnapshotInterval                 time.Duration
	SnapshotStepBytes                int
	SnapshotChunkBytes               int64
}

// links is what a transport needs of a member.
type links struct {
	Hello        func() []byte
	Admit        func(from uint64, hello []byte) error
	Receive      func(from uint64, class actor.Class, frame []byte)
	Connected    func(peer uint64)
	Disconnected func(peer uint64)
	Refused      func(peer uint64, reason string)
	ResetKey     [32]byte // of the data folder: a restart under the same key is noticed at once
	Seed         uint64   // another one at each start
}

// member is one member's actors and what connects them.
type member struct {
	// Constant after build.
	config      Config
	ids         ids
	env         environment
	folder      *folder
	logger      *slog.Logger
	process     [16]byte
	incarnation uint64
	status      *actor.Status
	consensus   *actor.Mailbox[actor.ConsensusMessage]
	snapshots   *actor.Mailbox[actor.SnapshotterMessage]
	logWriter   *actor.LogWriter
	snapshotter *actor.Snapshotter
	admission   *actor.Admission
	state       func() *index.State // for the simulator's checks
	peers       actor.Peers

	announcing atomic.Bool
	failure    atomic.Pointer[failure]
	failed     func(error)
	complaints atomic.Int64 // frames of peers that could not be read
	refused    sync.Map     // peer to the reason, of the log's line about its refusal
	refusing   sync.Map     // the same of peers that refuse this member
}

type failure struct{ err error }

// build makes a member from its data folder: recovery, then the actors, then the way to the others. When it returns,
// the member takes part.
func build(c Config, id ids, env environment, failed func(error)) (*member, error) {
	m := &member{config: c, ids: id, env: env, logger: c.Logger, status: &actor.Status{}, failed: failed}
	var err error
	if m.folder, err = openFolder(env.FS, c.DataDir, id, env.Random); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		return nil, errors.Join(err, m.folder.lock.Close())
	}
	return m, nil
}

func (m *member) start() error {
	r, err := m.recover()
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(m.env.Random, m.process[:]); err != nil {
		return fmt.Errorf("make a process id: %w", err)
	}
	if err := m.folder.boot(m.process); err != nil {
		return err
	}
	known, err := m.folder.known()
	if err != nil {
		return err
	}
	m.admission = actor.NewAdmission(&actor.Admission{
		Cluster: m.ids.cluster, Self: m.ids.self, Status: m.status, NameOf: m.ids.nameOf, Remember: m.folder.remember,
	}, known)
	m.incarnation = m.salt()
	if r.gone, err = m.folder.banned(); err != nil {
		return err
	}
	if r.gone != "" {
		r.alarms = append(r.alarms, r.gone)
	}
	for _, a := range r.alarms {
		m.status.Alarm(a, a)
	}
	return m.connect(r)
}

// connect builds the actors, in the order of the floors they stand on, and lets them run.
func (m *member) connect(r *recovered) error {
	depositsMost := 1 << 20 // raft's own limits are far below; more is a bug
	consensus := actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Room{Send: limits.ProposalBytesWaiting, Offer: limits.PeerMessagesWaiting, Deposit: depositsMost})
	logWriter := actor.NewMailbox[actor.LogWriterMessage](logWriterName, actor.Room{Deposit: depositsMost})
	applier := actor.NewMailbox[actor.ApplierMessage]("applier", actor.Room{Deposit: depositsMost})
	segmentMaker := actor.NewMailbox[actor.SegmentMakerMessage]("segment maker", actor.Room{Offer: 1, Deposit: depositsMost})
	snapshots := actor.NewMailbox[actor.SnapshotterMessage]("snapshotter", actor.Room{Offer: limits.SnapshotFramesWaiting, Deposit: depositsMost})
	m.consensus, m.snapshots = consensus, snapshots
	later := &laterPeers{}

	applies := actor.NewApplier(actor.ApplierConfig{
		Member: m.ids.self, Incarnation: m.incarnation, State: r.state, ConfState: r.confState,
		Inbox: applier, Consensus: consensus, LogWriter: logWriter, Snapshotter: snapshots,
		Load: m.loadSnapshot, Status: m.status,
		SnapshotBytes: m.env.Tuning.SnapshotBytes, SnapshotInterval: m.env.Tuning.SnapshotInterval,
		Fail: m.fail, Logger: m.logger,
	})
	m.state = func() *index.State { return applies.State }
	m.logWriter = actor.NewLogWriter(actor.LogWriterConfig{
		Member: m.ids.self, Log: r.log, Inbox: logWriter, Consensus: consensus, Applier: applier, SegmentMaker: segmentMaker,
		Peers: later, Status: m.status, Yield: m.env.Yield, Fail: m.fail, Logger: m.logger,
	})
	m.snapshotter = actor.NewSnapshotter(actor.SnapshotterConfig{
		Cluster: m.ids.cluster, Member: m.ids.self, Version: m.config.Version, FS: m.env.FS, Dir: m.folder.path("snap"), Kept: r.snapshots,
		Inbox: snapshots, Consensus: consensus, Applier: applier, Peers: later, Status: m.status,
		StepBytes: m.env.Tuning.SnapshotStepBytes, ChunkBytes: m.env.Tuning.SnapshotChunkBytes, Logger: m.logger,
	})
	maker := actor.NewSegmentMaker(actor.SegmentMakerConfig{Maker: log.NewMaker(m.logOptions()), Inbox: segmentMaker, LogWriter: logWriter, Fail: m.fail, Logger: m.logger})
	agrees, err := actor.NewConsensus(actor.ConsensusConfig{
		Member: m.ids.self, Cluster: m.ids.cluster, Incarnation: m.incarnation,
		HeartbeatInterval: m.config.HeartbeatInterval, ElectionTimeout: m.config.ElectionTimeout,
		HardState: r.hardState, Applied: r.applied, ConfState: r.confState, Snapshot: r.newest, Window: r.window,
		Inbox: consensus, LogWriter: logWriter, Applier: applier, Snapshotter: snapshots, Peers: later, Status: m.status,
		NameOf: m.ids.nameOf, Leave: m.folder.ban, Gone: r.gone, Fail: m.fail, Logger: m.logger,
		MessageEntryBytes: m.env.Tuning.MessageEntryBytes, ApplyingBytes: m.env.Tuning.ApplyingBytes,
	})
	if err != nil {
		return err
	}
	if later.to, err = m.env.Link(m.links()); err != nil {
		return err
	}
	m.peers = later.to
	d := m.env.Driver
	actor.Spawn(d, consensus, agrees)
	actor.Spawn(d, logWriter, m.logWriter)
	actor.Spawn(d, applier, applies)
	actor.Spawn(d, segmentMaker, maker)
	actor.Spawn(d, snapshots, m.snapshotter)
	d.Every(actor.TickInterval, m.tick)
	d.Every(retryClock, func() { segmentMaker.Offer(actor.Retry{}) })
	d.Every(snapshotClock, func() { snapshots.Offer(actor.Wait{}) })
	d.Every(announceClock, m.announce)
	return nil
}

// logWriterName is the name of the one actor whose disk calls acknowledgements wait for.
const logWriterName = "log writer"

const (
	snapshotClock = 100 * time.Millisecond
	// retryClock is how often the segment maker tries again what a full disk refused.
	retryClock = 5 * time.Second
	// announceClock is how often a member compares what the log says of it with what is true.
	announceClock = 200 * time.Millisecond
)

// laterPeers stands for the way to the others until it is there: actors are built before they run.
type laterPeers struct{ to actor.Peers }

func (p *laterPeers) Send(to uint64, class actor.Class, frame []byte, lazy bool) {
	p.to.Send(to, class, frame, lazy)
}

// links connects a transport to the actors.
func (m *member) links() links {
	return links{
		Hello: func() []byte {
			d := m.status.Durable()
			return actor.Hello{
				Cluster: m.ids.cluster, Member: m.ids.self, Folder: m.folder.Folder, Boot: m.folder.Boot, Process: m.process, Past: m.folder.Past,
				Last: d.Last, LastTerm: d.LastTerm, HardTerm: d.HardTerm,
			}.Append(nil)
		},
		Admit: func(from uint64, hello []byte) error {
			h, err := actor.ReadHello(hello)
			if err == nil {
				err = m.admission.Admit(from, h)
			}
			if err != nil {
				m.once(&m.refused, from, "a member is refused", err.Error())
				m.status.Refuse(from, err.Error())
				return err
			}
			m.status.Refuse(from, "")
			m.refused.Delete(from)
			return nil
		},
		Receive: m.receive, ResetKey: m.folder.ResetKey, Seed: m.incarnation,
		Connected: func(peer uint64) {
			m.refusing.Delete(peer)
			m.consensus.Deposit(actor.Connected{Peer: peer})
		},
		Disconnected: func(peer uint64) { m.consensus.Deposit(actor.Disconnected{Peer: peer}) },
		Refused: func(peer uint64, reason string) {
			m.once(&m.refusing, peer, "a member refuses this one", reason)
			m.consensus.Offer(actor.Refused{Peer: peer, Reason: reason})
		},
	}
}

// once logs a refusal unless it is the one that said holds of this peer: both sides dial again every few seconds. The
// transport goes on to remind.
func (m *member) once(said *sync.Map, peer uint64, what, reason string) {
	if before, _ := said.Swap(peer, reason); before != reason {
		m.logger.Error(what, "member", m.ids.nameOf(peer), "reason", reason)
	}
}

// receive hands a peer's frame to the actor it is for. What cannot be read is dropped: raft sends again.
func (m *member) receive(from uint64, _ actor.Class, frame []byte) {
	message, err := actor.DecodePeerMessage(frame, from, m.ids.self)
	if err != nil {
		if n := m.complaints.Add(1); n&(n-1) == 0 { // the first, the second, the fourth ...
			m.logger.Warn("a frame of a member cannot be read", "member", m.ids.nameOf(from), "error", err, "times", n)
		}
		return
	}
	switch message.(type) {
	case actor.RaftMessage, actor.Forward:
		m.consensus.Offer(actor.Received{From: from, Message: message})
	default:
		m.snapshots.Offer(actor.FromPeer{From: from, Message: message})
	}
}

// tick is consensus' clock. It also watches consensus, which watches the log writer: one of them may wait for the disk,
// and a member that does so for too long is better gone (R36).
func (m *member) tick() {
	m.consensus.Offer(actor.Tick{})
	if silent := m.status.Tick(); silent == limits.DiskStall {
		m.fail(fmt.Errorf("%w: it has not answered a read of the log for %v; what was acknowledged is safe, anything else is unknown", actor.ErrDisk, silent))
	}
}

// announce writes to the log who this member is, when the log says otherwise: so any member lists all, and recognises
// one that forgot.
func (m *member) announce() {
	if err := m.admission.Learn(); err != nil {
		m.logger.Warn("what the log says of the members is not remembered yet", "error", err)
	}
	own := index.Announcement{
		Member: m.ids.self, Name: m.config.Name, Version: m.config.Version, Folder: m.folder.Folder, Boot: m.folder.Boot,
		Process: m.process, Clients: []string{m.config.Advertise}, Peer: m.config.AdvertisePeer,
	}
	for _, known := range m.status.View().Members() {
		if known.Member == own.Member && known.Boot == own.Boot && known.Process == own.Process {
			return
		}
	}
	if m.announcing.Swap(true) {
		return
	}
	proposal := index.Proposal{From: announcer{m}, Requests: []uint64{1}, Commands: [][]byte{index.AppendAnnounce(nil, own)}, Timeout: announceTimeout}
	if !m.consensus.Offer(actor.Propose{Proposal: proposal}) {
		m.announcing.Store(false)
	}
}

const announceTimeout = 2 * time.Second

// announcer learns that an announcement is done or lost; announce looks at the log again then.
type announcer struct{ m *member }

func (a announcer) Deposit([]index.Done) { a.m.announcing.Store(false) }

// fail ends the member: it says nothing to anybody from here on, and its process ends with err as its last words.
func (m *member) fail(err error) {
	if m.failure.CompareAndSwap(nil, &failure{err}) {
		m.failed(err)
	}
}

func (m *member) salt() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(m.env.Random, b[:]); err != nil {
		panic(fmt.Sprintf("no randomness: %v", err))
	}
	return binary.BigEndian.Uint64(b[:])
}

// close lets go of the files, after the driver has stopped the actors.
func (m *member) close() error {
	m.snapshotter.Close()
	return errors.Join(m.logWriter.Close(), m.folder.lock.Close())
}

// Status is this member's own status, as `qkv status` shows it.
func (m *member) Status() wire.Status {
	view, standing, durable := m.status.View(), m.status.Standing(), m.status.Durable()
	applied, _ := view.Applied()
	s := wire.Status{
		Name: m.config.Name, ID: m.ids.self, Cluster: m.ids.cluster, Version: m.config.Version, Role: standing.Role,
		Term: standing.Term, Leader: standing.Leader, Commit: max(standing.Commit, applied), Applied: applied,
		Revision: view.Revision(), Keys: view.Keys(), LogBytes: durable.FileBytes, SnapshotBytes: m.status.SnapshotBytes(),
		Digest: view.Digest(), Error: m.problems(),
	}
	known := map[uint64]bool{}
	for _, a := range view.Members() {
		known[a.Member] = true
		s.Members = append(s.Members, wire.Member{ID: a.Member, Name: a.Name, Clients: a.Clients})
	}
	for _, id := range m.ids.order {
		if !known[id] {
			s.Members = append(s.Members, wire.Member{ID: id, Name: m.ids.nameOf(id)})
		}
	}
	return s
}
