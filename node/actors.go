package node

import (
	"time"

	"qkv/actor"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/snapshot"
)

// logWriterName is the name of the only actor with disk calls that acknowledgements wait for.
const logWriterName = "log writer"

// logReaderName is the name of the only actor that reads the log back.
const logReaderName = "log reader"

// valueReaderName is the name of the actor that reads values for watches.
const valueReaderName = "value reader"

// mailboxes are the mailboxes of a member's actors.
type mailboxes struct {
	consensus      *actor.Mailbox[actor.ConsensusMessage]
	logWriter      *actor.Mailbox[actor.LogWriterMessage]
	logReader      *actor.Mailbox[actor.ReadLog]
	applier        *actor.Mailbox[actor.ApplierMessage]
	segmentMaker   *actor.Mailbox[actor.SegmentMakerMessage]
	snapshotter    *actor.Mailbox[actor.SnapshotterMessage]
	snapshotReader *actor.Mailbox[actor.SnapshotReaderMessage]
	watchHub       *actor.Mailbox[actor.WatchHubMessage]
	valueReader    *actor.Mailbox[actor.ReadValues]
}

const (
	// snapshotClock is how often the snapshotter checks its timers, and thus their largest delay.
	snapshotClock = 100 * time.Millisecond
	// postsWaiting bounds the messages that actors post to each other. raft's own bounds are far below it; more is a bug.
	postsWaiting = 1 << 20
	// watchAlone is how many election timeouts a member may be without a leader before it ends its watches, as in etcd: they resume at a
	// better-connected member.
	watchAlone = 3
)

func newMailboxes(l *limits.Tunable) mailboxes {
	return mailboxes{
		consensus:      actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Send: l.ProposalBytesWaiting, Offer: l.PeerMessagesWaiting, MustPost: postsWaiting}),
		logWriter:      actor.NewMailbox[actor.LogWriterMessage](logWriterName, actor.Capacity{Offer: 1, MustPost: postsWaiting}),
		logReader:      actor.NewMailbox[actor.ReadLog](logReaderName, actor.Capacity{MustPost: limits.ColdReads}),
		applier:        actor.NewMailbox[actor.ApplierMessage]("applier", actor.Capacity{Offer: 1, MustPost: postsWaiting}),
		segmentMaker:   actor.NewMailbox[actor.SegmentMakerMessage]("segment maker", actor.Capacity{Offer: 1, MustPost: postsWaiting}),
		snapshotter:    actor.NewMailbox[actor.SnapshotterMessage]("snapshotter", actor.Capacity{Offer: l.SnapshotFramesWaiting, MustPost: postsWaiting}),
		snapshotReader: actor.NewMailbox[actor.SnapshotReaderMessage]("snapshot reader", actor.Capacity{MustPost: postsWaiting}),
		watchHub:       actor.NewMailbox[actor.WatchHubMessage]("watch hub", actor.Capacity{Send: l.WatchRequestsWaiting, Offer: 1, MustPost: postsWaiting}),
		valueReader:    actor.NewMailbox[actor.ReadValues](valueReaderName, actor.Capacity{MustPost: 1}),
	}
}

// waiting returns, by mailbox, functions for the number of waiting messages.
func (b *mailboxes) waiting() map[string]func() int {
	return map[string]func() int{
		"consensus": b.consensus.Waiting, "log writer": b.logWriter.Waiting, "log reader": b.logReader.Waiting, "applier": b.applier.Waiting,
		"segment maker": b.segmentMaker.Waiting, "snapshotter": b.snapshotter.Waiting, "snapshot reader": b.snapshotReader.Waiting, "watch hub": b.watchHub.Waiting,
		valueReaderName: b.valueReader.Waiting,
	}
}

// connect builds the actors and the transport to the other members, and starts them.
func (m *member) connect(r *recovered) error {
	m.memory, m.applyTo = r.memory, r.hardState.Commit
	box := newMailboxes(&m.env.Limits)
	m.actors.consensus, m.actors.applier, m.actors.snapshots, m.actors.watches, m.actors.mailboxes = box.consensus, box.applier, box.snapshotter, box.watchHub, box.waiting()
	if err := m.joinAgain(r); err != nil {
		return err
	}
	if err := m.makeTransport(); err != nil {
		return err
	}
	to := peers{m.transport, m}

	applies := actor.NewApplier(actor.ApplierConfig{
		Member: m.folder.Member, Incarnation: m.incarnation, State: r.state,
		Inbox: box.applier, Consensus: box.consensus, LogWriter: box.logWriter, Snapshotter: box.snapshotter, WatchHub: box.watchHub,
		Status: m.status, Limits: m.env.Limits, Fail: m.fail, Applied: m.env.Applied,
	})
	m.state = applies.Current
	m.actors.logWriter = actor.NewLogWriter(actor.LogWriterConfig{
		Member: m.folder.Member, Log: r.log, Inbox: box.logWriter, Consensus: box.consensus, Applier: box.applier, SegmentMaker: box.segmentMaker,
		Peers: to, Status: m.status, Clock: m.env.Driver.Time, Yield: m.env.Yield, Limits: m.env.Limits, Fail: m.fail, Logger: m.logger,
	})
	m.actors.snapshotter = actor.NewSnapshotter(actor.SnapshotterConfig{
		Cluster: m.folder.Cluster, Member: m.folder.Member, Version: m.config.Version, FS: m.env.FS, Dir: m.folder.path("snap"), Damaged: m.folder.path("damaged"), Kept: r.snapshots, Interrupted: r.interrupted, Shelf: snapshot.ShelfOf(r.state),
		Inbox: box.snapshotter, Consensus: box.consensus, Applier: box.applier, Reader: box.snapshotReader, Peers: to, Status: m.status,
		Limits: m.env.Limits, Logger: m.logger,
	})
	pull := func(address, name string, size, offset int64) ([]byte, error) {
		return m.env.Pull(address, m.folder, name, size, offset)
	}
	reads := &actor.SnapshotReader{Snapshotter: box.snapshotter, Pull: pull, Repair: m.repairPart}
	m.actors.logReader = &actor.LogReader{Reader: log.NewReader(m.env.FS), Consensus: box.consensus}
	maker := actor.NewSegmentMaker(actor.SegmentMakerConfig{
		Maker: log.NewMaker(m.storage.logOptions()), FS: m.env.FS, Dir: m.folder.path("wal"), SegmentBytes: m.storage.segmentBytes,
		Inbox: box.segmentMaker, LogWriter: box.logWriter, Status: m.status, Limits: m.env.Limits, Fail: m.fail, Logger: m.logger,
	})
	agrees, err := actor.NewConsensus(actor.ConsensusConfig{
		CoreConfig: actor.CoreConfig{
			Member: m.folder.Member, Incarnation: m.incarnation, HeartbeatInterval: m.config.HeartbeatInterval, ElectionTimeout: m.config.ElectionTimeout,
			BacksUp: m.config.Backup.Store != nil,
			Window:  r.window, Status: m.status, Admission: m.actors.admission, Fail: m.fail, Logger: m.logger, Limits: m.env.Limits,
		},
		ConsensusMailboxes: actor.ConsensusMailboxes{
			Inbox: box.consensus, LogWriter: box.logWriter, LogReader: box.logReader, Applier: box.applier, Snapshotter: box.snapshotter, Peers: to,
		},
		HardState: r.hardState, Applied: r.applied, ConfState: r.confState, Snapshot: r.newest, Members: r.state.Members(),
		Removed: m.folder.remove, Suspend: m.folder.suspend, Suspended: r.suspended,
	})
	if err != nil {
		return err
	}
	if m.config.WatchProgress > 0 {
		m.env.Limits.Watches.Progress = m.config.WatchProgress
	}
	hub := actor.NewWatchHub(actor.WatchHubConfig{
		Inbox: box.watchHub, Reader: box.valueReader, Status: m.status, Seed: m.incarnation, Alone: watchAlone * m.config.ElectionTimeout, Limits: m.env.Limits,
	})
	m.voting = agrees.Configuration
	if err := m.transport.Start(peerHandler{m}); err != nil {
		return err
	}
	d := m.env.Driver
	// otherwise, while little is written, each start would find the damage, or the other snapshot would stay the only one
	if r.damaged > 0 {
		box.applier.MustPost(actor.SnapshotWanted{Saves: limits.SnapshotsKept, Above: max(r.applied, r.damaged-1)})
	}
	actor.Spawn(d, box.consensus, agrees)
	actor.Spawn(d, box.logWriter, m.actors.logWriter)
	actor.Spawn(d, box.applier, applies)
	actor.Spawn(d, box.logReader, m.actors.logReader)
	actor.Spawn(d, box.segmentMaker, maker)
	actor.Spawn(d, box.snapshotter, m.actors.snapshotter)
	actor.Spawn(d, box.snapshotReader, reads)
	actor.Spawn(d, box.watchHub, hub)
	actor.Spawn(d, box.valueReader, &actor.ValueReader{WatchHub: box.watchHub})
	m.startClocks(&box)
	return nil
}

func (m *member) startClocks(box *mailboxes) {
	d := m.env.Driver
	d.Every(actor.TickInterval, func() {
		box.consensus.Offer(actor.Tick{})
		m.open()
	})
	d.Every(limits.SpaceCheck, func() { box.segmentMaker.Offer(actor.Retry{}) })
	d.Every(snapshotClock, func() { box.snapshotter.Offer(actor.Wait{}) })
	d.Every(lookInterval, m.look)
}
