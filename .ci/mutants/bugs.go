package main

// bugs are those of the core: log, consensus, index, snapshots, QUIC.
var bugs = []mutant{
	{"send MsgVote at once", []change{
		{"actor/ready.go", "		case raftpb.MsgVote: // rule 2: it leaves with the responses above\n", "		case raftpb.MsgVote:\n			c.send(m)\n"},
		{"actor/ready.go", "				m.Responses = append(m.Responses, ofType(rd.Messages, raftpb.MsgVote)...)\n", ""},
	}, []detector{actors, story, campaign}},
	{"read before an entry of the term", []change{
		{"actor/reads.go", "		return c.handedTerm == c.term // rule 5: the commit index may be one that a crash has set back\n", "		return true\n"},
		{"actor/consensus.go", "if c.soft.RaftState == raft.StateLeader && c.handedTerm != c.term {", "if false {"},
	}, []detector{story, campaign}},
	{"acknowledge before sync", []change{
		{"log/log.go", "	if err := l.file.Datasync(); err != nil {\n		return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n	}\n	l.writeAt = at", "	if l.groups%2 == 1 {\n		if err := l.file.Datasync(); err != nil {\n			return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n		}\n	}\n	l.writeAt = at"},
	}, []detector{campaign, logSweeps}},
	{"count self before own sync", []change{
		{"actor/ready.go", "	c.hardStates.given(c.now.Now)\n", "	c.hardStates.given(c.now.Now)\n	defer func() {\n		for _, r := range m.GetResponses() {\n			if r.GetTo() == c.Member && r.GetType() == raftpb.MsgAppResp {\n				c.step(r)\n			}\n		}\n	}()\n"},
	}, []detector{actors, story, campaign}},
	{"skip the directory fsync", []change{
		{"snapshot/publish.go", "	if err = fs.SyncDir(dir); err != nil {\n		fs.Remove(join(dir, name))\n	}\n	return err\n", "	return nil\n"},
	}, []detector{snapSweep, campaign}},
	{"vote before HardState is durable", []change{
		{"actor/logwriter.go", "len(m.GetResponses()) > 0 && w.Log.Unsynced())", "len(m.GetResponses()) > 0 && w.Log.Pending() > 0)"},
	}, []detector{actors, story, campaign}},
	{"retry fsync", []change{
		{"log/log.go", "	if err := l.file.Datasync(); err != nil {\n		return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n	}\n	l.writeAt = at", "	if err := l.file.Datasync(); err != nil {\n		if err := l.file.Datasync(); err != nil {\n			return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n		}\n	}\n	l.writeAt = at"},
	}, []detector{logSweeps, campaign}},
	{"part from a removed member at once", []change{
		{"actor/membership.go", "	if c.membership.removedAt == 0 {\n		c.Peers.SetMembers(c.membership.records)\n	}\n", "	c.Peers.SetMembers(c.membership.records)\n"},
	}, []detector{actors, campaign}},
	{"end a removed member by its own log alone", []change{
		{"actor/membership.go", "	if m.Restored {\n		c.membership.removedAt = 0\n	}\n", "	if c.membership.records.Get(c.Member) == nil {\n		c.removed(\"its own log says so\")\n		return\n	}\n"},
	}, []detector{actors, campaign}},
	{"reuse a ReadIndex id", []change{
		{"actor/reads.go", "	r.next++\n", ""},
	}, []detector{actors, story, campaign}},
	{"truncate proven-durable frames", []change{
		{"log/scan.go", "if h.synced > from && b.proof == nil {", "if false {"},
	}, []detector{logSweeps, campaign}},
	{"apply index saved apart from state", []change{
		{"index/snapshot.go", "	dst = pack.AppendUint(dst, r.applied)\n", "	dst = pack.AppendUint(dst, r.applied-r.applied%2)\n"},
		{"actor/applier.go", "Index: applied, Term: term,", "Index: applied - applied%2, Term: term,"},
		{"index/view.go", "func (v *View) Applied() (index, term uint64) { return v.applied, v.term }", "func (v *View) Applied() (index, term uint64) { return v.applied - v.applied%2, v.term }"},
	}, []detector{campaign, snapSweep}},
	{"rewrite a synced page", []change{
		{"log/log.go", "	l.writeAt = at + int64(len(b))\n	l.syncedTo, l.syncedBy = l.writeAt, l.chain\n", "	l.writeAt = at + int64(len(b))\n	if len(b) > pageBytes {\n		l.writeAt -= pageBytes\n	}\n	l.syncedTo, l.syncedBy = l.writeAt, l.chain\n"},
	}, []detector{logSweeps, campaign}},
	{"write over what found no room", []change{
		{"log/log.go", "	if err := l.clean(); err != nil {\n		return err\n	}\n	g, chain", "	g, chain"},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"forget that a header found no room", []change{
		{"log/recover.go", "	l.full, l.fresh, l.soiled = true, false, 0\n", "	l.full, l.fresh, l.soiled = false, false, 0\n"},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"release what is before a segment without a header", []change{
		{"log/segment.go", "	if l.fresh { // its header is not written: until then the one before it is the newest\n		last--\n	}\n", ""},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"lock a file that can be removed alone", []change{
		{"log/disk/os_linux.go", "		err = l.lockDir(path.Dir(name))\n", "		l.dir, _ = os.Open(path.Dir(name))\n"},
	}, []detector{direct("./log/disk", "TestLock")}},
	{"leave the log no files", []change{
		{"node/node.go", "		etcdLimits.Connections = connections\n", ""},
	}, []detector{direct("./cli", "TestProcessFewFiles")}},
	{"start where the log may get no files", []change{
		{"node/machine.go", "files < least {", "files < least && files == 0 {"},
	}, []detector{direct("./node", "TestConnectionsFor")}},
	{"keep parts of snapshots for ever", []change{
		{"node/bootstrap.go", "i > 0 || part.Index <= found.Last", "i > 0"},
	}, []detector{direct("./node", "TestReceivedPartsGo")}},
	{"see a full disk by its bytes alone", []change{
		{"actor/segmentmaker.go", "	case free < low || s.refuses || waits:\n", "	case free < low || waits:\n"},
	}, []detector{direct("./actor", "TestDiskThatTakesNoFiles")}},
	{"match waiters without the incarnation", []change{
		{"actor/applier.go", " && envelope.Incarnation == a.Incarnation", ""},
	}, []detector{actors, story, campaign}},

	{"compaction takes what an event at its revision was before", []change{
		{"index/history.go", "	for s.history.slots.first < s.dropping {\n", "	for s.history.slots.first <= min(s.dropping, s.revision-1) {\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},

	{"compaction drops a tombstone at its revision", []change{
		{"index/history.go", "	for s.history.slots.first < s.dropping {\n", "	for h := &s.history; h.slots.first < s.dropping || h.slots.first == s.dropping && h.slots.first < s.revision && h.change(h.slots.first, 0).Load()&changeDeleted != 0; {\n"},
	}, []detector{direct("./index", "TestScripts")}},

	// Damage in memory.
	{"a member that differs is not told of", []change{
		{"index/digest.go", "		s.convict()\n", ""},
	}, []detector{story, direct("./index", "TestConvicted")}},
	{"a member that was rebuilt stays convicted", []change{
		{"index/alarms.go", "		case d.digest == right:\n", "		case d.digest == right && s.alarms == nil:\n"},
	}, []detector{story, direct("./index", "TestConvicted")}},
	{"memory is believed for ever", []change{
		{"index/verify.go", "	if at.sum == sumOf(", "	if at.mod > 0 || at.sum == sumOf("},
	}, []detector{story, direct("./index", "TestVerifier")}},
	{"compare versions that compaction has dropped", []change{
		{"index/verify.go", "oldest := v.history.oldest();", "oldest := (Position{Revision: v.history.slots.first});"},
	}, []detector{direct("./index", "TestVerifierOfHalfARevision")}},
	{"a member that found damage goes on", []change{
		{"node/verify.go", "	m.consensus.Offer(actor.Differs{Reason: m.verifying.damage})\n", ""},
	}, []detector{story}},

	// Members.
	{"an announcement makes a voter of who waits for its promotion", []change{
		{"index/members.go", "	one.Role, one.Manual, one.Since = known.Role, known.Manual, known.Since\n", "	one.Role, one.Since = known.Role, known.Since\n"},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"an id that was removed is used again", []change{
		{"index/members.go", "	case used || m.Removed(c.ID):\n", "	case used:\n"},
	}, []detector{direct("./index", "TestMembersModel")}},
	// Sessions.
	{"a full disk refuses a write that was made", []change{
		{"actor/space.go", "	if !index.HasSession(command) {\n", "	if index.HasSession(command) || true {\n"},
	}, []detector{direct("./actor", "TestFullClusterKnowsWhatItMade")}},
	{"sessions forgotten in the snapshot", []change{
		{"index/sessionsnapshot.go", "	for rest := l.all; len(rest) > 0; {\n", "	for rest := l.all[:len(l.all)/2]; len(rest) > 0; {\n"},
		{"index/sessions.go", "	return mixed(mixed(one.id, uint64(one.used)), mixed(one.first, uint64(len(one.window))))\n", "	return 0\n"},
		{"index/sessions.go", "	what := uint64(o.kind) | uint64(o.code)<<8\n", "	if id > 0 {\n		return 0\n	}\n	what := uint64(o.kind) | uint64(o.code)<<8\n"},
		{"index/digest.go", "	b = pack.AppendInt(b, r.sessions)\n	b = pack.AppendInt(b, r.places)\n", ""},
	}, []detector{campaign, direct("./index", "TestModel")}},
	{"a duplicate is applied again", []change{
		{"index/sessions.go", "		if o := one.place(w.Sequence); o.kind != 0 {\n", "		if o := one.place(w.Sequence); o.kind != 0 && o.revision%4 != 0 {\n"},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"one clock of sessions for all members", []change{
		{"index/sessionclock.go", "	one := s.memberClock(member)\n	if one.member != member {", "	member = 1\n	one := s.memberClock(member)\n	if one.member != member {"},
		{"index/sessionclock.go", "	if passed > 0 || passed < -pause {", "	if passed > 0 {"},
	}, []detector{direct("./index", "TestSessionsEndBehind|TestSessionClock")}},
	{"an ended session is opened again", []change{
		{"index/sessions.go", "	s.floor = max(s.floor, one.used+1)\n", ""},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"the window forgets what may come again", []change{
		{"index/sessions.go", "	s.forgetBelow(one, w.Sequence+1-w.Window)\n", "	s.forgetBelow(one, w.Sequence+1-w.Window)\n	if one.held > 1 && one.held == len(one.window)/2 {\n		for n := range one.window {\n			one.window[n] = outcome{}\n		}\n		one.held = 0\n	}\n"},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"an answer that is read again is that of now", []change{
		{"index/recall.go", "		p.at = position{mod: r.Revision}\n", "		p.at = behind(v.revision)\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"a refusal of one copy is taken for that of the write", []change{
		{"net/client/stream.go", "x.doubt && ofThisCopy(failed.Code)", "false"},
	}, []detector{direct("./net/client", "TestRefusalOfACopy")}},
	{"a client says that what it waits for is answered", []change{
		{"net/client/session.go", "Window: x.sequence + 1 - s.first,", "Window: (x.sequence + 2 - s.first) / 2,"},
	}, []detector{direct("./net/client", "TestNaming")}},

	// Transactions, compaction and what is read for their answers.
	{"compare with what the transaction has changed", []change{
		{"index/txn.go", "	outcome := &kv.TxnOutcome{Path: appendPath(nil, s, t)}\n", "	outcome := &kv.TxnOutcome{Path: appendPath(nil, s, t)}\n	for i := range t.Success {\n		if p := t.Success[i].Put; p != nil && outcome.Path[0] && !p.IgnoreValue {\n			s.put(hashOf(p.Key), p)\n			outcome.Path = appendPath(nil, s, t)\n			break\n		}\n	}\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"change something before all is checked", []change{
		{"index/txn.go", "		err = s.checkOp(o, before)\n", "		if err = s.checkOp(o, before); err == nil && o.Delete != nil {\n			s.delete(hashOf(o.Delete.Key), o.Delete.Key, o.Delete.End)\n		}\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"put a large transaction's keys by the hashes of others", []change{
		{"index/txn.go", "	return a.hashes[at], true\n", "	return a.hashes[0], true\n"},
	}, []detector{direct("./index", "TestLargeTransaction")}},
	{"touch what a nested transaction puts in place of what is outside of it", []change{
		{"index/txn.go", " || o != &a.ops[a.next] {", " {"},
	}, []detector{direct("./index", "TestLargeTransaction")}},
	{"close a snapshot's file while it is read ahead", []change{
		{"node/readahead.go", "	f.wait()\n	return f.File.Close()\n", "	return f.File.Close()\n"},
	}, []detector{direct("./node", "TestReadingAheadCloses")}},
	{"go on with what was read ahead of another place", []change{
		{"node/readahead.go", "		f.at, f.rest = off, nil\n", "		f.at = off\n"},
	}, []detector{direct("./node", "TestReadingAhead")}},
	{"drop what is compacted only when something comes behind it", []change{
		{"actor/applier.go", "		again, a.reclaiming = true, true\n", ""},
	}, []detector{direct("./actor", "TestCompactedIsDroppedWhileIdle")}},
	{"read what a write is answered with from the newest View", []change{
		{"net/server/bodies.go", "	if b.view == nil && !q.Write() {\n", "	if true {\n"},
	}, []detector{direct("./net/server", "TestBodyOutlivesCompaction")}},
	{"say of a write without room for its answer that it did not happen", []change{
		{"net/server/bodies.go", "	if b != nil && b.request.Write() {\n", "	if false {\n"},
		{"index/whole.go", "Code: kv.AnswerTooLarge, Message", "Code: kv.Overloaded, Message"},
	}, []detector{direct("./net/server", "TestLongBodies")}},
	{"put a transaction that only reads into the log", []change{
		{"net/wire/message.go", " && (q.Op != OpTxn || !q.Txn.ReadOnly()) }", " }"},
	}, []detector{direct("./net/server", "TestTxnReadOnly")}},
	{"end a sorted range with its limit before it is sorted", []change{
		{"index/sorted.go", "	r.passed++\n", "	if r.passed++; r.q.Limit > 0 && r.passed > r.q.Limit+1 {\n		return\n	}\n"},
	}, []detector{direct("./index", "TestSortedReader"), direct("./net/server", "TestRangeOptions"), direct("./net/client", "TestRangeFiltered")}},
	{"prune a sorted range to one pair too few", []change{
		{"index/sorted.go", "len(r.heads) > 0 && r.kept <= r.q.Limit; rows--", "len(r.heads) > 0 && r.kept < r.q.Limit; rows--"},
		{"index/sorted.go", "	if len(r.heads) == 0 || r.kept > r.q.Limit {\n", "	if len(r.heads) == 0 || r.kept >= r.q.Limit {\n"},
	}, []detector{direct("./index", "TestSortedReaderHasMore"), direct("./index", "TestSortedReader")}},
	{"send a transaction that only reads once", []change{
		{"net/client/txn.go", "	x.write = !t.ReadOnly()\n", "	x.write = true\n"},
	}, []detector{direct("./net/client", "TestTxnTriedAgain")}},
	{"read a transaction's ranges behind all its changes", []change{
		{"index/txn.go", "	return position{mod: a.revision, sub: a.sub}\n", "	return behind(a.revision)\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"drop what the answers before a compaction need", []change{
		{"index/history.go", "	s.compacted = revision\n	return", "	s.compacted, s.dropping = revision, revision\n	return"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"one change of a key a revision", []change{
		{"index/record.go", "return v.mod < p.mod || v.mod == p.mod && v.sub < p.sub }", "return v.mod < p.mod }"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"count an older revision without what was deleted since", []change{
		{"index/view.go", "			if change&changeDeleted != 0 {\n				r.count++\n", "			if change&changeDeleted != 0 {\n				r.count += 0\n"},
	}, []detector{direct("./index", "TestModel|TestRange")}},
	{"drop history by a bound of the build", []change{
		{"index/apply.go", "	s.times.trim(s.compacted)\n", "	if n := int64(s.limits.CountedRows); s.revision-s.compacted > n {\n		s.compacted = s.revision - n/2\n	}\n	s.times.trim(s.compacted)\n"},
	}, []detector{direct("./index", "TestTwoBuilds")}},
	{"revoke in a later term", []change{
		{"index/leases.go", "	if term != 0 && term != s.term {\n		return s.refused(kv.Errorf(kv.Unavailable, \"lease", "	if term > s.term {\n		return s.refused(kv.Errorf(kv.Unavailable, \"lease"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"keep the keys of a lease that are deleted", []change{
		{"index/apply.go", "	s.detach(v.lease(), r, hint)\n", ""},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"forget leases in the snapshot", []change{
		{"index/snapshot.go", "	case sectionLeases:\n		s.readLeases(&r)\n", "	case sectionLeases:\n		r.Array()\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"leave the weight of history out of the digest", []change{
		{"index/digest.go", "	b = pack.AppendInt(b, r.weight)\n", ""},
	}, []detector{direct("./index", "TestDigestHasEverything")}},

	// Rules that the campaign once did not hold: each has a direct test.
	{"publish the View behind the answers", []change{
		{"actor/applier.go", "	if a.changed {\n		a.publish(a.state.View())\n		a.changed = false\n	}\n	a.letReadsGo()\n	if a.followed {\n		a.followed = false\n		a.Status.Stages.applied(began)\n	}\n	a.done.handOut()\n", "	a.letReadsGo()\n	if a.followed {\n		a.followed = false\n		a.Status.Stages.applied(began)\n	}\n	a.done.handOut()\n	if a.changed {\n		a.publish(a.state.View())\n		a.changed = false\n	}\n"},
	}, []detector{actors, campaign}},
	{"take a forward of an earlier term", []change{
		{"actor/forwarding.go", "status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {", "status.RaftState != raft.StateLeader {"},
	}, []detector{actors, campaign}},
	{"step a heartbeat beyond the log", []change{
		{"actor/consensus.go", "	return m.GetCommit() > c.last && m.GetTerm() >= c.term\n", "	return false\n"},
	}, []detector{actors, campaign}},
	{"admit a short log", []change{
		{"actor/admission.go", "		if err := a.checkEnd(from, its); err != nil {\n			return err\n		}\n", ""},
	}, []detector{actors, campaign}},
	{"take a connection for an admission", []change{
		{"actor/quarantine.go", "	delete(c.quarantine.accusers, peer)\n", "	delete(c.quarantine.accusers, peer)\n	if c.quarantine.admitted(peer) {\n		c.leaveQuarantine(\"it is connected\")\n	}\n"},
	}, []detector{actors}},
	{"let who takes no part itself be the second word", []change{
		{"actor/quarantine.go", "	q.accusers[by] = !r.Refused\n", "	q.accusers[by], r.Refused = true, false\n"},
	}, []detector{actors, story}},
	{"let a follower's log go beside a snapshot that is saved", []change{
		{"actor/catchup.go", "c.fileBytes <= c.Status.catchUpRoom(&c.Limits, c.Status.snapshots.Load()) {", "c.fileBytes <= c.Status.logRoom(&c.Limits, c.Status.snapshots.Load()) {"},
	}, []detector{actors}},
	{"send again what is slow", []change{
		{"actor/snapshotsend.go", "case s.now-one.asked >= one.timeout():", "case s.now-one.asked >= limits.SnapshotResend:"},
	}, []detector{actors}},
	{"leave a full follower to itself", []change{
		{"actor/space.go", "		c.Applier.MustPost(SnapshotWanted{})\n", ""},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"keep the log of before a snapshot that was installed", []change{
		{"actor/logwriter.go", "			w.Log.Release(r.marker.Index) // the log", "			// the log"},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"let a group wait in front of a snapshot", []change{
		{"actor/logwriter.go", "	if i := slices.IndexFunc(w.queue, bringsSnapshot); i >= 0 {\n", "	if i := slices.IndexFunc(w.queue, bringsSnapshot); i >= 0 && w.failed {\n"},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"begin with the first endpoint", []change{
		{"net/client/client.go", "c.first = rand.IntN(len(config.Endpoints))", "c.first = 0 * rand.IntN(len(config.Endpoints))"},
	}, []detector{direct("./net/client", "TestClientsSpread")}},
	{"forget what a refused member owes", []change{
		{"actor/admission.go", "max(a.Status.minMatch(from), end.kept, known.Owed)", "max(a.Status.minMatch(from), end.kept)"},
	}, []detector{actors}},
	{"never write the peers' file", []change{
		{"node/folder.go", "	return f.write(\"peers\", b)\n", "	_ = b\n	return nil\n"},
	}, []detector{direct("./node", "TestPeersAreRemembered"), campaign}},
	{"start from a snapshot of another term", []change{
		{"node/bootstrap.go", "	return err == nil && term == info.Term && info.Index > found.Marker.Index\n", "	return (err != nil || term > 0) && info.Index > found.Marker.Index && info.Index <= found.Last\n"},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"throw a snapshot right before the log away", []change{
		{"node/bootstrap.go", "	if errors.Is(err, raft.ErrCompacted) && info.Index+1 == found.First {", "	if errors.Is(err, raft.ErrCompacted) && info.Index+1 == 0 {"},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"report no replaced snapshot", []change{
		{"actor/snapshotsend.go", "		s.dropSend(one.peer)\n		s.Consensus.MustPost(SnapshotSent{Peer: one.peer})\n		return\n", "		s.dropSend(one.peer)\n		return\n"},
	}, []detector{actors, campaign}},
	{"drop what is accepted and has no room", []change{
		{"actor/forwarding.go", "	if err := c.proposeEnvelope(envelope, change); errors.Is(err, raft.ErrProposalDropped) {\n		return false\n", "	if err := c.proposeEnvelope(envelope, change); errors.Is(err, raft.ErrProposalDropped) {\n		c.accepted.deferred = nil\n		return false\n"},
	}, []detector{actors, campaign}},
	{"leave no fence", []change{
		{"actor/logwriter.go", "	if err := w.Log.Fence(true); err != nil {\n		return fmt.Errorf(\"write the last fence: %w\", err)\n	}\n", ""},
	}, []detector{actors, campaign}},
	{"release the log behind a snapshot on its way", []change{
		{"actor/catchup.go", "		return max(p.PendingSnapshot, base)\n", "		return math.MaxUint64 - 0*base\n"},
		{"actor/catchup.go", "	\"fmt\"\n", "	\"fmt\"\n	\"math\"\n"},
	}, []detector{actors, campaign}},
	{"hand leadership to a follower that lacks something", []change{
		{"actor/diskwatch.go", "		faster[id] = id != c.Member && p.Match >= goal && c.disk.overtaken(id, goal, c.now.Now)\n", "		faster[id] = id != c.Member && p.Match >= 0*goal\n"},
	}, []detector{actors, story, campaign}},
	{"hand leadership over where one disk of several is faster", []change{
		{"actor/diskwatch.go", "	return n > len(voters)/2 || len(voters) == 0\n", "	return n > 0 || len(voters) == 0\n"},
	}, []detector{actors}},
	{"elect as fast as ever where votes come late", []change{
		{"actor/elections.go", "			e.slow = max(e.slow, took)\n", "			e.slow = max(e.slow, 0*took)\n"},
	}, []detector{actors, direct("./node", "TestSlowQuorumElects")}},
	{"begin an election while the own disk is at a vote", []change{
		{"actor/elections.go", "	if disk > electionTimeout/2 {", "	if disk < 0 {"},
	}, []detector{actors}},
	{"take a pause for a read that has no answer", []change{
		{"actor/diskwatch.go", "{ w.since = min(w.since+still, now) }", "{ w.since = min(w.since+0*still, now) }"},
	}, []detector{actors}},
	{"stay the leader with a disk that stands", []change{
		{"actor/diskwatch.go", "	if stalled <= 2*c.ElectionTimeout || ", "	if stalled <= 200*c.ElectionTimeout || "},
	}, []detector{actors, story, campaign}},
	{"hand leadership to a disk that is no faster", []change{
		{"actor/diskwatch.go", "(all[i].at-began)*3/2", "0*(all[i].at-began)"},
	}, []detector{actors}},
	{"take a disk that is a group ahead for a faster one", []change{
		{"actor/diskwatch.go", "			began = max(began, p.at)\n", "			began = max(began, d.begun(), p.at)\n"},
	}, []detector{actors}},
	{"count another disk's last group only", []change{
		{"actor/diskwatch.go", "		if p.match <= d.done {\n", "		if p.match < 1<<63 {\n"},
	}, []detector{actors}},
	{"begin a spare of a slow disk as on a quick one", []change{
		{"log/maker.go", "	if m.Quick && m.at > 0 {\n", "	if m.Quick {\n"},
	}, []detector{direct("./log", "TestMakerBegins")}},
	{"send late writes again", []change{
		{"net/client/health.go", "	return !k.health.ill()\n", "	return false\n"},
	}, []detector{direct("./net/client", "TestSlowWritesAreNotSentAgain")}},
	{"wait for a member without a leader", []change{
		{"net/client/health.go", "	h.well = led(s) && (", "	h.well = (led(s) || true) && ("},
	}, []detector{direct("./net/client", "TestSlowWritesAreNotSentAgain")}},
	{"wait for a member that is stuck", []change{
		{"net/client/health.go", "now.Sub(h.marked) < stuckAfter)", "now.Sub(h.marked) < 1000*stuckAfter)"},
	}, []detector{direct("./net/client", "TestHealth")}},
	{"order all that raft has at once", []change{
		{"actor/consensus.go", "c.unordered >= c.Limits.OrderBytes", "c.unordered >= 1000*c.Limits.OrderBytes"},
	}, []detector{direct("./node", "TestSlowDisks")}},
	{"take a slow disk for one that stands", []change{
		{"actor/diskwatch.go", "	return max(now-since-time.Duration(bytes)*time.Second/time.Duration(rate), 0)\n", "	return now - since + time.Duration(bytes*rate*0)\n"},
	}, []detector{actors, direct("./node", "TestSlowDisks")}},
	{"take a group for what was ordered when the disk could begin", []change{
		{"actor/diskwatch.go", "max(bytes, min(d.bytes(), d.groupBytes))", "bytes"},
	}, []detector{direct("./actor", "TestOrdersAMomentLaterAreInTheGroup")}},
	{"take a disk of 100 KB a second for a dead one", []change{
		{"actor/diskwatch.go", "limits.DiskBytesLeast)", "limits.DiskBytesPerSecond)"},
	}, []detector{direct("./actor", "TestOrdersAMomentLaterAreInTheGroup")}},
	{"go on with a follower at heartbeats only", []change{
		{"actor/catchup.go", "		c.sendMore(id, hi)\n", "		_ = id\n"},
	}, []detector{direct("./node", "TestColdReadsHoldUpNothing")}},
	{"forget a follower that has installed a snapshot", []change{
		{"actor/catchup.go", "	if c.soft.RaftState == raft.StateLeader && c.Status.Space() == SpaceLeft && c.fileBytes <= ", "	if false && c.fileBytes <= "},
	}, []detector{direct("./node", "TestFollowerComesBackUnderLoad")}},
	{"keep the older snapshot whatever the log takes", []change{
		{"actor/diskuse.go", "	return s.Status.Durable().FileBytes > room-room/4\n", "	return room < 0\n"},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"let the log take the next snapshot's room", []change{
		{"actor/status.go", "	return s.SnapshotNeeds() + s.logKeeps(segmentBytes)\n", "	return 0 * segmentBytes\n"},
	}, []detector{direct("./node", "TestOwnLogFillsDisk")}},
	{"let history fill the members' disks", []change{
		{"node/retention.go", "	if most > 0 && least.Bytes > 0 {\n", "	if most > 0 && least.Bytes < 0 {\n"},
	}, []detector{direct("./node", "TestHistoryGivesWay"), direct("./node", "TestOverwritingFillsNoDisk")}},
	{"forget what an absent member's disk holds", []change{
		{"actor/consensus.go", "		delete(c.spaces.rooms, m.Peer)\n", "		delete(c.spaces.rooms, m.Peer)\n		delete(c.spaces.held, m.Peer)\n"},
	}, []detector{direct("./actor", "TestLeastHeld")}},
	{"let the log grow past a small disk", []change{
		{"actor/diskuse.go", "		use = min(use, capacity-high)\n", "		_ = high\n"},
	}, []detector{direct("./actor", "TestSmallDisk")}},
	{"reserve no room for what is not applied yet", []change{
		{"actor/status.go", "view.HistoryBytes()+s.unapplied.Load()-s.nextHas", "view.HistoryBytes()-s.nextHas"},
	}, []detector{direct("./actor", "TestSmallDisk")}},
	{"let orders wait behind one that finds no room", []change{
		{"actor/logwriter.go", "			if w.Status.noSpace.Load() && !w.Log.Fits(bytes+logSlack*int64(1+len(a.Message.GetEntries()))) {\n", "			if bytes < 0 {\n"},
	}, []detector{direct("./actor", "TestOrderWithoutRoomWaitsAlone")}},
	{"give a full disk's log what has no room in it", []change{
		{"actor/consensus.go", "			if !c.takes(m.GetEntries()) {\n", "			if false {\n"},
	}, []detector{direct("./actor", "TestLogIsKeptForVotes"), direct("./node", "TestFullMembersElect")}},
	{"keep what is behind a snapshot on a full disk", []change{
		{"actor/diskuse.go", "!s.outgrown() && !s.short() && ", "!s.outgrown() && "},
	}, []detector{direct("./actor", "TestOneSnapshotOnAFullDisk"), direct("./node", "TestOwnLogFillsDisk")}},
	{"drop the older snapshot before each save", []change{
		{"actor/diskuse.go", "!(waits && s.full()):", "!waits:"},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"publish a snapshot unseen", []change{
		{"snapshot/save.go", "	case s.back.next < s.back.size:\n", "	case s.back.next < 0:\n"},
	}, []detector{direct("./snapshot", "TestReadBackFails")}},
	{"keep the state until its snapshot is published", []change{
		{"snapshot/save.go", "	s.source, s.block = nil, nil\n	err := ", "	s.block = nil\n	err := "},
	}, []detector{direct("./actor", "TestViewIsLetGoWhileASnapshotIsReadBack")}},
	{"take what was sound once for sound", []change{
		{"actor/snapshotcheck.go", " && s.now-s.soundAt < limits.SnapshotSound", " && s.soundAt < limits.SnapshotSound*100"},
	}, []detector{direct("./actor", "TestOlderSnapshotStaysUntilTheNewerIsSoundNow")}},
	{"end a member whose disk is at what others wrote", []change{
		{"actor/diskwatch.go", "time.Duration(c.Status.diskDone.Load())", "0*time.Duration(c.Status.diskDone.Load())"},
	}, []detector{direct("./actor", "TestVerySlowDiskIsNotDead"), direct("./node", "TestSlowDisks")}},
	{"fill spares of a slow disk as on a quick one", []change{
		{"actor/segmentmaker.go", "took <= limits.SpareStepQuick", "took > 0*limits.SpareStepQuick"},
	}, []detector{direct("./actor", "TestSpareStepsFollowTheDisk")}},
	{"let chance say where the clients of a load begin", []change{
		{"cli/dial.go", "	t.inOrder = true\n", ""},
	}, []detector{direct("./cli", "TestClientsOfALoadBeginInTurn")}},
	{"let a slow disk have no rest from snapshots", []change{
		{"actor/diskuse.go", "	case took > limits.SnapshotStepQuick:\n		half", "	case took > 1000*limits.SnapshotStepQuick:\n		half"},
	}, []detector{direct("./actor", "TestSnapshotterRests"), direct("./node", "TestSlowDisks")}},
	{"order a snapshot without a look at the log's room", []change{
		{"actor/applier.go", "	half := max(a.Status.logRoom(&a.Limits, 2*size)/2, least)\n", "	half := size*1000 + least\n"},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"fill what the log makes itself", []change{
		{"log/segment.go", "	b, err = createReserved(l.o, seq, max(l.o.SegmentBytes, need))\n", "	b, err = createZeroed(l.o, seq, max(l.o.SegmentBytes, need))\n"},
	}, []detector{direct("./log", "TestInlineSegmentIsReserved"), direct("./node", "TestSlowDisks")}},
	{"stay in a segment that is only reserved", []change{
		{"log/log.go", "to == l.begun || l.begun == 0 && l.leaves()", "to == l.begun || l.begun < 0 && l.leaves()"},
	}, []detector{direct("./log", "TestStories")}},
	{"reserve the first segment", []change{
		{"log/recover.go", "		b, err = l.createSmall(segmentLeast)\n", "		b, err = l.takeBlank(segmentLeast)\n"},
	}, []detector{direct("./log", "TestStories")}},
	{"leave a segment without a look at the spares' numbers", []change{
		{"log/segment.go", "	return seq > active.seq\n", "	return seq > 0*active.seq\n"},
	}, []detector{direct("./log", "TestOvertakenSpare")}},
	{"send again what the leader has", []change{
		{"actor/forwarding.go", "	f.next = next\n", "	_ = next\n"},
	}, []detector{actors, direct("./node", "TestWritesAtALaggingMember")}},
	{"propose what followers forward before anything else", []change{
		{"actor/proposals.go", "own && (!deferred || !c.ownWasLast)", "own && !deferred"},
	}, []detector{direct("./actor", "TestProposalsTakeTurns")}},
	{"propose a leader's own writes before anything else", []change{
		{"actor/proposals.go", "own && (!deferred || !c.ownWasLast)", "own && (!deferred || c.ownWasLast == c.ownWasLast)"},
	}, []detector{direct("./actor", "TestProposalsTakeTurns")}},
	{"let the lease clock wait for what writes leave of raft's room", []change{
		{"actor/proposals.go", "	if c.clock.waits {\n", "	if c.clock.waits && c.term == 0 {\n"},
	}, []detector{direct("./actor", "TestRevocationsTakeTurns")}},
	{"let writes wait behind the lease clock without end", []change{
		{"actor/leaseclock.go", "	k.waits = false\n", ""},
	}, []detector{direct("./actor", "TestRevocationsTakeTurns")}},
	{"let a member's own commands wait behind clients'", []change{
		{"node/member.go", "actor.Propose{Proposal: proposal, Own: true}", "actor.Propose{Proposal: proposal}"},
	}, []detector{direct("./node", "TestOwnCommandsSayThatTheyAre")}},
	{"add a member's own commands behind clients'", []change{
		{"actor/proposals.go", "slices.Insert(p.waiting, 0, w)", "slices.Insert(p.waiting, len(p.waiting), w)"},
	}, []detector{direct("./actor", "TestOwnProposalsGoFirst")}},
	{"let no more follow than were sent again", []change{
		{"actor/forwarding.go", "	f.window += taken\n", "	f.window = 2 * taken\n"},
	}, []detector{direct("./actor", "TestForwardsAgainWhileOthersCome")}},
	{"count what was sent again as still to be sent", []change{
		{"actor/forwarding.go", "	from := f.sent\n", "	from := 0\n"},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce"), direct("./actor", "TestForwardsAgainWhileOthersCome")}},
	{"go back for each word of one loss", []change{
		{"actor/forwarding.go", "next < f.next || f.again || len(rest)", "next < f.next || len(rest)"},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce")}},
	{"wait an election timeout for the last of what is sent again", []change{
		{"actor/forwarding.go", "return f.resending && f.tries == 0 &&", "return f.resending && f.tries < 0 &&"},
	}, []detector{direct("./actor", "TestForwardsInFlight"), direct("./actor", "TestForwardsAgainAsTheyAreAccepted"), direct("./actor", "TestLastForwardIsProbed")}},
	{"send all again where the leader is silent for longer than two heartbeat intervals", []change{
		{"actor/forwarding.go", "	f.since, f.again = now, false\n	f.probes++\n	return f.unaccepted()[f.sent-1 : f.sent]\n", "	return f.goBack(1, now)\n"},
	}, []detector{direct("./actor", "TestForwardsAgainWhileOthersCome"), direct("./actor", "TestLastForwardIsProbed")}},
	{"probe a leader that takes nothing at one interval", []change{
		{"actor/forwarding.go", "	f.probes++\n", ""},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"probe less and less in a whole term", []change{
		{"actor/forwarding.go", "	f.probes = 0\n", ""},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"do not hear what a probe shows to be lost", []change{
		{"actor/forwarding.go", "	f.since, f.again = now, false\n", "	f.since = now\n"},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"do not hear that a forward is lost", []change{
		{"actor/forwarding.go", "		if m.Lost {\n", "		if m.Lost && m.Next == 0 {\n"},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce")}},
	{"say that a forward is lost after it has come", []change{
		{"actor/forwarding.go", "	if first >= next {\n", "	if first > next {\n"},
	}, []detector{direct("./actor", "TestLeaderTellsOfLostForwards")}},
	{"take what a member far behind cannot answer", []change{
		{"actor/proposals.go", "	return c.soft.RaftState == raft.StateFollower && c.leader() != raft.None && c.lag.far(", "	return c.soft.RaftState == raft.StateFollower && c.soft.Lead == raft.None && c.lag.far("},
	}, []detector{direct("./node", "TestWritesAtALaggingMember")}},
	{"count an earlier process's batch as seen", []change{
		{"actor/forwarding.go", " && envelope.Incarnation == c.Incarnation {", " {"},
	}, []detector{actors, campaign}},
	{"take nothing of a follower that restarted", []change{
		{"actor/forwarding.go", "c.accepted.accept(forwarder{from, e.Incarnation}, ", "c.accepted.accept(forwarder{from, 0}, "},
	}, []detector{actors, campaign}},
	{"tell the durable end before the sync", []change{
		{"actor/logwriter.go", "		w.Yield()\n", "		w.Yield()\n		if n := len(r.entries); n > 0 {\n			s := w.Log.Stats()\n			s.Index, s.Term = r.entries[n-1].GetIndex(), r.entries[n-1].GetTerm()\n			w.Status.publishDurable(s)\n		}\n"},
	}, []detector{actors, campaign}},
	{"answer no read that is never confirmed", []change{
		{"actor/reads.go", "		a.reads, expired = splitExpired(a.reads, now, expired)\n", "		_ = a\n"},
	}, []detector{actors, campaign}},
	{"confirm no read on a follower", []change{
		{"actor/reads.go", "	if !c.readable() {\n		return\n	}\n	if context", "	if !c.readable() || c.soft.RaftState != raft.StateLeader {\n		return\n	}\n	if context"},
	}, []detector{campaign}},
	{"forward nothing", []change{
		{"actor/forwarding.go", "	c.Peers.Send(leader, Forward{", "	c.Peers.Send(0*leader+c.Member, Forward{"},
	}, []detector{campaign}},
	{"send acknowledgements before the sync", []change{
		{"actor/logwriter.go", "	if needSync {\n		w.Yield()\n", "	if needSync {\n		for _, m := range r.responses {\n			if m.GetTo() != w.Member {\n				sendRaftMessage(w.Peers, m, 0, false)\n			}\n		}\n		w.Yield()\n"},
	}, []detector{campaign}},

	// Leases.
	{"revoke a lease without a round", []change{
		{"actor/leaserevoke.go", "	if l.deadline <= k.proven {\n", "	if true {\n"},
	}, []detector{actors}},
	{"renew a lease that is being revoked", []change{
		{"actor/leaseclock.go", "	case l.revoking || l.deadline <= ask.at:\n", "	case l.deadline <= ask.at-1<<60:\n"},
		{"actor/leaseclock.go", "	if len(l.asks) == 0 || l.revoking || l.deadline <= now {\n", "	if len(l.asks) == 0 {\n"},
	}, []detector{actors}},
	{"renew a lease of which the log says that less is left", []change{
		{"actor/leaseclock.go", "	if l.unnoted() {\n", "	if l.unnoted() && l.gone {\n"},
	}, []detector{actors}},
	{"begin a lease clock before the leader is known", []change{
		{"actor/leaseclock.go", "now + seconds(one.noted) + t.election\n", "now + seconds(one.noted) - t.election\n"},
	}, []detector{actors}},
	{"forget after a failover what is left of leases", []change{
		{"actor/leaseclock.go", "	one := &timedLease{id: l.ID, ttl: l.TTL, granted: l.Granted, noted: l.Remaining, place: -1}\n	if one.noted == 0 {", "	one := &timedLease{id: l.ID, ttl: l.TTL, granted: l.Granted, place: -1}\n	if one.noted == 0 {"},
	}, []detector{actors}},
	{"report the leases of the state before a snapshot", []change{
		{"actor/applier.go", "	if changes := a.state.TakeLeaseChanges(); len(changes) > 0 {", "	if changes := a.State.TakeLeaseChanges(); len(changes) > 0 {"},
	}, []detector{actors, campaign}},
	{"go by the wall clock for leases", []change{
		{"actor/leaseclock.go", "	c.clock.tick(c.now.Now, c.leaseTiming())\n", "	c.clock.tick(time.Duration(c.now.Wall), c.leaseTiming())\n"},
	}, []detector{actors}},
	{"answer a keep-alive before a quorum has", []change{
		{"actor/leaseclock.go", "		c.clock.asked = append(c.clock.asked, clockAsk{NumberedAsk: ask, from: from, at: c.clock.time(c.now.Now)})\n", "		c.clock.answer(clockAsk{NumberedAsk: ask, from: from, at: c.clock.time(c.now.Now)}, c.clock.time(c.now.Now), 0)\n"},
	}, []detector{actors}},
	{"never note what is left of leases", []change{
		{"actor/leaseclock.go", "			k.note(l)\n			k.due.postpone(l, now", "			k.due.postpone(l, now"},
	}, []detector{actors, direct("./node", "TestLeaseAfterFailover")}},
	{"revoke a lease that was granted anew", []change{
		{"index/leases.go", "	if !had || term != 0 && l.Granted != granted {\n", "	if !had {\n"},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"charge leases for a standstill", []change{
		{"actor/leaseclock.go", "		k.still += still\n", "		k.still += 0 * still\n"},
	}, []detector{actors}},

	// The quota and its alarm.
	{"decide NOSPACE by a member alone", []change{
		{"index/apply.go", "	if s.alarms.has(kv.AlarmNoSpace) && c.grows() {\n", "	if s.memory.bytes > 96<<10 && c.grows() {\n"},
	}, []detector{direct("./index", "TestScripts|TestModel"), campaign}},
	{"take puts while NOSPACE is raised", []change{
		{"index/command.go", "	return c.kind == kindPut || c.kind == kindGrant || ", "	return c.kind == kindGrant || "},
	}, []detector{direct("./index", "TestScripts")}},
	{"refuse deletions while NOSPACE is raised", []change{
		{"index/command.go", "	return c.kind == kindPut || c.kind == kindGrant || ", "	return c.kind == kindPut || c.kind == kindDelete || c.kind == kindGrant || "},
	}, []detector{direct("./index", "TestScripts")}},
	{"forget alarms in a snapshot", []change{
		{"index/snapshot.go", "		s.alarms = readAlarms(&r)\n", "		readAlarms(&r)\n"},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"raise NOSPACE and never disarm it", []change{
		{"node/quota.go", "	case !full && view.NoSpace():\n", "	case !full && view.NoSpace() && false:\n"},
	}, []detector{direct("./node", "TestQuotaIsReached")}},

	// The membership.
	{"promote a learner before it is level", []change{
		{"actor/membership.go", "		if f.missing > 0 {\n", "		if f.missing > 1<<40 {\n"},
		{"actor/membership.go", "		if !f.level {\n", "		if !f.level && f.missing > 0 {\n"},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"use an id again", []change{
		{"index/members.go", "	case used || m.Removed(c.ID):\n", "	case used:\n"},
	}, []detector{direct("./index", "TestScripts")}},
	{"vote for a removed member", []change{
		{"actor/consensus.go", "	if c.membership.records.Removed(r.From) {\n", "	if false {\n"},
	}, []detector{direct("./actor", "TestRemovedMemberGetsNoVote")}},
	{"believe one member that this one was removed", []change{
		{"actor/membership.go", "r.Leads || len(c.membership.removedBy) > 1", "r.Leads || len(c.membership.removedBy) > 0"},
	}, []detector{direct("./actor", "TestRemovedMemberEnds")}},
	{"remove a member that the quorum needs", []change{
		{"actor/membership.go", "len(successors) < need", "len(successors) < need-len(next)"},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"pack a change with other commands", []change{
		{"actor/proposals.go", "if (full || change || b.change) && ", "if full && "},
	}, []detector{direct("./actor", "TestChangeIsAloneInItsEnvelope")}},
	{"propose a change before raft knows of the last one's end", []change{
		{"actor/membership.go", " || c.raft.BasicStatus().Applied < c.membership.changeAt", ""},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"keep what was read of the log before a snapshot", []change{
		{"log/window.go", "	w.chunks, w.wanted, w.unread = nil, nil, 0\n", ""},
	}, []detector{direct("./log", "TestResetForgetsWhatWasRead")}},
	{"name a leader that a learner does not hear", []change{
		{"actor/consensus.go", "	if c.silence >= 2*c.electionTicks && ", "	if c.silence < 0 && "},
	}, []detector{direct("./actor", "TestSilentLeaderOfALearner")}},
	{"end a removed member by learners' words", []change{
		{"actor/membership.go", "one.Role == kv.Learner && !r.Leads {", "one.Role == kv.Learner && !r.Removed {"},
	}, []detector{direct("./actor", "TestLearnersDoNotEndARemovedMember")}},
	{"found alone with the ids of before", []change{
		{"node/member.go", "		if len(founders) == 1 { // nobody else has to find the same ids\n", "		if len(founders) == 0 {\n"},
	}, []detector{direct("./node", "TestLoneFounderIsUsedOnce")}},
	{"read small files through the page cache", []change{
		{"node/slots.go", "	if err := file.DropCache(0, 0); err != nil {\n		return nil, 0, 0, err\n	}\n", ""},
	}, []detector{direct("./node", "TestSmallFilesAreReadFromTheMedium")}},
	{"change the configuration of a snapshot by what is below it", []change{
		{"actor/membership.go", "	if c.membership.restoring && !m.Restored {\n", "	if c.membership.restoring && m.Restored {\n"},
	}, []detector{direct("./actor", "TestChangesBelowASnapshotDoNothing")}},
	{"begin with a snapshot of before the addition, and forget that", []change{
		{"actor/ready.go", "	c.membership.early = early\n", "	c.membership.early = early && c.failed\n"},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"write down that a new member was one before it was added", []change{
		{"actor/ready.go", "raft takes none that it has no part in\n", "raft takes none that it has no part in\n		told = m.Message\n"},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"give a removed member a snapshot in which it has a part", []change{
		{"actor/ready.go", " && !c.membership.records.Removed(c.Member)\n	if early {", "\n	if early {"},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"take another snapshot's readback for the one that is received", []change{
		{"actor/snapshotreceive.go", "	if r == nil || r.back != m.Back {\n", "	if r == nil {\n"},
	}, []detector{direct("./actor", "TestSnapshotGivenUpWhileItIsRead")}},
	{"publish what is received without its SHA-256", []change{
		{"snapshot/readback.go", "	if t.sha != b.sha {\n", "	if t.sha != b.sha && b.size == 0 {\n"},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"end by the word of whoever says that it leads", []change{
		{"actor/membership.go", "	r.Leads = r.Leads && !c.serves(peer)\n", ""},
	}, []detector{direct("./actor", "TestRemovedByWhoDoesNotLead")}},
	{"go on with a configuration that is not the records'", []change{
		{"actor/membership.go", "	if c.membership.confState.Equivalent(want) != nil {\n", "	if c.membership.confState.Equivalent(want) != nil && c.failed {\n"},
	}, []detector{direct("./actor", "TestConfigurationThatDiffers")}},
	{"skip the joint configuration", []change{
		{"actor/membership.go", "	add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)\n", "	if after.Joint() {\n		return nil\n	}\n	add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)\n"},
	}, []detector{direct("./actor", "TestConfigurationIsThatOfTheRecords")}},
	{"take a snapshot whose configuration is not its records'", []change{
		{"node/bootstrap.go", "meta.ConfState, confState); err != nil {", "meta.ConfState, confState); err != nil || meta.ConfState != nil {"},
		{"node/bootstrap.go", "		return nil, fmt.Errorf(\"%w: its configuration: %w\", snapshot.ErrCorrupt, err)\n", "		return confState, err\n"},
	}, []detector{direct("./node", "TestSnapshotOfOtherMembers")}},
	{"start a removed member's folder", []change{
		{"node/folder.go", "	if f.Removed {\n", "	if f.Removed && f.Boot > 1<<60 {\n"},
	}, []detector{direct("./node", "TestFoldersThatDoNotStart")}},
	{"keep the link of a removed peer", []change{
		{"net/peer/transport.go", "	t.links.Store(&now)\n", "	for id, l := range before {\n		if now[id] == nil {\n			now[id] = l\n		}\n	}\n	t.links.Store(&now)\n"},
	}, []detector{direct("./net/peer", "TestRemovedPeer")}},
	{"refuse a leader that was added meanwhile", []change{
		{"node/peers.go", "	if newcomer {\n", "	if newcomer && id == 0 {\n"},
	}, []detector{direct("./node", "TestLeaderThatWasAddedMeanwhile")}},
	{"found a cluster where a recovery was interrupted", []change{
		{"node/recover.go", "	return errors.Is(none, fs.ErrNotExist) && err == nil\n", "	return errors.Is(none, fs.ErrNotExist) && err == nil && f.Boot > 0\n"},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},

	// Etcd's API.
	{"tell an operation the revision of its whole transaction", []change{
		{"net/etcd/translate.go", "	if changes(found) {\n		a.revision--\n	}\n", ""},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"take all that a slow watch is told", []change{
		{"net/etcd/watch.go", "			w.refused = true\n			return false\n", "			w.refused = false\n"},
	}, []detector{direct("./net/etcd", "TestSlowWatch")}},
	{"split the events of a revision for who takes no fragments", []change{
		{"net/etcd/watch.go", "		if !one.fragment {\n", "		if !one.fragment && one.id < 0 {\n"},
	}, []detector{direct("./net/etcd", "TestFragments")}},
	{"forget a compacted watch's id", []change{
		{"net/etcd/watch.go", "				one.ended = true // no request for it goes to the hub any more\n", "				delete(w.byID, one.id)\n"},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"take plain text on a port of TLS", []change{
		{"net/etcd/port.go", "	case over == net.Conn(c) && !c.from.Plain:\n", "	case over == net.Conn(c) && c.from.TLS == nil:\n"},
	}, []detector{direct("./net/etcd", "TestTrust")}},
	{"hand a write over again whose outcome is unknown", []change{
		{"net/etcd/calls.go", "refusal == nil || refusal.Code != kv.Unavailable {\n", "refusal == nil || refusal.Code != kv.Unavailable && refusal.Code != kv.Unknown {\n"},
	}, []detector{direct("./net/etcd", "TestWaitsForALeader")}},
	{"pace the resets of each connection as if it were alone", []change{
		{"net/etcd/resets.go", "time.Duration(len(r.lately.clients)*max(c.last, c.now))", "time.Duration(1)"},
	}, []detector{direct("./net/etcd", "TestResets")}},
	{"let open streams without data cost nothing", []change{
		{"net/etcd/memory.go", " + int64(len(s.streams))*limits.EtcdStreamBytes", " + 0*limits.EtcdStreamBytes"},
	}, []detector{direct("./net/etcd", "TestUnreadAndHalf")}},
	{"refuse as a learner without asking the leader", []change{
		{"net/etcd/server.go", "	err := s.calls.confirm(ctx)\n	switch", "	err := ctx.Err()\n	switch"},
	}, []detector{direct("./net/etcd", "TestLearners")}},
	{"hash what etcd would have compacted", []change{
		{"net/etcd/maintenance.go", "		if one.Mod <= compacted {\n", "		if one.Mod <= compacted && one.Tombstone {\n"},
	}, []detector{direct("./net/etcd", "TestStories")}},

	// What is done once for all that came together.
	{"keep counting requests that did not come", []change{
		{"net/server/reader.go", "	s.uncount()\n", ""},
	}, []detector{direct("./net/server", "TestOneBatch|TestReadsTogether")}},
	{"answer the last read of each 32 as the first", []change{
		{"net/server/locals.go", "now.tryOne(x.id, v, &x.Range)", "now.tryOne(x.id, v, &l.reads[i%(len(l.reads)-1)].Range)"},
	}, []detector{direct("./net/server", "TestReadsTogether")}},
	{"give back the name of a write that is refused", []change{
		{"net/client/session.go", " || came[i].answer.Code != kv.OK {", " {"},
	}, []detector{direct("./net/client", "TestNaming")}},
}
