package main

var actorBugs = []mutant{
	{"remove parts that an older snapshot lists", []change{
		{"snapshotCore.removeParts", `older[one.SHA] = true`, `_ = one`},
	}, []detector{direct("./actor", "TestPartsModel")}},
	{"remove parts that a peer still wants", []change{
		{"sends.listFiles", `if one.offer != nil {`, `if one.offer != nil && c.now < 0 {`},
	}, []detector{direct("./actor", "TestSentPartsStay")}},
	{"drop the older snapshot while a part of the newer one is fetched", []change{
		{"checks.soundNow", ` && repair.complete(c, c.files[0]) && `, ` && `},
	}, []detector{direct("./actor", "TestOlderSnapshotStaysWhileAPartIsFetched")}},
	{"remove parts before the removal of their snapshot is synced", []change{
		{"snapshotCore.removeParts", `if !synced { err = c.FS.SyncDir(c.Dir) }`, ``},
	}, []detector{direct("./actor", "TestPartsGoAfterTheirSnapshot")}},
	// Package actor.
	{"read before an entry of the term", []change{
		{"core.readable", `return c.applyingTerm == c.term`, `return true`},
		{"Consensus.receive", `if c.soft.RaftState == raft.StateLeader && c.applyingTerm != c.term {`, `if false {`},
	}, []detector{direct("./node", "TestStories/single_voter_reads"), campaign}},
	{"count self before own sync", []change{
		{"Consensus.orderAppend", `c.own.hardStates.recordOrder(c.now.Now)`, `c.own.hardStates.recordOrder(c.now.Now); defer func() { for _, r := range m.GetResponses() { if r.GetTo() == c.Member && r.GetType() == raftpb.MsgAppResp { c.step(r) } } }()`},
	}, []detector{direct("./node", "TestStories/all_differ"), campaign}},
	{"reuse a ReadIndex id", []change{
		{"reads.begin", `r.next++`, ``},
	}, []detector{direct("./actor", "TestReadAttempts"), campaign}},
	{"match waiters without the incarnation", []change{
		{"Applier.applyEntry", `&& envelope.Incarnation == a.Incarnation`, ``},
	}, []detector{direct("./actor", "TestEarlierProcessAnswersNobody"), campaign}},
	{"a full disk refuses a write that was made", []change{
		{"proposals.refuseForSpace", `if !command.Named {`, `if true {`},
	}, []detector{direct("./actor", "TestFullClusterKnowsWhatItMade")}},
	{"publish the View behind the answers", []change{
		{"Applier.Handle", `if a.changed { a.publish(a.state.View()); a.changed = false }; a.releaseReads(); if a.followed { a.followed = false; a.Status.Observer.Stages.applied(began) }; a.done.deliver()`, `a.releaseReads(); if a.followed { a.followed = false; a.Status.Observer.Stages.applied(began) }; a.done.deliver(); if a.changed { a.publish(a.state.View()); a.changed = false }`},
	}, []detector{direct("./actor", "TestViewBeforeAnswers"), campaign}},
	{"take a forward of an earlier term", []change{
		{"acceptedBatches.receive", `status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {`, `status.RaftState != raft.StateLeader {`},
	}, []detector{direct("./actor", "TestForwardOfAnEarlierTermIsVoid"), campaign}},
	{"give leases their last checkpoint again at each planned transfer", []change{
		{"Consensus.handle", `c.leases.clock.queueCheckpoints(c.leases.clock.time(c.now.Now))`, ``},
	}, []detector{direct("./actor", "TestTransferCheckpointsLeases")}},
	{"count a log as kept at the first lag", []change{
		{"logRetention.release", `if err != nil || l.covered < first { l.keptSince = c.now.Now`, `if err != nil || l.covered < first {`},
	}, []detector{direct("./actor", "TestFirstLagKeepsNoLog")}},
	{"end watches by short losses of the leader that add up", []change{
		{"WatchHub.checkLeader", `w.leaderlessSince = 0`, ``},
	}, []detector{direct("./actor", "TestShortLossesOfTheLeaderEndNoWatch")}},
	{"admit a short log when its member asks again", []change{
		{"Admission.Admit", `if a.complete[from] != its.Process {`, `if before := a.complete[from]; before != its.Process { a.complete[from] = its.Process`},
	}, []detector{direct("./actor", "TestAdmission")}},
	{"admit a short log", []change{
		{"Admission.Admit", `if err := a.checkEnd(from, its); err != nil { return err }`, ``},
	}, []detector{direct("./actor", "TestAdmission"), campaign}},
	{"release the log behind a snapshot on its way", []change{
		{"neededFrom", `return max(p.PendingSnapshot, base)`, `return ^uint64(0) - 0*base`},
	}, []detector{direct("./actor", "TestLogIsKeptForFollowers"), campaign}},
	{"count an earlier process's batch as seen", []change{
		{"Consensus.dropForwardsInLog", `&& envelope.Incarnation == c.Incarnation {`, `{`},
	}, []detector{direct("./actor", "TestForwardsOfAnEarlierProcessAreNotSeen"), campaign}},
	{"tell the durable end before the sync", []change{
		{"LogWriter.writeGroup", `w.Yield()`, `w.Yield(); if n := len(r.entries); n > 0 { s := w.Log.Stats(); s.Index, s.Term = r.entries[n-1].GetIndex(), r.entries[n-1].GetTerm(); w.Status.publishDurable(s) }`},
	}, []detector{direct("./actor", "TestDurableEndIsToldBehindTheSync"), campaign}},
	{"revoke a lease without a round", []change{
		{"leaseClock.expire", `if l.deadline <= k.proven {`, `if true {`},
	}, []detector{direct("./actor", "TestLeaseIsRevokedOrRenewed")}},
	{"renew a lease that is being revoked", []change{
		{"leaseClock.answer", `case l.revoking || l.deadline <= ask.at:`, `case l.deadline <= ask.at-1<<60:`},
		{"leaseClock.answerCheckpointed", `if len(l.asks) == 0 || l.revoking || l.deadline <= now {`, `if len(l.asks) == 0 {`},
	}, []detector{direct("./actor", "TestLeaseIsRevokedOrRenewed")}},
	{"answer a keep-alive before a quorum has", []change{
		{"leases.takeAsks", `l.clock.unproven = append(l.clock.unproven, clockAsk{LeaseAsk: ask, from: from, at: l.clock.time(c.now.Now)})`, `l.clock.answer(clockAsk{LeaseAsk: ask, from: from, at: l.clock.time(c.now.Now)}, l.clock.time(c.now.Now), 0)`},
	}, []detector{direct("./actor", "TestKeepAliveWaitsForAQuorum")}},
	{"vote for a removed member", []change{
		{"Consensus.receive", `if c.membership.records.Removed(r.From) {`, `if false {`},
	}, []detector{direct("./actor", "TestRemovedMemberGetsNoVote")}},
	{"pack a change with other commands", []change{
		{"proposals.pack", `if (full || command.Change != nil || b.change != nil) &&`, `if full &&`},
	}, []detector{direct("./actor", "TestChangeIsAloneInItsEnvelope")}},
	{"propose a change before raft knows of the last one's end", []change{
		{"membership.changing", `|| c.raft.BasicStatus().Applied < m.changeAt`, ``},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"go on with a configuration that is not the records'", []change{
		{"membership.changed", `if m.confState.Equivalent(want) != nil {`, `if m.confState.Equivalent(want) != nil && c.failed {`},
	}, []detector{direct("./actor", "TestConfigurationThatDiffers")}},
	{"skip the joint configuration", []change{
		{"configurationChange", `add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)`, `if after.Joint() { return nil }; add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)`},
	}, []detector{direct("./actor", "TestConfigurationIsThatOfTheRecords")}},
	{"follow another write's entry", []change{
		{"Stages.order", `v.Incarnation == incarnation && v.First == s.first`, `v.Incarnation == incarnation`},
	}, []detector{direct("./actor", "TestStages.*")}},
	{"drop a snapshot that came in another term", []change{
		{"core.inPresentTerm", `now.GetTerm() > m.GetTerm() {`, `false {`},
	}, []detector{direct("./actor", "TestSnapshotOfAnEarlierTerm")}},
	{"take answers for leases from every member", []change{
		{"claimedTerm", `return 0, true`, `return 0, false`},
	}, []detector{direct("./actor", "TestLeaseAnswersOfAnotherMember")}},
	{"write an entry that cannot be decoded to the log", []change{
		{"Consensus.receive", `if !c.decodable(r.From, m.GetEntries()) {`, `if !c.decodable(r.From, m.GetEntries()) && r.From == 0 {`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"begin a lease clock with a state of the term before", []change{
		{"leases.startClock", `&& c.membership.appliedTerm == c.term && c.raft`, `&& c.raft`},
	}, []detector{direct("./actor", "TestLeaseClockWaitsForTheTerm")}},
	{"propose what was accepted in an earlier term", []change{
		{"Consensus.newTermOrLeader", `c.accepted.reset()`, `_ = c.accepted.reset`},
	}, []detector{direct("./actor", "TestAcceptedForwardsAreVoidInAnotherTerm")}},
	{"let reads go an entry early", []change{
		{"Applier.releaseReads", `if r.Index > applied {`, `if r.Index > applied+1 {`},
	}, []detector{direct("./actor", "TestReadWaitsForItsEntry")}},
	{"remember the vote before the newest", []change{
		{"hardStates.absorb", `Term: m.GetTerm(), Vote: m.GetVote(),`, `Term: m.GetTerm(), Vote: h.ordered.Vote,`},
	}, []detector{direct("./actor", "TestHardStatesRide")}},
	{"admit a leader that was rolled back", []change{
		{"Admission.checkEnd", `its.HardTerm <= end.term && its.Last < end.durable`, `its.HardTerm < end.term && its.Last < end.durable`},
		{"Admission.checkEnd", `max(a.Status.minMatch(from), end.committed, known.Owed)`, `max(a.Status.minMatch(from), known.Owed)`},
	}, []detector{direct("./node", "TestStories")}},
	{"take a cut log for a longer one", []change{
		{"leaderPositions.synced", `l.durable = m.Entries[n-1].GetIndex()`, `l.durable = max(l.durable, m.Entries[n-1].GetIndex())`},
	}, []detector{direct("./actor", "TestDurableEndFollowsTheLog")}},
	{"apply a configuration when its entry is committed", []change{
		{"Consensus.orderApply", `c.Applier.postAndYield(apply{Message: m, FileBytes: c.own.retention.fileBytes})`, `for _, e := range entries { var now raftpb.ConfChangeV2; if e.GetType() == raftpb.EntryConfChangeV2 && proto.Unmarshal(e.GetData(), &now) == nil { c.membership.confState = c.raft.ApplyConfChange(&now) } }; c.Applier.postAndYield(apply{Message: m, FileBytes: c.own.retention.fileBytes})`},
	}, []detector{direct("./actor", "TestConfigurationComesWithTheRecords")}},
	{"apply a configuration behind its entry", []change{
		{"Applier.endWait", `a.reports = append(a.reports, applied{Response: a.waiting[i].Message.GetResponses()[0]})`, `a.reports = append([]ConsensusMessage{applied{Response: a.waiting[i].Message.GetResponses()[0]}}, a.reports...)`},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"let a quorum of empty logs take part beside one that has the data", []change{
		{"suspension.receiveAccusation", `if alike && c.last > foundingIndex {`, `if alike {`},
	}, []detector{direct("./actor", "TestAccusedWithoutLogIsHeldBack")}},
	{"leave writes waiting across an installed snapshot", []change{
		{"Applier.restore", `a.pending.abandon(&a.done)`, ``},
	}, []detector{direct("./actor", "TestWritesBeneathASnapshotMayHaveHappened")}},
	{"revoke a lease that was renewed while it waited", []change{
		{"leaseClock.toRevoke", `case l.revoked: case l.deadline > now: k.due.add(l, l.next(t))`, `case l.revoked:`},
	}, []detector{direct("./actor", "TestRevocationsThatAreNotProposed")}},
	{"found a cluster with half of its founders", []change{
		{"newFounding", `return founding{unmet: without(c.ConfState.GetVoters(), c.Member)}`, `return founding{}`},
	}, []detector{direct("./node", "TestStories/founded_anew")}},
	{"vote for a founder that has met another folder of one id", []change{
		{"Admission.agree", `ok && known.Folder != b.Folder && (kept || !data || a.establishedLocked()) {`, `ok && known.Folder != b.Folder && kept {`},
	}, []detector{direct("./actor", "TestFoundersAgreeOnFolders")}},
	{"bind no founder that comes after the first election", []change{
		{"Admission.Claims", `return a.lateFolders[founder]`, `return [16]byte{}`},
	}, []detector{direct("./actor", "TestRestoredFounderComesLate")}},
	{"bind the last of two folders that ask under a founder's name", []change{
		{"Admission.Admit", `!asked {`, `!asked || true {`},
	}, []detector{direct("./actor", "TestRestoredFounderComesLate")}},
	{"take frames of a folder that is not the bound one", []change{
		{"Admission.Bars", `known.Process != its.Process {`, `known.Process != its.Process && known.Boot > 0 {`},
	}, []detector{direct("./actor", "TestBindingBarsAnotherFolder")}},
	{"vote before all founders were met", []change{
		{"Consensus.receive", `c.elections.founding.premature(&c.core, r.Message) || `, ``},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"save two wanted snapshots at once, without the log that a backup still needs", []change{
		{"Applier.save", `t.Now >= a.wantedFrom`, `t.Now >= 0`},
	}, []detector{direct("./actor", "TestSnapshotsApart")}},
}
