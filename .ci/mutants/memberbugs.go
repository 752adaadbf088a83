package main

// memberMutants are bugs in who counts, and in what is kept of the members.
var memberMutants = []mutant{
	{"apply a configuration when its entry is committed", []change{
		{"actor/ready.go", "	c.Applier.PostAndYield(Apply{Message: m, FileBytes: c.fileBytes})\n", "	for _, e := range entries {\n		var now raftpb.ConfChangeV2\n		if e.GetType() == raftpb.EntryConfChangeV2 && proto.Unmarshal(e.GetData(), &now) == nil {\n			c.membership.confState = c.raft.ApplyConfChange(&now)\n		}\n	}\n	c.Applier.PostAndYield(Apply{Message: m, FileBytes: c.fileBytes})\n"},
	}, []detector{direct("./actor", "TestConfigurationComesWithTheRecords")}},
	{"apply a configuration behind its entry", []change{
		{"actor/applier.go", "	a.reports = append(a.reports, Applied{Response: m.Message.GetResponses()[0]})\n", "	a.reports = append([]ConsensusMessage{Applied{Response: m.Message.GetResponses()[0]}}, a.reports...)\n"},
	}, []detector{direct("./actor", "TestNextChangeWaitsForRaft")}},
	{"count a learner in the quorum", []change{
		{"index/members.go", "			c.Learners = append(c.Learners, r.ID)\n", "			c.Voters = append(c.Voters, r.ID)\n"},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"count a learner among those who must answer", []change{
		{"actor/membership.go", "voters: m.confState.GetVoters(), learners:", "voters: slices.Concat(m.confState.GetVoters(), m.confState.GetLearners()), learners:"},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"count a learner's disk among those with room", []change{
		{"actor/space.go", "c.judgeVoters(c.membership.confState.GetVoters())", "c.judgeVoters(slices.Concat(c.membership.confState.GetVoters(), c.membership.confState.GetLearners()))"},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"forget the members in a snapshot", []change{
		{"index/snapshot.go", "	dst = appendSection(dst, sectionMembers, v.members.append(nil))\n", "	dst = appendSection(dst, sectionMembers, Members{}.append(nil))\n"},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	{"forget in a snapshot who was removed", []change{
		{"index/members.go", "	m = Members{record.Records, record.Removed}\n", "	m = Members{records: record.Records}\n"},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	{"leave the address to the member that is replaced", []change{
		{"index/members.go", "		}\n		other.Peers = without(other.Peers, c.Peers)\n", "		}\n		other.Peers = without(other.Peers, nil)\n"},
	}, []detector{direct("./index", "TestScripts")}},
	{"begin a replacement that the quorum cannot bear", []change{
		{"actor/membership.go", "		if slices.Contains(f.voters, change.Instead) {", "		if slices.Contains(f.voters, change.Instead) && f.leader == 0 {"},
	}, []detector{direct("./actor", "TestUnwiseChangesAreRefused")}},
	{"deny a vote without a word of what is committed", []change{
		{"actor/ready.go", "	c.denied(m.Responses)\n", ""},
	}, []detector{direct("./actor", "TestWhoHasNoVoteSaysWhatIsCommitted"), direct("./node", "TestStories")}},
	{"say what is committed though one has a vote", []change{
		{"actor/committed.go", "	if c.role(c.soft.RaftState) != roleLearner {\n		return\n	}\n", ""},
	}, []detector{direct("./actor", "TestWhoHasNoVoteSaysWhatIsCommitted")}},
	{"keep from one without a vote what is committed", []change{
		{"actor/committed.go", "		c.tellCommitted(peer)\n	}\n}\n\n// toPeers", "	}\n}\n\n// toPeers"},
	}, []detector{direct("./actor", "TestCommittedIsTakenOver")}},
	{"hear from others than the leader what is committed", []change{
		{"actor/committed.go", "	case c.leader() != raft.None || ", "	case "},
	}, []detector{direct("./actor", "TestCommittedIsTakenOver")}},
	{"make a log where the one that is there cannot be seen", []change{
		{"node/bootstrap.go", "	if err == nil || errors.Is(err, fs.ErrNotExist) {\n", "	if err == nil || errors.Is(err, fs.ErrNotExist) || err != nil {\n"},
	}, []detector{direct("./node", "TestFirstStartOnAFailingDisk")}},
	{"sync what is received each time", []change{
		{"snapshot/publish.go", "	if o.behind {\n", "	if o.behind && o.back < 0 {\n"},
	}, []detector{direct("./snapshot", "TestSyncsAsItGrows")}},
	{"wait for nothing of what is written back", []change{
		{"snapshot/publish.go", "there := o.back - limits.SnapshotBackBytes; there >= 0 {", "there := o.back - limits.SnapshotBackBytes; there >= o.offset {"},
	}, []detector{direct("./snapshot", "TestSyncsAsItGrows")}},
	{"go on without the log's folder", []change{
		{"actor/segmentmaker.go", "	if errors.Is(err, fs.ErrNotExist) {", "	if errors.Is(err, fs.ErrExist) {"},
	}, []detector{direct("./actor", "TestLogFolderThatWasRemoved")}},
	{"call a disk slow when its syncs end only", []change{
		{"actor/logwriter.go", "	w.Status.syncSince.Store(int64(began))\n", ""},
	}, []detector{direct("./actor", "TestSyncUnderWayIsSeen")}},
	{"wait for a few slow syncs, however long they take", []change{
		{"actor/synctimes.go", " || m.slow < limits.SlowSyncsAlarm && m.spent < limits.SlowSyncsTime:", " || m.slow < limits.SlowSyncsAlarm:"},
	}, []detector{direct("./actor", "TestSlowDiskAlarm")}},
	{"call a disk slow for a sync that has ended", []change{
		{"actor/logwriter.go", "	w.Status.syncSince.Store(0)\n", ""},
	}, []detector{direct("./actor", "TestSyncUnderWayIsSeen")}},
	{"say of a snapshot only that it begins to come", []change{
		{"actor/snapshotsend.go", "	s.sayWhatComes()\n", ""},
	}, []detector{direct("./actor", "TestWhatComesIsSaid")}},
	{"put a learner in the place of the only voter", []change{
		{"cli/member_replace.go", "	if voters(members) == 1 { //", "	if voters(members) == 0 { //"},
	}, []detector{direct("./cli", "TestMemberReplaceTheOnlyVoter")}},
	{"hand over to nobody", []change{
		{"actor/membership.go", "return slices.Contains(f.voters, id) }) {\n			return", "return slices.Contains(next, id) }) {\n			return"},
	}, []detector{direct("./actor", "TestJudge")}},
	{"use a piece's memory again before it is written", []change{
		{"net/peer/conn.go", "		bytes, err := w.addAll(frames)\n", "		for _, frame := range frames {\n			peerframe.Free(frame)\n		}\n		bytes, err := w.addAll(frames)\n"},
	}, []detector{direct("./net/peer", "TestPiecesArriveAsTheyWere")}},
	{"say for ever who was turned away", []change{
		{"node/peers.go", "c.turnedAway[who]--; c.turnedAway[who] <= 0 {", "c.turnedAway[who]--; c.turnedAway[who] < -1<<30 {"},
	}, []detector{direct("./node", "TestWhoWaitsToJoinShows")}},
	{"warn of who closes within the handshake", []change{
		{"net/peer/accept.go", "		early && gone.Remote && gone.ErrorCode == quic.ApplicationErrorErrorCode ||\n", ""},
		{"net/peer/accept.go", "	gone, early := errors.AsType[*quic.TransportError](err)\n", ""},
	}, []detector{direct("./net/peer", "TestTurnedAway")}},
	{"do not say that a folder was copied", []change{
		{"net/peer/alive.go", "	l.transport.handler.Copied(l.id, why)\n", ""},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"do not tell the one that was copied", []change{
		{"node/peers.go", "	h.transport.Send(peer, told.Class(), peerframe.Encode(told), false)\n", "	_ = told\n"},
	}, []detector{direct("./node", "TestCopyShows")}},
	{"take a reason of any length", []change{
		{"net/wire/peerframe/message.go", "	if r.Err() == nil && len(m.Why) > limits.PeerReasonBytes {\n", "	if r.Err() == nil && len(m.Why) > limits.PeerFrameBytes {\n"},
	}, []detector{direct("./net/wire/peerframe", "TestReasonOfACopyIsBounded")}},
	{"say of a new member that has died that it runs", []change{
		{"cli/member_replace.go", "				connected, away = l.Connected, status.Name\n", "				connected, away = l.Connected || next.Started(), status.Name\n"},
	}, []detector{direct("./cli", "TestMemberReplace")}},
	{"ask for the start of a member that runs", []change{
		{"cli/member_replace.go", "				connected, away = l.Connected, status.Name\n", "				connected, away = l.Connected && next.Started(), status.Name\n"},
	}, []detector{direct("./cli", "TestMemberReplace")}},
	{"take one look for a member's death", []change{
		{"cli/member_replace.go", "r.quietLooks >= silentLooks && time.Since(r.quiet) >= silence, nil", "r.quietLooks > 0, nil"},
	}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
	{"believe one follower that a member is lost", []change{
		{"cli/member_replace.go", "	if len(answers) == 0 && witnesses >= silentWitnesses {\n", "	if len(answers) == 0 && witnesses > 0 {\n"},
	}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
	{"collect garbage again for what Views hold", []change{
		{"node/idle.go", "	w.at = retired + least // what Views still hold does not go, however often it runs\n", ""},
	}, []detector{direct("./node", "TestRetiredWatch")}},
	{"collect garbage as ever where clients hold much", []change{
		{"node/idle.go", "		w.percent = limits.CollectedOften\n", "		w.percent = usualPercent\n"},
	}, []detector{direct("./node", "TestCollectWatch")}},
	{"collect garbage seldom, however much lives", []change{
		{"node/idle.go", "	case w.percent != limits.CollectedSeldom || live >= limits.HeapSmall*5/4:\n", "	case w.percent != limits.CollectedSeldom:\n"},
	}, []detector{direct("./node", "TestCollectWatch")}},
	{"tell a connection twice of one batch", []change{
		{"actor/pending.go", "		o.at[o.list[0].to] = 0\n", ""},
	}, []detector{direct("./actor", "TestConnectionsAreToldOnce")}},
	{"never read the wall clock again", []change{
		{"actor/runtime.go", "read == 0 || now-read >= wallEvery", "read == 0"},
	}, []detector{direct("./actor", "TestWallIsReadAgain")}},
	// A leader that has died.
	{"forget a leader that is heard", []change{
		{"actor/failover.go", " || c.silence < c.lateTicks() ||", " ||"},
	}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
	{"keep the term out of a leader's death", []change{
		{"actor/failover.go", " || f.diedIn != now.GetTerm()", ""},
	}, []detector{direct("./actor", "TestLeaderHasNotDied")}},
	{"campaign all at once when a leader has died", []change{
		{"actor/failover.go", "			ticks += campaignApart\n", ""},
	}, []detector{direct("./actor", "TestCampaignsAreApart")}},
	{"take a host that says nothing for one that refuses", []change{
		{"net/peer/alive.go", "	if askAlive(ctx, at) == nil && l.out.Load() == c {", "	if l.out.Load() == c {"},
	}, []detector{direct("./net/peer", "TestCheckAlive")}},
	{"let the copy of a folder take the place of its original", []change{
		{"net/peer/alive.go", " || askAlive(ctx, at) != nil {", " || true {"},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"judge a copied folder before its rival is asked", []change{
		{"net/peer/accept.go", "	err = l.rival(ctx, q, &theirs)\n	if err == nil {\n		err = l.judge(&theirs)\n	}\n", "	err = l.judge(&theirs)\n"},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"know a joiner by its address alone", []change{
		{"node/peers.go", "told != nil && told.Name == \"\" {", "told != nil && told.Name == \"\" && told.ID == 0 {"},
	}, []detector{direct("./node", "TestWhoMayJoinWithoutAName")}},
	{"say of a member that gets the data that it was never started", []change{
		{"cli/status.go", "len(m.Clients) == 0 && a.connected(m.ID)", "len(m.Clients) > 0 && a.connected(m.ID)"},
	}, []detector{direct("./cli", "TestStatus")}},
	{"refuse for good who comes before a lost member is replaced", []change{
		{"node/peers.go", "	case h.lost(one):\n		return w, &peerframe.Refusal{Code: peerframe.Taken,", "	case h.lost(one):\n		return w, &peerframe.Refusal{Code: peerframe.Refused,"},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"refuse for good who comes while a lost member is replaced in its place", []change{
		{"node/peers.go", "one != unnamed && h.lost(one):", "one != unnamed && h.lost(one) && name == \"\":"},
	}, []detector{direct("./node", "TestWhoMayJoinInPlace")}},
	{"let the second process of a member's name wait", []change{
		{"node/peers.go", "s.ID == one.ID && s.Connected })", "s.ID == one.ID && s.Connected && s.Dialled })"},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"wait for a replacement only while the lost one is a member", []change{
		{"net/peer/join.go", "	return refused && no.Code != peerframe.Behind && !j.waits || trust\n", "	return refused && no.Code != peerframe.Behind || trust\n"},
	}, []detector{direct("./net/peer", "TestJoinWaitsForAReplacement")}},
	{"give up joining by the word of one that may be behind", []change{
		{"net/peer/join.go", "no.Code != peerframe.Behind && ", "no != nil && "},
	}, []detector{direct("./net/peer", "TestJoinWaitsForOneThatIsBehind")}},
	{"tell a joiner its id while the log is applied anew", []change{
		{"node/peers.go", "if now.Leader == 0 || !h.announced() {", "if now.Leader == 0 {"},
	}, []detector{direct("./node", "TestWhoMayJoinIsNotToldByOneThatIsBehind")}},
	{"take one with an empty folder for a member that was met", []change{
		{"node/peers.go", "return one.Started() || m.admission.Knows(one.ID).Folder != [16]byte{}", "return one.Started()"},
	}, []detector{direct("./node", "TestWhoWasMetHasJoined")}},
	{"promote a learner that has not announced itself", []change{
		{"actor/membership.go", "		if !one.Started() {\n", "		if !one.Started() && one.ID == 0 {\n"},
	}, []detector{direct("./actor", "TestUnannouncedLearnerIsNotPromoted")}},
	{"let a quorum of empty logs take part beside one that has the data", []change{
		{"actor/consensus.go", "if alike && c.last > foundingIndex {", "if alike {"},
	}, []detector{direct("./actor", "TestAccusedWithoutLogIsHeldBack")}},
	{"let who goes in an exchange of voters wait for its clock when the leader has died", []change{
		{"actor/failover.go", "		if !slices.Contains(voters, id) {\n			voters = append(voters, id)\n", "		if id == 0 {\n			voters = append(voters, id)\n"},
	}, []detector{direct("./actor", "TestLeaderHasDiedInAnExchange")}},
	{"ask one half of an exchange of voters for room", []change{
		{"actor/space.go", "before > space {", "before > space && space > SpaceLeft {"},
	}, []detector{direct("./actor", "TestSpaceInAnExchange")}},
	{"let no client finish where there is no native endpoint", []change{
		{"node/node.go", "	if !failed {\n		n.drain(ctx)\n", "	if !failed && n.server != nil {\n		n.drain(ctx)\n"},
	}, []detector{direct("./node", "TestStopDrainsEtcdAlone")}},
	{"order fewer reads of the log than there are who lack it", []change{
		{"log/window.go", "len(w.reading)+len(w.wanted) < limits.ColdReads &&", "len(w.reading)+len(w.wanted) < limits.ColdReads-1 &&"},
	}, []detector{direct("./log", "TestColdReadsOfAll")}},
}
