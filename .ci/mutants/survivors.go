package main

// The bugs that the tests of their packages once let through: what is given back, tried again or looked at again, where little goes
// wrong at once.
func survivorMutants() []mutant {
	return []mutant{
		{"cut a deleted range at the end of one within it", []change{
			{"index/kv/txn.go", "		case bytes.Compare(r.to, last.to) > 0:\n", "		default:\n"},
		}, []detector{direct("./index/kv", "TestPutsOfWhatIsDeleted")}},
		{"find a session again that has ended", []change{
			{"index/sessions.go", "	if l.last == one {\n		l.last = nil\n	}\n", ""},
		}, []detector{direct("./index", "TestEndedSessionIsNotFoundAgain")}},
		{"take files for read that came while they were read", []change{
			{"net/wire/credentials.go", "	c.seen, c.lastErr = seen, err\n", "	c.seen, c.lastErr = c.stats(), err\n"},
		}, []detector{direct("./net/wire", "TestFilesReplacedWhileTheyAreRead")}},
		{"remember why files could not be used", []change{
			{"net/wire/credentials.go", "	if seen == c.seen && c.lastErr == nil && !due {\n		return nil\n", "	if seen == c.seen && !due {\n		return c.lastErr\n"},
		}, []detector{direct("./net/wire", "TestFilesThatCannotBeUsedYet")}},
		{"take a key that a group writes", []change{
			{"net/wire/certfile.go", "mode&0o027 != 0", "mode&0o007 != 0"},
		}, []detector{direct("./net/wire", "TestLoadErrors")}},
		{"count watches that found no room", []change{
			{"net/server/watch.go", "	if !w.s.share.take(bytes) {\n		w.s.conn.watches.Add(-1)\n", "	if !w.s.share.take(bytes) {\n"},
		}, []detector{direct("./net/server", "TestWatchWithoutRoom")}},
		{"move no leader any more for one who has left", []change{
			{"net/server/reader.go", "		s.mu.Unlock()\n		server.moving.Store(false)\n", "		s.mu.Unlock()\n"},
		}, []detector{direct("./net/server", "TestMoveLeaderOfOneWhoHasLeft")}},
		{"try one address of a name", []change{
			{"net/peer/link.go", "found[attempt%len(found)]", "found[0]"},
		}, []detector{direct("./net/peer", "TestResolveTakesTurns")}},
		{"count the room of a quorum of those that can be reached", []change{
			{"actor/space.go", "reached[quorum-1]", "reached[len(reached)/2]"},
		}, []detector{direct("./actor", "TestSpaceOfAQuorumOfFive")}},
		{"say of what is on its way that it did not happen", []change{
			{"actor/proposals.go", "		kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable(\"the write was not proposed and certainly did not happen\"))\n", "		kv.Refuse(w.ReplyTo, w.Requests, kv.CommandDone, c.unavailable(\"the write was not proposed and certainly did not happen\"))\n"},
		}, []detector{direct("./actor", "TestPartOfAProposalExpires")}},
		{"leave a snapshot that raft had no use for", []change{
			{"actor/snapshotreceive.go", "	s.remove(r.info)\n", ""},
		}, []detector{direct("./actor", "TestDiscardedSnapshotIsGone")}},
		{"fill spares into the reserve", []change{
			{"log/maker.go", "if err = keepReserve(m.o, m.o.SegmentBytes-m.at); err == nil {", "if err == nil {"},
		}, []detector{direct("./log", "TestReserveIsTakenMeanwhile")}},
		{"keep a spare of another size open", []change{
			{"log/segment.go", "errors.Join(err, file.Close())\n	}\n	return b, nil", "err\n	}\n	return b, nil"},
		}, []detector{direct("./log", "TestSpareOfAnotherSize")}},
		{"keep a snapshot open that was listed", []change{
			{"snapshot/list.go", "	defer f.Close()\n	m, size, err", "	m, size, err"},
		}, []detector{direct("./snapshot", "TestEveryCallFails")}},
		{"take over entries that were replaced while they were read", []change{
			{"log/window.go", " && w.slots[order.first+uint64(n)-w.base-1].at == order.slots[n].at {", " {"},
		}, []detector{direct("./log", "TestColdReadIsOvertaken")}},
		{"believe of the members who serves no more", []change{
			{"net/client/learn.go", "current == k || current == nil {", "current != nil || current == nil {"},
		}, []detector{direct("./net/client", "TestFollowsWhoServes")}},
		{"take a session for begun by a write that was given up", []change{
			{"net/client/session.go", "	if answered {\n		s.opened = 0\n	}\n", "	s.opened = 0\n"},
		}, []detector{direct("./net/client", "TestSessionIsThereWhenAnswered")}},
		{"keep a snapshot's file open that was sent", []change{
			{"net/etcd/snapshot.go", "	defer file.Close()\n", ""},
		}, []detector{direct("./net/etcd", "TestSnapshotLeavesNothing")}},
		{"watch on for a lock that nobody waits for", []change{
			{"net/etcd/lock.go", "	defer member.Watch(one, kv.WatchRequest{Kind: kv.WatchEnd})\n", ""},
		}, []detector{direct("./net/etcd", "TestLocksThatWait")}},
		{"keep the decoded transaction until the stream's next request", []change{
			{"net/server/reader.go", "		s.request.Txn = nil //", "		//"},
		}, []detector{direct("./net/server", "TestTxnIsForgotten")}},
		{"tell of the accusers that have a vote only", []change{
			{"actor/quarantine.go", "range slices.Sorted(maps.Keys(c.quarantine.accusers)) {", "range slices.DeleteFunc(slices.Sorted(maps.Keys(c.quarantine.accusers)), func(id uint64) bool {\n\t\treturn !slices.Contains(c.membership.confState.GetVoters(), id)\n\t}) {"},
		}, []detector{direct("./actor", "TestAccusationOfWhoHasNoVoteIsTold")}},
		{"list leases without room", []change{
			{"net/etcd/lease.go", "	room, err := s.build(ctx, size)\n", "	room, err := s.build(ctx, 0)\n"},
		}, []detector{direct("./net/etcd", "TestListsHaveRoom")}},
		{"watch keys that count for nobody", []change{
			{"net/etcd/watch.go", "	w.names += bytes\n	w.share.holds(bytes)\n", ""},
		}, []detector{direct("./net/etcd", "TestWatchedKeysCount")}},
		{"hold up all hashes by a snapshot that nobody reads", []change{
			{"net/etcd/snapshot.go", "	done()\n", "	defer done()\n"},
		}, []detector{direct("./net/etcd", "TestSnapshotsUnread")}},
		{"let keep-alives take all places", []change{
			{"net/etcd/lease.go", "			if !s.calls.awaitHalf(stream.Context()) {\n				return\n			}\n", ""},
		}, []detector{direct("./net/etcd", "TestKeepAlivesLeavePlaces")}},
		{"hold a large value for each who reads nothing", []change{
			{"net/etcd/kv.go", "len(found.KVs[0].Value) > most {", "len(found.KVs[0].Value) > most+limits.RequestBytes {"},
		}, []detector{direct("./net/etcd", "TestLargeValuesUnread")}},
		{"let a command that was told to end outlive its lock", []change{
			{"cli/lock.go", "			if h.told { // it had its time\n				h.kill()\n				continue\n			}\n", ""},
		}, []detector{direct("./cli", "TestScript/lock")}},
		{"hand raft a snapshot in the term in which it was offered first", []change{
			{"actor/snapshotreceive.go", "			r.offer.MessageTerm = max(r.offer.MessageTerm, o.MessageTerm)\n", ""},
		}, []detector{direct("./actor", "TestSnapshotOfferedAgainInANewerTerm")}},
		{"say that none is saved when one was installed", []change{
			{"actor/snapshotreceive.go", "	s.Status.Alarm(savingAlarm(\"\")) // there is one, of all that the own one would have had\n", ""},
		}, []detector{direct("./actor", "TestInstalledSnapshotEndsTheAlarmOfSaving")}},
		{"take a save for under way that an installation has ended", []change{
			{"actor/snapshotreceive.go", "		s.Applier.MustPost(SaveEnded{})\n	}\n	s.endCheck()", "	}\n	s.endCheck()"},
		}, []detector{direct("./actor", "TestSaveAcrossInstall")}},
		{"count the time before a learner fell behind", []change{
			{"actor/membership.go", "			delete(c.membership.level, id)\n", ""},
		}, []detector{direct("./actor", "TestLearnerThatFellBehindIsLevelAnew")}},
		{"be admitted by a leader of a term that is over", []change{
			{"actor/quarantine.go", " || m.GetTerm() < c.term {", " {"},
		}, []detector{direct("./actor", "TestOldLeaderAdmitsNobody")}},
		{"leave the alarm of a quarantine that was lifted", []change{
			{"actor/quarantine.go", "	before := c.quarantine.Quarantine\n", "	before := Quarantine{}\n"},
		}, []detector{direct("./actor", "TestLiftedQuarantineIsSaidNoMore")}},
		{"overrule the own leader", []change{
			{"actor/quarantine.go", " && c.leader() != without && ", " && "},
		}, []detector{direct("./actor", "TestOwnLeaderIsNotOverruled")}},
		{"count a read that failed before one that did not", []change{
			{"log/window.go", "	w.unread = 0\n	w.chunks = append", "	w.chunks = append"},
		}, []detector{direct("./log", "TestColdReadsThatFailNowAndThen")}},
		{"keep released segments open", []change{
			{"log/cold.go", "		if list.find(f.seq) != \"\" {", "		if list.find(f.seq) != \"\" || f.seq > 0 {"},
		}, []detector{direct("./log", "TestReaderLetsGoOfSegments")}},
		{"refuse damage that ends where a snapshot does", []change{
			{"log/replay.go", "|| h.next-1 > r.covered {", "|| h.next > r.covered {"},
		}, []detector{direct("./log", "TestDamageOfWhatASnapshotEndsWith")}},
		{"remember why named files could not be used", []change{
			{"net/wire/filetrust.go", "seen == f.seen && f.lastErr == nil {\n		return nil", "seen == f.seen {\n		return f.lastErr"},
		}, []detector{direct("./net/wire", "TestFilesThatCouldNotBeRead")}},
		{"look for none above a certificate among those revoked", []change{
			{"net/wire/filetrust.go", "for _, c := range chain {", "for _, c := range chain[:1] {"},
		}, []detector{direct("./net/wire", "TestRevokedAboveTheCertificate")}},
		{"remember every address that has begun a handshake", []change{
			{"net/wire/handshakes.go", "	if h.from[source]--; h.from[source] == 0 {\n		delete(h.from, source)\n	}", "	h.from[source]--"},
		}, []detector{direct("./net/wire", "TestHandshakesForget")}},
		{"write two removals of the same records into one list", []change{
			{"index/members.go", "append(slices.Clip(slices.Clone(m.removed)), id)", "append(m.removed, id)"},
		}, []detector{direct("./index", "TestRemovalsOfTheSameRecords")}},
		{"take records with an address twice", []change{
			{"index/members.go", "			addresses[a] = true\n", ""},
		}, []detector{direct("./index", "TestRecordsWithOneAddressTwice")}},
		{"convict who was removed", []change{
			{"index/alarms.go", "		case s.members.Get(d.member) != nil:\n			s.raise(corrupt)", "		default:\n			s.raise(corrupt)"},
		}, []detector{direct("./index", "TestConvicted")}},
		{"say where one is that has said so itself", []change{
			{"node/peers.go", " || m.admission.Knows(one.ID).Process == one.Process {", " {"},
		}, []detector{direct("./node", "TestMisplaced")}},
		{"say where one has called from alone", []change{
			{"node/peers.go", "		if s.ID == id && s.Connected {\n			return s.Remote", "		if s.ID == id && s.Connected && id == 0 {\n			return s.Remote"},
		}, []detector{direct("./node", "TestMisplaced")}},
		{"take an address from another member for one that has called from there once", []change{
			{"node/peers.go", "		if now && holder != one.ID", "		if (now || at != \"\") && holder != one.ID"},
		}, []detector{direct("./node", "TestMisplaced")}},
		{"locate one that has moved since", []change{
			{"index/members.go", "	if !slices.Equal(c.Peers[1:], one.Peers[:min(len(one.Peers), 1)]) {\n", "	if len(c.Peers) == 0 {\n"},
		}, []detector{direct("./index", "TestLocateMember")}},
		{"leave an address to whoever had it when another one is located there", []change{
			{"index/members.go", "	if other := m.Get(c.Instead); other != nil {\n		other.Peers", "	if other := m.Get(c.Instead); other != nil && c.ID == 0 {\n		other.Peers"},
		}, []detector{direct("./index", "TestLocateMember")}},
		{"talk to one that was removed, by what a joiner was told", []change{
			{"node/peers.go", "			case !members.Removed(one.ID):\n", "			default:\n"},
		}, []detector{direct("./node", "TestToldOfAMemberThatWasRemoved")}},
		{"keep a folder's first starts", []change{
			{"node/folder.go", "f.Past = past[max(len(past)-limits.PeerPastBytes, 0):]", "f.Past = past[:min(len(past), limits.PeerPastBytes)]"},
		}, []detector{direct("./node", "TestLastStarts")}},
		{"place a founder elsewhere than an operator has", []change{
			{"node/member.go", "at < 0 || one.Started() || len(one.Peers) > 0 {", "at < 0 || one.Started() {"},
		}, []detector{direct("./node", "TestPlacedByAnOperator")}},
		{"tell again of what was told to be held back", []change{
			{"net/peer/ratelimit.go", "	held, s.held = s.held, 0\n", "	held = s.held\n"},
		}, []detector{direct("./net/peer", "TestRemindersCountAnew")}},
		{"keep the place of a handshake that came to nothing", []change{
			{"net/peer/accept.go", "		k.giveBack()\n		if !k.met", "		if !k.met"},
		}, []detector{direct("./net/peer", "TestPlaceOfAnUnmetConnection")}},
	}
}
