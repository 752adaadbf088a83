package main

// The bugs of what is given back, or counted anew, behind a stall, a refusal, a stream or a watch that has ended, and of what is kept
// beyond its term, its leader or its word: nothing is wrong at once.
func givenMutants() []mutant {
	return []mutant{
		{"keep all keep-alives that wait for a quorum", []change{
			{"actor/leaseclock.go", "if c.clock.waiting >= limits.LeaseAsksWaiting {", "if c.clock.waiting >= limits.LeaseAsksWaiting<<10 {"},
		}, []detector{direct("./actor", "TestLeaseAsksOfAQuorumThatIsAway")}},
		{"cancel an equal watch that came later where it was", []change{
			{"index/watch/pass.go", "		for _, id := range s.ids {\n			s.stream.watches[id] = other\n		}\n", ""},
		}, []detector{direct("./index/watch", "TestEqualWatchThatComesLater")}},
		{"forget what was written before pages go past the page cache", []change{
			{"log/disk/os_linux.go", "cannot: err != nil, fdToo: f.past.fdToo}", "cannot: err != nil}"},
		}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
		{"forget the room of a file beside its pages", []change{
			{"log/disk/os_linux.go", "	f.past.fdToo = true\n	err := again(func() error { return unix.Fallocate", "	err := again(func() error { return unix.Fallocate"},
		}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
		{"keep a part of a snapshot open that has no room", []change{
			{"snapshot/receive.go", "			r.drop()\n		}\n		r.Close()\n", "			r.drop()\n		}\n"},
		}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
		{"remove a part of a snapshot that has no room", []change{
			{"snapshot/receive.go", "		if r.offset == 0 {\n			r.drop()\n		}\n		r.Close()", "		r.drop()\n		r.Close()"},
		}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
		{"dial one that has refused as one that was not reached", []change{
			{"net/peer/link.go", "		if l.notBefore.After(until) {\n			until = l.notBefore\n		}\n", ""},
		}, []detector{direct("./net/peer", "TestPauses")}},
		{"wait at another address for who has refused", []change{
			{"net/peer/link.go", "l.moved, l.notBefore = false, time.Time{}", "l.moved = false"},
		}, []detector{direct("./net/peer", "TestPauses")}},
		{"remove the file that gave way to a folder", []change{
			{"cli/export.go", "			delete(e.kept, dir)\n			e.keep(other)\n", "			delete(e.kept, dir)\n"},
		}, []detector{direct("./cli", "TestExportOfTwoNames")}},
		{"leave a key's other file, where its own is right", []change{
			{"cli/export.go", "				err = e.removeOther(key, name)\n", ""},
		}, []detector{direct("./cli", "TestExportOfTwoNames")}},
		{"take looks that are not in a row for a member's death", []change{
			{"cli/member_replace.go", "	r.quietLooks = 0\n", ""},
		}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
		{"write once more what was taken before a stall", []change{
			{"net/server/writer.go", "		piece = piece[n:]\n", "		_ = n\n"},
		}, []detector{direct("./net/server", "TestAnswerGoesOnBehindAStall")}},
		{"count the watches of streams that have ended", []change{
			{"net/server/watch.go", "	w.s.conn.watches.Add(-int64(len(w.all)))\n", ""},
		}, []detector{direct("./net/server", "TestEndedWatchesGiveBack")}},
		{"say the TTL that another member would have granted", []change{
			{"net/server/lease.go", "		if d.Result.Resent {", "		if false && d.Result.Resent {"},
		}, []detector{direct("./net/server", "TestGrantThatComesAgainElsewhere")}},
		{"leave a closed watch at its context", []change{
			{"net/client/watch.go", "	if release != nil {\n		release()\n	}\n", "	_ = release\n"},
		}, []detector{direct("./net/client", "TestClosedWatchIsForgotten")}},
		{"count the keys of watches that were canceled", []change{
			{"net/etcd/watch.go", "	w.s.watches.Add(-1)\n	w.namesLocked(-one.names)\n", "	w.s.watches.Add(-1)\n"},
		}, []detector{direct("./net/etcd", "TestWatchedKeysCount")}},
		{"save without haste, whatever the log takes meanwhile", []change{
			{"actor/diskuse.go", "	haste := s.outrun()\n", "	haste := false\n"},
		}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
		{"save in haste while a follower catches up", []change{
			{"actor/diskuse.go", "!s.writing() || s.Status.logKept.Load() || s.Status.catchesUp()", "!s.writing()"},
		}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
		{"forget how far a save is", []change{
			{"actor/diskuse.go", "room/2+room/4*s.order.done()", "room/2"},
		}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
		{"write down once where a member has called from, and not again when that failed", []change{
			{"node/peers.go", "c.unsaved || err != nil, err != nil", "c.unsaved, err != nil"},
		}, []detector{direct("./node", "TestCallersAreRemembered")}},
		{"count the objects of all messages of a stream", []change{
			{"net/etcd/room.go", "	b.objects = 0\n", ""},
		}, []detector{direct("./net/etcd", "TestGatewayStreamOfManyMessages")}},
		{"let a lease clock go on in another term", []change{
			{"actor/ready.go", "	c.clock.stop()\n", "	if c.term == 0 {\n		c.clock.stop()\n	}\n"},
		}, []detector{direct("./actor", "TestLeaseClockEndsWithItsLeadership")}},
		{"let a leader's clock stand while its disk is at something", []change{
			{"actor/consensus.go", "	if c.soft.Lead != raft.None {\n		return n\n	}\n", ""},
		}, []detector{direct("./actor", "TestHeartbeatsOfASlowDisk")}},
		{"forward in a term that has just begun as in the one before", []change{
			{"actor/proposals.go", "case status.Lead == raft.None, status.GetTerm() != c.term:", "case status.Lead == raft.None:"},
		}, []detector{direct("./actor", "TestForwardWithTheFirstWordOfALeader")}},
		{"leave reads with the leader before", []change{
			{"actor/ready.go", "	c.reads.void()\n", ""},
		}, []detector{direct("./actor", "TestReadsGoToTheNextLeader")}},
		{"keep the old end of a log that was cut", []change{
			{"actor/ready.go", "		c.last = m.GetEntries()[n-1].GetIndex()\n", "		c.last = max(c.last, m.GetEntries()[n-1].GetIndex())\n"},
		}, []detector{direct("./actor", "TestHeartbeatBeyondACutLog")}},
		{"part from the second one removed by the first one's entry", []change{
			{"actor/membership.go", "c.membership.removedAt, c.membership.partAt = m.At, 0", "c.membership.removedAt = m.At"},
		}, []detector{direct("./actor", "TestTwoAreRemoved")}},
		{"know a removal to be committed by raft's word", []change{
			{"actor/consensus.go", "max(c.membership.durable, m.Commit)", "max(c.membership.durable, m.Commit, c.raft.BasicStatus().GetCommit())"},
		}, []detector{direct("./actor", "TestRemovedMemberStaysAPeerForAMoment")}},
		{"propose what was accepted in an earlier term", []change{
			{"actor/ready.go", "		c.accepted.reset()\n", "		_ = c.accepted.reset\n"},
		}, []detector{direct("./actor", "TestAcceptedForwardsAreVoidInAnotherTerm")}},
		{"forward in a later term what was forwarded before", []change{
			{"actor/ready.go", "	if term != c.term {\n		c.forwards.reset()\n", "	if term != c.term {\n"},
		}, []detector{direct("./actor", "TestForwardsAreVoidInAnotherTerm")}},
		{"keep the word of who admits this member", []change{
			{"actor/quarantine.go", "	delete(c.quarantine.accusers, peer)\n", ""},
		}, []detector{direct("./actor", "TestAdmittingAccuserIsNoSecond")}},
		{"go on with a leader that was heard before the word came again", []change{
			{"actor/quarantine.go", "	q.Quarantine, q.leader = next, 0\n", "	q.Quarantine = next\n"},
		}, []detector{direct("./actor", "TestQuarantine")}},
		{"let reads go an entry early", []change{
			{"actor/applier.go", "		if r.Index > applied {", "		if r.Index > applied+1 {"},
		}, []detector{direct("./actor", "TestReadWaitsForItsEntry")}},
		{"believe a death when the leader has spoken since", []change{
			{"actor/failover.go", "c.silence, c.failover.asked, c.failover.died = 0, 0, raft.None", "c.silence, c.failover.asked = 0, 0"},
		}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
		{"take every connection for a later process", []change{
			{"node/peers.go", "met && before != process {", "met && before != [16]byte{} {"},
		}, []detector{direct("./node", "TestLaterProcessShowsADeath")}},
		{"take an address from this member itself", []change{
			{"node/peers.go", " && holder != m.folder.Member && ", " && "},
		}, []detector{direct("./node", "TestMisplaced")}},
		{"count reads of the log from the newest order", []change{
			{"actor/diskwatch.go", "	if w.orders == 0 {\n		w.since = now\n	}\n	w.orders++", "	w.since = now\n	w.orders++"},
		}, []detector{direct("./actor", "TestReadWatch")}},
		{"take what is asked for twice for what is under way", []change{
			{"actor/snapshotsend.go", "		one.sent = acked //", "		one.sent = max(one.sent, acked) //"},
		}, []detector{direct("./actor", "TestPieceIsAskedForAgain")}},
		{"answer keep-alives before the state has what was committed", []change{
			{"actor/leaseclock.go", "k.confirmed[0].index <= applied {", "k.confirmed[0].index <= applied+1 {"},
		}, []detector{direct("./actor", "TestAsksWaitForWhatIsCommitted")}},
		{"wait for a batch as long as its last client does", []change{
			{"actor/proposals.go", "		b.until = max(b.until, w.until)", "		b.until = w.until"},
		}, []detector{direct("./actor", "TestProposalsArePacked")}},
		{"remember the vote before the newest", []change{
			{"actor/hardstate.go", "h.ordered = log.HardState{Term: m.GetTerm(), Vote: m.GetVote(), ", "h.ordered = log.HardState{Term: m.GetTerm(), Vote: h.ordered.Vote, "},
		}, []detector{direct("./actor", "TestHardStatesRide")}},
		{"take what says which segment follows for a frame", []change{
			{"log/scan.go", "	if h.kind == kindNext { // in no group", "	if false { // in no group"},
		}, []detector{direct("./log", "TestStories")}},
		{"pack batches that no segment holds", []change{
			{"node/member.go", "	m.env.Limits.BatchBytes = min(env.Limits.BatchBytes, int(segmentBytes/limits.BatchesOfSegment))\n", ""},
		}, []detector{direct("./node", "TestBatchesFitSegments")}},
		{"make segments that hold no large request", []change{
			{"node/machine.go", "	return min(max(whole, entry), limits.SegmentBytes)", "	return min(max(whole, limits.SegmentBytesSmall+0*entry), limits.SegmentBytes)"},
		}, []detector{direct("./node", "TestSegmentsFitTheDisk")}},
		{"count the log's own files as room for a state", []change{
			{"actor/status.go", "held := max((capacity-high-s.spareBytes.Load())/limits.StateOfDisk, 1)", "held := max((capacity-0*high)/limits.StateOfDisk, 1)"},
		}, []detector{direct("./actor", "TestSmallDisk"), direct("./node", "TestDeletedMakesRoom")}},
		{"keep what a start took of memory", []change{
			{"node/member.go", "(idle || started) && m.env.Idle", "idle && m.env.Idle"},
		}, []detector{direct("./node", "TestStartGivesBack")}},
		{"raise no alarm while the log waits for room", []change{
			{"actor/segmentmaker.go", "	case free < low || s.refuses || waits:", "	case free < low || s.refuses:"},
		}, []detector{direct("./node", "TestLogThatWaitsIsAnAlarm")}},
	}
}
