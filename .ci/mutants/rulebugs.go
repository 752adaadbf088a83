package main

// ruleMutants are bugs in rules of all floors. Of half of them no test knew anything when they were put back first.
var ruleMutants = []mutant{
	{"tell progress in the middle of a revision", []change{
		{"index/watch/step.go", "	if h.live.at.Sub > 0 {\n		return\n	}\n", ""},
	}, []detector{direct("./index/watch", "TestNoNoticeWithinARevision")}},
	{"count history that only deletions left", []change{
		{"index/alarms.go", "	if v.compacted == v.revision {\n", "	if v.compacted == v.revision && v.live > 0 {\n"},
	}, []detector{direct("./index", "TestScripts")}},
	{"count what the compacted revision itself has deleted", []change{
		{"index/alarms.go", "v.times.weightAt(v.compacted+1)", "v.times.weightAt(v.compacted)"},
	}, []detector{direct("./index", "TestScripts")}},
	{"say the revision of the last step, not what was read", []change{
		{"index/view.go", "		result.Revision = r.at.mod - 1\n", ""},
	}, []detector{direct("./index", "TestRangeInSteps"), direct("./index", "TestRevisionOfWhatWasRead")}},
	{"say the revision of the last page of a whole range", []change{
		{"index/whole.go", "		w.all.Count, w.all.Revision = page.Count, page.Revision\n	}\n", "		w.all.Count = page.Count\n	}\n	w.all.Revision = page.Revision\n"},
	}, []detector{direct("./index", "TestRevisionOfWhatWasRead")}},
	{"say the revision of the newest View of released pages", []change{
		{"index/pages.go", "		page.Revision = r.newest\n", ""},
	}, []detector{direct("./index", "TestRevisionOfWhatWasRead")}},
	{"leave writes waiting across an installed snapshot", []change{
		{"actor/applier.go", "	a.pending.abandon(&a.done)\n", ""},
	}, []detector{direct("./actor", "TestWritesBeneathASnapshotMayHaveHappened")}},
	{"offer a snapshot older than the one that was installed", []change{
		{"actor/ready.go", "now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex() {", "now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex()+1<<40 {"},
	}, []detector{direct("./actor", "TestNewestSnapshotIsOffered")}},
	{"forget the keep-alives of a round that was lost", []change{
		{"actor/leaseclock.go", "		k.asked = append(k.asked, k.rounds[0].asks...)\n", "		k.waiting -= len(k.rounds[0].asks)\n"},
	}, []detector{direct("./actor", "TestLostRoundIsAskedAgain")}},
	{"revoke what ends together as fast as it goes", []change{
		{"actor/leaserevoke.go", "	n := min(k.pace.left(), limits", "	n := min(limits"},
	}, []detector{direct("./actor", "TestLeasesEndTogether")}},
	{"revoke leases of many keys as others", []change{
		{"actor/leaserevoke.go", "			l.work = 1 + keysOf(l.id)/limits.LeaseRevocationKeys\n", "			l.work = 1\n"},
	}, []detector{direct("./actor", "TestRevocationsOfManyKeys")}},
	{"give every few revocations a sync of their own", []change{
		{"actor/leaserevoke.go", "	if waiting == 0 || !beside && n < min(waiting, limits.LeaseRevocationsAlone) {\n", "	if waiting == 0 {\n"},
	}, []detector{direct("./actor", "TestRevocationsGoWithWrites")}},
	{"revoke the least ids first, whatever waits", []change{
		{"actor/leaserevoke.go", "		if l.id <= r.id {\n", "		if l.id < 0 {\n"},
	}, []detector{direct("./actor", "TestRevocationsGoRound")}},
	{"forget the revocations that raft had no room for", []change{
		{"actor/leaseclock.go", "		k.revocable.add(revoke...)\n", ""},
	}, []detector{direct("./actor", "TestRevocationsWaitForRoom")}},
	{"revoke a lease that was renewed while it waited", []change{
		{"actor/leaserevoke.go", "		case l.gone:\n		case l.deadline > now:\n			k.due.add(l, l.next(t))\n		default:\n			l.work", "		case l.gone:\n		default:\n			l.work"},
	}, []detector{direct("./actor", "TestRevocationsThatAreNotProposed")}},
	{"take a pause for an election timeout", []change{
		{"actor/consensus.go", "		c.tick(min(ticks, 2)) //", "		c.tick(ticks) //"},
	}, []detector{direct("./actor", "TestPauseIsNoElectionTimeout")}},
	{"believe a term that no cluster comes to", []change{
		{"actor/consensus.go", "	return term > c.term && term-c.term > limits.TermsAhead\n", "	return term > c.term && term-c.term > limits.TermsAhead<<20\n"},
	}, []detector{direct("./actor", "TestAbsurdTerm")}},
	{"hold asks for the leader before", []change{
		{"actor/ready.go", "	c.asks.void()\n", ""},
	}, []detector{direct("./actor", "TestFollowerAsksItsLeader")}},
	{"end at what was dropped for want of room", []change{
		{"log/log.go", "	l.last, l.lastTerm = l.durable.last, l.durable.lastTerm\n}\n\n// Pending", "}\n\n// Pending"},
	}, []detector{direct("./log", "TestForgottenGroupLeavesNothing")}},
	{"put the newest commit index into every frame of a group", []change{
		{"log/log.go", "	return HardState{Term: l.hard.Term, Vote: l.hard.Vote, Commit: l.writtenHardState.Commit}\n", "	return l.hard\n"},
	}, []detector{direct("./log", "TestTornReplacementCommitsNothingOld")}},
	{"put a damaged snapshot into a folder that a crash takes", []change{
		{"snapshot/list.go", "[]string{dir, parent(dir), parent(path)}", "[]string{dir, parent(path)}"},
	}, []detector{direct("./snapshot", "TestQuarantine")}},
	{"keep what was read of entries that were replaced", []change{
		{"log/window.go", "	w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.next() > from })\n", "	w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.first >= from })\n"},
	}, []detector{direct("./log", "TestWindowIsAStorage")}},
	{"list snapshots whose names are not durable", []change{
		{"snapshot/list.go", "	if err := fs.SyncDir(dir); err != nil {\n		return l, fmt.Errorf(\"list snapshots: %w\", err)\n	}\n", ""},
	}, []detector{direct("./snapshot", "TestListedIsDurable")}},
	{"take a file with something behind its tail", []change{
		{"snapshot/read.go", "	case r.next != r.total:\n", "	case r.next > r.total:\n"},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"replace the newer half of a small file first", []change{
		{"node/slots.go", "[]int{1 - newest, newest}", "[]int{newest, 1 - newest}"},
	}, []detector{direct("./node", "TestSmallFilesInPlace")}},
	{"let a second folder join in a member's place", []change{
		{"node/peers.go", "	case h.joined(one):\n", "	case h.joined(one) && name == \"\":\n"},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"end NOSPACE at the quota itself", []change{
		{"node/quota.go", "		most = c.hundredths(limits.QuotaCleared)\n", "		most = c.QuotaBytes + 0*limits.QuotaCleared\n"},
	}, []detector{direct("./node", "TestQuotaMarks")}},
	{"give back nothing of what an ended watch stream kept", []change{
		{"net/server/watch.go", "	bytes := w.waiting\n", "	bytes := int64(0)\n"},
	}, []detector{direct("./net/server", "TestEndedWatchesGiveBack")}},
	{"let a watch starve that keeps nothing", []change{
		{"net/server/watch.go", "		if w.written(taken); starved {\n", "		if w.written(taken); starved && timed {\n"},
	}, []detector{direct("./net/server", "TestWatchStarves")}},
	{"cancel the watch whose id was taken again", []change{
		{"net/server/watch.go", "	if _, there := w.all[id]; !there {\n", "	if _, there := w.all[id]; !there || id > 0 {\n"},
	}, []detector{direct("./net/server", "TestWatchStream")}},
	{"count streams that have ended", []change{
		{"net/server/conn.go", "	c.unpaid--\n", "	_ = c.unpaid\n"},
	}, []detector{direct("./net/server", "TestStreamsThatHaveEnded")}},
	{"take old answers of a session's window for new ones", []change{
		{"net/client/session.go", "		*word &^= (1<<done - 1) << (s.first % 64)\n", ""},
	}, []detector{direct("./net/client", "TestNaming")}},
	{"forget the members when one without a leader tells less", []change{
		{"net/client/learn.go", "	if !led(s) {\n		add(c.told)\n	}\n", ""},
	}, []detector{direct("./net/client", "TestFollowsTheMembers")}},
	{"count a lease's life from the answer", []change{
		{"net/client/lease.go", "			k.until = begun.Add(seconds(ttl))\n", "			k.until = begun.Add(time.Since(begun)).Add(seconds(ttl))\n"},
	}, []detector{direct("./net/client", "TestKeepAliveCountsFromTheQuestion")}},
	{"head a keep-alive's answer with a revision from behind it", []change{
		{"net/etcd/lease.go", "&pb.LeaseKeepAliveResponse{Header: one.header,", "&pb.LeaseKeepAliveResponse{Header: s.header(s.config.Member.View().Revision()),"},
	}, []detector{direct("./net/etcd", "TestKeepAliveHasAnEarlierHeader")}},
	{"answer a physical compaction before it is done", []change{
		{"net/etcd/kv.go", "v.Compacted() <= q.Revision && !v.Dropped()", "v.Compacted() < q.Revision && !v.Dropped()"},
	}, []detector{direct("./net/etcd", "TestPhysicalCompaction")}},
	{"call a revision the future that another member has", []change{
		{"net/etcd/kv.go", "		_ = s.calls.confirm(ctx) //", "		_ = ctx.Err() //"},
	}, []detector{direct("./net/etcd", "TestRevisionThatAnotherMemberTold")}},
	{"stay in the line for a lock that nobody waits for", []change{
		{"net/etcd/lock.go", "	_ = c.Withdraw(last, store{s}) //", "	_ = last //"},
	}, []detector{direct("./net/etcd", "TestLockThatIsGivenUp")}},
	{"campaign with the value of before", []change{
		{"net/etcd/lock.go", "found && !bytes.Equal(own.Value, q.third) {", "found && !bytes.Equal(own.Key, own.Key) {"},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"take a handshake that was taken before", []change{
		{"net/peer/choice.go", "	case at.Process == c.seen.Process && at.Dial <= c.seen.Dial:\n", "	case at.Process == c.seen.Process && at.Dial < c.seen.Dial:\n"},
	}, []detector{direct("./net/peer", "TestHandshakeIsTakenOnce")}},
	{"save a snapshot in one step", []change{
		{"actor/snapshotsave.go", "o.saver.Step(s.Limits.SnapshotStepBytes)", "o.saver.Step(8 * s.Limits.SnapshotStepBytes)"},
	}, []detector{direct("./actor", "TestSavingGoesInSmallSteps")}},
	{"ask a quick disk for a whole step of a snapshot", []change{
		{"actor/snapshotsave.go", "	o.saver.Piece = s.pieceBytes\n", ""},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"check a snapshot a whole step at once", []change{
		{"actor/snapshotcheck.go", "	s.check.verifier.Piece = s.pieceBytes\n", ""},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"ask a disk that takes long for each call for small pieces", []change{
		{"actor/diskuse.go", "		return min(2*before, limits.SnapshotStepBytes)\n", "		return before\n"},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"write a snapshot as it is gathered", []change{
		{"snapshot/save.go", "	s.file.piece, s.medium.piece = s.Piece, s.Piece\n", "	s.medium.piece = s.Piece\n"},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"read a snapshot back a window at once", []change{
		{"snapshot/save.go", "	s.file.piece, s.medium.piece = s.Piece, s.Piece\n", "	s.file.piece = s.Piece\n"},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"verify a snapshot a window at once", []change{
		{"snapshot/read.go", "	v.medium.piece = v.Piece\n", ""},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"read older entries ahead", []change{
		{"log/disk/os_linux.go", "unix.FADV_RANDOM", "unix.FADV_NORMAL"},
	}, []detector{direct("./log/disk", "TestNoReadahead")}},
	{"take a cut newest segment for one that ends", []change{
		{"log/replay.go", "	if bad.cut && s.size < s.header.size {", "	if bad.cut && s.size < 0 {"},
	}, []detector{direct("./log", "TestCutNewest")}},
	{"throw away what was read before a bad page", []change{
		{"log/scan.go", "		if got < n { //", "		if got < want { //"},
	}, []detector{direct("./log", "TestUnreadablePageIsNamed")}},
	{"leave the old half of a small file", []change{
		{"node/slots.go", "		if whole && n == number {\n", "		if whole && n <= number {\n"},
	}, []detector{direct("./node", "TestRepairSmallFiles")}},
	{"read segments as they are decoded", []change{
		{"log/scan.go", "min(at+int64(want)+limits.PrefetchBytes, p.size))", "at+0*limits.PrefetchBytes)"},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"read segments ahead as a whole", []change{
		{"log/scan.go", "min(at+int64(want)+limits.PrefetchBytes, p.size))", "p.size+0*limits.PrefetchBytes)"},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"read a snapshot as it is loaded", []change{
		{"node/readahead.go", "	f.ahead.Ask(f.File, at, min(at+n+limits.PrefetchBytes, f.size))\n", ""},
	}, []detector{direct("./node", "TestTheDiskIsAskedForSnapshots")}},
	{"prefetch all at once", []change{
		{"log/disk/fs.go", "n := min(prefetchBytes, to-r.asked)", "n := to - r.asked"},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"prefetch nothing", []change{
		{"log/disk/os_linux.go", "unix.FADV_WILLNEED", "unix.FADV_NORMAL"},
	}, []detector{direct("./log/disk", "TestPrefetch")}},
	{"save a snapshot without a rest", []change{
		{"actor/snapshotter.go", "	if !t.Resting {\n", "	if t.Now >= 0 {\n"},
	}, []detector{direct("./actor", "TestSavingGoesInSmallSteps")}},
	{"keep shorter windows of sessions than the first level has", []change{
		{"index/sessions.go", "	leastWindow = 8\n", "	leastWindow = 4\n"},
	}, []detector{direct("./index", "TestLevelOneStays")}},
	{"go by a bound of the wire when an entry is applied", []change{
		{"index/command.go", "		if c.member.size > limits.MemberBytes {\n", "		if c.member.size > limits.JoinAnswerBytes {\n"},
	}, []detector{direct("./index", "TestLevelOneStays")}},
}
