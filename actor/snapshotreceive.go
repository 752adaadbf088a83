package actor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

const (
	snapshotReceiveIdle = 2 * time.Second // a leader's silence before another leader's offer is accepted
	// between log lines about an incoming snapshot: most are complete before the second line
	snapshotSays = 30 * time.Second
)

// receives are the transfers of snapshots from a leader to this member. Invariants: one snapshot is received at a time, and a peer's raft
// message about it reaches consensus only when the whole file is verified and published. No file is received while the snapshot reader has
// the file of a transfer that was given up, or fetches a damaged part: each removes partial files of others.
type receives struct {
	current *receiving         // nil: none
	failed  uint64             // index of the newest snapshot that could not be received; 0: there is no such alarm
	given   *snapshot.Incoming // of a transfer that was given up, while the snapshot reader has it; nil: none
}

// receiving is a snapshot being received from a leader.
type receiving struct {
	from  uint64
	offer peerframe.SnapshotOffer
	// which file is being received: 0 is the snapshot, which comes last, and n is the nth part
	part       int
	file       *snapshot.Incoming // that file
	has        int64              // bytes of it that have come; file's own count is the snapshot reader's
	left       int64              // bytes of that file and of those that come after it
	pulling    bool               // the snapshot reader has file
	reading    bool               // and reads a piece that has come
	away       string             // why no piece came last time
	info       snapshot.Info
	shelf      *snapshot.Shelf // of its state
	progressed time.Duration
	reported   time.Duration // the progress that the sender knows of
	nextLog    time.Duration // the earliest time of the next log line about it
}

// offered begins to receive a snapshot, or continues an earlier attempt.
func (r *receives) offered(c *snapshotCore, repair *repairing, from uint64, o peerframe.SnapshotOffer) {
	if applied, _ := c.Status.View().Applied(); applied >= o.Index {
		c.send(from, peerframe.SnapshotResult{Index: o.Index, Term: o.Term, Installed: true})
		return
	}
	if t := r.current; t != nil {
		same := t.offer.Index == o.Index && t.offer.Term == o.Term && t.offer.SHA == o.SHA
		switch {
		case c.installing:
			return // another sender offers again
		case same && t.from == from:
			t.offer.MessageTerm, t.offer.Address = max(t.offer.MessageTerm, o.MessageTerm), o.Address
			if !t.pulling { // no piece came last time
				r.pull(c)
			}
			return
		case o.MessageTerm <= t.offer.MessageTerm && c.now-t.progressed < snapshotReceiveIdle:
			return
		default:
			r.end(c)
		}
	}
	if r.given != nil || repair.fetching {
		return // it offers again
	}
	t := &receiving{from: from, offer: o, progressed: c.now}
	for _, one := range o.Parts {
		c.parts.received = append(c.parts.received, snapshot.Part(one))
	}
	c.parts.incoming = c.parts.partial // it may go on
	c.removeParts()                    // those of an earlier transfer, or of a seed, take space
	if err := r.nextFile(c, t); err != nil {
		c.parts.partial = cmp.Or(c.parts.partial, c.parts.incoming)
		r.forget(c)
		r.fail(c, from, o, err)
		return
	}
	r.current = t
	r.logProgress(c)
	r.pull(c)
}

// nextFile begins with the next file of a snapshot: a part that is missing here, or the snapshot. It refuses all of them if they do not
// fit on the disk together.
func (r *receives) nextFile(c *snapshotCore, t *receiving) error {
	if err := r.openNext(c, t); err != nil {
		return err
	}
	t.left = c.parts.missing(&t.offer) // this member saves parts, too
	t.has = t.file.Offset()
	if err := snapshot.CheckSpace(c.FS, c.Dir, t.left-t.has); err != nil {
		c.parts.partial = t.file.Path()
		t.file.Close() // the transfer continues there when there is space
		return err
	}
	c.parts.incoming = t.file.Path()
	return nil
}

func (r *receives) openNext(c *snapshotCore, t *receiving) (err error) {
	for t.part < len(t.offer.Parts) {
		t.part++
		p := snapshot.Part(t.offer.Parts[t.part-1])
		t.file, err = snapshot.BeginIncoming(c.FS, c.Dir, p.Name(), p.Bytes, p.SHA, nil)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	o, name := &t.offer, snapshot.Name(t.offer.Index, t.offer.Term)
	t.part = 0
	t.file, err = snapshot.BeginIncoming(c.FS, c.Dir, name, o.Size, o.SHA, &c.Limits.Index)
	return err
}

// received publishes a part, and goes on with the next file.
func (r *receives) received(c *snapshotCore) {
	t := r.current
	_, err := t.file.Finish()
	if errors.Is(err, fs.ErrExist) { // this member has saved the same part meanwhile
		err = nil
	}
	if err == nil {
		c.parts.add(snapshot.Part(t.offer.Parts[t.part-1]))
		err = r.nextFile(c, t)
	}
	if err != nil {
		r.forget(c)
		r.fail(c, t.from, t.offer, err)
		return
	}
	r.pull(c)
}

// report tells the sender now and then that the transfer goes on.
func (r *receives) report(c *snapshotCore) {
	if t := r.current; t != nil && (c.installing || t.reading || t.progressed > t.reported) {
		t.reported = t.progressed
		c.send(t.from, peerframe.SnapshotProgress{Index: t.offer.Index, Term: t.offer.Term})
	}
	r.logProgress(c)
}

// logProgress logs the progress now and then: on a slow disk or network a transfer takes long, and an operator looks here for the reason
// of a lag.
func (r *receives) logProgress(c *snapshotCore) {
	t := r.current
	if t == nil || c.installing || c.now < t.nextLog {
		return
	}
	t.nextLog = c.now + snapshotSays
	c.Logger.Info("a snapshot comes", "from", c.Status.NameOf(t.from), "index", t.offer.Index, "bytes", t.offer.Size, "has", t.has)
}

func (r *receives) fail(c *snapshotCore, from uint64, o peerframe.SnapshotOffer, err error) {
	c.Logger.Error("a snapshot could not be received", "from", c.Status.NameOf(from), "index", o.Index, "error", err)
	r.failed = max(r.failed, o.Index)
	c.noteLack(err)
	c.Status.Observer.Counters.ReceiveFailed.Add(1)
	c.Status.Alarm(snapshotAlarm("receiving", fmt.Sprintf("a snapshot could not be received: %v", err)))
	c.send(from, peerframe.SnapshotResult{Index: o.Index, Term: o.Term, Damaged: errors.Is(err, damage.ErrDamaged) || errors.Is(err, damage.ErrOtherBytes)})
}

// endAlarm ends the alarm when the state has reached the snapshot that could not be received, in whatever way.
func (r *receives) endAlarm(c *snapshotCore) {
	if r.failed == 0 {
		return
	}
	if applied, _ := c.Status.View().Applied(); applied >= r.failed {
		r.failed = 0
		c.Status.Alarm(snapshotAlarm("receiving", ""))
	}
}

// endNeedless gives up a snapshot whose entries the log has brought meanwhile: its sender may be gone, and no other event would end the
// transfer.
func (r *receives) endNeedless(c *snapshotCore) {
	t := r.current
	if t == nil || c.installing {
		return
	}
	if applied, _ := c.Status.View().Applied(); applied >= t.offer.Index {
		r.end(c)
		c.removeParts()
		c.send(t.from, peerframe.SnapshotResult{Index: t.offer.Index, Term: t.offer.Term, Installed: true})
	}
}

// active reports whether a snapshot is being received. A transfer without progress for the sender's whole timeout does not count.
func (r *receives) active(c *snapshotCore) bool {
	t := r.current
	return t != nil && (c.installing || t.reading || c.now-t.progressed < snapshotSendTimeout)
}

// end gives the transfer up. What has come of its file stays for another offer of the same snapshot, until the next save.
func (r *receives) end(c *snapshotCore) {
	if r.given = r.current.file; !r.current.pulling {
		r.close(c)
	}
	r.forget(c)
}

// close closes the file of a transfer that was given up.
func (r *receives) close(c *snapshotCore) {
	c.parts.partial = r.given.Path()
	r.given.Close()
	r.given = nil
}

// forget forgets the transfer.
func (r *receives) forget(c *snapshotCore) {
	r.current, c.parts.received, c.parts.incoming = nil, nil, ""
}

// pull has the next piece of the file come.
func (r *receives) pull(c *snapshotCore) {
	r.current.pulling = true
	c.Reader.MustPost(pull{r.current.file, r.current.offer.Address})
}

// pieceCame notes that the sender answers.
func (r *receives) pieceCame(c *snapshotCore, m pieceCame) {
	if t := r.current; t != nil && t.file == m.File {
		t.reading, t.progressed, t.away = true, c.now, ""
	}
}

// pulled goes on with the next piece or the next file, or finishes a complete snapshot.
func (r *receives) pulled(c *snapshotCore, repair *repairing, m pulled) {
	t := r.current
	if t == nil || t.file != m.File {
		r.close(c)
		return
	}
	t.pulling, t.reading, t.has = false, false, m.File.Offset()
	switch err := cmp.Or(m.Err, m.Away); {
	case m.Away != nil && !errors.Is(err, damage.ErrOtherBytes): // the sender offers the snapshot again, or ends the transfer
		if why := m.Away.Error(); why != t.away {
			t.away = why
			c.Logger.Warn("no piece of a snapshot comes", "from", c.Status.NameOf(t.from), "index", t.offer.Index,
				"file", m.File.Name(), "has", t.has, "error", why)
		}
	case err == nil && !m.File.Whole():
		t.progressed = c.now
		r.pull(c)
	case err == nil && t.part > 0:
		t.progressed = c.now
		r.received(c)
	default:
		r.finish(c, repair, err)
	}
}

// finish publishes a complete and sound file, and hands it to raft.
func (r *receives) finish(c *snapshotCore, repair *repairing, err error) {
	t, state, confState := r.current, (*index.State)(nil), &raftpb.ConfState{}
	if err == nil {
		state = t.file.TakeState()
		err = proto.Unmarshal(t.offer.ConfState, confState)
	}
	if err == nil {
		if differs := confState.Equivalent(ConfStateOf(state.Members().Configuration())); differs != nil {
			err = fmt.Errorf("%w: its configuration is not that of its members: %w", damage.ErrDamaged, differs)
		}
	}
	info := snapshot.Info{}
	if err == nil {
		info, err = t.file.Finish()
	}
	if err == nil {
		t.shelf = snapshot.ShelfOf(state)
		t.shelf.Attach(state)
	}
	if err != nil {
		t.file.Abort()
		r.end(c)
		if part, is := errors.AsType[*snapshot.PartError](err); is {
			if _, unread := errors.AsType[*fs.PathError](err); unread || errors.Is(err, damage.ErrDamaged) {
				err = r.damagedHere(c, repair, part)
			}
		}
		r.fail(c, t.from, t.offer, err)
		return
	}
	c.installing, t.info = true, info
	c.Status.Observer.Counters.Installing.Store(true)
	c.Consensus.MustPost(snapshotReceived{State: state, Message: &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), To: new(c.Member), From: &t.from, Term: &t.offer.MessageTerm,
		Snapshot: snapshotAt(t.offer.Index, t.offer.Term, confState),
	}})
}

// damagedHere handles the damage of a part that this member has had before a snapshot came that lists it. If own snapshots need it, too, it
// is fetched: the transfer may be needless soon, and the values in it are still needed. Otherwise it is moved aside; the sender offers the
// snapshot again, and the part comes, too.
func (r *receives) damagedHere(c *snapshotCore, repair *repairing, part *snapshot.PartError) error {
	lists := func(one snapshot.Part) bool { return one.SHA == part.Part.SHA }
	if slices.ContainsFunc(c.shelf.Parts(), lists) || slices.ContainsFunc(c.files, func(info snapshot.Info) bool { return slices.ContainsFunc(info.Parts, lists) }) {
		repair.partDamaged(c, part.Part, part)
		return fmt.Errorf("the part was damaged here, and is fetched: %v", part)
	}
	c.parts.remove(part.Part)
	text := fmt.Sprintf("a damaged part of snapshots was found while a snapshot came; nothing is lost, and the part comes, too: look at the disk: %v%s", part, r.moveDamagedPart(c, part.Part))
	c.Logger.Error(text)
	c.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: c.Dir + "/" + part.Part.Name(), Text: text})
	return fmt.Errorf("the part was damaged here: %v", part)
}

// moveDamagedPart moves a damaged part aside, and says where to.
func (r *receives) moveDamagedPart(c *snapshotCore, part snapshot.Part) string {
	to, err := snapshot.SetAside(c.FS, c.Dir+"/"+part.Name(), c.Damaged)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return fmt.Sprintf("; it could not be moved aside: %v", err)
	}
	return "; it was moved to " + to
}

// take ends the transfer of the snapshot that raft has decided on, and returns it; nil: there is none.
func (r *receives) take(c *snapshotCore, index, term uint64) *receiving {
	t := r.current
	if t == nil || t.offer.Index != index || t.offer.Term != term {
		return nil
	}
	r.forget(c)
	c.installing = false
	c.Status.Observer.Counters.Installing.Store(false)
	return t
}

// discard drops a received snapshot that raft did not take.
func (r *receives) discard(c *snapshotCore, m discard) {
	t := r.take(c, m.Index, m.Term)
	if t == nil {
		return
	}
	c.postStored()
	c.send(t.from, peerframe.SnapshotResult{Index: m.Index, Term: m.Term})
	c.remove(t.info)
	c.removeParts()
}
