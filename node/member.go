package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qkv/snapshot/backup"

	"qkv/actor"
	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/peer"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// environment is everything outside a member that the member uses. The simulator replaces each of its parts, and nothing else.
type environment struct {
	FS     disk.FS
	Driver actor.Driver
	Random io.Reader
	// Transport makes the transport to the other members, for a process of the member with this folder.
	Transport func(f *folder, process [16]byte) (transport, error)
	// Join asks the members at these addresses for this member's id, which an earlier process got if the id is not 0.
	Join func(addresses []string, id uint64, folder [16]byte) (peerframe.Welcome, error)
	// FetchPart gets a part of a snapshot from one of the members at these addresses.
	FetchPart func(addresses []string, f *folder, to peer.PartSink) error
	// Pull gets the next piece of a file of the snapshot of the member at this address (peer.Puller).
	Pull func(address string, f *folder, name string, size, offset int64) ([]byte, error)
	// Backup opens the backup that has the same parts as the members; nil: none is known.
	Backup func() (*backup.Reader, error)
	// State is that of the folder's newest snapshot; nil: it is loaded.
	State *index.State
	// Audit opens the audit log, once the data folder is locked; nil: there is none.
	Audit func() (*audit.Log, error)
	Yield func() // lets other goroutines run
	Idle  func() // frees unused memory; nil does nothing
	// Background runs work that no caller waits for, in parallel; nil: the work is not done.
	Background func(func())
	Limits     limits.Tunable
	Memory     int64   // of the machine, as far as this process may use it; 0 is not known
	Machine    machine // for the status; the zero value is not known
	// Load adds this process's memory and load to its status; nil adds nothing.
	Load func(*kv.Status)
	// Applied and Level are for the simulator's checks: see actor.ApplierConfig, and the highest feature level that this member announces.
	// Level 0 is index.MaxLevel.
	Applied func(entry uint64, data []byte, results []kv.Result)
	Level   uint64
}

// member is one member's actors and their connections.
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
	actors      actors
	transport   transport
	audit       *audit.Log                 // nil: there is none
	welcome     peerframe.Welcome          // the answer when it joined, until its log has the members
	state       func() *index.State        // for the simulator's checks
	failed      func(error)                // called with the reason when the member has ended by itself
	voting      func() index.Configuration // raft's, for the same
	memory      *index.Reserve             // of the state, until the committed log is applied again, up to applyTo
	applyTo     uint64
	startup     *wire.Start // both endpoints wait for its stages
	opening     opening

	backup *backupDuty // set before the endpoints start; nil: this member makes no backup

	duty duty // owned by the clock that calls look

	// Shared.
	proposed ownProposals
	contacts contacts
	failure  atomic.Pointer[failure] // why the member ended; nil while it runs
	changed  atomic.Pointer[Config]  // config with the settings of the last change; nil: there was none
	peers    peerReports
}

// actors are the member's actors, as far as others call them.
type actors struct {
	consensus   *actor.Mailbox[actor.ConsensusMessage]
	applier     *actor.Mailbox[actor.ApplierMessage]
	snapshots   *actor.Mailbox[actor.SnapshotterMessage]
	watches     *actor.Mailbox[actor.WatchHubMessage]
	mailboxes   map[string]func() int // numbers of waiting messages
	logWriter   *actor.LogWriter
	logReader   *actor.LogReader
	snapshotter *actor.Snapshotter
	admission   *actor.Admission
}

// duty is the state of what a member does by itself, at each look.
type duty struct {
	looks int // since the last check
	leads int // consecutive looks at which this member led

	retention      pause // of the log line about that alarm
	shortHistory   pause // of the warning
	historyRoom    historyRoom
	autoCompaction autoCompaction
	ages           historyAges // for Config.HistoryAge

	sends       refusedSends
	smallMemory pause // of the log line about that notice
	nearQuota   pause // of that one
	noSpace     pause // of the log line about the alarm
	space       pause // of the log line about its end

	checked   stateMark // at this leader's last check
	verifying verifying
	idle      idleWatch
}

// ownProposals are what this member itself has proposed.
type ownProposals struct {
	announcing, backupKey, placing, comparing, checking, compacting, rebasing, raising, guarding, corrupting, adding, binding own
}

// peerReports are what was logged or counted of peers.
type peerReports struct {
	complaints atomic.Int64 // frames of peers that could not be read
	refused    sync.Map     // peer to the reason, of the log's line about its refusal
	refusing   sync.Map     // the same of peers that refuse this member
	copies     sync.Map     // the same of peers that have refused a second process of this one
	processes  sync.Map     // peer to the one that it was connected by last
}

type failure struct{ err error }

const (
	// batchesOfSegment is how many batches a segment holds at least: batched records, such as deletions, never need a file of their own.
	batchesOfSegment = 4
	// lookInterval is how often a member compares the log's description of itself and of its state with the facts.
	lookInterval = 200 * time.Millisecond
	// announceTimeout bounds a member's wait for its own log entry about itself.
	announceTimeout = 2 * time.Second
)

// build makes a member from its data folder: recovery, then the actors, then the way to the others. When it returns,
// the member takes part.
func build(c Config, trustDomain string, env environment, failed func(error)) (*member, error) {
	m := &member{config: c, env: env, logger: c.Logger, status: actor.NewStatus(env.Driver), failed: failed, startup: &wire.Start{Stale: c.ServeStale}}
	m.opening.start = m.startup
	var err error
	if m.folder, err = openFolder(env.FS, c.DataDir, owner{c.Name, trustDomain}, func() (origin, error) { return m.begin(trustDomain) }, env.Random); err != nil {
		return nil, err
	}
	segmentBytes := segmentBytes(c.SegmentBytes, c.MaxRequestBytes, env.FS, m.folder.dir)
	m.env.Limits.BatchBytes = min(env.Limits.BatchBytes, int(segmentBytes/batchesOfSegment))
	m.setMemory()
	m.status.SetMachine(env.Memory, segmentBytes)
	m.storage = storage{
		folder: m.folder, random: env.Random, limits: m.env.Limits, segmentBytes: segmentBytes, version: c.Version,
		reserve: m.status.LogReserve, background: env.Background, memory: env.Memory, logger: c.Logger,
		repairs: repairs{fetch: m.fetchPart}, state: env.State,
	}
	if c.Seed != nil {
		m.storage.repairs.seed = env.Backup
	}
	m.noteDifferences()
	if env.Audit != nil {
		if m.audit, err = env.Audit(); err != nil {
			return nil, errors.Join(err, m.folder.lock.Close())
		}
	}
	if err := m.start(); err != nil {
		m.audit.Close()
		return nil, errors.Join(err, m.folder.lock.Close())
	}
	return m, nil
}

// begin returns the beginning of an empty data folder.
func (m *member) begin(trustDomain string) (origin, error) {
	if founders := m.config.founders(); len(founders) > 0 {
		token := m.config.InitialClusterToken
		if len(founders) == 1 { // no other founder has to find the same ids
			var once [8]byte
			if _, err := io.ReadFull(m.env.Random, once[:]); err != nil {
				return origin{}, fmt.Errorf("make a cluster id: %w", err)
			}
			token = fmt.Sprintf("%s %x", token, once)
		}
		return originOf(trustDomain, token, m.config.Name, founders), nil
	}
	if len(m.config.Join) == 0 {
		return origin{}, usagef("the data folder %s is empty, and a cluster is founded only on request: give --found for a new cluster of this member, "+
			"--initial-cluster for a new cluster of several, or --join for an existing cluster, with its cluster secret or after `qkv member add %s --peer %s` on one of its members",
			m.config.DataDir, m.config.Name, m.config.AdvertisePeer)
	}
	var folder [16]byte
	if _, err := io.ReadFull(m.env.Random, folder[:]); err != nil {
		return origin{}, fmt.Errorf("make a folder id: %w", err)
	}
	if err := m.join(0, folder); err != nil {
		return origin{}, err
	}
	return origin{cluster: m.welcome.Cluster, self: m.welcome.ID, name: m.config.Name, founding: []string{trustDomain}, folder: folder}, nil
}

// join asks a member of the cluster for this member's id, if it does not know it, and for the other members. The id is bound to the folder.
func (m *member) join(id uint64, folder [16]byte) (err error) {
	m.welcome, err = m.env.Join(m.config.Join, id, folder)
	return err
}

// otherFounders returns the ids of the founders besides this member.
func (m *member) otherFounders() (ids []uint64) {
	for _, one := range m.folder.founders().All() {
		if one.ID != m.folder.Member {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

// etcdPeerDefault is the address of a member whose command line of etcd has no --initial-advertise-peer-urls.
const etcdPeerDefault = "localhost:2380"

// noteDifferences logs the flags that the folder overrides, and drops addresses that cannot be dialed.
func (m *member) noteDifferences() {
	c, founders := &m.config, m.folder.Founding[min(len(m.folder.Founding), 2):] // none: it joined
	lists, now := len(c.InitialCluster) > 0, slices.Sorted(slices.Values(c.founders()))
	why := c.CheckBeginning()
	switch {
	case why != nil:
		c.InitialCluster = slices.DeleteFunc(slices.Clone(c.InitialCluster), func(f Founder) bool { return wire.CheckAddress(f.Address) != nil })
		c.Join = slices.DeleteFunc(slices.Clone(c.Join), func(address string) bool { return wire.CheckAddress(address) != nil })
	case len(founders) == 0 && (c.Found || lists):
		why = errors.New("this member joined an existing cluster")
	case c.Found && len(founders) > 1, lists && !slices.Equal(founders, now), len(c.Join) > 0 && len(founders) > 0:
		why = fmt.Errorf("the cluster was founded by %s", strings.Join(founders, ","))
	}
	if why != nil {
		m.logger.Warn("flags for founding or joining a cluster are ignored: the data folder already belongs to a cluster", "because", why.Error())
	}
	if m.folder.Boot > 0 && c.AdvertisePeer == etcdPeerDefault && c.ListenPeer != etcdPeerDefault && c.ListenPeer != "127.0.0.1:2380" {
		c.AdvertisePeer = "" // the command line names none
	}
	if told, at := c.AdvertisePeer, c.ListenPeer; c.advertisesEntry && elsewhere(told, at) {
		m.logger.Warn("--initial-cluster and --listen-peer give different addresses of this member: if it has moved, omit --initial-cluster or give the new list; if not, give --advertise-peer too",
			"members_are_told", told, "listens", at)
	}
}

// elsewhere reports whether an address certainly belongs to another host than a listen address: both are numeric.
func elsewhere(address, listen string) bool {
	one, _, _ := net.SplitHostPort(address)
	other, _, _ := net.SplitHostPort(listen)
	a, b := net.ParseIP(one), net.ParseIP(other)
	return a != nil && b != nil && !b.IsUnspecified() && !a.Equal(b)
}

// insecurePeers is the notice of --insecure-peers.
const insecurePeers = "--insecure-peers derives the members' certificates from the cluster token: every host that reaches the peer port and guesses the token can " +
	"join and read everything; make a secret with `qkv cert secret`, and give --cluster-secret-file on all members"

func (m *member) start() error {
	r, err := m.storage.recover()
	if err != nil {
		return err
	}
	m.contacts.mu.Lock()
	m.contacts.members = index.Members{} // while parts were fetched, those of a snapshot
	m.contacts.mu.Unlock()
	if err := m.drawProcess(); err != nil {
		return err
	}
	// A file that this qkv refuses is refused before anything is written. A service manager starts the member again and again, and each
	// counted start pushes an older one out of the boot history by which other members recognize this folder.
	known, err := m.folder.known()
	if err != nil {
		return err
	}
	if r.suspended, err = m.folder.suspended(); err != nil {
		return err
	}
	for _, name := range []string{"identity", "suspension", "peers"} {
		damaged, err := m.folder.repair(name)
		if err != nil {
			return fmt.Errorf("repair %s: %w", m.folder.path(name), err)
		}
		if damaged {
			m.logger.Warn("one of the two copies in a small file was damaged, and is restored from the other copy; nothing is lost, but look at the disk", "file", m.folder.path(name))
		}
	}
	if err := m.folder.boot(m.process); err != nil {
		return err
	}
	m.actors.admission = actor.NewAdmission(&actor.Admission{
		Self: m.folder.Member, Folder: m.folder.Folder, Founders: m.otherFounders(), Status: m.status, Remember: m.folder.remember,
	}, known)
	m.incarnation = m.storage.salt()
	if r.suspended.Reason != "" {
		r.alarms = append(r.alarms, r.suspended.Alarm())
	}
	if m.config.InsecurePeers {
		r.alarms = append(r.alarms, kv.Alarm{Name: kv.InsecureNotice, Text: insecurePeers})
		m.logger.Warn("INSECURE: " + insecurePeers)
	}
	for _, a := range r.alarms {
		m.status.Alarm(a)
	}
	return m.connect(r)
}

// drawProcess makes this process's id, once.
func (m *member) drawProcess() error {
	if m.process != [16]byte{} {
		return nil
	}
	if _, err := io.ReadFull(m.env.Random, m.process[:]); err != nil {
		return fmt.Errorf("make a process id: %w", err)
	}
	return nil
}

// makeTransport makes the transport to the other members, once.
func (m *member) makeTransport() (err error) {
	if m.transport == nil {
		m.transport, err = m.env.Transport(m.folder, m.process)
	}
	return err
}

// joinAgain asks for this member's id once more, if an earlier process has joined and got nothing of the state yet.
func (m *member) joinAgain(r *recovered) error {
	switch {
	case len(r.state.Members().All()) > 0 || m.welcome.ID != 0:
		return nil
	case len(m.config.Join) == 0:
		return usagef("this member has joined a cluster but has received no data yet, and knows no other member: give --join again")
	}
	return m.join(m.folder.Member, m.folder.Folder)
}

// placeAfter is the number of looks that a leader gives the founders to announce their own addresses: two seconds.
const placeAfter = 10

// look compares the log's facts about this member with the real ones, and is the watch hub's clock.
func (m *member) look() {
	if m.status.Watches() > 0 {
		m.actors.watches.Offer(actor.WatchTick{})
	}
	m.giveBack()
	m.announce()
	m.bindFounders()
	m.raise()
	m.retain()
	m.rebase()
	m.noticeMemory()
	m.noticeSends()
	m.guard()
	m.verify()
	m.forgetTurnedAway()
	if len(m.status.View().Members().All()) == 1 {
		return
	}
	m.place()
	m.compare()
	if m.duty.looks++; time.Duration(m.duty.looks)*lookInterval >= m.env.Limits.CheckInterval {
		m.duty.looks = 0
		m.check()
	}
}

// giveBack frees memory that an idle member does not use, and the memory used by a start, once its log is applied.
func (m *member) giveBack() {
	view := m.status.View()
	applied, _ := view.Applied()
	started := m.memory != nil && applied >= m.applyTo
	if started {
		m.memory.Close()
		m.memory = nil
	}
	if idle := m.duty.idle.look(applied, view.RetiredBytes()); (idle || started) && m.env.Idle != nil {
		view.Rest()
		m.env.Idle()
	}
}

// announce proposes this member's identity and addresses when the log has others. Any member can therefore list all members, and
// recognize a member that has forgotten its promises.
func (m *member) announce() {
	if err := m.actors.admission.Learn(); err != nil {
		m.logger.Warn("the member list could not be saved yet; the write is retried", "error", err)
	}
	if m.status.Raft().Role == actor.RoleSuspended {
		return // no member accepts it: this member announces itself when it takes part again
	}
	known := m.status.View().Members().Get(m.folder.Member)
	if known == nil || m.announced() {
		return
	}
	at := known.Peers
	host, _, _ := net.SplitHostPort(m.config.ListenPeer)
	if told := m.config.AdvertisePeer; told != "" {
		at = []string{told}
	} else if len(at) == 0 && !wildcard(host) { // an earlier start ended before it announced itself
		at = []string{m.config.ListenPeer}
	}
	m.proposed.announcing.propose(m, index.AppendAnnounce(nil, &kv.Member{
		ID: m.folder.Member, Name: m.config.Name, Version: m.config.Version, Level: cmp.Or(m.env.Level, index.MaxLevel), Folder: m.folder.Folder, Boot: m.folder.Boot,
		Process: m.process, Clients: m.config.native(), Web: m.config.web(), Peers: at,
	}))
}

// bindFounders proposes to bind a founder's id to the folder that the founders have agreed on, or that asks first, if this member leads
// (actor.Admission).
func (m *member) bindFounders() {
	if m.status.Raft().Role != "leader" {
		return
	}
	for _, one := range m.status.View().Members().All() {
		if folder := m.actors.admission.Claims(one.ID); one.Role.Votes() && !one.Bound() && folder != [16]byte{} {
			m.bind(one.ID, folder)
			return
		}
	}
}

// bind proposes to bind a member's id to a data folder.
func (m *member) bind(id uint64, folder [16]byte) {
	change := kv.MemberChange{Kind: kv.BindMember, ID: id, Folder: folder}
	m.proposed.binding.propose(m, index.Own().AppendMemberChange(nil, &change))
}

// announced reports that the log knows this process.
func (m *member) announced() bool {
	known := m.status.View().Members().Get(m.folder.Member)
	return known != nil && known.Boot == m.folder.Boot && known.Process == m.process
}

// place proposes the configured address of a founder that has never announced itself, if this member leads. A later joiner knows a
// founder by the log only, and may have replaced all members with that address in their configuration when the founder is started at
// last.
func (m *member) place() {
	if m.duty.leads++; m.status.Raft().Role != "leader" {
		m.duty.leads = 0
	}
	if m.duty.leads < placeAfter {
		return
	}
	if change := unplaced(m.status.View().Members(), m.config.InitialCluster); change != nil {
		m.proposed.placing.propose(m, index.Own().AppendMemberChange(nil, change))
	}
}

// unplaced returns the change that records a configured address of a member that was never started and has none.
func unplaced(members index.Members, given []Founder) *kv.MemberChange {
	for _, one := range members.All() {
		at := slices.IndexFunc(given, func(g Founder) bool { return g.Name == one.Name })
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

// compare judges the newest check of the members' states, and proposes this member's digest.
func (m *member) compare() {
	view := m.status.View()
	verdict := view.Compare(m.folder.Member, len(view.Members().All()), m.status.NameOf)
	if verdict.Stop {
		m.actors.consensus.Offer(actor.Differs{Reason: verdict.Text})
		return
	}
	if m.status.Raft().Role == actor.RoleSuspended {
		return
	}
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: actor.StateSubject, Text: verdict.Text})
	if entry, digest, ok := view.PendingDigest(m.folder.Member); ok {
		m.proposed.comparing.propose(m, index.AppendDigest(nil, m.folder.Member, entry, digest))
	}
}

// raise raises the cluster's feature level to the highest that all members support, if this member leads: its commands may be proposed
// from then on.
func (m *member) raise() {
	view := m.status.View()
	if level := min(view.Members().Level(), index.MaxLevel); m.status.Raft().Role == "leader" && level > view.Level() {
		m.proposed.raising.propose(m, index.AppendFeatureLevel(nil, level))
	}
}

// retain has the oldest history compacted, if this member leads and there is more history than its settings keep.
func (m *member) retain() {
	view, now, config := m.status.View(), m.env.Driver.Time(), m.current()
	applied, _ := view.Applied()
	if applied >= m.applyTo { // entries replayed at a start are not new
		m.duty.ages.look(view, now.Now, now.Wall, config.HistoryAge)
		m.duty.autoCompaction.ages.look(view, now.Now, now.Wall, m.config.Etcd.CompactAfter)
	}
	held := m.status.QuorumCapacity()
	if m.status.Raft().Role != "leader" {
		m.duty.historyRoom = historyRoom{}
		m.status.Alarm(kv.Alarm{Name: kv.RetentionAlarm})
		return
	}
	most := m.duty.historyRoom.bound(config, m.env.Limits.HistoryEvery, view, held, now.Now)
	text := m.duty.historyRoom.text(held, m.status.NameOf(held.Member))
	m.status.Alarm(kv.Alarm{Name: kv.RetentionAlarm, Text: text})
	if text != "" && m.duty.retention.due(now.Now) {
		m.logger.Warn(text)
	}
	if m.duty.historyRoom.drops() {
		m.env.Limits.Reach("history drop")
	}
	if revision := config.oldestKept(view, most, m.duty.ages.older(config.HistoryAge, now.Now), m.env.Limits.HistoryRevisions); revision > view.Compacted() {
		m.proposed.compacting.propose(m, index.Own().AppendCompact(nil, revision))
		if back, short := short(view, most, now.Wall, revision); short && m.duty.shortHistory.due(now.Now) {
			m.logger.Warn("the history is short: "+shortHistory, "reaches_back", back.Round(time.Second), "history_bytes", most)
		}
	}
	if revision := m.duty.autoCompaction.due(&m.config.Etcd, view, now); revision > view.Compacted() {
		m.proposed.compacting.propose(m, index.Own().AppendCompact(nil, revision))
	}
}

// rebase has a newer base made.
func (m *member) rebase() {
	full, leads := m.status.FullMember(), m.status.Raft().Role == "leader"
	if revision := newerBase(m.status.View(), m.status.Parts(), &m.env.Limits, leads, full, m.status.QuorumCapacity().Now); revision > 0 {
		m.proposed.rebasing.propose(m, index.AppendRebase(nil, revision))
	}
}

// newerBase returns the revision of a base that is due; 0: none is. It is due if this member leads, once it frees enough, and on every
// member once it can do without a lost part: once no readable version has its value in parts alone.
func newerBase(view *index.View, parts actor.Parts, l *limits.Tunable, leads, full bool, held int64) int64 {
	revision, frees := view.NextBase()
	if cold, _ := view.Cold(); parts.Lost > 0 && revision >= parts.Lost && (cold == 0 || view.Compacted() >= view.OpenExtent().From) {
		return revision // the present base may need the part: then it can never be written here
	}
	// the present base is being written, or is too large for a full disk
	if !leads || parts.Base != view.Base() && !full {
		return 0
	}
	live, spare := view.LiveUsedBytes(), int64(0)
	if !full {
		spare = cmp.Or(held, math.MaxInt64/2) - live - view.HistoryBytes()
	}
	if view.Base() == index.EmptyBase { // the extents have the live keys, too
		frees -= live
	}
	if frees < space.BaseAfter(l, live, spare) {
		return 0
	}
	return revision
}

// check starts a comparison of the members' states, if this member leads and the state has changed since the last one, or a member is to
// be compared again.
func (m *member) check() {
	view := m.status.View()
	corrupt := slices.ContainsFunc(view.Alarms(), func(a kv.Alarm) bool { return a.Name == kv.CorruptAlarm })
	now := stateMark{view.Revision(), view.Auth().Revision()}
	if m.status.Raft().Role == "leader" && (now != m.duty.checked || corrupt) {
		m.duty.checked = now
		m.proposed.checking.propose(m, index.AppendCheck(nil))
	}
}

// stateMark are the numbers of a state that grow with its changes: of keys, and of users and roles.
type stateMark struct {
	revision int64
	auth     uint64
}

// own is a kind of command that this member proposes by itself, one at a time. Its clock looks at the state again, and repeats a lost
// command.
type own struct{ underWay atomic.Bool }

func (o *own) propose(m *member, command kv.Command) {
	if o.underWay.Swap(true) {
		return
	}
	proposal := kv.Proposal{ReplyTo: o, Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: announceTimeout}
	if !m.actors.consensus.Offer(actor.Propose{Proposal: proposal, Own: true}) {
		o.underWay.Store(false)
	}
}

// Complete implements kv.ReplyTo.
func (o *own) Complete([]kv.Completion) { o.underWay.Store(false) }

// Uncounted implements actor.Uncounted: a lost command is proposed again.
func (o *own) Uncounted() {}

// fail ends the member: it sends nothing from here on, and its process ends with err as its last output.
func (m *member) fail(err error) {
	if m.failure.CompareAndSwap(nil, &failure{err}) {
		m.failed(err)
	}
}

// close closes the files, after the driver has stopped the actors.
func (m *member) close() error {
	m.actors.snapshotter.Close()
	m.audit.Close()
	return errors.Join(m.actors.logWriter.Close(), m.actors.logReader.Close(), m.folder.lock.Close())
}

// Status is this member's own status, as `qkv status` shows it.
func (m *member) Status() kv.Status {
	view, raftStatus := m.status.View(), m.status.Raft()
	s := kv.Status{
		Name: m.config.Name, ID: m.folder.Member, Cluster: m.folder.Cluster, Version: m.config.Version, Role: raftStatus.Role, Leader: raftStatus.Leader,
		Digest: view.Digest(), Stage: m.startup.Word(), Alarms: m.alarms(),
	}
	m.figures(&s.Values, view, raftStatus)
	m.backup.report(&s)
	for _, one := range view.Members().All() {
		s.Members = append(s.Members, kv.Member{ID: one.ID, Name: one.Name, Clients: one.Clients, Role: one.Role, Version: one.Version, Level: one.Level, Replaces: one.Replaces})
	}
	for _, l := range m.transport.Status() {
		s.Links = append(s.Links, kv.Link{Member: l.ID, Connected: l.Connected, RTT: l.RTT, Error: l.LastErr, Untrusted: l.Untrusted})
	}
	if m.env.Load != nil {
		m.env.Load(&s)
	}
	return s
}
