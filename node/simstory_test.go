package node

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// TestStories plays the scripts of testdata: a few simulated members to which one thing happens after the other. The
// commands are the methods of story that begin with do.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{t: t}
		defer seedGlobalRandom(1)()
		datadriven.RunTest(t, path, s.command)
		if s.w != nil && s.w.failure != "" {
			t.Fatal(s.w.failure)
		}
	})
}

// story is a cluster that a script drives.
type story struct {
	t       *testing.T
	w       *world
	client  *client
	asked   map[string]*operation
	sent    map[string]int // frames by "from type"
	values  int
	chunks  int            // of a snapshot, until its path breaks
	said    map[string]int // messages of members
	session map[*host]*session
}

var commands = map[string]func(s *story, d *datadriven.TestData) string{
	"cluster": (*story).doCluster, "put": (*story).doWrite, "delete": (*story).doWrite, "get": (*story).doGet, "await": (*story).doAwait,
	"run": (*story).doRun, "crash": (*story).doCrash, "kill": (*story).doCrash, "start": (*story).doStart, "stop": (*story).doStop,
	"pause": (*story).doPause, "stall": (*story).doStall, "cut": (*story).doCut, "isolate": (*story).doCut, "join": (*story).doJoin,
	"leader": (*story).doLeader, "status": (*story).doStatus, "wipe": (*story).doForget, "copy": (*story).doCopy,
	"restore": (*story).doForget, "frames": (*story).doFrames, "said": (*story).doSaid, "same": (*story).doSame, "many": (*story).doMany,
	"resent": (*story).doResent, "remove": (*story).doRemove,
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	do := commands[d.Cmd]
	if do == nil {
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	out := strings.TrimSpace(do(s, d))
	if s.w.failure != "" {
		return "FAILURE " + s.w.failure + "\n"
	}
	if out == "" {
		out = "ok"
	}
	return out + "\n"
}

// word returns an argument, or what it is when it is not there.
func word(d *datadriven.TestData, key, fallback string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return fallback
}

func (s *story) duration(d *datadriven.TestData, key, fallback string) time.Duration {
	v, err := time.ParseDuration(word(d, key, fallback))
	if err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	return v
}

// named returns the members that a command names without a key.
func (s *story) named(d *datadriven.TestData) []*host {
	var named []*host
	for _, a := range d.CmdArgs {
		for _, h := range s.w.hosts {
			if h.name() == a.Key && len(a.Vals) == 0 {
				named = append(named, h)
			}
		}
	}
	if len(named) == 0 {
		d.Fatalf(s.t, "no member is named")
	}
	return named
}

func (s *story) member(d *datadriven.TestData, key string) *host {
	for _, h := range s.w.hosts {
		if h.name() == word(d, key, "n1") {
			return h
		}
	}
	d.Fatalf(s.t, "no such member")
	return nil
}

// doCluster starts members=N; the clock of fast=NAME goes so much faster that this one is the first to campaign.
func (s *story) doCluster(d *datadriven.TestData) string {
	var members int
	d.ScanArgs(s.t, "members", &members)
	shape := shape{
		members: members, clients: 1, keys: 16, heartbeat: 100 * time.Millisecond, election: time.Second, segmentBytes: 64 << 10,
		ordered: true, calm: true, delay: time.Millisecond, sync: 2 * time.Millisecond, faulty: time.Hour, think: time.Hour,
		limits: limits.Defaults(),
	}
	shape.limits.MessageEntriesBytes, shape.limits.SnapshotBytes, shape.piece = 16<<10, 1<<20, 1<<10
	if d.HasArg("spares") {
		d.ScanArgs(s.t, "spares", &shape.spares)
	}
	if word(d, "snapshots", "") == "small" {
		shape.limits.SnapshotBytes = 16 << 10
	}
	s.w = newWorld(1, shape, nil)
	s.client = &client{w: s.w}
	s.asked, s.sent, s.said, s.session = map[string]*operation{}, map[string]int{}, map[string]int{}, map[*host]*session{}
	s.w.listen, s.w.pulled = s.listen, s.pulled
	s.w.hear = func(member, message string) { s.said[member+" "+message]++ }
	for _, h := range s.w.hosts {
		h.wall, h.skew = 0, 0.7
		if h.name() == word(d, "fast", "n1") {
			h.skew = 1.7
		}
		h.start()
	}
	s.w.run(10 * time.Millisecond)
	return ""
}

// listen counts frames.
func (s *story) listen(from, to *host, frame []byte) {
	m, err := peerframe.Read(frame, from.id(), to.id())
	if err != nil {
		s.w.failf("%v", err)
		return
	}
	if raft, ok := m.(peerframe.Raft); ok {
		s.sent[from.name()+" "+raft.GetType().String()]++
		return
	}
	s.sent[from.name()+" "+strings.TrimPrefix(fmt.Sprintf("%T", m), "peerframe.")]++
}

// pulled counts pieces, and lets a path break after some of them.
func (s *story) pulled(by, from *host) {
	s.sent[from.name()+" pieces"]++
	if s.chunks > 0 {
		if s.chunks--; s.chunks == 0 {
			s.w.net.lane(from, by).blocked++
		}
	}
}

// doLeader runs until a member leads and takes a write, and names it.
func (s *story) doLeader(d *datadriven.TestData) string {
	var leader *host
	found := s.w.until(s.duration(d, "within", "20s"), func() bool {
		for _, h := range s.w.hosts {
			if h.alive() && h.leads && h.member.status.Raft().Term == s.w.watch.newest {
				leader = h
			}
		}
		return leader != nil && leader.name() != word(d, "not", "")
	})
	if !found {
		return "nobody leads"
	}
	s.w.run(time.Second / 2)
	return leader.name() + " leads"
}

// doWrite sends a write to at=NAME, of bytes=N more than its value, and waits for its outcome unless it gets a name=ID to be
// awaited by.
func (s *story) doWrite(d *datadriven.TestData) string {
	s.values++
	o := &operation{kind: opPut, key: word(d, "key", "k"), value: word(d, "value", fmt.Sprintf("v%d", s.values))}
	if d.HasArg("bytes") {
		var bytes int
		d.ScanArgs(s.t, "bytes", &bytes)
		o.value += "." + strings.Repeat("x", bytes)
	}
	if d.Cmd == "delete" {
		o.kind = opDelete
	}
	return s.ask(d, o, func(c *session, timeout time.Duration) { c.propose([]*operation{o}, timeout) })
}

// doGet reads from at=NAME; serializable reads whatever that member has.
func (s *story) doGet(d *datadriven.TestData) string {
	o := &operation{kind: opRead, key: word(d, "key", "k")}
	if d.HasArg("serializable") {
		o.kind = opSerializable
	}
	return s.ask(d, o, func(c *session, timeout time.Duration) {
		if o.kind == opSerializable {
			c.serializable(o)
		} else {
			c.confirm(o, timeout)
		}
	})
}

func (s *story) ask(d *datadriven.TestData, o *operation, begin func(c *session, timeout time.Duration)) string {
	at := s.member(d, "at")
	if !at.alive() {
		return at.name() + " is down"
	}
	c := s.session[at]
	if c == nil || c.life != at.life {
		s.client.at = at
		c = newSession(s.client, at)
		s.session[at] = c
	}
	o.member, o.invoked = at.name(), s.w.history.moment()
	s.w.history.operations = append(s.w.history.operations, o)
	s.client.open += 2 // so that no turn follows
	begin(c, s.duration(d, "timeout", "5s"))
	if name := word(d, "name", ""); name != "" {
		s.asked[name] = o
		return ""
	}
	return s.answer(o, 20*time.Second)
}

func (s *story) answer(o *operation, most time.Duration) string {
	if !s.w.until(most, func() bool { return o.returned != 0 }) {
		return "no answer yet"
	}
	switch {
	case o.outcome != outcomeDone:
		return fmt.Sprintf("%v: %s", o.outcome, o.problem)
	case o.write():
		return fmt.Sprintf("done, revision %d", o.revision)
	case len(o.pairs) == 0:
		return fmt.Sprintf("nothing at revision %d", o.revision)
	default:
		return fmt.Sprintf("%.20s at revision %d", o.pairs[0].value, o.revision)
	}
}

// doAwait waits for the outcome of what was asked before: await name=ID within=1s.
func (s *story) doAwait(d *datadriven.TestData) string {
	return s.answer(s.asked[word(d, "name", "")], s.duration(d, "within", "20s"))
}

// doMany writes n=N values of bytes=B each, one after the other.
func (s *story) doMany(d *datadriven.TestData) string {
	var n, bytes int
	d.ScanArgs(s.t, "n", &n)
	d.ScanArgs(s.t, "bytes", &bytes)
	at := s.member(d, "at")
	for i := range n {
		s.values++
		o := &operation{kind: opPut, key: fmt.Sprintf("m%d", i%20), value: fmt.Sprintf("v%d.", s.values) + strings.Repeat("x", bytes)}
		if out := s.ask(d, o, func(c *session, timeout time.Duration) { c.propose([]*operation{o}, timeout) }); o.outcome != outcomeDone {
			return fmt.Sprintf("write %d at %s: %s", i, at.name(), out)
		}
	}
	return ""
}

// doRun lets a time pass.
func (s *story) doRun(d *datadriven.TestData) string {
	s.w.run(s.duration(d, "for", "1s"))
	return ""
}

// doRemove asks at=NAME that a member is removed, and waits for nothing.
func (s *story) doRemove(d *datadriven.TestData) string {
	s.client.at = s.member(d, "at")
	command := new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: s.named(d)[0].id()})
	endpoint{s.client.at.member}.Propose(kv.Proposal{ReplyTo: new(completions(func([]kv.Completion) {})), Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: time.Minute})
	return ""
}

// doCrash takes the power away, or kills the process: crash n1 n2. What was not synced is lost from some write on; with garbage, each of
// its sectors may be.
func (s *story) doCrash(d *datadriven.TestData) string {
	variant := simdisk.Prefix
	if d.HasArg("garbage") {
		variant = simdisk.Garbage
	}
	for _, h := range s.named(d) {
		if d.Cmd == "kill" {
			h.kill()
		} else {
			h.down(func() { h.disk.Crash(variant) })
		}
	}
	return ""
}

func (s *story) doStart(d *datadriven.TestData) string {
	for _, h := range s.named(d) {
		h.start()
	}
	return ""
}

func (s *story) doStop(d *datadriven.TestData) string {
	h := s.named(d)[0]
	h.stop()
	s.w.until(5*time.Second, func() bool { return !h.alive() })
	return ""
}

func (s *story) doPause(d *datadriven.TestData) string {
	for _, h := range s.named(d) {
		h.pause(s.duration(d, "for", "1s"))
	}
	return ""
}

// doStall keeps a disk from finishing anything for a time, from now on or from when=leads.
func (s *story) doStall(d *datadriven.TestData) string {
	lasts := s.duration(d, "for", "1s")
	for _, h := range s.named(d) {
		stall := func() { h.drive.stall(s.w.sim.Now(), lasts) }
		if word(d, "when", "") == "leads" {
			h.onLead = stall
		} else {
			stall()
		}
	}
	return ""
}

// doCut cuts the direction from=NAME to=NAME, at once or after pieces=N of a snapshot, or all around the members that
// are isolated.
func (s *story) doCut(d *datadriven.TestData) string {
	if d.HasArg("pieces") {
		d.ScanArgs(s.t, "pieces", &s.chunks)
		return ""
	}
	if d.Cmd == "cut" {
		s.w.net.lane(s.member(d, "from"), s.member(d, "to")).blocked++
		return ""
	}
	for _, h := range s.named(d) {
		s.w.blockPaths(fault{kind: isolate, lasts: time.Hour}, func(from, to *host) bool { return from == h || to == h })
	}
	return ""
}

// doJoin ends all that keeps members apart.
func (s *story) doJoin(*datadriven.TestData) string {
	for _, row := range s.w.net.lanes {
		for _, p := range row {
			p.blocked = 0
		}
	}
	clear(s.w.undo.open)
	return ""
}

// doStatus shows where each member stands.
func (s *story) doStatus(*datadriven.TestData) string {
	var b strings.Builder
	for _, h := range s.w.hosts {
		if !h.alive() {
			fmt.Fprintf(&b, "%s: down\n", h.name())
			continue
		}
		raftStatus := h.member.status.Raft()
		leader := "nobody"
		if raftStatus.Leader != 0 {
			leader = h.member.status.NameOf(raftStatus.Leader)
		}
		fmt.Fprintf(&b, "%s: %s of %s, term %d, revision %d, %d snapshots installed", h.name(), raftStatus.Role, leader, raftStatus.Term,
			h.member.status.View().Revision(), s.said[h.name()+" snapshot installed"])
		for _, a := range h.member.Status().Alarms {
			text, _, _ := strings.Cut(a.Text, "(")
			fmt.Fprintf(&b, ", %.100s", text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// doCopy takes a backup of a member's folder; doForget puts it back, or wipes the folder, and starts the member.
func (s *story) doCopy(d *datadriven.TestData) string {
	h := s.named(d)[0]
	backup := h.disk.Clone(1)
	backup.Kill()
	h.copies = []folderCopy{{disk: backup, boot: h.boot}}
	return ""
}

func (s *story) doForget(d *datadriven.TestData) string {
	h := s.named(d)[0]
	h.kill()
	if d.Cmd == "restore" {
		h.forgot, h.disk = "has an old copy of its folder", h.copies[0].disk
	} else {
		h.forgot, h.disk = "has lost its folder", simdisk.New(2)
	}
	h.fresh, h.once = true, h.proven
	h.equip()
	h.start()
	return ""
}

// doFrames tells how many messages of a type=TYPE each member has sent since the last time.
func (s *story) doFrames(d *datadriven.TestData) string {
	kind := word(d, "type", raftpb.MsgVote.String())
	var lines []string
	for _, h := range s.w.hosts {
		lines = append(lines, fmt.Sprintf("%s sent %d %s", h.name(), s.sent[h.name()+" "+kind], kind))
		delete(s.sent, h.name()+" "+kind)
	}
	return strings.Join(lines, "\n")
}

// doResent tells whether a member, the first one, has sent a snapshot to another one, whose newest it is now, without sending
// again what had arrived.
func (s *story) doResent(d *datadriven.TestData) string {
	named := s.named(d)
	piece := s.w.shape.piece
	pieces := int((named[1].member.status.Disk().Newest + piece - 1) / piece)
	again := s.sent[named[0].name()+" pieces"] - pieces
	if again != 0 {
		return fmt.Sprintf("%d of %d pieces", again, pieces)
	}
	return "nothing came twice"
}

// doSaid lists what members said that contains text=TEXT since the last time.
func (s *story) doSaid(d *datadriven.TestData) string {
	var lines []string
	for message, n := range s.said {
		if strings.Contains(message, word(d, "text", "")) {
			lines = append(lines, fmt.Sprintf("%s (%d)", message, n))
			delete(s.said, message)
		}
	}
	sort.Strings(lines)
	if lines == nil {
		return "nobody"
	}
	return strings.Join(lines, "\n")
}

// doSame runs until all members that are named have applied the same, and checks what clients saw.
func (s *story) doSame(d *datadriven.TestData) string {
	named := s.named(d)
	same := s.w.until(s.duration(d, "within", "20s"), func() bool {
		for _, h := range named {
			at, _ := h.member.status.View().Applied()
			if at != s.w.watch.commit {
				return false
			}
		}
		return true
	})
	if !same {
		return "they differ: " + strings.Join(s.w.places(), "; ")
	}
	view := named[0].member.status.View()
	t, err := newTruth(eventsOf(view, 0), view.Revision(), s.w.watch.visible)
	if err == nil {
		err = checkHistory(t, s.w.history.operations)
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("all at revision %d, as clients saw it", view.Revision())
}
