package main

// The bugs at edges, which a tired engineer writes: a moment that is the same, a list that somebody else has too, a sum that only grows,
// a wait that nobody ends.
func edgeMutants() []mutant {
	equal := direct("./index/watch", "TestEqualWatches")
	return []mutant{
		{"begin a session again that ended at the moment at which it was opened", []change{
			{"index/sessions.go", "	s.floor = max(s.floor, one.used+1)\n", "	s.floor = max(s.floor, one.used)\n"},
		}, []detector{direct("./index", "TestEndedSessionDoesNotBeginAgain")}},
		{"note of a lease what is left of the one before", []change{
			{"index/leases.go", "had && l.Granted == one.Granted && one.Remaining", "had && one.Remaining"},
		}, []detector{direct("./index", "TestNoteOfAnotherLease")}},
		{"raise an alarm in the list that Views have", []change{
			{"index/alarms.go", "slices.Insert(slices.Clip(s.alarms), at, a)", "slices.Insert(s.alarms, at, a)"},
		}, []detector{direct("./index", "TestAlarmsOfAView")}},
		{"keep the groups of revisions that are compacted", []change{
			{"index/history.go", "		h.groups.trim(h.groups.first + 1)\n", ""},
		}, []detector{direct("./index", "TestCompactedGroupsGo")}},
		{"read a sorted range of a transaction as of now", []change{
			{"index/whole.go", "	if w.sorted != nil {\n		w.sorted.at, w.sorted.pinned = at, true\n	}\n", ""},
		}, []detector{direct("./index", "TestSortedRangeOfATransaction")}},
		{"go on with the range that compaction has overtaken", []change{
			{"index/view.go", "		r.begin() // compaction", "		// compaction"},
		}, []detector{direct("./index", "TestRangeOvertaken")}},
		{"cancel a watch in the list that deliveries have", []change{
			{"index/watch/hub.go", "	others := make([]uint64, 0, len(one.ids)-1)\n", "	others := one.ids[:0]\n"},
		}, []detector{equal}},
		{"count equal watches that compaction ends as one", []change{
			{"index/watch/hub.go", "	h.watches -= len(one.ids)\n", "	h.watches--\n"},
		}, []detector{equal}},
		{"take a keep-alive for late by a standstill", []change{
			{"actor/leaseclock.go", "from: from, at: c.clock.time(c.now.Now)}", "from: from, at: c.now.Now}"},
		}, []detector{direct("./actor", "TestKeepAliveBehindAStandstill")}},
		{"revoke by a round that began before a lease had expired", []change{
			{"actor/leaserevoke.go", "		case l.deadline > k.proven:\n			kept", "		case l.deadline > k.proven+time.Second:\n			kept"},
		}, []detector{direct("./actor", "TestRoundOfBeforeProvesNothing")}},
		{"begin a lease clock with a state of the term before", []change{
			{"actor/leaseclock.go", " && c.membership.appliedTerm == c.term && c.raft", " && c.raft"},
		}, []detector{direct("./actor", "TestLeaseClockWaitsForTheTerm")}},
		{"let the last answer of several say what state they need", []change{
			{"actor/leaseclock.go", "k.told[i].Index = max(k.told[i].Index, index)", "k.told[i].Index = index"},
		}, []detector{direct("./actor", "TestToldTogether")}},
		{"go back to a member's progress that is behind", []change{
			{"net/client/watch.go", "	if f.Revision < w.next-1 { ", "	if f.Revision < 0 { "},
		}, []detector{direct("./net/client", "TestWatchStaysAhead")}},
		{"count what a watch was told as waiting when it was read", []change{
			{"net/client/watch.go", "			w.bytes -= first.bytes\n", ""},
		}, []detector{direct("./net/client", "TestReadWaitsNoLonger")}},
		{"pause a watch of which everything was read", []change{
			{"net/client/watching.go", "	w.paused = len(w.queue) > 0 && w.err == nil\n", "	w.paused = w.err == nil\n"},
		}, []detector{direct("./net/client", "TestPauseOfWhatWasRead")}},
		{"take a page of no keys for the end", []change{
			{"net/client/kv.go", "	if page.More && len(page.KVs) == 0 && ", "	if false && page.More && len(page.KVs) == 0 && "},
		}, []detector{direct("./net/client", "TestPageOfNothing")}},
		{"wait for a renewal beyond a lease's end", []change{
			{"net/client/lease.go", "context.WithDeadline(ctx, until)", "context.WithTimeout(ctx, seconds(ttl))"},
		}, []detector{direct("./net/client", "TestKeepAliveIsLostInTime")}},
		{"take a place in the line by the newest change of its value", []change{
			{"internal/election/election.go", "KVs[0].CreateRevision\n", "KVs[0].ModRevision\n"},
		}, []detector{direct("./net/client/concurrency", "TestElectionIsGoneOnWith")}},
		{"have what a session has asked for that is lost", []change{
			{"net/client/concurrency/session.go", "	if over := s.Err(); over != nil {\n		return over", "	if over := s.Err(); over != nil && err != nil {\n		return over"},
		}, []detector{direct("./net/client/concurrency", "TestSessionEndsMeanwhile")}},
		{"bound all revisions that come in pieces together", []change{
			{"net/etcd/watch.go", "	one.pieces, one.size = nil, 0\n", "	one.pieces = nil\n"},
		}, []detector{direct("./net/etcd", "TestLargeRevisions")}},
		{"count what waits on watch streams that have ended", []change{
			{"net/etcd/watch.go", "	w.s.watchBytes.Add(-w.waiting)\n", ""},
		}, []detector{direct("./net/etcd", "TestUnreadWatchEnds")}},
		{"hold answers of watch streams that have ended", []change{
			{"net/etcd/watch.go", "	w.share.holds(-w.answers)\n", ""},
		}, []detector{direct("./net/etcd", "TestEndedStreamHoldsNothing")}},
		{"bound a stream of JSON as one message", []change{
			{"net/etcd/room.go", "	b.own.give()\n	b.read = 0\n", "	b.own.give()\n"},
		}, []detector{direct("./net/etcd", "TestGatewayMessages")}},
		{"take equal figures for an accident", []change{
			{"bench/stat/stat.go", "(count + 1 - ties/(count*(count-1)))", "(count + 1)"},
		}, []detector{direct("./bench/stat", "TestMannWhitneyTies")}},
		{"believe what a member that was removed has refused", []change{
			{"node/status.go", "return members.Removed(r.Member) })\n	by :=", "return false && members.Removed(r.Member) })\n	by :="},
		}, []detector{direct("./node", "TestAlarmsOfTheRemoved")}},
		{"close a segment that is read, and keep one that is closed", []change{
			{"log/cold.go", "c.open = append(c.open[:0], c.open[1:]...)", "c.open = c.open[:len(c.open)-1]"},
		}, []detector{direct("./log", "TestColdReadsOfManySegments")}},
		{"stay away longer from a member that has served for long", []change{
			{"net/client/failback.go", "now.Sub(b.backAt) > most", "now.Sub(b.backAt) < most"},
		}, []detector{direct("./net/client", "TestFailbackWaits")}},
		{"tell a version at the compacted revision twice", []change{
			{"net/client/history.go", "ModRevision < oldest", "ModRevision <= oldest"},
		}, []detector{direct("./net/client", "TestHistory")}},
		{"ask a silent member once whether it lives", []change{
			{"net/client/keeper.go", "k.heardAt, k.probed = stats.PacketsReceived, stats.PacketsSent, now, false", "k.heardAt = stats.PacketsReceived, stats.PacketsSent, now"},
		}, []detector{direct("./net/client", "TestKilledWhileAllIsQuiet")}},
		{"be unready for what is wrong with another member", []change{
			{"net/etcd/web.go", " && a.MemberID == s.config.ID", ""},
		}, []detector{direct("./net/etcd", "TestReadyzOfAnotherMember")}},
		{"leave out one check of a probe", []change{
			{"net/etcd/web.go", "slices.Contains(excluded, c.name)", "len(excluded) == 1 && excluded[0] == c.name"},
		}, []detector{direct("./net/etcd", "TestReadyzOfAnotherMember")}},
		{"count milliseconds as seconds", []change{
			{"net/etcd/metrics.go", "took := time.Since(began).Seconds()", "took := float64(time.Since(began).Milliseconds())"},
		}, []detector{direct("./net/etcd", "TestMetricsSeconds")}},
		{"divide a segment, and forget that keys did not go in", []change{
			{"index/keys.go", "		parts[i].overflow.Store(full.overflow.Load())\n", ""},
		}, []detector{direct("./index", "TestOverflowIsDivided")}},
		{"open a log that has committed what it has not", []change{
			{"log/replay.go", "	r.hard.Commit = min(r.hard.Commit, r.window.last())\n", ""},
		}, []detector{direct("./log", "TestCommitIsNotAboveTheLast")}},
		{"measure a disk's rest", []change{
			{"bench/probe.go", "		if config.Rest > 0 {\n			time.Sleep(config.Rest)\n		}\n		begun := time.Now()\n", "		begun := time.Now()\n		if config.Rest > 0 {\n			time.Sleep(config.Rest)\n		}\n"},
		}, []detector{direct("./bench", "TestProbeRests")}},
		{"see no difference in a lease", []change{
			{"cli/diff.go", "d.before.Lease == d.after.Lease && ", ""},
		}, []detector{direct("./cli", "TestDifferenceOfALease")}},
		{"leave a folder unsynced to which no file came", []change{
			{"cli/export.go", "	case err == nil && info.IsDir():\n		e.folders[dir] = true\n", "	case err == nil && info.IsDir():\n		e.folders[dir] = false\n"},
			{"cli/export.go", "slices.Collect(maps.Keys(e.folders))", "slices.DeleteFunc(slices.Collect(maps.Keys(e.folders)), func(dir string) bool { return !e.folders[dir] })"},
		}, []detector{direct("./cli", "TestProcessExportSyncs")}},
		{"start without a newest segment that is gone", []change{
			{"log/recover.go", "	if err := s.lost(s.files[i]); err != nil {\n		return nil, err\n	}\n", ""},
		}, []detector{direct("./log", "TestLostNewest")}},
		{"say at no start which segment is the newest", []change{
			{"log/recover.go", "	l.sayNext() // a crash may have come before it was said\n", ""},
		}, []detector{direct("./log", "TestLostNewest")}},
		{"have nobody say which segment follows", []change{
			{"actor/logwriter.go", "	if pages := w.Log.TakeNextPages(); len(pages) > 0 {", "	if pages := w.Log.TakeNextPages(); len(pages) < 0 {"},
		}, []detector{direct("./node", "TestLostNewestSegment")}},
		{"believe the cache that it is said which segment follows", []change{
			{"log/next.go", "	if err := file.DropCache(p.header.offset, pageBytes); err != nil { // after a failed sync it shows what the disk does not have\n		return err\n	}\n", ""},
		}, []detector{direct("./log", "TestNextPageBehindFailedSync")}},
		{"take 0 for the term of what is behind damage", []change{
			{"log/replay.go", "	r.window.baseKnown = oldest.knowsTerm()\n", ""},
		}, []detector{direct("./log", "TestTermBehindCoveredDamage"), direct("./node", "TestDamagedEndBelowSnapshot")}},
		{"take a term that was not known for another one", []change{
			{"log/replay.go", "known && h.knowsTerm() && h.lastTerm", "known && h.lastTerm"},
		}, []detector{direct("./log", "TestTermBehindCoveredDamage")}},
		{"remove a damaged file until the power fails", []change{
			{"log/maker.go", "	failed = errors.Join(failed, m.o.FS.SyncDir(m.o.Dir))\n", ""},
		}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
		{"use a file again whose header is damaged", []change{
			{"log/recover.go", "l.letGo(f.name, f.damaged)", "l.letGo(f.name, false)"},
		}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
		{"remove a damaged file before those that are older", []change{
			{"log/maker.go", "all := append(m.store, name)", "all := append([]string{name}, m.store...)"},
		}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
		{"begin, and do not hand over what recovery has let go of", []change{
			{"actor/logwriter.go", "	w.recycle()\n	w.orderSpares(stats)\n	return w", "	w.orderSpares(stats)\n	return w"},
		}, []detector{direct("./actor", "TestNextSegmentsBeforeRecycle")}},
		{"have a snapshot that is wanted at once wait for one that is wanted later", []change{
			{"actor/applier.go", "		m.Above = min(m.Above, a.saveAbove)\n", ""},
		}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
		{"count a snapshot that is due anyway as one behind damage", []change{
			{"actor/applier.go", "	if applied > a.saveAbove {\n		a.saveNow", "	if applied > 0 {\n		a.saveNow"},
		}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
		{"forget what of a save is read back", []change{
			{"snapshot/save.go", "	return s.file.offset + s.back.next\n", "	return s.file.offset\n"},
		}, []detector{direct("./snapshot", "TestDoneGrows")}},
		{"let a fence take the page of what follows", []change{
			{"log/log.go", "if l.full || l.writeAt+keptBytes > l.active().size {", "if l.full || l.writeAt+pageBytes > l.active().size {"},
		}, []detector{direct("./log", "TestStories")}},
		{"save nothing behind damage that a snapshot covers", []change{
			{"node/actors.go", "	if r.damaged > 0 {", "	if r.damaged > r.damaged {"},
		}, []detector{direct("./node", "TestCoveredDamageGoes")}},
		{"save one snapshot behind damage that one covers", []change{
			{"actor/applier.go", "a.saveTwice || m.Twice", "a.saveTwice"},
		}, []detector{direct("./actor", "TestSnapshotsBehindCoveredDamage")}},
		{"keep a damaged file of the log to be used again", []change{
			{"log/segment.go", "	if damaged {\n		l.damaged", "	if false {\n		l.damaged"},
		}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
		{"go on in a damaged segment", []change{
			{"log/recover.go", "r.torn == nil && !active.damaged && active", "r.torn == nil && active"},
		}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	}
}
