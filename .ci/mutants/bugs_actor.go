package main

var actorBugs = []mutant{
	{"remove parts that an older snapshot lists", []change{
		{"Snapshotter.removeParts", `older[partIDOf(one)] = true`, `_ = one`},
	}, []detector{direct("./actor", "TestSupersededPartsGo")}},
	{"remove the parts of a snapshot that could not be removed", []change{
		{"Snapshotter.removeParts", `range slices.Concat(s.files, s.stuck) {`, `range s.files {`},
	}, []detector{direct("./actor", "TestStuckSnapshotKeepsItsParts")}},
	{"remove parts that a peer still wants", []change{
		{"Snapshotter.removeParts", `if one.whole != nil {`, `if one.whole != nil && s.now < 0 {`},
	}, []detector{direct("./actor", "TestSupersededPartsGo")}},
	{"list a base before it serves", []change{
		{"parts.listed", `&& v.BaseServes() {`, `{`},
	}, []detector{direct("./actor", "TestSupersededPartsGo")}},
	{"keep a damaged part among the listed ones", []change{
		{"Snapshotter.partRepaired", `s.parts.drop(one.Part)`, ``},
	}, []detector{direct("./actor", "TestDamagedBaseIsNotMadeOfLess"), campaign}},
	{"fetch only the first of several damaged parts", []change{
		{"Snapshotter.partRepaired", `if s.damaged = s.damaged[1:]; len(s.damaged) > 0 {`, `if s.damaged = s.damaged[1:]; len(s.damaged) < 0 {`},
	}, []detector{direct("./actor", "TestDamagedPartsAreFetchedInTurn")}},
	{"remove parts before the removal of their snapshot is synced", []change{
		{"Snapshotter.removeParts", `if !synced { err = s.FS.SyncDir(s.Dir) }`, ``},
	}, []detector{direct("./actor", "TestPartsGoAfterTheirSnapshot")}},
	{"tell a received state of the parts before it", []change{
		{"Snapshotter.postStored", `if s.receive != nil && s.receive.handed {`, `if s.receive != nil && s.receive.handed && s.shelf == nil {`},
	}, []detector{direct("./actor", "TestReceivedStateHasItsOwnParts")}},
	{"keep silent about parts after a received state was dropped", []change{
		{"Snapshotter.discard", `s.postStored()`, ``},
	}, []detector{direct("./actor", "TestReceivedStateHasItsOwnParts")}},
	{"bring nothing in place of a value that cannot be read", []change{
		{"ValueReader.Handle", `all[i].Value, all[i].Err = one.Read()`, `all[i].Value, _ = one.Read()`},
	}, []detector{direct("./actor", "TestValueReaderReportsErrors")}},
	{"fetch a part again that no member gives", []change{
		{"Snapshotter.valueDamaged", `if found == nil || !s.parts.has(found.Part) {`, `if found == nil {`},
	}, []detector{direct("./actor", "TestPartIsFetchedOnce")}},
	{"read values from the last piece of a base only", []change{
		{"Snapshotter.partSaved", `append(o.volumes, volume)`, `[]*snapshot.Volume{volume}`},
	}, []detector{direct("./actor", "TestPiecesOfABaseAreRead")}},
	{"write a base again of which memory lacks versions", []change{
		{"View.HasBase", `Revision: max(v.extents.kept, v.extents.base+1)`, `Revision: v.revision`},
	}, []detector{direct("./actor", "TestDamagedBaseIsNotMadeOfLess")}},
	{"check a snapshot again that lacks a part", []change{
		{"Snapshotter.nextCheck", `|| !s.complete(info) {`, `{`},
	}, []detector{direct("./actor", "TestMissingPartDelaysNoSave")}},
	{"fetch a part because no file can be opened", []change{
		{"Verifier.endPart", `errors.Is(err, syscall.EMFILE)`, `err == nil`},
	}, []detector{direct("./actor", "TestUnreadablePartIsReplaced")}},
	{"remove parts that no snapshot lists and that values are read from", []change{
		{"Snapshotter.removeParts", `need(s.shelf.Parts())`, ``},
	}, []detector{direct("./actor", "TestOtherPiecesOfDamagedBaseStay")}},
	{"let values leave for a damaged part", []change{
		{"Snapshotter.partDamaged", `s.harmed(part, true)`, ``},
	}, []detector{direct("./actor", "TestDamagedPartCostsNoFurtherValues")}},
	{"receive parts that are there already", []change{
		{"Snapshotter.openNext", `if errors.Is(err, fs.ErrExist) {`, `if errors.Is(err, fs.ErrExist) && snapshot.Remove(s.FS, s.Dir+"/"+p.Name()) == nil {
			r.part--`},
	}, []detector{direct("./actor", "TestOnlyMissingPartsTravel")}},
	// Package actor.
	{"send MsgVote at once", []change{
		{"Consensus.ready", `case raftpb.MsgVote:`, `case raftpb.MsgVote: c.send(m)`},
		{"Consensus.ready", `m.Responses = append(m.Responses, ofType(rd.Messages, raftpb.MsgVote)...)`, ``},
	}, []detector{actors, story, campaign}},
	{"read before an entry of the term", []change{
		{"core.readable", `return c.handedTerm == c.term`, `return true`},
		{"Consensus.receive", `if c.soft.RaftState == raft.StateLeader && c.handedTerm != c.term {`, `if false {`},
	}, []detector{story, campaign}},
	{"count self before own sync", []change{
		{"Consensus.orderAppend", `c.hardStates.given(c.now.Now)`, `c.hardStates.given(c.now.Now); defer func() { for _, r := range m.GetResponses() { if r.GetTo() == c.Member && r.GetType() == raftpb.MsgAppResp { c.step(r) } } }()`},
	}, []detector{actors, story, campaign}},
	{"vote before HardState is durable", []change{
		{"LogWriter.append", `len(m.GetResponses()) > 0 && w.Log.Unsynced())`, `len(m.GetResponses()) > 0 && w.Log.Pending() > 0)`},
	}, []detector{actors, story, campaign}},
	{"part from a removed member at once", []change{
		{"Consensus.setMembers", `if c.membership.removedAt == 0 { c.Peers.SetMembers(c.membership.records) }`, `c.Peers.SetMembers(c.membership.records)`},
	}, []detector{actors, campaign}},
	{"end a removed member by its own log alone", []change{
		{"membership.changed", `if news.Restored { m.removedAt = 0 }`, `if m.records.Get(c.Member) == nil { m.removed(c, "its own log says so"); return false }`},
	}, []detector{actors, campaign}},
	{"reuse a ReadIndex id", []change{
		{"reads.begin", `r.next++`, ``},
	}, []detector{actors, story, campaign}},
	{"see a full disk by its bytes alone", []change{
		{"SegmentMaker.checkSpace", `case free < low || s.refuses || waits:`, `case free < low || waits:`},
	}, []detector{direct("./actor", "TestDiskThatTakesNoFiles")}},
	{"match waiters without the incarnation", []change{
		{"Applier.applyEntry", `&& envelope.Incarnation == a.Incarnation`, ``},
	}, []detector{actors, story, campaign}},
	{"a full disk refuses a write that was made", []change{
		{"proposals.refuseForSpace", `if !index.HasSession(command) {`, `if index.HasSession(command) || true {`},
	}, []detector{direct("./actor", "TestFullClusterKnowsWhatItMade")}},
	{"drop what is compacted only when something comes behind it", []change{
		{"Applier.Handle", `again, a.reclaiming = true, true`, ``},
	}, []detector{direct("./actor", "TestCompactedIsDroppedWhileIdle")}},
	{"publish the View behind the answers", []change{
		{"Applier.Handle", `if a.changed { a.publish(a.state.View()); a.changed = false }; a.letReadsGo(); if a.followed { a.followed = false; a.Status.Observer.Stages.applied(began) }; a.done.handOut()`, `a.letReadsGo(); if a.followed { a.followed = false; a.Status.Observer.Stages.applied(began) }; a.done.handOut(); if a.changed { a.publish(a.state.View()); a.changed = false }`},
	}, []detector{actors, campaign}},
	{"believe that a leader has batches which this member never packed", []change{
		{"Consensus.forwardsAccepted", `&& m.Next <= c.proposals.next`, ``},
	}, []detector{direct("./actor", "TestAcceptedBatchesThatDoNotExist")}},
	{"take a forward of an earlier term", []change{
		{"accepted.take", `status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {`, `status.RaftState != raft.StateLeader {`},
	}, []detector{actors, campaign}},
	{"step a heartbeat beyond the log", []change{
		{"Consensus.beyondLog", `return m.GetCommit() > c.last && m.GetTerm() >= c.term`, `return false`},
	}, []detector{actors, campaign}},
	{"admit a short log", []change{
		{"Admission.Admit", `if err := a.checkEnd(from, its); err != nil { return err }`, ``},
	}, []detector{actors, campaign}},
	{"take a connection for an admission", []change{
		{"Consensus.handle", `c.quarantine.linked(m.Peer)`, `c.quarantine.linked(m.Peer); if c.quarantine.admitted(m.Peer, true) { c.quarantine.leave(&c.core, "it is connected") }`},
	}, []detector{actors}},
	{"let who takes no part itself be the second word", []change{
		{"quarantine.accuse", `q.accusers[by] = !r.Refused`, `q.accusers[by], r.Refused = true, false`},
	}, []detector{actors, story}},
	{"let a follower's log go beside a snapshot that is saved", []change{
		{"logRetention.release", `l.fileBytes <= disk.FollowerLogBudget(&c.Limits) {`, `l.fileBytes <= disk.LogBudget(&c.Limits, disk.Snapshots) {`},
	}, []detector{actors}},
	{"send again what is slow", []change{
		{"Snapshotter.wait", `case s.now-one.asked >= one.timeout():`, `case s.now-one.asked >= limits.SnapshotResend:`},
	}, []detector{actors}},
	{"leave a full follower to itself", []change{
		{"spaces.helpFull", `return true`, `return false`},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"keep the log of before a snapshot that was installed", []change{
		{"LogWriter.takeRestored", `w.Log.Release(r.marker.Index)`, ``},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"let a group wait in front of a snapshot", []change{
		{"LogWriter.goOn", `i >= 0 {`, `i >= 0 && w.failed {`},
	}, []detector{{"TestTightDisk", []string{"./node", "-run", "^TestTightDisk$"}}}},
	{"forget what a refused member owes", []change{
		{"Admission.checkEnd", `max(a.Status.minMatch(from), end.kept, known.Owed)`, `max(a.Status.minMatch(from), end.kept)`},
	}, []detector{actors}},
	{"report no replaced snapshot", []change{
		{"Snapshotter.tryOpen", `s.dropSend(one.peer); s.Consensus.MustPost(SnapshotSent{Peer: one.peer})`, `s.dropSend(one.peer)`},
	}, []detector{actors, campaign}},
	{"drop what is accepted and has no room", []change{
		{"Consensus.proposeDeferred", `errors.Is(err, raft.ErrProposalDropped) {`, `errors.Is(err, raft.ErrProposalDropped) { c.accepted.deferred = nil`},
	}, []detector{actors, campaign}},
	{"leave no fence", []change{
		{"LogWriter.Close", `if err := w.Log.Fence(true); err != nil { return fmt.Errorf("write the last fence: %w", err) }`, ``},
	}, []detector{actors, campaign}},
	{"release the log behind a snapshot on its way", []change{
		{"neededFrom", `return max(p.PendingSnapshot, base)`, `return ^uint64(0) - 0*base`},
	}, []detector{actors, campaign}},
	{"hand leadership to a follower that lacks something", []change{
		{"diskWatch.watch", `faster[id] = id != c.Member && p.Match >= goal && d.overtaken(id, goal, c.now.Now)`, `faster[id] = id != c.Member && p.Match >= 0*goal`},
	}, []detector{actors, story, campaign}},
	{"hand leadership over where one disk of several is faster", []change{
		{"quorumOf", `return n > len(voters)/2 || len(voters) == 0`, `return n > 0 || len(voters) == 0`},
	}, []detector{actors}},
	{"elect as fast as ever where votes come late", []change{
		{"elections.late", `e.slow = max(e.slow, took)`, `e.slow = max(e.slow, 0*took)`},
	}, []detector{actors, direct("./node", "TestSlowQuorumElects")}},
	{"begin an election while the own disk is at a vote", []change{
		{"elections.ticks", `if disk > electionTimeout/2 {`, `if disk < 0 {`},
	}, []detector{actors}},
	{"take a pause for a read that has no answer", []change{
		{"readWatch.stood", `{ w.since = min(w.since+still, now) }`, `{ w.since = min(w.since+0*still, now) }`},
	}, []detector{actors}},
	{"stay the leader with a disk that stands", []change{
		{"diskWatch.watch", `if stalled <= 2*c.ElectionTimeout ||`, `if stalled <= 200*c.ElectionTimeout ||`},
	}, []detector{actors, story, campaign}},
	{"hand leadership to a disk that is no faster", []change{
		{"diskWatch.overtaken", `(all[i].at-began)*3/2`, `0*(all[i].at-began)`},
	}, []detector{actors}},
	{"take a disk that is a group ahead for a faster one", []change{
		{"diskWatch.overtaken", `began = max(began, p.at)`, `began = max(began, d.begun(), p.at)`},
	}, []detector{actors}},
	{"count another disk's last group only", []change{
		{"diskWatch.overtaken", `if p.match <= d.done {`, `if p.match < 1<<63 {`},
	}, []detector{actors}},
	{"order all that raft has at once", []change{
		{"Consensus.handed", `c.unordered >= c.Limits.OrderBytes`, `c.unordered >= 1000*c.Limits.OrderBytes`},
	}, []detector{direct("./node", "TestSlowDisks")}},
	{"take a slow disk for one that stands", []change{
		{"diskWatch.beyond", `return max(now-since-time.Duration(bytes)*time.Second/time.Duration(rate), 0)`, `return now - since + time.Duration(bytes*rate*0)`},
	}, []detector{actors, direct("./node", "TestSlowDisks")}},
	{"take a group for what was ordered when the disk could begin", []change{
		{"diskWatch.silent", `max(bytes, min(d.bytes(), d.groupBytes))`, `bytes`},
	}, []detector{direct("./actor", "TestOrdersAMomentLaterAreInTheGroup")}},
	{"take a disk of 100 KB a second for a dead one", []change{
		{"diskWatch.silent", `limits.DiskBytesLeast)`, `limits.DiskBytesPerSecond)`},
	}, []detector{direct("./actor", "TestOrdersAMomentLaterAreInTheGroup")}},
	{"go on with a follower at heartbeats only", []change{
		{"Consensus.logRead", `c.sendMore(id, hi)`, `_ = id`},
	}, []detector{direct("./node", "TestColdReadsHoldUpNothing")}},
	{"forget a follower that has installed a snapshot", []change{
		{"logRetention.release", `if c.soft.RaftState == raft.StateLeader && disk.Accepts() == space.Left && l.fileBytes <=`, `if false && l.fileBytes <=`},
	}, []detector{direct("./node", "TestFollowerComesBackUnderLoad")}},
	{"keep the older snapshot whatever the log takes", []change{
		{"Snapshotter.outgrown", `return s.Status.Durable().FileBytes > budget-budget/4`, `return budget < 0`},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"let the log take the next snapshot's room", []change{
		{"Status.LogReserve", `return d.LogReserve()`, `return 0 * d.Free`},
	}, []detector{direct("./node", "TestOwnLogFillsDisk")}},
	{"let the log grow past a small disk", []change{
		{"Disk.timesState", `bytes = min(bytes, d.Capacity-high)`, `_ = high`},
	}, []detector{direct("./actor/space", "TestSmallDisk")}},
	{"reserve no room for what is not applied yet", []change{
		{"Disk.SnapshotNeeds", `d.State+d.Unapplied-d.NextHas`, `d.State-d.NextHas`},
	}, []detector{direct("./actor/space", "TestSmallDisk")}},
	{"let orders wait behind one that finds no room", []change{
		{"LogWriter.work", `if w.Status.Disk().Full && !w.Log.Fits(bytes+logSlack*int64(1+len(a.Message.GetEntries()))) {`, `if bytes < 0 {`},
	}, []detector{direct("./actor", "TestOrderWithoutRoomWaitsAlone")}},
	{"give a full disk's log what has no room in it", []change{
		{"Consensus.receive", `if !c.spaces.takes(&c.core, c.disk.idle(), m.GetEntries()) {`, `if false {`},
	}, []detector{direct("./actor", "TestLogIsKeptForVotes"), direct("./node", "TestFullMembersElect")}},
	{"keep what is behind a snapshot on a full disk", []change{
		{"Snapshotter.makeRoom", `!s.outgrown() && disk.Accepts() == space.Left &&`, `!s.outgrown() &&`},
	}, []detector{direct("./actor", "TestOneSnapshotOnAFullDisk"), direct("./node", "TestOwnLogFillsDisk")}},
	{"drop the older snapshot before each save", []change{
		{"Snapshotter.makeRoom", `!(waits && s.full()):`, `!waits:`},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"take what was sound once for sound", []change{
		{"Snapshotter.soundNow", `&& s.now-s.soundAt < limits.SnapshotSound`, `&& s.soundAt < limits.SnapshotSound*100`},
	}, []detector{direct("./actor", "TestOlderSnapshotStaysUntilTheNewerIsSoundNow")}},
	{"end a member whose disk is at what others wrote", []change{
		{"diskWatch.watch", `time.Duration(c.Status.diskDone.Load())`, `0*time.Duration(c.Status.diskDone.Load())`},
	}, []detector{direct("./actor", "TestVerySlowDiskIsNotDead"), direct("./node", "TestSlowDisks")}},
	{"fill spares of a slow disk as on a quick one", []change{
		{"SegmentMaker.Rest", `took <= limits.SpareStepQuick`, `took > 0*limits.SpareStepQuick`},
	}, []detector{direct("./actor", "TestSpareStepsFollowTheDisk")}},
	{"let a slow disk have no rest from snapshots", []change{
		{"Snapshotter.Rest", `case took > limits.SnapshotStepQuick: disk`, `case took > 1000*limits.SnapshotStepQuick: disk`},
	}, []detector{direct("./actor", "TestSnapshotterRests"), direct("./node", "TestSlowDisks")}},
	{"order a snapshot without a look at the log's room", []change{
		{"Applier.save", `half := max(disk.LogBudget(&a.Limits, 2*size)/2, least)`, `half := size*1000 + least`},
	}, []detector{direct("./actor", "TestDiskUseUnderOverwriting")}},
	{"send again what the leader has", []change{
		{"forwards.accepted", `f.next = next`, `_ = next`},
	}, []detector{actors, direct("./node", "TestWritesAtALaggingMember")}},
	{"propose what followers forward before anything else", []change{
		{"Consensus.proposeInTurn", `own && (!deferred || !c.accepted.ownWasLast)`, `own && !deferred`},
	}, []detector{direct("./actor", "TestProposalsTakeTurns")}},
	{"propose a leader's own writes before anything else", []change{
		{"Consensus.proposeInTurn", `own && (!deferred || !c.accepted.ownWasLast)`, `own && (!deferred || c.accepted.ownWasLast == c.accepted.ownWasLast)`},
	}, []detector{direct("./actor", "TestProposalsTakeTurns")}},
	{"let the lease clock wait for what writes leave of raft's room", []change{
		{"Consensus.proposeInTurn", `if c.leases.clock.waits {`, `if c.leases.clock.waits && c.term == 0 {`},
	}, []detector{direct("./actor", "TestRevocationsTakeTurns")}},
	{"let writes wait behind the lease clock without end", []change{
		{"Consensus.proposeLeases", `k.waits = false`, ``},
	}, []detector{direct("./actor", "TestRevocationsTakeTurns")}},
	{"add a member's own commands behind clients'", []change{
		{"proposals.add", `slices.Insert(p.waiting, 0, w)`, `slices.Insert(p.waiting, len(p.waiting), w)`},
	}, []detector{direct("./actor", "TestOwnProposalsGoFirst")}},
	{"let no more follow than were sent again", []change{
		{"forwards.accepted", `f.window += taken`, `f.window = 2 * taken`},
	}, []detector{direct("./actor", "TestForwardsAgainWhileOthersCome")}},
	{"count what was sent again as still to be sent", []change{
		{"forwards.send", `from := f.sent`, `from := 0`},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce"), direct("./actor", "TestForwardsAgainWhileOthersCome")}},
	{"go back for each word of one loss", []change{
		{"forwards.lost", `next < f.next || f.again || len(rest)`, `next < f.next || len(rest)`},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce")}},
	{"wait an election timeout for the last of what is sent again", []change{
		{"forwards.probeDue", `return f.resending && f.tries == 0 &&`, `return f.resending && f.tries < 0 &&`},
	}, []detector{direct("./actor", "TestForwardsInFlight"), direct("./actor", "TestForwardsAgainAsTheyAreAccepted"), direct("./actor", "TestLastForwardIsProbed")}},
	{"send all again where the leader is silent for longer than two heartbeat intervals", []change{
		{"forwards.probe", `f.since, f.again = now, false; f.probes++; return f.unaccepted()[f.sent-1 : f.sent]`, `return f.goBack(1, now)`},
	}, []detector{direct("./actor", "TestForwardsAgainWhileOthersCome"), direct("./actor", "TestLastForwardIsProbed")}},
	{"probe a leader that takes nothing at one interval", []change{
		{"forwards.probe", `f.probes++`, ``},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"probe less and less in a whole term", []change{
		{"forwards.accepted", `f.probes = 0`, ``},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"do not hear what a probe shows to be lost", []change{
		{"forwards.probe", `f.since, f.again = now, false`, `f.since = now`},
	}, []detector{direct("./actor", "TestLastForwardIsProbed")}},
	{"do not hear that a forward is lost", []change{
		{"Consensus.forwardsAccepted", `if m.Lost {`, `if m.Lost && m.Next == 0 {`},
	}, []detector{direct("./actor", "TestLostForwardsAreSentAgainAtOnce")}},
	{"say that a forward is lost after it has come", []change{
		{"accepted.accept", `if first >= next {`, `if first > next {`},
	}, []detector{direct("./actor", "TestLeaderTellsOfLostForwards")}},
	{"take what a member far behind cannot answer", []change{
		{"replicationLag.farBehind", `return c.soft.RaftState == raft.StateFollower && c.leader() != raft.None && l.far(`, `return c.soft.RaftState == raft.StateFollower && c.soft.Lead == raft.None && l.far(`},
	}, []detector{direct("./node", "TestWritesAtALaggingMember")}},
	{"count an earlier process's batch as seen", []change{
		{"Consensus.seeForwarded", `&& envelope.Incarnation == c.Incarnation {`, `{`},
	}, []detector{actors, campaign}},
	{"take nothing of a follower that restarted", []change{
		{"accepted.take", `a.accept(forwarder{from, e.Incarnation},`, `a.accept(forwarder{from, 0},`},
	}, []detector{actors, campaign}},
	{"tell the durable end before the sync", []change{
		{"LogWriter.work", `w.Yield()`, `w.Yield(); if n := len(r.entries); n > 0 { s := w.Log.Stats(); s.Index, s.Term = r.entries[n-1].GetIndex(), r.entries[n-1].GetTerm(); w.Status.publishDurable(s) }`},
	}, []detector{actors, campaign}},
	{"answer no read that is never confirmed", []change{
		{"reads.takeExpired", `a.reads, expired = splitExpired(a.reads, now, expired)`, `_ = a`},
	}, []detector{actors, campaign}},
	{"confirm no read on a follower", []change{
		{"Consensus.requestReads", `if !c.readable() { return }`, `if !c.readable() || c.leader() != c.Member { return }`},
	}, []detector{campaign}},
	{"forward nothing", []change{
		{"Consensus.forward", `c.Peers.Send(leader, peerframe.Forward{`, `c.Peers.Send(0*leader+c.Member, peerframe.Forward{`},
	}, []detector{campaign}},
	{"send acknowledgements before the sync", []change{
		{"LogWriter.work", `if needSync {`, `if needSync { for _, m := range r.responses { if m.GetTo() != w.Member { sendRaftMessage(w.Peers, m, 0, false) } }`},
	}, []detector{campaign}},
	{"revoke a lease without a round", []change{
		{"leaseClock.expires", `if l.deadline <= k.proven {`, `if true {`},
	}, []detector{actors}},
	{"renew a lease that is being revoked", []change{
		{"leaseClock.answer", `case l.revoking || l.deadline <= ask.at:`, `case l.deadline <= ask.at-1<<60:`},
		{"leaseClock.answerNoted", `if len(l.asks) == 0 || l.revoking || l.deadline <= now {`, `if len(l.asks) == 0 {`},
	}, []detector{actors}},
	{"renew a lease of which the log says that less is left", []change{
		{"leaseClock.answerNoted", `if l.unnoted() {`, `if l.unnoted() && l.gone {`},
	}, []detector{actors}},
	{"begin a lease clock before the leader is known", []change{
		{"leaseClock.start", `now + seconds(one.noted) + t.election`, `now + seconds(one.noted) - t.election`},
	}, []detector{actors}},
	{"forget after a failover what is left of leases", []change{
		{"actor.timed", `id: l.ID, ttl: l.TTL, granted: l.Granted, noted: l.Remaining, place: -1`, `id: l.ID, ttl: l.TTL, granted: l.Granted, place: -1`},
	}, []detector{actors}},
	{"report the leases of the state before a snapshot", []change{
		{"Applier.apply", `if changes := a.state.TakeLeaseChanges(); len(changes) > 0 {`, `if changes := a.State.TakeLeaseChanges(); len(changes) > 0 {`},
	}, []detector{actors, campaign}},
	{"go by the wall clock for leases", []change{
		{"leases.tick", `l.clock.tick(c.now.Now, c.leaseTiming())`, `l.clock.tick(seconds(c.now.Wall/1e9), c.leaseTiming())`},
	}, []detector{actors}},
	{"answer a keep-alive before a quorum has", []change{
		{"leases.takeAsks", `l.clock.asked = append(l.clock.asked, clockAsk{LeaseAsk: ask, from: from, at: l.clock.time(c.now.Now)})`, `l.clock.answer(clockAsk{LeaseAsk: ask, from: from, at: l.clock.time(c.now.Now)}, l.clock.time(c.now.Now), 0)`},
	}, []detector{actors}},
	{"never note what is left of leases", []change{
		{"leaseClock.tick", `k.note(l)`, ``},
	}, []detector{actors, direct("./node", "TestLeaseAfterFailover")}},
	{"charge leases for a standstill", []change{
		{"leaseClock.tick", `k.still += still`, `k.still += 0 * still`},
	}, []detector{actors}},
	{"promote a learner before it is level", []change{
		{"judge", `if f.missing > 0 {`, `if f.missing > 1<<40 {`},
		{"judge", `if !f.level {`, `if !f.level && f.missing > 0 {`},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"vote for a removed member", []change{
		{"Consensus.receive", `if c.membership.records.Removed(r.From) {`, `if false {`},
	}, []detector{direct("./actor", "TestRemovedMemberGetsNoVote")}},
	{"believe one member that this one was removed", []change{
		{"membership.refusedAsRemoved", `r.Leads || len(m.removedBy) > 1`, `r.Leads || len(m.removedBy) > 0`},
	}, []detector{direct("./actor", "TestRemovedMemberEnds")}},
	{"remove a member that the quorum needs", []change{
		{"judgeVoters", `len(successors) < need`, `len(successors) < need-len(next)`},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"pack a change with other commands", []change{
		{"proposals.pack", `if (full || change || b.change) &&`, `if full &&`},
	}, []detector{direct("./actor", "TestChangeIsAloneInItsEnvelope")}},
	{"propose a change before raft knows of the last one's end", []change{
		{"membership.changing", `|| c.raft.BasicStatus().Applied < m.changeAt`, ``},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"name a leader that a learner does not hear", []change{
		{"core.leader", `if c.silence >= 2*c.electionTicks() &&`, `if c.silence < 0 &&`},
	}, []detector{direct("./actor", "TestSilentLeaderOfALearner")}},
	{"end a removed member by learners' words", []change{
		{"membership.refusedAsRemoved", `one.Role == kv.Learner && !r.Leads {`, `one.Role == kv.Learner && !r.Removed {`},
	}, []detector{direct("./actor", "TestLearnersDoNotEndARemovedMember")}},
	{"change the configuration of a snapshot by what is below it", []change{
		{"membership.changed", `if m.restoring && !news.Restored {`, `if m.restoring && news.Restored {`},
	}, []detector{direct("./actor", "TestChangesBelowASnapshotDoNothing")}},
	{"begin with a snapshot of before the addition, and forget that", []change{
		{"Consensus.snapshotReceived", `c.membership.early = early`, `c.membership.early = early && c.failed`},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"write down that a new member was one before it was added", []change{
		{"Consensus.snapshotReceived", `{ confState :=`, `{ told = m.Message; confState :=`},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"give a removed member a snapshot in which it has a part", []change{
		{"Consensus.snapshotReceived", `nil && !c.membership.records.Removed(c.Member); if early {`, `nil; if early {`},
	}, []detector{direct("./actor", "TestSnapshotOfBeforeTheAddition")}},
	{"take another snapshot's readback for the one that is received", []change{
		{"Snapshotter.snapshotRead", `if r == nil || r.back != m.Back {`, `if r == nil {`},
	}, []detector{direct("./actor", "TestSnapshotGivenUpWhileItIsRead")}},
	{"end by the word of whoever says that it leads", []change{
		{"membership.refusedAsRemoved", `r.Leads = r.Leads && !c.serves(peer)`, ``},
	}, []detector{direct("./actor", "TestRemovedByWhoDoesNotLead")}},
	{"go on with a configuration that is not the records'", []change{
		{"membership.changed", `if m.confState.Equivalent(want) != nil {`, `if m.confState.Equivalent(want) != nil && c.failed {`},
	}, []detector{direct("./actor", "TestConfigurationThatDiffers")}},
	{"skip the joint configuration", []change{
		{"configurationChange", `add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)`, `if after.Joint() { return nil }; add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)`},
	}, []detector{direct("./actor", "TestConfigurationIsThatOfTheRecords")}},
	{"follow another write's entry", []change{
		{"Stages.order", `v.Incarnation == incarnation && v.First == s.first`, `v.Incarnation == incarnation`},
	}, []detector{direct("./actor", "TestStages.*")}},
	{"follow a lost write for ever", []change{
		{"Stages.lost", `if s.index.Swap(0) != 0 || s.first != 0 {`, `if s.first != 0 {`},
	}, []detector{direct("./actor", "TestStages.*")}},
	{"count a sync twice that others were faster than", []change{
		{"Stages.applied", `if ended == 0 || ended > taken {`, `if ended > taken {`},
	}, []detector{direct("./actor", "TestStages.*")}},
	{"read for who is behind whatever it costs", []change{
		{"pace.read", `if p.credit <= 0 {`, `if p.credit <= 0 && p.behind == 0 {`},
	}, []detector{direct("./node", "TestCatchUpLeavesRoom")}},
	{"send pieces of snapshots whatever it costs", []change{
		{"Snapshotter.pump", `if one.allowed <= 0 {`, `if one.allowed <= 0 && !one.wanted {`},
	}, []detector{direct("./actor", "TestPiecesAreSentAsAllowed")}},
	{"send what is written, and no more", []change{
		{"pace.tick", `p.gain()*p.writes`, `p.writes`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"send one snapshot after the other", []change{
		{"pace.allow", `p.presses = 2*logBytes >`, `p.presses = 1<<62 <`},
	}, []detector{direct("./node", "TestCatchUpByOneSnapshot")}},
	{"hold a follower back that costs nothing", []change{
		{"pace.look", `p.rate *= 5. / 4`, ``},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"hold a follower back for what a scheduler does", []change{
		{"pace.look", `max(p.calm*limits.CatchUpCost, p.calm+limits.CatchUpCostLeast.Seconds())`, `p.calm*limits.CatchUpCost`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"send a follower nothing that slow commits leave", []change{
		{"pace.look", `max(p.calm*limits.CatchUpCost, p.calm+limits.CatchUpCostLeast.Seconds())`, `p.calm+limits.CatchUpCostLeast.Seconds()`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"take what a follower costs for the load at once", []change{
		{"pace.look", `(p.busy - p.calm) / limits.CatchUpForget`, `(p.busy - p.calm)`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"take the fastest commits for the norm", []change{
		{"pace.look", `p.calm += (p.busy - p.calm) / limits.CatchUpSmoothCalm`, `p.calm = p.busy`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"take a disk that stood for a slow one", []change{
		{"pace.look", `(min(commit, 2*p.calm) - p.calm) / limits.CatchUpSmoothCalm`, `(commit - p.calm) / limits.CatchUpSmooth`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"send all of a pause at once", []change{
		{"pace.tick", `min(now-p.at, limits.CatchUpBurst).Seconds()`, `(now - p.at).Seconds()`},
	}, []detector{direct("./actor", "TestPace.*")}},
	{"save a snapshot while behind", []change{
		{"Applier.save", `if disk.CatchesUp() {`, `if disk.CatchesUp() && worth == 0 {`},
	}, []detector{direct("./actor", "TestNothingIsSavedWhileBehind")}},
	{"go on to receive what the log has brought", []change{
		{"Snapshotter.wait", `s.endNeedless()`, ``},
	}, []detector{direct("./actor", "TestSenderOfASnapshotIsGone")}},
	{"take what nobody sends for a snapshot that comes", []change{
		{"Snapshotter.publishSize", `d.Receives, d.Saves = s.comes(),`, `d.Receives, d.Saves = s.receive != nil,`},
	}, []detector{direct("./actor", "TestSenderOfASnapshotIsGone")}},
	{"send the old one while a snapshot is being saved", []change{
		{"snapshotWait.waits", `return saves && newest`, `return false && saves && newest`},
	}, []detector{direct("./actor", "TestFollowerWaitsForASave")}},
	{"wait for a snapshot that nobody saves", []change{
		{"snapshotWait.waits", `return saves && newest`, `return newest`},
	}, []detector{direct("./actor", "TestFollowerWaitsForASave")}},
	{"wait for the snapshot behind the one that was being saved", []change{
		{"snapshotWait.waits", `saves && newest == w.newest && now`, `saves && now`},
	}, []detector{direct("./actor", "TestFollowerWaitsForASave")}},
	{"wait for a snapshot that is hardly begun", []change{
		{"Snapshotter.publishSize", `s.writing() && 2*s.growth() < s.order.bytes`, `s.writing()`},
	}, []detector{direct("./actor", "TestSaveIsNearlyThere")}},
	{"wait for a snapshot for ever", []change{
		{"snapshotWait.waits", `now-w.since < limits.SnapshotWait`, `now-w.since < 1000*limits.SnapshotWait`},
	}, []detector{direct("./actor", "TestFollowerWaitsForASave")}},
	{"take how long a loss lasted for the way's slowness", []change{
		{"Snapshotter.wait", `one.first, one.begun = one.acked, s.now`, ``},
	}, []detector{direct("./actor", "TestLostPiecesAreMissedSoon")}},
	{"count the silence itself for the way's slowness", []change{
		{"sending.timeout", `float64(one.progressed-one.begun))`, `float64(s.now-one.begun))`},
		{"sending.timeout", `func (one *sending) timeout() time.Duration {`, `func (s *Snapshotter) timeout(one *sending) time.Duration {`},
		{"Snapshotter.wait", `one.timeout()`, `s.timeout(one)`},
	}, []detector{direct("./actor", "TestLostPiecesAreMissedSoon")}},
	{"drop a snapshot that came in another term", []change{
		{"core.sayNow", `now.GetTerm() > m.GetTerm() {`, `false {`},
	}, []detector{direct("./actor", "TestSnapshotOfAnEarlierTerm")}},
	{"take a leader's claims from every member", []change{
		{"Consensus.receive", `!c.believes(r.From, r.Message) {`, `!c.believes(r.From, r.Message) && r.From == 0 {`},
	}, []detector{direct("./actor", "TestClaimsOfAMemberThatDoesNotLead")}},
	{"take offers of snapshots from every member", []change{
		{"claimedTerm", `return m.MessageTerm, true`, `return m.MessageTerm, false`},
	}, []detector{direct("./actor", "TestClaimsOfAMemberThatDoesNotLead")}},
	{"take the answers to forwarded writes from every member", []change{
		{"claimedTerm", `return m.Term, true`, `return m.Term, false`},
	}, []detector{direct("./actor", "TestClaimsOfAMemberThatDoesNotLead")}},
	{"take answers for leases from every member", []change{
		{"claimedTerm", `return 0, true`, `return 0, false`},
	}, []detector{direct("./actor", "TestLeaseAnswersOfAnotherMember")}},
	{"believe no claim of a later term", []change{
		{"core.believes", `|| term > now.GetTerm() {`, `{`},
	}, []detector{direct("./actor", "TestClaimsOfALeader")}},
	{"believe nobody while no leader is known", []change{
		{"core.believes", `if now.Lead == raft.None || now.Lead == from`, `if now.Lead == from`},
	}, []detector{direct("./actor", "TestClaimsOfALeader")}},
	{"let a former leader go on", []change{
		{"core.believes", `return answered`, `return answered && false`},
	}, []detector{direct("./actor", "TestClaimsOfALeader")}},
	{"take the offer of a former leader", []change{
		{"core.believes", `return answered`, `return answered || true`},
	}, []detector{direct("./actor", "TestClaimsOfALeader")}},
	{"write an entry that cannot be decoded to the log", []change{
		{"Consensus.receive", `if !c.decodable(r.From, m.GetEntries()) {`, `if !c.decodable(r.From, m.GetEntries()) && r.From == 0 {`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"look at the head of an entry only", []change{
		{"core.decodable", `err = index.CheckEnvelope(data)`, `_, err = index.ReadEnvelope(data)`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"blame the sender of an entry that a newer qkv has written", []change{
		{"core.decodable", `if errors.Is(err, pack.ErrNewer) {`, `if errors.Is(err, pack.ErrNewer) && err == nil {`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"end a member's part by a leader's commit index alone", []change{
		{"quarantine.forgot", `next, _ := q.accuse(leader, Refusal{`, `next, _ := q.accuse(leader, Refusal{Leads: true,`},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"stay held back though the accuser's log is too short for its claim", []change{
		{"quarantine.receive", `heartbeat || ok && q.withdrawn(m.Message)`, `heartbeat`},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"be admitted by a vote request whose log may hold the claimed entry", []change{
		{"quarantine.withdrawn", `&& m.GetIndex() < q.claim.index`, ``},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"be admitted by a vote request of before the claim", []change{
		{"quarantine.withdrawn", `&& m.GetTerm() > q.claim.term`, ``},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"be admitted only by a log that ends within this member's", []change{
		{"quarantine.receive", `q.withdrawn(m.Message)`, `q.withdrawn(m.Message) && m.GetIndex() <= c.last`},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"forget the lower one of two claims", []change{
		{"quarantine.forgot", `min(q.claim.index, commit)`, `q.claim.index`},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"be admitted by anything that the leader of an impossible commit index says", []change{
		{"quarantine.forgot", `q.claim.index, q.claim.term = commit, term`, ``},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"hold an impossible commit index against a member that has looked at the log since", []change{
		{"quarantine.linked", `q.claim.index = 0`, ``},
	}, []detector{direct("./actor", "TestImpossibleCommitHoldsBack")}},
	{"believe a refusal of a member that says that it leads", []change{
		{"quarantine.refused", `r.Leads = r.Leads && c.mayLead(peer)`, ``},
	}, []detector{direct("./actor", "TestRefusalOfAFalseLeader")}},
	{"keep a former leader's commit index", []change{
		{"Consensus.newTermOrLeader", `c.lag.changed(c.raft.BasicStatus().GetCommit())`, ``},
	}, []detector{direct("./actor", "TestFalseCommitIsForgotten")}},
	{"take over a forwarded clock of the far future", []change{
		{"accepted.take", `e.Wall-own > int64(limits.ClocksApart) {`, `e.Wall-own < 0 && false {`},
	}, []detector{direct("./actor", "TestWallClockOfAForward")}},
	{"allow a forwarded clock to be a moment further ahead", []change{
		{"accepted.take", `e.Wall-own > int64(limits.ClocksApart) {`, `e.Wall-own > int64(limits.ClocksApart)+1 {`},
	}, []detector{direct("./actor", "TestWallClockOfAForward")}},
	{"bound the clock of a forwarded batch only where its commands are taken", []change{
		{"accepted.take", `e.Wall = own`, `e := e; e.Wall = own`},
	}, []detector{direct("./actor", "TestWallClockOfAForward")}},
	{"write by a clock that is ahead", []change{
		{"clocks.wall", `return now.Wall - int64(k.ahead)`, `return now.Wall`},
	}, []detector{direct("./actor", "TestClocks")}},
	{"believe the later one of two clocks", []change{
		{"clocks.judge", `all[(len(all)-1)/2]`, `all[len(all)/2]`},
	}, []detector{direct("./actor", "TestClocks")}},
	{"write by a clock that was set", []change{
		{"clocks.follow", `k.ahead += set`, ``},
	}, []detector{direct("./actor", "TestClockIsSet")}},
	{"keep what others' clocks were before the own one was set", []change{
		{"clocks.follow", `k.others[id] -= set`, `k.others[id] -= 0`},
	}, []detector{direct("./actor", "TestClockIsSet")}},
	{"judge clocks once a second only", []change{
		{"clocks.heard", `return !known || max(by-before, before-by) > limits.ClocksApart/2`, `return known && max(by-before, before-by) > limits.ClocksApart/2`},
	}, []detector{direct("./actor", "TestWriteByTheClockOfTheVoters")}},
	{"take what waited for a wrong clock", []change{
		{"clocks.heard", `if known && before-by > limits.ClocksApart/2 {`, `if !known && before-by > limits.ClocksApart/2 {`},
	}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
	{"believe two that waited together", []change{
		{"clocks.heard", `own.Now-since < limits.SpaceCheck/2`, `own.Now < since`},
	}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
	{"doubt a clock for ever", []change{
		{"clocks.heard", `delete(k.doubts, from)`, ``},
	}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
	{"tell nobody the clock", []change{
		{"Consensus.tellSpace", `report.Wall = c.now.Wall`, ``},
	}, []detector{direct("./actor", "TestClockIsTold")}},
	{"take a keep-alive for late by a standstill", []change{
		{"leases.takeAsks", `from: from, at: l.clock.time(c.now.Now)`, `from: from, at: c.now.Now`},
	}, []detector{direct("./actor", "TestKeepAliveBehindAStandstill")}},
	{"revoke by a round that began before a lease had expired", []change{
		{"leaseClock.prove", `case l.deadline > k.proven: kept`, `case l.deadline > k.proven+time.Second: kept`},
	}, []detector{direct("./actor", "TestRoundOfBeforeProvesNothing")}},
	{"begin a lease clock with a state of the term before", []change{
		{"leases.startClock", `&& c.membership.appliedTerm == c.term && c.raft`, `&& c.raft`},
	}, []detector{direct("./actor", "TestLeaseClockWaitsForTheTerm")}},
	{"let the last answer of several say what state they need", []change{
		{"leaseClock.tell", `k.told[i].Index = max(k.told[i].Index, index)`, `k.told[i].Index = index`},
	}, []detector{direct("./actor", "TestToldTogether")}},
	{"have nobody say which segment follows", []change{
		{"LogWriter.recycle", `len(pages) > 0 {`, `len(pages) < 0 {`},
	}, []detector{direct("./node", "TestLostNewestSegment")}},
	{"begin, and do not hand over what recovery has let go of", []change{
		{"NewLogWriter", `w.recycle()`, ``},
	}, []detector{direct("./actor", "TestNextSegmentsBeforeRecycle")}},
	{"have a snapshot that is wanted at once wait for one that is wanted later", []change{
		{"Applier.wantSave", `m.Above = min(m.Above, a.saveAbove)`, ``},
	}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
	{"count a snapshot that is due anyway as one behind damage", []change{
		{"Applier.save", `if applied > a.saveAbove {`, `if applied > 0 {`},
	}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
	{"save one snapshot behind damage that one covers", []change{
		{"Applier.wantSave", `a.saveTwice || m.Twice`, `a.saveTwice`},
	}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
	{"keep all keep-alives that wait for a quorum", []change{
		{"leases.takeAsks", `if l.clock.waiting >= limits.LeaseAsksWaiting {`, `if l.clock.waiting >= limits.LeaseAsksWaiting<<10 {`},
	}, []detector{direct("./actor", "TestLeaseAsksOfAQuorumThatIsAway")}},
	{"save without haste, whatever the log takes meanwhile", []change{
		{"Snapshotter.Rest", `haste := s.outrun()`, `haste := false`},
	}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
	{"save in haste while a follower catches up", []change{
		{"Snapshotter.outrun", `!s.writing() || disk.LogKept || disk.CatchesUp()`, `!s.writing()`},
	}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
	{"forget how far a save is", []change{
		{"Snapshotter.outrun", `budget/2+budget/4*s.order.done()`, `budget/2`},
	}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
	{"let a lease clock go on in another term", []change{
		{"Consensus.newTermOrLeader", `c.leases.clock.stop()`, `if c.term == 0 { c.leases.clock.stop() }`},
	}, []detector{direct("./actor", "TestLeaseClockEndsWithItsLeadership")}},
	{"let a leader's clock stand while its disk is at something", []change{
		{"elections.ticks", `if leader != raft.None { return n }`, ``},
	}, []detector{direct("./actor", "TestHeartbeatsOfASlowDisk")}},
	{"forward in a term that has just begun as in the one before", []change{
		{"Consensus.propose", `case status.Lead == raft.None, status.GetTerm() != c.term:`, `case status.Lead == raft.None:`},
	}, []detector{direct("./actor", "TestForwardWithTheFirstWordOfALeader")}},
	{"leave reads with the leader before", []change{
		{"Consensus.newTermOrLeader", `c.reads.void()`, ``},
	}, []detector{direct("./actor", "TestReadsGoToTheNextLeader")}},
	{"keep the old end of a log that was cut", []change{
		{"Consensus.orderAppend", `c.last = m.GetEntries()[n-1].GetIndex()`, `c.last = max(c.last, m.GetEntries()[n-1].GetIndex())`},
	}, []detector{direct("./actor", "TestHeartbeatBeyondACutLog")}},
	{"part from the second one removed by the first one's entry", []change{
		{"membership.changed", `m.removedAt, m.partAt = news.At, 0`, `m.removedAt = news.At`},
	}, []detector{direct("./actor", "TestTwoAreRemoved")}},
	{"know a removal to be committed by raft's word", []change{
		{"Consensus.appended", `max(c.membership.durable, m.Commit)`, `max(c.membership.durable, m.Commit, c.raft.BasicStatus().GetCommit())`},
	}, []detector{direct("./actor", "TestRemovedMemberStaysAPeerForAMoment")}},
	{"propose what was accepted in an earlier term", []change{
		{"Consensus.newTermOrLeader", `c.accepted.reset()`, `_ = c.accepted.reset`},
	}, []detector{direct("./actor", "TestAcceptedForwardsAreVoidInAnotherTerm")}},
	{"forward in a later term what was forwarded before", []change{
		{"Consensus.newTermOrLeader", `c.forwards.reset()`, ``},
	}, []detector{direct("./actor", "TestForwardsAreVoidInAnotherTerm")}},
	{"keep the word of who admits this member", []change{
		{"quarantine.linked", `delete(q.accusers, peer)`, ``},
	}, []detector{direct("./actor", "TestAdmittingAccuserIsNoSecond")}},
	{"go on with a leader that was heard before the word came again", []change{
		{"quarantine.set", `q.Quarantine, q.leader, q.claim.index = next, 0, 0`, `q.Quarantine, q.claim.index = next, 0`},
	}, []detector{direct("./actor", "TestQuarantine")}},
	{"let reads go an entry early", []change{
		{"Applier.letReadsGo", `if r.Index > applied {`, `if r.Index > applied+1 {`},
	}, []detector{direct("./actor", "TestReadWaitsForItsEntry")}},
	{"believe a death when the leader has spoken since", []change{
		{"failover.heard", `f.asked, f.died = 0, raft.None`, `f.asked = 0`},
	}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
	{"count reads of the log from the newest order", []change{
		{"readWatch.ordered", `if w.orders == 0 { w.since = now }`, `w.since = now`},
	}, []detector{direct("./actor", "TestReadWatch")}},
	{"take what is asked for twice for what is under way", []change{
		{"Snapshotter.acknowledged", `one.sent = acked`, `one.sent = max(one.sent, acked)`},
	}, []detector{direct("./actor", "TestPieceIsAskedForAgain")}},
	{"answer keep-alives before the state has what was committed", []change{
		{"leases.answerAsks", `k.confirmed[0].index <= applied {`, `k.confirmed[0].index <= applied+1 {`},
	}, []detector{direct("./actor", "TestAsksWaitForWhatIsCommitted")}},
	{"wait for a batch as long as its last client does", []change{
		{"proposals.pack", `b.until = max(b.until, w.until)`, `b.until = w.until`},
	}, []detector{direct("./actor", "TestProposalsArePacked")}},
	{"remember the vote before the newest", []change{
		{"hardStates.hold", `Term: m.GetTerm(), Vote: m.GetVote(),`, `Term: m.GetTerm(), Vote: h.ordered.Vote,`},
	}, []detector{direct("./actor", "TestHardStatesRide")}},
	{"count the log's own files as room for a state", []change{
		{"Disk.Holds", `onDisk := max((capacity-high-d.SpareBytes())/limits.StateOfDisk, 1)`, `onDisk := max((capacity-0*high)/limits.StateOfDisk, 1)`},
	}, []detector{direct("./actor/space", "TestSmallDisk"), direct("./node", "TestDeletedMakesRoom")}},
	{"raise no alarm while the log waits for room", []change{
		{"SegmentMaker.checkSpace", `case free < low || s.refuses || waits:`, `case free < low || s.refuses:`},
	}, []detector{direct("./node", "TestLogThatWaitsIsAnAlarm")}},
	{"forget what an absent member's disk holds", []change{
		{"Consensus.handle", `delete(c.spaces.ofPeer, m.Peer)`, `delete(c.spaces.ofPeer, m.Peer); delete(c.spaces.holds, m.Peer)`},
	}, []detector{direct("./actor", "TestQuorumHolds")}},
	{"forget what a member's disk holds when it starts again", []change{
		{"spaces.heard", `if m.Holds > 0 {`, `if m.Holds >= 0 {`},
	}, []detector{direct("./actor", "TestHoldsIsTold"), direct("./node", "TestOverwritingFillsNoDisk")}},
	{"report what memory holds before the disk is measured", []change{
		{"spaces.report", `disk.Size > 0 {`, `disk.Size >= 0 {`},
	}, []detector{direct("./actor", "TestHoldsIsTold")}},
	{"count a file that was just removed as room of its own", []change{
		{"SegmentMaker.checkSpace", `d.Written, size)`, `d.Written, 1<<62)`},
	}, []detector{direct("./actor", "TestSpaceIsSeenWithEachSegment")}},
	{"drop history for the smallest disk", []change{
		{"spaces.quorumHolds", `sorted[len(sorted)/2]`, `sorted[len(sorted)-1]`},
	}, []detector{direct("./actor", "TestQuorumHolds"), direct("./node", "TestOneMemberDropsNoHistory")}},
	{"drop history for a learner's disk", []change{
		{"spaces.quorumHolds", `c.membership.confState.GetVoters(),`, `append(slices.Clone(c.membership.confState.GetVoters()), c.membership.confState.GetLearners()...),`},
	}, []detector{direct("./actor", "TestQuorumHolds")}},
	{"forget the voters of before in an exchange", []change{
		{"spaces.quorumHolds", `c.membership.confState.GetVotersOutgoing()`, `nil`},
	}, []detector{direct("./actor", "TestQuorumHolds")}},
	{"drop all history for one report", []change{
		{"spaces.quorumHolds", `max(said, c.Status.Disk().SegmentBytes)`, `said`},
	}, []detector{direct("./actor", "TestQuorumHolds")}},
	{"count other programs' files as a smaller machine", []change{
		{"SegmentMaker.checkSpace", `d.Size, d.Free = size, free`, `d.Size, d.Free = free+0*size, free`},
	}, []detector{direct("./actor", "TestSpaceIsSeenWithEachSegment")}},
	{"admit a leader that was rolled back", []change{
		{"Admission.checkEnd", `its.HardTerm <= end.term && its.Last < end.durable`, `its.HardTerm < end.term && its.Last < end.durable`},
		{"Admission.checkEnd", `max(a.Status.minMatch(from), end.kept, known.Owed)`, `max(a.Status.minMatch(from), known.Owed)`},
	}, []detector{direct("./node", "TestStories")}},
	{"admit a leader that lacks what was committed", []change{
		{"Admission.checkEnd", `max(a.Status.minMatch(from), end.kept, known.Owed)`, `max(a.Status.minMatch(from), known.Owed)`},
	}, []detector{direct("./actor", "TestAdmission")}},
	{"refuse a leader whose log was cut", []change{
		{"Admission.checkEnd", `its.HardTerm <= end.term && its.Last < end.durable`, `its.Last < end.durable`},
	}, []detector{direct("./actor", "TestAdmission")}},
	{"tell of entries that are not on the disk", []change{
		{"Consensus.send", `c.positions.told(m)`, `max(c.positions.told(m), c.last)`},
	}, []detector{direct("./actor", "TestLeaderTellsWhatIsDurable")}},
	{"tell no disk with heartbeats", []change{
		{"saysEnd", `return m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgHeartbeat`, `return m.GetType() == raftpb.MsgApp`},
	}, []detector{direct("./actor", "TestLeaderTellsWhatIsDurable")}},
	{"take a cut log for a longer one", []change{
		{"leaderPositions.synced", `l.durable = m.Entries[n-1].GetIndex()`, `l.durable = max(l.durable, m.Entries[n-1].GetIndex())`},
	}, []detector{direct("./actor", "TestDurableEndFollowsTheLog")}},
	{"carry a leader's end into a later term", []change{
		{"leaderPositions.hear", `end.term, end.durable = m.GetTerm(), 0`, `end.term = m.GetTerm()`},
	}, []detector{direct("./actor", "TestLeaderEnds")}},
	{"take what is not committed for what is kept", []change{
		{"leaderPositions.hear", `min(m.Durable, m.GetCommit())`, `m.Durable`},
	}, []detector{direct("./actor", "TestLeaderEnds")}},
	{"hear the end of a leader whose term is over", []change{
		{"Consensus.receive", `!c.absurd(m.GetTerm()) && m.GetTerm() >= c.term`, `!c.absurd(m.GetTerm())`},
	}, []detector{direct("./actor", "TestEndOfAnOldLeaderIsNotHeard")}},
	{"apply a configuration when its entry is committed", []change{
		{"Consensus.orderApply", `c.Applier.PostAndYield(Apply{Message: m, FileBytes: c.retention.fileBytes})`, `for _, e := range entries { var now raftpb.ConfChangeV2; if e.GetType() == raftpb.EntryConfChangeV2 && proto.Unmarshal(e.GetData(), &now) == nil { c.membership.confState = c.raft.ApplyConfChange(&now) } }; c.Applier.PostAndYield(Apply{Message: m, FileBytes: c.retention.fileBytes})`},
	}, []detector{direct("./actor", "TestConfigurationComesWithTheRecords")}},
	{"apply a configuration behind its entry", []change{
		{"Applier.apply", `a.reports = append(a.reports, Applied{Response: m.Message.GetResponses()[0]})`, `a.reports = append([]ConsensusMessage{Applied{Response: m.Message.GetResponses()[0]}}, a.reports...)`},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"count a learner among those who must answer", []change{
		{"membership.judgeChange", `voters: m.confState.GetVoters(), learners:`, `voters: slices.Concat(m.confState.GetVoters(), m.confState.GetLearners()), learners:`},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"count a learner's disk among those with room", []change{
		{"spaces.judge", `s.judgeVoters(c, c.membership.confState.GetVoters())`, `s.judgeVoters(c, slices.Concat(c.membership.confState.GetVoters(), c.membership.confState.GetLearners()))`},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"begin a replacement that the quorum cannot bear", []change{
		{"judge", `if slices.Contains(f.voters, change.Instead) {`, `if slices.Contains(f.voters, change.Instead) && f.leader == 0 {`},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"deny a vote without a word of what is committed", []change{
		{"Consensus.orderAppend", `c.sendAll(c.denied(m.Responses))`, ``},
	}, []detector{direct("./actor", "TestWhoHasNoVoteSaysWhatIsCommitted"), direct("./node", "TestStories")}},
	{"say what is committed though one has a vote", []change{
		{"core.denied", `if c.role(c.soft.RaftState) != roleLearner { return nil }`, ``},
	}, []detector{direct("./actor", "TestWhoHasNoVoteSaysWhatIsCommitted")}},
	{"keep from one without a vote what is committed", []change{
		{"core.committed", `return c.commitReport(peer)`, ``},
	}, []detector{direct("./actor", "TestCommittedIsTakenOver")}},
	{"hear from others than the leader what is committed", []change{
		{"core.committed", `case c.leader() != raft.None ||`, `case`},
	}, []detector{direct("./actor", "TestCommittedIsTakenOver")}},
	{"go on without the log's folder", []change{
		{"SegmentMaker.checkSpace", `if errors.Is(err, fs.ErrNotExist) {`, `if errors.Is(err, fs.ErrExist) {`},
	}, []detector{direct("./actor", "TestLogFolderThatWasRemoved")}},
	{"call a disk slow when its syncs end only", []change{
		{"LogWriter.sync", `w.Status.Observer.syncSince.Store(int64(began))`, ``},
	}, []detector{direct("./actor", "TestSyncUnderWayIsSeen")}},
	{"wait for a few slow syncs, however long they take", []change{
		{"Observer.slowDisk", `|| m.slow < limits.SlowSyncsAlarm && m.spent < limits.SlowSyncsTime:`, `|| m.slow < limits.SlowSyncsAlarm:`},
	}, []detector{direct("./actor", "TestSlowDiskAlarm")}},
	{"call a disk slow for a sync that has ended", []change{
		{"LogWriter.sync", `w.Status.Observer.syncSince.Store(0)`, ``},
	}, []detector{direct("./actor", "TestSyncUnderWayIsSeen")}},
	{"say of a snapshot only that it begins to come", []change{
		{"Snapshotter.wait", `s.sayWhatComes()`, ``},
	}, []detector{direct("./actor", "TestWhatComesIsSaid")}},
	{"hand over to nobody", []change{
		{"judgeVoters", `return slices.Contains(f.voters, id)`, `return slices.Contains(next, id)`},
	}, []detector{direct("./actor", "TestJudge")}},
	{"tell a connection twice of one batch", []change{
		{"completions.note", `o.at[o.list[0].to] = 0`, ``},
	}, []detector{direct("./actor", "TestConnectionsAreToldOnce")}},
	{"never read the wall clock again", []change{
		{"Runtime.Time", `read == 0 || now-read >= wallEvery`, `read == 0`},
	}, []detector{direct("./actor", "TestWallIsReadAgain")}},
	{"forget a leader that is heard", []change{
		{"failover.forgetLeader", `|| c.silence < c.lateTicks() ||`, `||`},
	}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
	{"keep the term out of a leader's death", []change{
		{"failover.forgetLeader", `|| f.diedIn != now.GetTerm()`, ``},
	}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
	{"campaign all at once when a leader has died", []change{
		{"firstCampaign", `ticks += campaignApart`, ``},
	}, []detector{direct("./actor", "TestCampaignsAreApart")}},
	{"promote a learner that has not announced itself", []change{
		{"judge", `if !one.Started() {`, `if !one.Started() && one.ID == 0 {`},
	}, []detector{direct("./actor", "TestUnannouncedLearnerIsNotPromoted")}},
	{"let a quorum of empty logs take part beside one that has the data", []change{
		{"Consensus.receive", `if alike && c.last > foundingIndex {`, `if alike {`},
	}, []detector{direct("./actor", "TestAccusedWithoutLogIsHeldBack")}},
	{"let who goes in an exchange of voters wait for its clock when the leader has died", []change{
		{"core.votersOfBoth", `if !slices.Contains(voters, id) {`, `if id == 0 {`},
	}, []detector{direct("./actor", "TestLeaderHasDiedInAnExchange")}},
	{"ask one half of an exchange of voters for room", []change{
		{"spaces.judge", `before > level {`, `before > level && level > space.Left {`},
	}, []detector{direct("./actor", "TestSpaceInAnExchange")}},
	{"leave writes waiting across an installed snapshot", []change{
		{"Applier.restore", `a.pending.abandon(&a.done)`, ``},
	}, []detector{direct("./actor", "TestWritesBeneathASnapshotMayHaveHappened")}},
	{"offer a snapshot older than the one that was installed", []change{
		{"Consensus.snapshotSaved", `now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex() {`, `now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex()+1<<40 {`},
	}, []detector{direct("./actor", "TestNewestSnapshotIsOffered")}},
	{"forget the keep-alives of a round that was lost", []change{
		{"leaseClock.retry", `k.asked = append(k.asked, k.rounds[0].asks...)`, `k.waiting -= len(k.rounds[0].asks)`},
	}, []detector{direct("./actor", "TestLostRoundIsAskedAgain")}},
	{"note nothing of short leases", []change{
		{"timedLease.next", `min(max(t.lengthening, seconds(l.ttl)/10), seconds(l.ttl))`, `max(t.lengthening, seconds(l.ttl)/10)`},
	}, []detector{direct("./actor", "TestShortLeaseAcrossFailovers")}},
	{"end a lease of a second late because of its note", []change{
		{"leaseClock.tick", `min(now+time.Second, l.deadline))`, `now+time.Second)`},
	}, []detector{direct("./actor", "TestNotesOfRenewedAndShortLeases")}},
	{"revoke what ends together as fast as it goes", []change{
		{"leaseClock.mayRevoke", `n := min(k.pace.left(), limits`, `n := min(limits`},
	}, []detector{direct("./actor", "TestLeasesEndTogether")}},
	{"revoke leases of many keys as others", []change{
		{"leaseClock.toRevoke", `l.work = 1 + keysOf(l.id)/limits.LeaseRevocationKeys`, `l.work = 1`},
	}, []detector{direct("./actor", "TestRevocationsOfManyKeys")}},
	{"give every few revocations a sync of their own", []change{
		{"leaseClock.mayRevoke", `if waiting == 0 || !beside && n < min(waiting, limits.LeaseRevocationsAlone) {`, `if waiting == 0 {`},
	}, []detector{direct("./actor", "TestRevocationsGoWithWrites")}},
	{"revoke the least ids first, whatever waits", []change{
		{"revocable.add", `if l.id <= r.id {`, `if l.id < 0 {`},
	}, []detector{direct("./actor", "TestRevocationsGoRound")}},
	{"forget the revocations that raft had no room for", []change{
		{"Consensus.proposeLeases", `k.revocable.add(revoke...)`, ``},
	}, []detector{direct("./actor", "TestRevocationsWaitForRoom")}},
	{"revoke a lease that was renewed while it waited", []change{
		{"leaseClock.toRevoke", `case l.gone: case l.deadline > now: k.due.add(l, l.next(t))`, `case l.gone:`},
	}, []detector{direct("./actor", "TestRevocationsThatAreNotProposed")}},
	{"take a pause for an election timeout", []change{
		{"Consensus.Handle", `c.tick(min(ticks, 2))`, `c.tick(ticks)`},
	}, []detector{direct("./actor", "TestPauseIsNoElectionTimeout")}},
	{"believe a term that no cluster comes to", []change{
		{"core.absurd", `return term > c.term && term-c.term > limits.TermsAhead`, `return term > c.term && term-c.term > limits.TermsAhead<<20`},
	}, []detector{direct("./actor", "TestAbsurdTerm")}},
	{"hold asks for the leader before", []change{
		{"Consensus.newTermOrLeader", `c.leases.asks.void()`, ``},
	}, []detector{direct("./actor", "TestFollowerAsksItsLeader")}},
	{"let members save at the same records", []change{
		{"Applier.share", `a.savedBytes == 0 && len(members) > 1 {`, `a.savedBytes < 0 && len(members) > 1 {`},
	}, []detector{direct("./actor", "TestMembersTakeTurns")}},
	{"save a snapshot in one step", []change{
		{"Snapshotter.stepSave", `o.saver.Step(s.Limits.SnapshotStepBytes)`, `o.saver.Step(8 * s.Limits.SnapshotStepBytes)`},
	}, []detector{direct("./actor", "TestSavingGoesInSmallSteps")}},
	{"ask a quick disk for a whole step of a snapshot", []change{
		{"Snapshotter.stepSave", `o.saver.Piece = s.pieceBytes`, ``},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"check a snapshot a whole step at once", []change{
		{"Snapshotter.stepCheck", `s.check.verifier.Piece = s.pieceBytes`, ``},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"ask a disk that takes long for each call for small pieces", []change{
		{"pieceAfter", `return min(2*before, limits.SnapshotStepBytes)`, `return before`},
	}, []detector{direct("./actor", "TestPiecesFollowTheDisk")}},
	{"save a snapshot without a rest", []change{
		{"Snapshotter.Handle", `if !t.Resting {`, `if t.Now >= 0 {`},
	}, []detector{direct("./actor", "TestSavingGoesInSmallSteps")}},
	{"advise free space for any failure of a disk", []change{
		{"whatHelps", `if errors.Is(err, syscall.ENOSPC) {`, `if err != nil {`},
	}, []detector{direct("./actor", "TestAdviceIsOfTheFailure")}},
	{"advise once, whatever fails later", []change{
		{"SegmentMaker.fail", `advice != s.advised {`, `s.advised == "" {`},
	}, []detector{direct("./actor", "TestAdviceIsOfTheFailure")}},
	{"expire a round of reads with the read that came last", []change{
		{"reads.confirmed", `until = max(until, w.until)`, `until = w.until`},
	}, []detector{direct("./actor", "TestLongestTimeoutOfABatchCounts")}},
	{"expire a batch of proposals with the proposal that came last", []change{
		{"proposals.pack", `b.until = max(b.until, w.until)`, `b.until = w.until`},
	}, []detector{direct("./actor", "TestLongestTimeoutOfABatchCounts")}},
	{"expire lease questions with the question that came last", []change{
		{"leases.told", `ready.Until = max(ready.Until, ask.until)`, `ready.Until = ask.until`},
	}, []detector{direct("./actor", "TestLongestTimeoutOfABatchCounts")}},
	{"lose a spare segment that comes with a snapshot", []change{
		{"LogWriter.supersede", `kept = append(kept, m)`, ``},
	}, []detector{direct("./actor", "TestSpareThatComesWithASnapshotIsKept")}},
	{"count the room of a quorum of those that can be reached", []change{
		{"spaces.judgeVoters", `reached[quorum-1]`, `reached[len(reached)/2]`},
	}, []detector{direct("./actor", "TestSpaceOfAQuorumOfFive")}},
	{"say of what is on its way that it did not happen", []change{
		{"Consensus.expireWaiting", `kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen"))`, `kv.Refuse(w.ReplyTo, w.Requests, kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen"))`},
	}, []detector{direct("./actor", "TestPartOfAProposalExpires")}},
	{"leave a snapshot that raft had no use for", []change{
		{"Snapshotter.discard", `s.remove(r.info)`, ``},
	}, []detector{direct("./actor", "TestDiscardedSnapshotIsGone")}},
	{"tell of the accusers that have a vote only", []change{
		{"quarantine.accusations", `range slices.Sorted(maps.Keys(q.accusers)) {`, `range slices.DeleteFunc(slices.Sorted(maps.Keys(q.accusers)), func(id uint64) bool { return !slices.Contains(c.membership.confState.GetVoters(), id) }) {`},
	}, []detector{direct("./actor", "TestAccusationOfWhoHasNoVoteIsTold")}},
	{"hand raft a snapshot in the term in which it was offered first", []change{
		{"Snapshotter.offered", `r.offer.MessageTerm = max(r.offer.MessageTerm, o.MessageTerm)`, ``},
	}, []detector{direct("./actor", "TestSnapshotOfferedAgainInANewerTerm")}},
	{"say that none is saved when one was installed", []change{
		{"Snapshotter.installed", `s.Status.Alarm(savingAlarm(""))`, ``},
	}, []detector{direct("./actor", "TestInstalledSnapshotEndsTheAlarmOfSaving")}},
	{"take a save for under way that an installation has ended", []change{
		{"Snapshotter.installed", `s.Applier.MustPost(SaveEnded{})`, ``},
	}, []detector{direct("./actor", "TestSaveAcrossInstall")}},
	{"count the time before a learner fell behind", []change{
		{"membership.tend", `delete(m.level, id)`, ``},
	}, []detector{direct("./actor", "TestLearnerThatFellBehindIsLevelAnew")}},
	{"be admitted by a leader of a term that is over", []change{
		{"quarantine.receive", `saysEnd(m.Message) && m.GetTerm() >= c.term`, `saysEnd(m.Message)`},
	}, []detector{direct("./actor", "TestOldLeaderAdmitsNobody")}},
	{"leave the alarm of a quarantine that was lifted", []change{
		{"quarantine.leave", `before := q.Quarantine`, `before := Quarantine{}`},
	}, []detector{direct("./actor", "TestLiftedQuarantineIsSaidNoMore")}},
	{"overrule the own leader", []change{
		{"core.serves", `&& c.leader() != without &&`, `&&`},
	}, []detector{direct("./actor", "TestOwnLeaderIsNotOverruled")}},
	{"rest for what is sent when nobody writes", []change{
		{"WatchHub.owe", `ahead && t.Now-w.wrote < limits.WatchCalm {`, `ahead {`},
	}, []detector{direct("./actor", "TestHubRestsForWhatItSends")}},
	{"hold watches back that hardly gain on what is written", []change{
		{"WatchHub.owe", `ahead && t.Now-w.wrote < limits.WatchCalm {`, `(ahead || events > 0) && t.Now-w.wrote < limits.WatchCalm {`},
	}, []detector{direct("./actor", "TestHubRestsForWhatItSends")}},
	{"let what the watch hub has worked off take its clients' room", []change{
		{"actor.Spawn", `box.turnEnds()`, ``},
	}, []detector{direct("./actor", "TestRoomIsFreeBehindEachTurn")}},
	{"tell the watch hub of a View before it is there", []change{
		{"Applier.publish", `a.Status.view.Store(view); a.Status.watch.published(a.WatchHub)`, `a.Status.view.Store(view)`},
	}, []detector{actors, campaign}},
	{"found a cluster with half of its founders", []change{
		{"newFounding", `return founding{unmet: without(c.ConfState.GetVoters(), c.Member)}`, `return founding{}`},
	}, []detector{direct("./node", "TestStories/founded_anew")}},
	{"vote before all founders were met", []change{
		{"Consensus.receive", `c.elections.founding.premature(&c.core, r.Message) || `, ``},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"campaign before all founders were met", []change{
		{"Consensus.send", `if c.elections.founding.premature(&c.core, peerframe.Raft{Message: m}) {`, `if c.elections.founding.premature(&c.core, peerframe.Raft{Message: m}) && false {`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"campaign for a peer before all founders were met", []change{
		{"founding.premature", `case raftpb.MsgPreVote, raftpb.MsgVote, raftpb.MsgTimeoutNow:`, `case raftpb.MsgPreVote, raftpb.MsgVote:`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"take a founder with data for one without", []change{
		{"founding.met", `if last <= foundingIndex {`, `if last > 0 {`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"wait for the founders again when one is gone", []change{
		{"Consensus.handle", `delete(c.connected, m.Peer)`, `delete(c.connected, m.Peer); c.elections.founding.unmet = append(c.elections.founding.unmet, m.Peer)`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"vote for no candidate while founders are awaited", []change{
		{"founding.premature", `return m.GetIndex() <= foundingIndex && f.awaits(c) != ""`, `return f.awaits(c) != ""`},
	}, []detector{direct("./actor", "TestFounderFollowsThoseThatHaveBegun")}},
	{"wait for founders with data in the log", []change{
		{"founding.awaits", `len(f.unmet) == 0 || c.last > foundingIndex ||`, `len(f.unmet) == 0 ||`},
	}, []detector{direct("./actor", "TestFounderFollowsThoseThatHaveBegun")}},
	{"wait for founders that have voted", []change{
		{"newFounding", `c.HardState.Term > foundingTerm`, `c.HardState.Term > foundingTerm+1`},
	}, []detector{direct("./actor", "TestFoundersThatAreAwaited")}},
	{"wait for oneself among the founders", []change{
		{"newFounding", `without(c.ConfState.GetVoters(), c.Member)`, `c.ConfState.GetVoters()`},
	}, []detector{direct("./actor", "TestFoundersThatAreAwaited")}},
	{"go on with where a peer's log ended at first", []change{
		{"Admission.Admit", `a.ends[from] = its.Last`, `if _, ok := a.ends[from]; !ok { a.ends[from] = its.Last }`},
	}, []detector{direct("./node", "TestConsensusIsToldOfConnections")}},
	{"say nothing of the founders that are awaited", []change{
		{"founding.tell", `c.Status.Alarm(Alarm{Name: kv.FoundingNotice, Text: text})`, `_ = kv.FoundingNotice`},
	}, []detector{direct("./actor", "TestFoundersMeetBeforeTheyVote")}},
	{"count a note as applied by a change that the state had at the start", []change{
		{"leaseClock.changed", `max(l.notes-1, 0)`, `l.notes - 1`},
	}, []detector{direct("./actor", "TestChangeOfTheStartEndsNoNote")}},
	{"answer one question for a lease more than a frame holds", []change{
		{"leaseClock.tell", `len(t.Times) < limits.LeaseAsks`, `len(t.Times) <= limits.LeaseAsks`},
	}, []detector{direct("./actor", "TestAnswersFitFrames")}},
	{"ask one question for a lease more than a frame holds", []change{
		{"leases.askLeader", `slices.Chunk(l.asks.send(c.now.Now), limits.LeaseAsks)`, `slices.Chunk(l.asks.send(c.now.Now), limits.LeaseAsks+1)`},
	}, []detector{direct("./actor", "TestQuestionsForLeasesFitFrames")}},
	{"leave the notice of founders that have met", []change{
		{"founding.tell", `if text == f.told {`, `if text == "" || text == f.told {`},
	}, []detector{direct("./actor", "TestNoticeOfFoundersEnds")}},
	{"take a disk that does not tell its size for one of unknown size", []change{
		{"SegmentMaker.checkSpace", `size, err = s.FS.Size(s.Dir)`, `size, _ = s.FS.Size(s.Dir)`},
	}, []detector{direct("./actor", "TestSizeOfADiskThatDoesNotTellIt")}},
	{"pause longer after each save that failed, whatever came between", []change{
		{"Applier.saveEnded", `a.saveTries = backoff{}`, ``},
	}, []detector{direct("./actor", "TestPauseAfterAFailedSave")}},
	{"take the refusal of a leader that is not known for one peer's word", []change{
		{"actor.core.mayLead", `return leader == raft.None || leader == peer`, `return leader == peer`},
	}, []detector{direct("./actor", "TestRefusalOfAnUnknownLeader")}},
}
