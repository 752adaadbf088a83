package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// environment is all of the world that a member touches. The simulator puts its own in place of each part, and of
// nothing else.
type environment struct {
	FS     disk.FS
	Driver actor.Driver
	Random io.Reader
	// Transport makes the way to the other members, for a process of the member with this folder.
	Transport func(f *folder, process [16]byte) (transport, error)
	// Join asks the members at these addresses who this one is, which an earlier process of it was told if the id is not 0.
	Join  func(addresses []string, id uint64) (peerframe.Welcome, error)
	Yield func() // lets other goroutines run
	Idle  func() // gives memory back that nothing uses any more; nil does nothing
	// Background runs what nobody waits for, beside everything else; nil: it is not done.
	Background func(func())
	Limits     limits.Tunable
	Memory     int64 // of the machine, as far as this process may use it; 0 is not known
}

// member is one member's actors and what connects them.
type member struct {
	// Constant after build.
	config      Config
	env         environment
	folder      *folder
	storage     storage
	logger      *slog.Logger
	process     [16]byte
	incarnation uint64
	status      *actor.Status
	consensus   *actor.Mailbox[actor.ConsensusMessage]
	snapshots   *actor.Mailbox[actor.SnapshotterMessage]
	watches     *actor.Mailbox[actor.WatchHubMessage]
	mailboxes   map[string]func() int // how many messages wait
	logWriter   *actor.LogWriter
	logReader   *actor.LogReader
	snapshotter *actor.Snapshotter
	admission   *actor.Admission
	transport   transport
	welcome     peerframe.Welcome          // what it was told when it joined, until its log tells it who the members are
	state       func() *index.State        // for the simulator's checks
	failed      func(error)                // is told why the member has ended by itself
	voting      func() index.Configuration // raft's, for the same

	// Owned by the clock that calls look.
	looks          int   // since the last check
	shortHistory   pause // of the warning
	autoCompaction autoCompaction
	ages           historyAges // for Config.HistoryAge
	nearQuota      pause       // of that one
	noSpace        pause       // of the line about the alarm
	space          pause       // of the one about its end
	leads          int         // looks in a row at which this member led
	missed         int         // looks in a row at which a member that has moved had not announced itself
	checked        int64       // revision at this leader's last check
	idle           idleWatch
	verifying      verifying
	memory         *index.Reserve // of the state, until what the log has committed is applied again, up to applyTo
	applyTo        uint64

	// Shared.
	announcing, placing, relocating, comparing, checking, compacting, raising, guarding, corrupting own // what this member itself has proposed
	contacts                                                                                        contacts
	failure                                                                                         atomic.Pointer[failure] // why the member ended; nil while it runs
	complaints                                                                                      atomic.Int64            // frames of peers that could not be read
	refused                                                                                         sync.Map                // peer to the reason, of the log's line about its refusal
	refusing                                                                                        sync.Map                // the same of peers that refuse this member
	copies                                                                                          sync.Map                // the same of peers that have refused a second process of this one
	processes                                                                                       sync.Map                // peer to the one that it was connected by last
}

type failure struct{ err error }

// build makes a member from its data folder: recovery, then the actors, then the way to the others. When it returns,
// the member takes part.
func build(c Config, trustDomain string, env environment, failed func(error)) (*member, error) {
	m := &member{config: c, env: env, logger: c.Logger, status: actor.NewStatus(env.Driver), failed: failed}
	var err error
	if m.folder, err = openFolder(env.FS, c.DataDir, owner{c.Name, trustDomain}, func() (origin, error) { return m.begin(trustDomain) }, env.Random); err != nil {
		return nil, err
	}
	segmentBytes := segmentBytes(c.SegmentBytes, c.MaxRequestBytes, env.FS, m.folder.dir)
	m.env.Limits.BatchBytes = min(env.Limits.BatchBytes, int(segmentBytes/limits.BatchesOfSegment))
	m.status.SetMemory(env.Memory)
	m.storage = storage{
		folder: m.folder, random: env.Random, limits: env.Limits, segmentBytes: segmentBytes, version: c.Version,
		reserve: func() int64 { return m.status.LogReserve(segmentBytes) }, background: env.Background, memory: env.Memory, logger: c.Logger,
	}
	m.noteDifferences()
	if err := m.start(); err != nil {
		return nil, errors.Join(err, m.folder.lock.Close())
	}
	return m, nil
}

// begin says what an empty data folder begins with.
func (m *member) begin(trustDomain string) (origin, error) {
	if founders := m.config.founders(); len(founders) > 0 {
		token := m.config.InitialClusterToken
		if len(founders) == 1 { // nobody else has to find the same ids
			var once [8]byte
			if _, err := io.ReadFull(m.env.Random, once[:]); err != nil {
				return origin{}, fmt.Errorf("make a cluster id: %w", err)
			}
			token = fmt.Sprintf("%s %x", token, once)
		}
		return originOf(trustDomain, token, m.config.Name, founders), nil
	}
	if len(m.config.Join) == 0 {
		return origin{}, usagef("the data folder %s is empty, and a cluster is founded only when somebody says so: give --found for a new cluster of this member, "+
			"--initial-cluster for one of several, or add this member to one that is there (`qkv member add %s --peer %s` on one of its members) and give --join",
			m.config.DataDir, m.config.Name, m.config.AdvertisePeer)
	}
	if err := m.join(0); err != nil {
		return origin{}, err
	}
	return origin{cluster: m.welcome.Cluster, self: m.welcome.ID, name: m.config.Name, founding: []string{trustDomain}}, nil
}

// join asks a member of the cluster who this one is, if it does not know its id, and who the others are.
func (m *member) join(id uint64) (err error) {
	m.welcome, err = m.env.Join(m.config.Join, id)
	return err
}

// noteDifferences says what the flags say and the folder knows better.
func (m *member) noteDifferences() {
	var differs []string
	switch was := m.folder.Founding; {
	case m.config.Found && len(was) == 1:
		differs = append(differs, "--found is given, and this member joined a cluster that was there")
	case m.config.Found && len(was) > 3:
		differs = append(differs, fmt.Sprintf("--found is given, the cluster was founded by %s", strings.Join(was[2:], ",")))
	case len(m.config.Join) > 0 && len(was) > 2:
		differs = append(differs, fmt.Sprintf("--join is given, and this member has founded its cluster, as %s", strings.Join(was[2:], ",")))
	}
	if was, now := m.folder.Founding, m.config.founders(); len(m.config.InitialCluster) > 0 && len(was) > 2 && !slices.Equal(was[2:], slices.Sorted(slices.Values(now))) {
		differs = append(differs, fmt.Sprintf("--initial-cluster names %s, the cluster was founded by %s", strings.Join(now, ","), strings.Join(was[2:], ",")))
	} else if len(m.config.InitialCluster) > 0 && len(was) == 1 {
		differs = append(differs, "--initial-cluster is given, and this member joined a cluster that was there")
	}
	if len(differs) > 0 {
		m.logger.Warn("flags about how a cluster begins are ignored: the data folder knows better", "because", strings.Join(differs, "; "))
	}
	if told, at := m.config.AdvertisePeer, m.config.ListenPeer; m.config.advertisesEntry && elsewhere(told, at) {
		m.logger.Warn("--initial-cluster says that this member is elsewhere than --listen-peer does: if it has moved, leave that out, or give the new list; if not, --advertise-peer says so too",
			"members_are_told", told, "listens", at)
	}
}

// elsewhere tells whether an address is certainly not that of a host that listens at another one: the two are numbers.
func elsewhere(address, listen string) bool {
	one, _, _ := net.SplitHostPort(address)
	other, _, _ := net.SplitHostPort(listen)
	a, b := net.ParseIP(one), net.ParseIP(other)
	return a != nil && b != nil && !b.IsUnspecified() && !a.Equal(b)
}

// forgetsCallers is what an operator reads who must say where the members are, if all of them have moved meanwhile.
const forgetsCallers = "where members were that had moved is not known any more; the log and the flags say where they are"

func (m *member) start() error {
	r, err := m.storage.recover()
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(m.env.Random, m.process[:]); err != nil {
		return fmt.Errorf("make a process id: %w", err)
	}
	for _, name := range []string{"identity", "amnesia", "peers", "callers"} {
		damaged, err := m.folder.repair(name)
		if err != nil {
			return fmt.Errorf("repair %s: %w", m.folder.path(name), err)
		}
		if damaged {
			m.logger.Warn("one half of a small file was damaged, and is written anew from the other one; nothing is lost, but look at the disk", "file", m.folder.path(name))
		}
	}
	if err := m.folder.boot(m.process); err != nil {
		return err
	}
	known, err := m.folder.known()
	if err != nil {
		return err
	}
	if m.contacts.callers, err = m.folder.callers(); err != nil {
		m.logger.Warn(forgetsCallers, "error", err)
	}
	m.admission = actor.NewAdmission(&actor.Admission{
		Self: m.folder.Member, Status: m.status, Remember: m.folder.remember,
	}, known)
	m.incarnation = m.storage.salt()
	if r.quarantined, err = m.folder.quarantined(); err != nil {
		return err
	}
	if r.quarantined.Reason != "" {
		r.alarms = append(r.alarms, r.quarantined.Alarm())
	}
	for _, a := range r.alarms {
		m.status.Alarm(a)
	}
	return m.connect(r)
}

// joinAgain asks once more who this member is, when a process before this one has joined, and got nothing of the state yet.
func (m *member) joinAgain(r *recovered) error {
	switch {
	case len(r.state.Members().All()) > 0 || m.welcome.ID != 0:
		return nil
	case len(m.config.Join) == 0:
		return usagef("this member has joined a cluster and got nothing of it yet, and knows none of the others: give --join again")
	}
	return m.join(m.folder.Member)
}

// placeAfter is how many looks a leader leaves the founders to say themselves where they are: two seconds.
const placeAfter = 10

// look compares what the log says of this member with what is true, and is the watch hub's clock.
func (m *member) look() {
	if m.status.Watches() > 0 {
		m.watches.Offer(actor.LookAtWatches{})
	}
	m.giveBack()
	m.announce()
	m.raise()
	m.retain()
	m.guard()
	m.verify()
	m.forgetTurnedAway()
	if len(m.status.View().Members().All()) == 1 {
		return
	}
	m.place()
	m.saveCallers()
	m.relocate()
	m.compare()
	if m.looks++; time.Duration(m.looks)*limits.LookInterval >= m.env.Limits.CheckInterval {
		m.looks = 0
		m.check()
	}
}

// giveBack lets the memory go that an idle member does not use, and what the start of one took, when it has applied what it has read.
func (m *member) giveBack() {
	view := m.status.View()
	applied, _ := view.Applied()
	started := m.memory != nil && applied >= m.applyTo
	if started {
		m.memory.Close()
		m.memory = nil
	}
	if idle := m.idle.look(applied, view.RetiredBytes()); (idle || started) && m.env.Idle != nil {
		view.Rest()
		m.env.Idle()
	}
}

// announce writes to the log who this member is, when the log says otherwise: so any member lists all, and recognises
// one that forgot.
func (m *member) announce() {
	if err := m.admission.Learn(); err != nil {
		m.logger.Warn("what the log says of the members is not remembered yet", "error", err)
	}
	if m.status.Raft().Role == actor.RoleRefused {
		return // nobody takes it: this member announces itself when it takes part again
	}
	if m.status.View().Members().Get(m.folder.Member) == nil || m.announced() {
		return
	}
	m.announcing.propose(m, index.AppendAnnounce(nil, &kv.Member{
		ID: m.folder.Member, Name: m.config.Name, Version: m.config.Version, Level: index.MaxLevel, Folder: m.folder.Folder, Boot: m.folder.Boot,
		Process: m.process, Clients: m.config.native(), Web: m.config.web(), Peers: []string{m.config.AdvertisePeer},
	}))
}

// announced says that the log knows who this process is.
func (m *member) announced() bool {
	known := m.status.View().Members().Get(m.folder.Member)
	return known != nil && known.Boot == m.folder.Boot && known.Process == m.process
}

// place writes to the log where a founder is reached that has never said so, if this member leads and was given its
// address. Who joins later has only the log to know it by, and may have taken the place of all who were given it when that
// founder is started at last.
func (m *member) place() {
	if m.leads++; m.status.Raft().Role != "leader" {
		m.leads = 0
	}
	if m.leads < placeAfter {
		return
	}
	if change := unplaced(m.status.View().Members(), m.config.InitialCluster); change != nil {
		m.placing.propose(m, index.AppendMemberChange(nil, change))
	}
}

// unplaced returns the change that writes down a given address of a member that was never started and has none.
func unplaced(members index.Members, given []Member) *kv.MemberChange {
	for _, one := range members.All() {
		at := slices.IndexFunc(given, func(g Member) bool { return g.Name == one.Name })
		if at < 0 || one.Started() || len(one.Peers) > 0 {
			continue
		}
		taken := func(other kv.Member) bool { return slices.Contains(other.Peers, given[at].Address) }
		if !slices.ContainsFunc(members.All(), taken) {
			return &kv.MemberChange{Kind: kv.UpdateMember, ID: one.ID, Peers: []string{given[at].Address}}
		}
	}
	return nil
}

// compare judges the newest comparison of the members' states, and says this member's part of it.
func (m *member) compare() {
	view := m.status.View()
	verdict := view.Compare(m.folder.Member, len(view.Members().All()), m.status.NameOf)
	if verdict.Stop {
		m.consensus.Offer(actor.Differs{Reason: verdict.Text})
		return
	}
	if m.status.Raft().Role == actor.RoleRefused {
		return
	}
	m.status.Alarm(actor.Alarm{Name: actor.Corrupt, Subject: actor.StateSubject, Text: verdict.Text})
	if entry, digest, ok := view.PendingDigest(m.folder.Member); ok {
		m.comparing.propose(m, index.AppendDigest(nil, m.folder.Member, entry, digest))
	}
}

// raise makes the cluster's feature level that which all members know, if this one leads: from then on what it has may be
// proposed.
func (m *member) raise() {
	view := m.status.View()
	if level := min(view.Members().Level(), index.MaxLevel); m.status.Raft().Role == "leader" && level > view.Level() {
		m.raising.propose(m, index.AppendFeatureLevel(nil, level))
	}
}

// retain has the oldest history compacted, if this member leads and there is more of it than should stay.
func (m *member) retain() {
	view, now := m.status.View(), m.env.Driver.Time()
	if applied, _ := view.Applied(); applied >= m.applyTo { // what is replayed at a start is not new
		m.ages.look(view, now.Now, now.Wall, m.config.HistoryAge)
		m.autoCompaction.ages.look(view, now.Now, now.Wall, m.config.Etcd.CompactAfter)
	}
	if m.status.Raft().Role != "leader" || view.Following() != nil {
		return
	}
	least := m.status.LeastHeld()
	if revision := m.config.oldestKept(view, least, m.ages.older(m.config.HistoryAge, now.Now), m.env.Limits.HistoryRevisions); revision > view.Compacted() {
		m.compacting.propose(m, index.AppendCompact(nil, revision))
		if back, short := m.config.short(view, least, now.Wall, revision); short && m.shortHistory.due(now.Now) {
			m.logger.Warn("the history is short: "+shortHistory, "reaches_back", back.Round(time.Second), "history_bytes", m.config.historyBound(view, least))
		}
	}
	if revision := m.autoCompaction.due(&m.config.Etcd, view, now); revision > view.Compacted() {
		m.compacting.propose(m, index.AppendCompact(nil, revision))
	}
}

// check lets the members compare their states, if this one leads and something has changed since it did so last, or a member
// is to be compared again.
func (m *member) check() {
	view := m.status.View()
	corrupt := slices.ContainsFunc(view.Alarms(), func(a kv.Alarm) bool { return a.Kind == kv.AlarmCorrupt })
	if revision := view.Revision(); m.status.Raft().Role == "leader" && (revision != m.checked || corrupt) {
		m.checked = revision
		m.checking.propose(m, index.AppendCheck(nil))
	}
}

// own is a kind of command that this member proposes by itself, one at a time. Its clock looks at the state again, and
// proposes it again where it was lost.
type own struct{ underWay atomic.Bool }

func (o *own) propose(m *member, command []byte) {
	if o.underWay.Swap(true) {
		return
	}
	proposal := kv.Proposal{ReplyTo: o, Requests: []uint64{1}, Commands: [][]byte{command}, Timeout: limits.AnnounceTimeout}
	if !m.consensus.Offer(actor.Propose{Proposal: proposal, Own: true}) {
		o.underWay.Store(false)
	}
}

// Complete implements kv.ReplyTo.
func (o *own) Complete([]kv.Completion) { o.underWay.Store(false) }

// Uncounted implements actor.Uncounted: what is lost is proposed again.
func (o *own) Uncounted() {}

// fail ends the member: it says nothing to anybody from here on, and its process ends with err as its last words.
func (m *member) fail(err error) {
	if m.failure.CompareAndSwap(nil, &failure{err}) {
		m.failed(err)
	}
}

// close lets go of the files, after the driver has stopped the actors.
func (m *member) close() error {
	m.snapshotter.Close()
	return errors.Join(m.logWriter.Close(), m.logReader.Close(), m.folder.lock.Close())
}

// Status is this member's own status, as `qkv status` shows it.
func (m *member) Status() wire.Status {
	view, raftStatus, durable := m.status.View(), m.status.Raft(), m.status.Durable()
	applied, _ := view.Applied()
	s := wire.Status{
		Name: m.config.Name, ID: m.folder.Member, Cluster: m.folder.Cluster, Version: m.config.Version, Role: raftStatus.Role,
		Term: raftStatus.Term, Leader: raftStatus.Leader, Commit: max(raftStatus.Commit, applied), Applied: applied,
		Revision: view.Revision(), Keys: view.Keys(), LogBytes: durable.FileBytes, SnapshotBytes: m.status.SnapshotBytes(),
		Digest: view.Digest(), Alarms: m.alarms(), SyncP99: m.status.SyncP99(), Watches: m.status.Watches(),
		Compacted: view.Compacted(), Dropped: view.Dropped(), Leases: int64(view.LeaseCount()),
		HistoryBytes: view.HistoryBytes(), HistoryAge: historyAge(view, m.env.Driver.Time().Wall),
		SessionClock: view.SessionClock(), Sessions: view.Sessions(),
		UsedBytes: view.UsedBytes(), QuotaBytes: m.config.QuotaBytes,
	}
	for _, one := range view.Members().All() {
		s.Members = append(s.Members, wire.Member{ID: one.ID, Name: one.Name, Clients: one.Clients})
	}
	for _, l := range m.transport.Status() {
		s.Links = append(s.Links, wire.Link{Member: l.ID, Connected: l.Connected, RTT: l.RTT, Error: l.LastErr})
	}
	return s
}
