package main

var actorBugs = []mutant{
	{"count released segments twice in the log's budget", []change{
		{"LogWriter.recycle", `w.Status.publishDurable(w.Log.Stats())`, ``},
	}, []detector{direct("./actor", "TestReleasedFilesAreOfTheLogNoMore")}},
	{"fill segments with zeros however fast the log is", []change{
		{"SegmentMaker.measure", `s.rate > s.Limits.ReserveRate`, `false`},
	}, []detector{direct("./actor", "TestSegmentsFollowTheRate")}},
	{"count a disk as full before the segments that wait give way", []change{
		{"SegmentMaker.checkSpace", `free, known = s.measureSpace()`, ``},
	}, []detector{direct("./actor", "TestWaitingSegmentsGiveWay")}},
	{"keep waiting segments although a snapshot finds no space", []change{
		{"Disk.Recycles", `d.Full || d.Lacks`, `d.Full`},
	}, []detector{direct("./actor", "TestWaitingSegmentsGiveWay")}},
	{"let waiting segments take the space of a member's needs", []change{
		{"Disk.Recycles", `, beyond/sparesOfFree)`, `, max(beyond, d.LogBudget(l)-files))`},
	}, []detector{direct("./actor", "TestWaitingSegmentsGiveWay")}},
	{"remove parts that an older snapshot lists", []change{
		{"snapshotCore.removeParts", `older[one.SHA] = true`, `_ = one`},
	}, []detector{direct("./actor", "TestPartsModel")}},
	{"remove parts that a peer still wants", []change{
		{"sends.listParts", `if one.whole != nil {`, `if one.whole != nil && c.now < 0 {`},
	}, []detector{direct("./actor", "TestSentPartsStay")}},
	{"count the bytes of removed parts for ever", []change{
		{"parts.remove", `p.bytes -= one.Bytes`, ``},
	}, []detector{direct("./actor", "TestPartsModel")}},
	{"drop the older snapshot while a part of the newer one is fetched", []change{
		{"checks.soundNow", ` && repair.complete(c, c.files[0]) && `, ` && `},
	}, []detector{direct("./actor", "TestOlderSnapshotStaysWhileAPartIsFetched")}},
	{"remove parts before the removal of their snapshot is synced", []change{
		{"snapshotCore.removeParts", `if !synced { err = c.FS.SyncDir(c.Dir) }`, ``},
	}, []detector{direct("./actor", "TestPartsGoAfterTheirSnapshot")}},
	{"let values leave for a damaged part", []change{
		{"repairing.partDamaged", `r.harmed(c, part, true)`, ``},
	}, []detector{direct("./actor", "TestDamagedPartCostsNoFurtherValues")}},
	// Failover.
	{"let one voter's suspicion be enough", []change{
		{"failover.suspect", `f.seconded = max(f.seconded-ticks, 0)`, `f.seconded = 1`},
	}, []detector{direct("./actor", "TestLeaderIsSuspected")}},
	{"count a suspicion of another term", []change{
		{"failover.recordSuspicion", ` && m.Term == now.GetTerm()`, ``},
	}, []detector{direct("./actor", "TestLeaderIsNotSuspected")}},
	{"count the suspicion of a member without a vote", []change{
		{"failover.recordSuspicion", ` && slices.Contains(c.votersOfBoth(), by)`, ``},
	}, []detector{direct("./actor", "TestLeaderIsNotSuspected")}},
	{"keep a suspicion for ever", []change{
		{"failover.suspect", `f.seconded = max(f.seconded-ticks, 0)`, ``},
	}, []detector{direct("./actor", "TestLeaderIsNotSuspected")}},
	{"skip the pre-vote of who suspects", []change{
		{"NewConsensus", `PreVote: true,`, `PreVote: false,`},
	}, []detector{direct("./actor", "TestLeaderIsSuspected")}},
	{"let the lateness of heartbeats never grow", []change{
		{"linkWatch.heartbeat", `late := min(max(w.since-interval, 0), len(w.late)-1)`, `late := 0`},
	}, []detector{direct("./actor", "TestLinkWatchModel"), direct("./actor", "TestLinkBelongsToItsLeader")}},
	{"forget a link under the heartbeats of reads", []change{
		{"linkWatch.heartbeat", `apart < interval-1`, `false`},
	}, []detector{direct("./actor", "TestLinkIsKnownUnderReads")}},
	{"take appends for heartbeats", []change{
		{"failover.recordLeaderMessage", `if t == raftpb.MsgHeartbeat {`, `if isLeaderMessage(t) {`},
	}, []detector{direct("./actor", "TestAppendsAreNoHeartbeats")}},
	{"tell the second silence of a leader late", []change{
		{"failover.recordLeaderMessage", `f.queriedAt, f.died, f.seconded, f.reportIn = 0, raft.None, 0, 0`, `f.queriedAt, f.died, f.seconded = 0, raft.None, 0`},
	}, []detector{direct("./actor", "TestSuspicionsAreTold")}},
	{"tell a suspicion to the incoming voters alone", []change{
		{"failover.reportSuspicion", `for _, id := range c.votersOfBoth() {`, `for _, id := range c.membership.confState.GetVoters() {`},
	}, []detector{direct("./actor", "TestSuspicionsAreTold")}},
	{"ask a leader's host in its first silence alone", []change{
		{"failover.recordLeaderMessage", `f.queriedAt, f.died, f.seconded, f.reportIn = 0, raft.None, 0, 0`, `f.died, f.seconded, f.reportIn = raft.None, 0, 0`},
	}, []detector{direct("./actor", "TestLateLeaderIsAskedAgain")}},
	{"suspect the leader while this member takes no part", []change{
		{"failover.tick", `case c.suspension.active():`, `case c.suspension.active() && now.Lead == raft.None:`},
	}, []detector{direct("./actor", "TestSuspendedMemberSuspectsNobody")}},
	{"suspect the leader for the time in which this member took no part", []change{
		{"failover.tick", `f.watched = leadership{}`, ``},
	}, []detector{direct("./actor", "TestSuspendedMemberSuspectsNobody")}},
	{"campaign before the turn when a leader is forgotten again", []change{
		{"failover.forgetLeader", `f.reportIn, f.ticks, f.next = raft.None, 0, 0, 0, firstCampaign`, `f.reportIn, f.next = raft.None, 0, 0, firstCampaign`},
	}, []detector{direct("./actor", "TestTurnsToCampaign")}},
	{"campaign for a forgotten leader that was heard again", []change{
		{"failover.tick", `f.forgotten = leadership{}`, ``},
	}, []detector{direct("./actor", "TestTurnsToCampaign")}},
	{"campaign in turns for ever", []change{
		{"failover.campaignEarly", ` || f.ticks >= c.electionTicks()`, ``},
	}, []detector{direct("./actor", "TestTurnsToCampaign")}},
	{"order a member that is away to campaign", []change{
		{"failover.orderSuccessor", ` && c.connected[id]`, ``},
	}, []detector{direct("./actor", "TestDeafLeaderOrdersAnElection")}},
	{"order an election though a later leader was heard", []change{
		{"failover.orderSuccessor", ` || now.GetTerm() != c.term`, ``},
	}, []detector{direct("./actor", "TestDeafLeaderOrdersAnElection")}},
	{"keep a turn at a start over a lost quorum", []change{
		{"failover.campaignAtStart", `f.ticks, f.next = 0, 0`, ``},
	}, []detector{direct("./actor", "TestStartCampaignsWhenConnected")}},
	{"campaign at a start with a quorum of one half of an exchange", []change{
		{"quorumConnected", `[][]uint64{state.GetVoters(), state.GetVotersOutgoing()}`, `[][]uint64{state.GetVoters()}`},
	}, []detector{direct("./actor", "TestStartCampaignsWhenConnected")}},
	{"let a leader count two ticks of a long turn", []change{
		{"core.ticksMost", `return max(c.heartbeatTicks(), 2)`, `return 2`},
	}, []detector{direct("./actor", "TestBusyLeaderBeats"), direct("./node", "TestBusyLeaderIsNotSuspected")}},
	{"learn nothing of a mistaken suspicion", []change{
		{"failover.recordMistake", `f.mistaken, f.mistakenFor =`, `_, _ =`},
	}, []detector{direct("./actor", "TestMistakeMakesPatient"), direct("./node", "TestPausedHostsKeepLeading")}},
	{"tell of a suspicion once", []change{
		{"failover.tick", `f.doubt < c.electionTicks()`, `false`},
	}, []detector{direct("./actor", "TestSuspicionIsToldAgain")}},
	{"judge the next leader by the link of the last one", []change{
		{"failover.recordLeaderMessage", `f.link, f.watched = linkWatch{}, now`, `f.watched = now`},
	}, []detector{direct("./actor", "TestLinkBelongsToItsLeader")}},
	{"count the time in which a member led as a late heartbeat", []change{
		{"failover.recordLeaderMessage", `leadership{c.soft.Lead, c.term}`, `leadership{c.soft.Lead, 0}`},
		{"failover.suspect", `leadership{now.Lead, now.GetTerm()}`, `leadership{now.Lead, 0}`},
	}, []detector{direct("./actor", "TestLinkBelongsToItsLeader")}},
	{"believe another leader of the term in which the leader was forgotten", []change{
		{"failover.leaderOf", `return f.forgotten.leader`, ``},
	}, []detector{direct("./actor", "TestForgottenLeaderIsTheOnlyOne")}},
	{"hold a false leader for the only one of its term for ever", []change{
		{"failover.leaderOf", ` && f.ticks < c.electionTicks()`, ``},
	}, []detector{direct("./actor", "TestForgottenFalseLeader")}},
	{"campaign at a start without a quorum", []change{
		{"failover.campaignAtStart", ` || !quorumConnected(c)`, ``},
	}, []detector{direct("./actor", "TestStartCampaignsWhenConnected")}},
	{"campaign at a start before all founders were met", []change{
		{"failover.campaignAtStart", `!met || `, ``},
	}, []detector{direct("./actor", "TestStartCampaignsWhenConnected")}},
	{"campaign at a start though an election has begun", []change{
		{"failover.tick", ` || now.GetTerm() != f.startTerm`, ``},
	}, []detector{direct("./actor", "TestStartCampaignsWhenConnected")}},
	// Package actor.
	{"send MsgVote at once", []change{
		{"Consensus.carryOut", `case raftpb.MsgVote:`, `case raftpb.MsgVote: c.send(m)`},
		{"Consensus.carryOut", `m.Responses, votes = append(m.Responses, votes...), nil`, `votes = nil`},
	}, []detector{direct("./node", "TestStories/all_differ"), campaign}},
	{"read before an entry of the term", []change{
		{"core.readable", `return c.applyingTerm == c.term`, `return true`},
		{"Consensus.receive", `if c.soft.RaftState == raft.StateLeader && c.applyingTerm != c.term {`, `if false {`},
	}, []detector{direct("./node", "TestStories/single_voter_reads"), campaign}},
	{"count self before own sync", []change{
		{"Consensus.orderAppend", `c.own.hardStates.recordOrder(c.now.Now)`, `c.own.hardStates.recordOrder(c.now.Now); defer func() { for _, r := range m.GetResponses() { if r.GetTo() == c.Member && r.GetType() == raftpb.MsgAppResp { c.step(r) } } }()`},
	}, []detector{direct("./node", "TestStories/all_differ"), campaign}},
	{"vote before HardState is durable", []change{
		{"LogWriter.append", `len(m.GetResponses()) > 0 && w.Log.Unsynced())`, `len(m.GetResponses()) > 0 && w.Log.Pending() > 0)`},
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
	{"let who takes no part itself be the second word", []change{
		{"suspension.accuse", `q.accusers[by] = !r.Suspended`, `q.accusers[by], r.Suspended = true, false`},
	}, []detector{direct("./actor", "TestSuspension")}},
	{"keep the log of before a snapshot that was installed", []change{
		{"LogWriter.takeRestored", `w.Log.Release(r.marker.Index)`, ``},
	}, []detector{direct("./actor", "TestInstalledSnapshotReleasesTheLog")}},
	{"release the log behind a snapshot on its way", []change{
		{"neededFrom", `return max(p.PendingSnapshot, base)`, `return ^uint64(0) - 0*base`},
	}, []detector{direct("./actor", "TestLogIsKeptForFollowers"), campaign}},
	{"count an earlier process's batch as seen", []change{
		{"Consensus.dropForwardsInLog", `&& envelope.Incarnation == c.Incarnation {`, `{`},
	}, []detector{direct("./actor", "TestForwardsOfAnEarlierProcessAreNotSeen"), campaign}},
	{"tell the durable end before the sync", []change{
		{"LogWriter.writeGroup", `w.Yield()`, `w.Yield(); if n := len(r.entries); n > 0 { s := w.Log.Stats(); s.Index, s.Term = r.entries[n-1].GetIndex(), r.entries[n-1].GetTerm(); w.Status.publishDurable(s) }`},
	}, []detector{direct("./actor", "TestDurableEndIsToldBehindTheSync"), campaign}},
	{"send acknowledgements before the sync", []change{
		{"LogWriter.writeGroup", `if needSync {`, `if needSync { for _, m := range r.responses { if m.GetTo() != w.Member { sendRaftMessage(w.Peers, m, 0, false) } }`},
	}, []detector{campaign}},
	{"revoke a lease without a round", []change{
		{"leaseClock.expire", `if l.deadline <= k.proven {`, `if true {`},
	}, []detector{direct("./actor", "TestLeaseIsRevokedOrRenewed")}},
	{"renew a lease that is being revoked", []change{
		{"leaseClock.answer", `case l.revoking || l.deadline <= ask.at:`, `case l.deadline <= ask.at-1<<60:`},
		{"leaseClock.answerCheckpointed", `if len(l.asks) == 0 || l.revoking || l.deadline <= now {`, `if len(l.asks) == 0 {`},
	}, []detector{direct("./actor", "TestLeaseIsRevokedOrRenewed")}},
	{"renew a lease of which the log says that less is left", []change{
		{"leaseClock.answerCheckpointed", `if l.lacksFullCheckpoint() {`, `if l.lacksFullCheckpoint() && l.revoked {`},
	}, []detector{direct("./actor", "TestLeaseNotes")}},
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
	{"take a leader's claims from every member", []change{
		{"Consensus.receive", `!c.elections.believes(&c.core, r.From, r.Message) || `, ``},
	}, []detector{direct("./actor", "TestClaimsOfAMemberThatDoesNotLead")}},
	{"take answers for leases from every member", []change{
		{"claimedTerm", `return 0, true`, `return 0, false`},
	}, []detector{direct("./actor", "TestLeaseAnswersOfAnotherMember")}},
	{"write an entry that cannot be decoded to the log", []change{
		{"Consensus.receive", `if !c.decodable(r.From, m.GetEntries()) {`, `if !c.decodable(r.From, m.GetEntries()) && r.From == 0 {`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"be admitted only by a log that ends within this member's", []change{
		{"suspension.receive", `q.withdrawn(m.Message)`, `q.withdrawn(m.Message) && m.GetIndex() <= c.last`},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"begin a lease clock with a state of the term before", []change{
		{"leases.startClock", `&& c.membership.appliedTerm == c.term && c.raft`, `&& c.raft`},
	}, []detector{direct("./actor", "TestLeaseClockWaitsForTheTerm")}},
	{"propose what was accepted in an earlier term", []change{
		{"Consensus.newTermOrLeader", `c.accepted.reset()`, `_ = c.accepted.reset`},
	}, []detector{direct("./actor", "TestAcceptedForwardsAreVoidInAnotherTerm")}},
	{"forward in a later term what was forwarded before", []change{
		{"Consensus.newTermOrLeader", `c.forwards.reset()`, ``},
	}, []detector{direct("./actor", "TestForwardsAreVoidInAnotherTerm")}},
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
	{"tell of entries that are not on the disk", []change{
		{"Consensus.send", `c.elections.positions.toSend(m)`, `max(c.elections.positions.toSend(m), c.last)`},
	}, []detector{direct("./actor", "TestLeaderTellsWhatIsDurable")}},
	{"take a cut log for a longer one", []change{
		{"leaderPositions.synced", `l.durable = m.Entries[n-1].GetIndex()`, `l.durable = max(l.durable, m.Entries[n-1].GetIndex())`},
	}, []detector{direct("./actor", "TestDurableEndFollowsTheLog")}},
	{"apply a configuration when its entry is committed", []change{
		{"Consensus.orderApply", `c.Applier.postAndYield(apply{Message: m, FileBytes: c.own.retention.fileBytes})`, `for _, e := range entries { var now raftpb.ConfChangeV2; if e.GetType() == raftpb.EntryConfChangeV2 && proto.Unmarshal(e.GetData(), &now) == nil { c.membership.confState = c.raft.ApplyConfChange(&now) } }; c.Applier.postAndYield(apply{Message: m, FileBytes: c.own.retention.fileBytes})`},
	}, []detector{direct("./actor", "TestConfigurationComesWithTheRecords")}},
	{"apply a configuration behind its entry", []change{
		{"Applier.apply", `a.reports = append(a.reports, applied{Response: m.Message.GetResponses()[0]})`, `a.reports = append([]ConsensusMessage{applied{Response: m.Message.GetResponses()[0]}}, a.reports...)`},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"remove a lost member that is connected", []change{
		{"membership.tend", `old != c.Member && !c.connected[old]`, `old != c.Member`},
	}, []detector{direct("./actor", "TestConnectedMemberIsNotReplaced")}},
	{"put a learner in the place of the only voter", []change{
		{"membership.tend", `if len(m.confState.GetVoters()) == 1 {`, `if len(m.confState.GetVoters()) == 0 {`},
	}, []detector{direct("./actor", "TestReplacementOfTheOnlyVoter")}},
	{"let a quorum of empty logs take part beside one that has the data", []change{
		{"suspension.receiveAccusation", `if alike && c.last > foundingIndex {`, `if alike {`},
	}, []detector{direct("./actor", "TestAccusedWithoutLogIsHeldBack")}},
	{"leave writes waiting across an installed snapshot", []change{
		{"Applier.restore", `a.pending.abandon(&a.done)`, ``},
	}, []detector{direct("./actor", "TestWritesBeneathASnapshotMayHaveHappened")}},
	{"revoke a lease that was renewed while it waited", []change{
		{"leaseClock.toRevoke", `case l.revoked: case l.deadline > now: k.due.add(l, l.next(t))`, `case l.revoked:`},
	}, []detector{direct("./actor", "TestRevocationsThatAreNotProposed")}},
	{"checkpoint all due leases in one entry", []change{
		{"leaseClock.takeCheckpoints", `min(limits.LeaseCheckpoints, leaseCheckpointsInflight-k.checkpoints)`, `len(k.checkpointQueue)`},
		{"leaseClock.tick", ` && len(k.checkpointQueue) < limits.LeaseCheckpoints`, ``},
		{"Consensus.proposeLeases", `if len(checkpoints) > 0 {`, `for checkpoints := range slices.Chunk(checkpoints, limits.LeaseCheckpoints) {`},
	}, []detector{direct("./actor", "TestEntriesOfCheckpoints")}},
	{"look at all leases that are due in one tick", []change{
		{"leaseClock.tick", `n < leaseDuesPerTick && `, ``},
	}, []detector{direct("./actor", "TestLeasesDueTogether")}},
	{"propose checkpoints while any number is in flight", []change{
		{"leaseClock.takeCheckpoints", `leaseCheckpointsInflight-k.checkpoints`, `leaseCheckpointsInflight`},
	}, []detector{direct("./actor", "TestCheckpointsDueTogether")}},
	{"let a renewal wait for the checkpoints of all other leases", []change{
		{"leaseClock.tick", ` && len(k.checkpointQueue) < limits.LeaseCheckpoints`, ``},
	}, []detector{direct("./actor", "TestCheckpointsDueTogether")}},
	{"count the checkpoints of revoked leases for ever", []change{
		{"leaseClock.remove", `k.checkpoints -= l.pendingCheckpoints`, ``},
	}, []detector{direct("./actor", "TestCheckpointOfARevokedLease")}},
	{"forget checkpoints that raft had no space for", []change{
		{"Consensus.proposeLeases", `k.queueCheckpoint(k.leases[one.ID])`, `_ = one`},
	}, []detector{direct("./actor", "TestCheckpointsThatAreNotProposed")}},
	{"notice a stop of the process after the messages that waited in it", []change{
		{"Consensus.Handle", `c.leases.clock.stopped += stop`, `defer func() { c.leases.clock.stopped += stop }()`},
		{"Consensus.Handle", `c.own.lag.excludeStop(t.Now)`, `defer c.own.lag.excludeStop(t.Now)`},
	}, []detector{direct("./actor", "TestKeepAliveBehindAStandstill"), direct("./actor", "TestStandstillIsNoDelay")}},
	{"charge leases for a stop of their leader's process", []change{
		{"Consensus.Handle", `c.leases.clock.stopped += stop`, ``},
	}, []detector{direct("./actor", "TestCheckpointBehindAStandstill"), direct("./actor", "TestKeepAliveBehindAStandstill")}},
	{"blame the disk for a stop of the process", []change{
		{"Consensus.Handle", `c.own.disk.excludeStop(stop, t.Now)`, ``},
	}, []detector{direct("./actor", "TestStandstillIsNoDelay")}},
	{"compare the progress of other disks across a stop of the process", []change{
		{"diskWatch.excludeStop", `d.others, d.reads.since = nil,`, `d.reads.since =`},
	}, []detector{direct("./actor", "TestProgressOfBeforeAStandstill")}},
	{"take a vote that waited in a stop of the process for one of a slow disk", []change{
		{"Consensus.Handle", `c.elections.asked = nil`, ``},
	}, []detector{direct("./actor", "TestVoteBehindAStandstill")}},
	{"refuse requests because the process had stopped", []change{
		{"Consensus.Handle", `c.own.lag.excludeStop(t.Now)`, ``},
	}, []detector{direct("./actor", "TestStandstillIsNoDelay")}},
	{"remove a lost member because the leader's process had stopped", []change{
		{"Consensus.Handle", `clear(c.membership.unlinked)`, ``},
	}, []detector{direct("./actor", "TestStandstillIsNoSilence")}},
	{"found a cluster with half of its founders", []change{
		{"newFounding", `return founding{unmet: without(c.ConfState.GetVoters(), c.Member)}`, `return founding{}`},
	}, []detector{direct("./node", "TestStories/founded_anew")}},
	{"vote for a founder that has met another folder of one id", []change{
		{"Admission.agree", `ok && known.Folder != b.Folder && (kept || !data || a.establishedLocked()) {`, `ok && known.Folder != b.Folder && kept {`},
	}, []detector{direct("./actor", "TestFoundersAgreeOnFolders")}},
	{"forget with which founders this one has voted", []change{
		{"Admission.agree", `a.set(Known{Member: a.Self, Folder: a.Folder})`, ``},
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
	{"take a founder with data for one without", []change{
		{"founding.met", `if last <= foundingIndex {`, `if last > 0 {`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"save two wanted snapshots at once, without the log that a backup still needs", []change{
		{"Applier.save", `t.Now >= a.wantedFrom`, `t.Now >= 0`},
	}, []detector{direct("./actor", "TestSnapshotsApart")}},
	{"let a snapshot that frees a disk wait, however little is free", []change{
		{"Applier.save", ` || disk.Free < disk.Capacity/2`, ``},
	}, []detector{direct("./actor", "TestSnapshotsApart"), direct("./node", "TestOverwritingFillsNoDisk")}},
}
