package main

var netBugs = []mutant{
	// Package net/etcd, users of a new cluster.
	{"derive the same CA from each secret", []change{
		{"ClusterSecret.key", `hkdf.Key(sha256.New, seed[:], nil,`, `hkdf.Key(sha256.New, make([]byte, len(seed)), nil,`},
	}, []detector{direct("./net/wire", "TestSecretMembers")}},
	{"ignore the checksum of a secret", []change{
		{"ParseSecret", `encodeSecret(seed) == text`, `len(seed) > 0`},
	}, []detector{direct("./net/wire", "TestSecretText")}},
	{"refuse the users of a new cluster", []change{
		{"View.LevelRises", `return v.level < MaxLevel &&`, `return v.level == 0 &&`},
	}, []detector{direct("./net/etcd", "TestUsersOfANewCluster")}},
	{"read the cluster's secret from a file that a group may change", []change{
		{"ReadSecrets", `mode&0o027 != 0`, `mode&0o007 != 0`},
	}, []detector{direct("./net/wire", "TestSecretFile")}},
	{"return to a first endpoint that belongs to another cluster", []change{
		{"Client.failBack", `c.sameCluster(k) != nil || `, ``},
	}, []detector{direct("./net/client", "TestFailBackStaysInItsCluster")}},
	{"return to the first endpoint without a login", []change{
		{"Client.failBack", ` || c.logIn(c.ctx, k) != nil`, ``},
	}, []detector{direct("./net/client", "TestLoginAfterFailBack")}},
	{"pause before the first attempt at another member", []change{
		{"backoff", `attempts == 1 && !errors.As`, `attempts == 0 && !errors.As`},
	}, []detector{direct("./net/client", "TestBackoff")}},
	// The dashboard.
	{"show keys of the dashboard without a permission", []change{
		{"dashboard.Read", `if err := d.Permits(ctx, v, need, q); err != nil {`, `if err := d.Permits(ctx, v, kv.AccessNone, q); err != nil {`},
	}, []detector{direct("./net/etcd", "TestDashboardUsers")}},
	{"let another page use the dashboard", []change{
		{"web.programmatic", `if r.Header.Get(pageHeader) == "" {`, `if false {`},
	}, []detector{direct("./net/web", "TestDashboardPages"), direct("./net/etcd", "TestDashboardRefusesOtherPages")}},
	{"take a proxy's certificate for a browser's", []change{
		{"dashboard.Identify", `case proxied(r):`, `case false && proxied(r):`},
	}, []detector{direct("./net/etcd", "TestDashboardCertificates")}},
	{"revert keys that were written after the preview", []change{
		{"batch.step", `case now.ModRevision != one.After.Revision:`, `case now.ModRevision < 0:`},
	}, []detector{direct("./net/etcd", "TestDashboardRevertLeavesNewer")}},
	{"return the memory of a stream of watches twice", []change{
		{"watches.written", `if w.ended {`, `if false {`},
	}, []detector{direct("./net/server", "TestWatchEndsWhileItsEventsAreSent")}},
	// Package net/server, backups.
	{"give everything to any user as a backup", []change{
		{"stream.permitsEarly", `case wire.PathMember, wire.PathLeader, wire.PathClock, wire.PathFiles:`, `case wire.PathMember, wire.PathLeader, wire.PathClock:`},
	}, []detector{direct("./net/server", "TestEveryOpNeedsAUser")}},
	// Package net/client.
	{"a refusal of one copy is taken for that of the write", []change{
		{"stream.complete", `x.doubt && ofThisCopy(failed.Code)`, `false`},
	}, []detector{direct("./net/client", "TestRefusalOfACopy")}},
	{"a client says that what it waits for is answered", []change{
		{"call.name", `Window: x.sequence + 1 - s.first,`, `Window: (x.sequence + 2 - s.first) / 2,`},
	}, []detector{direct("./net/client", "TestNaming")}},
	{"send a transaction that only reads once", []change{
		{"Client.Txn", `x.write = !t.ReadOnly()`, `x.write = true`},
	}, []detector{direct("./net/client", "TestTxnTriedAgain")}},
	{"begin with the first endpoint", []change{
		{"client.Open", `c.first = rand.IntN(len(config.Endpoints))`, `c.first = 0 * rand.IntN(len(config.Endpoints))`},
	}, []detector{direct("./net/client", "TestClientsSpread")}},
	{"send late writes again", []change{
		{"conn.waits", `return !k.health.ill()`, `return false`},
	}, []detector{direct("./net/client", "TestSlowWritesAreNotSentAgain")}},
	{"wait for a member without a leader", []change{
		{"health.heard", `h.well = led(s) && (`, `h.well = (led(s) || true) && (`},
	}, []detector{direct("./net/client", "TestSlowWritesAreNotSentAgain")}},
	{"wait for a member that is stuck", []change{
		{"health.heard", `now.Sub(h.marked) < stuckAfter)`, `now.Sub(h.marked) < 1000*stuckAfter)`},
	}, []detector{direct("./net/client", "TestHealth")}},
	{"give back the name of a write that is refused", []change{
		{"naming.releaseAnswered", `|| came[i].answer.Code != kv.OK {`, `{`},
	}, []detector{direct("./net/client", "TestNaming")}},
	{"go back to a member's progress that is behind", []change{
		{"Watcher.told", `if f.Revision < w.next-1 {`, `if f.Revision < 0 {`},
	}, []detector{direct("./net/client", "TestWatchStaysAhead")}},
	{"count what a watch was told as waiting when it was read", []change{
		{"Watcher.Next", `w.bytes -= first.bytes`, ``},
	}, []detector{direct("./net/client", "TestReadWaitsNoLonger")}},
	{"pause a watch of which everything was read", []change{
		{"watching.pause", `w.paused = len(w.queue) > 0 && w.err == nil`, `w.paused = w.err == nil`},
	}, []detector{direct("./net/client", "TestPauseOfWhatWasRead")}},
	{"take a page of no keys for the end", []change{
		{"pager.next", `if page.More && len(page.KVs) == 0 &&`, `if false && page.More && len(page.KVs) == 0 &&`},
	}, []detector{direct("./net/client", "TestPageOfNothing")}},
	{"wait for a renewal beyond a lease's end", []change{
		{"KeepAlive.run", `context.WithDeadline(ctx, until)`, `context.WithTimeout(ctx, seconds(ttl))`},
	}, []detector{direct("./net/client", "TestKeepAliveIsLostInTime")}},
	{"stay away longer from a member that has served for long", []change{
		{"Client.failedOverLocked", `now.Sub(b.backAt) > most`, `now.Sub(b.backAt) < most`},
	}, []detector{direct("./net/client", "TestFailbackWaits")}},
	{"tell a version at the compacted revision twice", []change{
		{"Client.versions", `ModRevision < oldest`, `ModRevision <= oldest`},
	}, []detector{direct("./net/client", "TestHistory")}},
	{"ask a silent member once whether it lives", []change{
		{"conn.tick", `k.heardAt, k.probed = stats.PacketsReceived, stats.PacketsSent, now, false`, `k.heardAt = stats.PacketsReceived, stats.PacketsSent, now`},
	}, []detector{direct("./net/client", "TestKilledWhileAllIsQuiet")}},
	{"leave a closed watch at its context", []change{
		{"Watcher.end", `if release != nil { release() }`, `_ = release`},
	}, []detector{direct("./net/client", "TestClosedWatchIsForgotten")}},
	{"go on with a session that may have ended", []change{
		{"call.name", `|| s.first == s.next && x.begun.Sub(s.used) > sessionIdle {`, `{`},
	}, []detector{direct("./net/client", "TestSessionAfterAPause")}},
	{"take an older session clock", []change{
		{"Client.learnClock", `s.SessionClock > old`, `s.SessionClock != old`},
	}, []detector{direct("./net/client", "TestSessionClockNeverGoesBack")}},
	{"say of a write what is certain of its last attempt", []change{
		{"OutcomeUnknownError.Error", `case answer.Certain():`, `case answer.Code < 0:`},
	}, []detector{direct("./net/client", "TestUnknownOutcomeOfAnEarlierAttempt")}},
	{"go back to a member that was left shortly before", []change{
		{"Client.leaveLocked", `if now.Sub(c.leftAt) >= leftFor {`, `if now.Sub(c.leftAt) >= 0 {`},
	}, []detector{direct("./net/client", "TestTurnsToEachMember")}},
	{"take old answers of a session's window for new ones", []change{
		{"session.advance", `*word &^= (1<<done - 1) << (s.first % 64)`, ``},
	}, []detector{direct("./net/client", "TestNaming")}},
	{"forget the members when one without a leader tells less", []change{
		{"Client.learn", `if !led(s) { add(c.told) }`, ``},
	}, []detector{direct("./net/client", "TestFollowsTheMembers")}},
	{"count a lease's life from the answer", []change{
		{"KeepAlive.run", `k.until = begun.Add(seconds(ttl))`, `k.until = begun.Add(time.Since(begun)).Add(seconds(ttl))`},
	}, []detector{direct("./net/client", "TestKeepAliveCountsFromTheQuestion")}},
	{"leave the outcome of a removal open", []change{
		{"Client.RemoveMember", `if !errors.Is(err, ErrOutcomeUnknown) {`, `if err != nil {`},
	}, []detector{direct("./net/client", "TestRemovalOfTheMemberThatIsAsked")}},
	{"say that a member is removed that is still a member", []change{
		{"Client.RemoveMember", `if unread == nil && !slices.ContainsFunc(`, `if unread == nil || !slices.ContainsFunc(`},
	}, []detector{direct("./net/client", "TestRemovalOfTheMemberThatIsAsked")}},
	{"believe of the members who serves no more", []change{
		{"conn.listen", `current == k || current == nil {`, `current != nil || current == nil {`},
	}, []detector{direct("./net/client", "TestFollowsWhoServes")}},
	{"take a session for begun by a write that was given up", []change{
		{"session.release", `if answered { s.opened = 0 }`, `s.opened = 0`},
	}, []detector{direct("./net/client", "TestSessionIsThereWhenAnswered")}},
	{"resume a watch at the member's newest revision", []change{
		{"Watcher.created", `if w.next == 0 {`, `if w.next >= 0 {`},
	}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},
	{"resume a watch at the last revision again", []change{
		{"Watcher.told", `w.next = f.Revision + 1`, `w.next = f.Revision`},
	}, []detector{direct("./net/client", "TestWatchResumes")}},
	{"resume a watch within a revision", []change{
		{"Watcher.created", `w.partial, w.parts = nil, 0`, `w.parts = 0`},
	}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},

	// Locks and elections of net/client.
	{"have what a session has asked for that is lost", []change{
		{"Session.within", `over != nil {`, `over != nil && err != nil {`},
	}, []detector{direct("./net/client", "TestSessionEndsMeanwhile")}},
	{"leave a place in the line that nobody waits at", []change{
		{"acquire", `leave(ctx, s, place)`, ``},
	}, []detector{direct("./net/client", "TestMutexBesideOthers")}},

	// Package net/etcd.
	{"tell an operation the revision of its whole transaction", []change{
		{"txnAnswerOf", `if changes(found) { a.revision-- }`, ``},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"take all that a slow watch is told", []change{
		{"etcd.watches.Deliver", `w.refused = true; return false`, `w.refused = false`},
	}, []detector{direct("./net/etcd", "TestSlowWatch")}},
	{"split the events of a revision for who takes no fragments", []change{
		{"watches.sendTo", `if !one.fragment {`, `if !one.fragment && one.id < 0 {`},
	}, []detector{direct("./net/etcd", "TestFragments")}},
	{"forget a compacted watch's id", []change{
		{"etcd.watches.Deliver", `one.ended = true`, `delete(w.byID, one.id)`},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"take plain text on a port of TLS", []change{
		{"Port.hand", `case over == net.Conn(c) && !c.from.Plain:`, `case over == net.Conn(c) && c.from.TLS == nil:`},
	}, []detector{direct("./net/etcd", "TestTrust")}},
	{"hand a write over again whose outcome is unknown", []change{
		{"calls.do", `refusal == nil || refusal.Code != kv.Unavailable {`, `refusal == nil || refusal.Code != kv.Unavailable && refusal.Code != kv.Unknown {`},
	}, []detector{direct("./net/etcd", "TestWaitsForALeader")}},
	{"pace the resets of each connection as if it were alone", []change{
		{"resetLimit.each", `time.Duration(len(r.recent.clients)*max(c.last, c.now))`, `time.Duration(1)`},
	}, []detector{direct("./net/etcd", "TestResets")}},
	{"let open streams without data cost nothing", []change{
		{"Account.holdsLocked", `+ int64(len(s.streams))*limits.EtcdStreamBytes`, `+ 0*limits.EtcdStreamBytes`},
	}, []detector{direct("./net/etcd", "TestUnreadAndHalf")}},
	{"refuse as a learner without asking the leader", []change{
		{"core.takesPart", `err := s.calls.confirm(ctx)`, `err := ctx.Err()`},
	}, []detector{direct("./net/etcd", "TestLearners")}},
	{"hash what etcd would have compacted", []change{
		{"etcd.sumOf", `if one.Mod <= compacted {`, `if one.Mod <= compacted && one.Tombstone {`},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"give a command's memory to others while the member has it", []change{
		{"kvService.put", `nil { return nil, err }; buffers`, `nil { buffers.Put(command); return nil, err }; buffers`},
	}, []detector{direct("./net/etcd", "TestCommandOfAPutThatNobodyWaitsFor")}},
	{"bound all revisions that come in pieces together", []change{
		{"watches.sendTo", `one.pieces, one.size = nil, 0`, `one.pieces = nil`},
	}, []detector{direct("./net/etcd", "TestLargeRevisions")}},
	{"count what waits on watch streams that have ended", []change{
		{"etcd.watches.end", `w.s.watchBytes.Add(-w.waiting)`, ``},
	}, []detector{direct("./net/etcd", "TestUnreadWatchEnds")}},
	{"hold answers of watch streams that have ended", []change{
		{"etcd.watches.end", `w.account.Charge(-w.answers)`, ``},
	}, []detector{direct("./net/etcd", "TestEndedStreamHoldsNothing")}},
	{"bound a stream of JSON as one message", []change{
		{"body.next", `b.own.Shrink(0); b.read = 0`, `b.own.Shrink(0)`},
	}, []detector{direct("./net/etcd", "TestGatewayMessages")}},
	{"be unready for what is wrong with another member", []change{
		{"pages.sound", `&& a.MemberID == s.config.ID`, ``},
	}, []detector{direct("./net/etcd", "TestReadyzOfAnotherMember")}},
	{"leave out one check of a probe", []change{
		{"site.probe", `slices.Contains(excluded, one.Name)`, `len(excluded) == 1 && excluded[0] == one.Name`},
	}, []detector{direct("./net/etcd", "TestReadyzOfAnotherMember")}},
	{"count milliseconds as seconds", []change{
		{"rpcMeter.ended", `took := since.Seconds()`, `took := float64(time.Since(began).Milliseconds())`},
	}, []detector{direct("./net/etcd", "TestMetricsSeconds")}},
	{"keep what was read while there is no place for it", []change{
		{"bufferedRead.place", `begin()`, `_ = begin`},
	}, []detector{direct("./net/etcd", "TestWideReadsWait")}},
	{"let events overtake progress when they are joined", []change{
		{"etcd.join", `{ clear(last)`, `{`},
	}, []detector{direct("./net/etcd", "TestJoin")}},
	{"join events in memory that streams share", []change{
		{"etcd.join", `slices.Clip(to.Events), true`, `slices.Grow(to.Events, 0), true`},
	}, []detector{direct("./net/etcd", "TestJoinShared")}},
	{"join a watch's events with those of another list", []change{
		{"etcd.join", `listed{&n.IDs[0], len(n.IDs)}`, `listed{&n.IDs[0], 1}`},
	}, []detector{direct("./net/etcd", "TestJoin")}},
	{"sort ranges without a place until they are large", []change{
		{"kvService.rangeSorted", `|| a.size > pieceBytes && !wide.placed, nil`, `, nil`},
	}, []detector{direct("./net/etcd", "TestBuiltAnswersThatWait")}},
	{"hold the View of a usage as long as it takes", []change{
		{"usage.heldTooLong", `return held > limits.PagesHeld || held`, `return held`},
	}, []detector{direct("./net/server", "TestUsageHeldTooLong")}},
	{"send nothing while a usage is counted", []change{
		{"stream.readUsage", `case !done && begun.Sub(u.sent) < limits.UsagePulse:`, `case !done:`},
	}, []detector{direct("./net/server", "TestUsagePulse")}},
	{"count usage without memory for it", []change{
		{"writer.beginUsage", `if !w.share.take(limits.UsageBytes) {`, `if w.share.take(limits.UsageBytes); false {`},
	}, []detector{direct("./net/server", "TestUsageRefused")}},
	{"give up a usage when the history is compacted", []change{
		{"Client.usageOnce", `(is && answer.Code == kv.Compacted || resumable(err))`, `(is && answer == nil || resumable(err))`},
	}, []detector{direct("./net/client", "TestUsageAgain")}},
	{"encode sorted answers of large values before they have room", []change{
		{"kvService.rangeSorted", `reads := index.NewSortedReader(r, limits.PageBytes)`, `reads := index.NewSortedReader(r, 0)`},
	}, []detector{direct("./net/etcd", "TestBuiltAnswersThatWait")}},
	{"make JSON of much at once", []change{
		{"bounded.Marshal", `proto.Size(m) > limits.EtcdPieceBytes {`, `proto.Size(m) > limits.EtcdPieceBytes && limits.EtcdPieceBytes == 0 {`},
	}, []detector{direct("./net/etcd", "TestMuchJSONTakesTurns")}},
	{"make JSON of a stream's parts at once", []change{
		{"bounded.Marshal", `of = chunk["result"]`, `_ = chunk`},
	}, []detector{direct("./net/etcd", "TestMuchJSONTakesTurns")}},
	{"count the keys of watches that were canceled", []change{
		{"etcd.watches.forgetLocked", `w.s.watches.Add(-1); w.namesLocked(-one.names())`, `w.s.watches.Add(-1)`},
	}, []detector{direct("./net/etcd", "TestWatchedKeysCount")}},
	{"count the objects of all messages of a stream", []change{
		{"body.next", `b.objects = 0`, ``},
	}, []detector{direct("./net/etcd", "TestGatewayStreamOfManyMessages")}},
	{"take requests of a watch stream whose answers nobody reads", []change{
		{"watches.awaitRoom", `for w.answers > limits.EtcdWatchAnswers && !w.over {`, `for w.answers < 0 && !w.over {`},
	}, []detector{direct("./net/etcd", "TestWatchAnswersUnread")}},
	{"answer a refused watch before those that were asked for earlier", []change{
		{"watches.answer", `w.ask(kv.WatchRequest{Kind: kv.WatchEcho})`, `w.Deliver(&kv.WatchDelivery{Kind: kv.WatchEchoed})`},
	}, []detector{direct("./net/etcd", "TestWatchAnswersInOrder")}},
	{"say of a deletion whose answer has no room only that there is none", []change{
		{"kvService.deleteRange", `return encoded, doneAt(out.Result.Revision, err)`, `return encoded, err`},
	}, []detector{direct("./net/etcd", "TestDeletionWithoutRoom")}},
	{"count an answer over HTTP that its client reads as one that stands still", []change{
		{"paced.Write", `p.own.Moved(n)`, ``},
	}, []detector{direct("./net/etcd", "TestPacedAnswers")}},
	{"count an answer over HTTP when all of it is written", []change{
		{"paced.Write", `b[:min(len(b), limits.EtcdGatewayPace)]`, `b`},
	}, []detector{direct("./net/etcd", "TestPacedAnswers")}},
	{"keep the room of a list that is given up while it is encoded", []change{
		{"leaseService.listed", `reserved.Release()`, ``},
	}, []detector{direct("./net/etcd", "TestListGivenUp")}},
	{"answer on loopback to whatever name a page has", []change{
		{"Config.hostFits", `local != nil && !local.IP.IsLoopback() &&`, `local != nil &&`},
	}, []detector{direct("./net/web", "TestHostFits"), direct("./net/etcd", "TestPagesAreRefused")}},
	{"guard the pages without the names of the member", []change{
		{"pages.server", `Names: s.config.Names,`, ``},
	}, []detector{direct("./net/etcd", "TestPagesKnowTheMembersNames")}},
	{"guard the pages without the list of hosts", []change{
		{"pages.server", `Hosts: s.config.Hosts,`, ``},
	}, []detector{direct("./net/etcd", "TestPagesKnowTheMembersNames")}},
	{"take a request over TLS for one in plain text", []change{
		{"Secure", `return secure`, `return secure && false`},
	}, []detector{direct("./net/etcd", "TestPagesKnowTheMembersNames")}},
	{"let pages of other sites ask outside of the gateway", []change{
		{"Config.guard", `case site != "" && site != "none" &&`, `case site == "" && site != "none" &&`},
	}, []detector{direct("./net/etcd", "TestPagesAreRefused")}},
	{"end the answer of a lock over HTTP when it would have been late", []change{
		{"gateway.ServeHTTP", `if waiting[r.URL.Path] {`, `if waiting[r.URL.Path] && timeout == 0 {`},
	}, []detector{direct("./net/etcd", "TestGatewayLocks")}},
	{"let metadata cost nothing", []change{
		{"Account.holdsLocked", `+ s.heads + s.out`, `+ s.out`},
	}, []detector{direct("./net/etcd", "TestMetadataCounts")}},
	{"keep each name whose health is watched", []change{
		{"health.Watch", `q.Service = ""`, `h.names[q.Service] = known`},
	}, []detector{direct("./net/etcd", "TestHealthOfManyNames")}},
	{"serve watches of the health outside of the limit of streams", []change{
		{"Server.healthService", `limits.EtcdHealthStreams,`, `1000*limits.EtcdHealthStreams,`},
	}, []detector{direct("./net/etcd", "TestHealthStreams")}},
	{"let watches of the health take the places of others", []change{
		{"Server.healthService", `limited(&s.healthStreams, limits.EtcdHealthStreams,`, `limited(&s.streams, limits.EtcdStreamsAll,`},
	}, []detector{direct("./net/etcd", "TestHealthStreams")}},
	{"encode large answers before they are asked for", []change{
		{"kvService.rangeLater", `if !a.large() {`, `if a.most = 0; true {`},
		{"rangeAnswer.add", `if a.most > 0 {`, `if a.most < 0 {`},
	}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
	{"send what cannot be read any more", []change{
		{"deferredPiece.ReadOnlyData", `l.account.Closer()()`, ``},
	}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
	{"let large answers go with a compaction", []change{
		{"pinned.or", `if p.view != nil { return p.view }`, ``},
	}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
	{"keep the room of built answers with a closed connection", []change{
		{"Account.end", `defer s.releaseCarried()`, `defer func() {}()`},
	}, []detector{direct("./net/etcd", "TestBuiltAnswers")}},
	{"count nothing for requests that are not answered", []change{
		{"Account.holdsLocked", `+ int64(len(s.asked))*limits.EtcdAskedBytes`, `+ 0*limits.EtcdAskedBytes`},
	}, []detector{direct("./net/etcd", "TestUnreadAndHalf")}},
	{"give one host all places of locks", []change{
		{"FairSlots.TryTake", `if s.by[client] >= s.Total-s.taken {`, `if s.taken >= s.Total {`},
	}, []detector{direct("./internal/admit", "TestFairSlots"), direct("./net/etcd", "TestLocksThatWait")}},
	{"let who was closed open as much again at once", []change{
		{"resetLimit.blame", `r.blames[client] = now`, ``},
	}, []detector{direct("./net/etcd", "TestBlamed")}},
	{"ask the same room for each snapshot", []change{
		{"snapshotRoom", `min(limits.EtcdSnapshotRoom, limits.EtcdSnapshotLeast+4*state)`, `limits.EtcdSnapshotRoom`},
	}, []detector{direct("./net/etcd", "TestSnapshotRoom")}},
	{"keep the place of a handshake while the other side says nothing", []change{
		{"conn.Read", `if c.place != nil {`, `if c.place != nil && len(b) == 0 {`},
	}, []detector{direct("./net/etcd", "TestHandshakesThatAreLeft")}},
	{"read JSON for which there is no room", []change{
		{"Reservation.Set", `if bytes <= b.left {`, `if bytes <= b.left || bytes > 1<<20 {`},
	}, []detector{direct("./net/etcd", "TestGatewayRoom")}},
	{"let who stands still keep the room for JSON", []change{
		{"Budget.evictSlowLocked", `if r.moved-r.mark < pace {`, `if r.moved-r.mark < 0 {`},
	}, []detector{direct("./net/etcd", "TestGatewayRoom")}},
	{"serve one connection however much it asks", []change{
		{"Account.overloads", `s.of.serving.Load() > limits.EtcdServed`, `s.of.serving.Load() > 1<<40`},
	}, []detector{direct("./net/etcd/front", "TestServed$")}},
	{"count a request whose answer begins until it ends", []change{
		{"Account.toClient", `s.answered(stream)`, ``},
	}, []detector{direct("./net/etcd/front", "TestServed$")}},
	{"make those wait who ask little beside one who asks much", []change{
		{"Account.overloads", `s.serving.Load() > limits.EtcdServedFew`, `s.serving.Load() >= 0`},
	}, []detector{direct("./net/etcd/front", "TestServed$")}},
	{"have a connection wait for those that wait for a lock", []change{
		{"Account.Rest", `s.serving.Load() == 0`, `s.serving.Load() >= 0`},
	}, []detector{direct("./net/etcd/front", "TestServed$"), direct("./net/etcd", "TestLocksThatWait")}},
	{"list no watch whose client does not read", []change{
		{"watches.Deliver", `w.slowLocked(d.IDs, d.Revision, true)`, ``},
	}, []detector{direct("./net/etcd", "TestDashboardSlowWatches")}},
	{"show the newest candidacy as the holder of a lock", []change{
		{"locks.step", `pair.CreateRevision < l.oldest`, `pair.CreateRevision > l.oldest`},
	}, []detector{direct("./net/web", "TestHolderThatIsNotListed")}},
	{"close a connection for each that finds too much held", []change{
		{"Accounts.closeLargest", `m.closing.Lock(); worst, most := m.largest()`, `worst, most := m.largest(); m.closing.Lock()`},
	}, []detector{direct("./net/etcd/front", "TestOneIsEnough")}},
	{"refuse a client of gRPC in a way that lets it dial again at once", []change{
		{"front.refuse", `_ = f.WriteGoAway(0, http2`, `_ = f.WriteSettings(); _ = f.WriteGoAway(0, http2`},
	}, []detector{direct("./net/etcd", "TestFull"), direct("./net/etcd", "TestTrust")}},
	{"let one address keep all others out of a full port", []change{
		{"Port.makePlaceLocked", `others := len(from) > own+1`, `others := len(from) < own`},
	}, []detector{direct("./net/etcd", "TestPlaces")}},
	{"close a connection that watches in favour of its client's next", []change{
		{"Port.makePlaceLocked", `if !others && (serves ||`, `serves = false; if !others && (`},
	}, []detector{direct("./net/etcd", "TestPlaces")}},
	{"count no request over HTTP as one that is served", []change{
		{"Account.open", `len(s.streams) > 0 || s.web > 0`, `len(s.streams) > 0`},
	}, []detector{direct("./net/etcd", "TestProbesAmongIdle")}},
	{"let addresses with one connection each keep probes out", []change{
		{"Port.makePlaceLocked", `if p.grpc == nil {`, `if p.grpc == nil && p.each < 0 {`},
	}, []detector{direct("./net/etcd", "TestProbesAmongIdle")}},
	{"keep the places for metrics for a second", []change{
		{"NewMetricsPort", `p.most = most`, `p.most, p.idle = most, limits.EtcdPlaceIdle`},
	}, []detector{direct("./net/etcd", "TestProbesAmongIdle")}},
	{"hear an address whose connections all come to nothing", []change{
		{"refusals.tooMany", `max(c.last, c.now) < limits.EtcdRefused`, `c.now >= 0`},
	}, []detector{direct("./net/etcd/front", "TestRefusedAddress")}},
	{"let pings cost nothing", []change{
		{"Account.fromClient", `case kind != dataFrame && kind != headersFrame, kind == dataFrame`, `case kind == dataFrame`},
	}, []detector{direct("./net/etcd/front", "TestFramesThatAskForNothing")}},
	{"begin gRPC's workers with the member", []change{
		{"Port.Run", `running.Go(func() { _ = p.config.Web.Serve(p.http) })`, `p.config.BeginGRPC(); running.Go(func() { _ = p.config.Web.Serve(p.http) })`},
	}, []detector{direct("./net/etcd", "TestWorkersBeginWithAConnection")}},
	{"keep what an answer of etcd's API reads from", []change{
		{"tooLong", `held > bounds.Stall && retired()`, `held > 1000*bounds.Stall && retired()`},
	}, []detector{direct("./net/etcd", "TestHeldTooLong")}},
	{"head a keep-alive's answer with a revision from behind it", []change{
		{"leaseService.renewed", `Header: one.header,`, `Header: s.header(s.config.Member.View().Revision()),`},
	}, []detector{direct("./net/etcd", "TestKeepAliveHasAnEarlierHeader")}},
	{"answer a physical compaction before it is done", []change{
		{"kvService.compact", `v.Compacted() <= q.Revision && !v.Dropped()`, `v.Compacted() < q.Revision && !v.Dropped()`},
	}, []detector{direct("./net/etcd", "TestPhysicalCompaction")}},
	{"call a revision the future that another member has", []change{
		{"core.mayReadAt", `_ = s.calls.confirm(ctx)`, `_ = ctx.Err()`},
	}, []detector{direct("./net/etcd", "TestRevisionThatAnotherMemberTold")}},
	{"stay in the line for a lock that nobody waits for", []change{
		{"lockService.await", `_ = c.Withdraw(last, store{s})`, `_ = last`},
	}, []detector{direct("./net/etcd", "TestLockThatIsGivenUp")}},
	{"campaign with the value of before", []change{
		{"lockService.campaign", `found && !bytes.Equal(own.Value, q.Value) {`, `found && !bytes.Equal(own.Key, own.Key) {`},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"keep a snapshot's file open that was sent", []change{
		{"maintenanceService.snapshot", `defer file.Close()`, ``},
	}, []detector{direct("./net/etcd", "TestSnapshotLeavesNothing")}},
	{"watch on for a lock that nobody waits for", []change{
		{"etcd.store.Await", `defer member.Watch(one, kv.WatchRequest{Kind: kv.WatchEnd})`, ``},
	}, []detector{direct("./net/etcd", "TestLocksThatWait")}},
	{"list leases without room", []change{
		{"leaseService.listed", `reserved, err := s.build(ctx, size)`, `reserved, err := s.build(ctx, 0)`},
	}, []detector{direct("./net/etcd", "TestListsHaveRoom")}},
	{"watch keys that count for nobody", []change{
		{"watches.namesLocked", `w.names += bytes; w.account.Charge(bytes)`, ``},
	}, []detector{direct("./net/etcd", "TestWatchedKeysCount")}},
	{"hold up all hashes by a snapshot that nobody reads", []change{
		{"maintenanceService.snapshot", `s.admission.hashing.Release()`, `defer s.admission.hashing.Release()`},
	}, []detector{direct("./net/etcd", "TestSnapshotsUnread")}},
	{"let keep-alives take all places", []change{
		{"leaseService.keepAlive", `if !s.calls.awaitHalf(stream.Context()) { return }`, ``},
	}, []detector{direct("./net/etcd", "TestKeepAlivesLeavePlaces")}},
	{"hold a large value for each who reads nothing", []change{
		{"kvService.rangeKeys", `len(found.KVs[0].Value) > most {`, `len(found.KVs[0].Value) > most+limits.RequestBytes {`},
	}, []detector{direct("./net/etcd", "TestLargeValuesUnread")}},

	// Package net/etcd/migrate.
	{"keep what a compaction that was not through would drop", []change{
		{"File.keeps", `several && last != r.Mod {`, `several && last < r.Mod {`},
	}, []detector{direct("./net/etcd/migrate", "TestFile")}},
	{"take a file whose sum is another one", []change{
		{"File.readSum", `if said != f.Sum && !unchecked {`, `if said != f.Sum && f.Size == 0 {`},
	}, []detector{direct("./net/etcd/migrate", "TestFileDamaged")}},
	{"cut over without a look at the hashes", []change{
		{"Live.cutOver", `if here.Hash != old.Hash ||`, `if here.Hash != old.Hash && l.source == 0 ||`},
	}, []detector{direct("./net/etcd/migrate", "TestLiveRefuses")}},
	{"take what a member has against a client's certificate for nothing", []change{
		{"Source.diagnose", `_, err = conn.Read(make([]byte, 1))`, `_ = 0`},
	}, []detector{direct("./net/etcd/migrate", "TestDiagnose")}},
	{"cut over without a second look at the source", []change{
		{"Live.cutOver", `if _, newest, err := l.from(ctx); err != nil || newest != revision { return false, err }`, ``},
	}, []detector{direct("./net/etcd/migrate", "TestWriteBetweenHashAndCutOver")}},
	{"follow a page that is its own child", []change{
		{"pageTable.visit", `if t.visited[i/64]&(1<<(i%64)) != 0 {`, `if t.visited[i/64]&(1<<(i%64)) != 0 && i > id {`},
	}, []detector{direct("./net/etcd/migrate", "TestHostilePages")}},
	{"follow a page whose elements share their bytes", []change{
		{"pageTable.elements", `free = begin + key + value`, ``},
	}, []detector{direct("./net/etcd/migrate", "TestHostilePages")}},
	{"read a file with pages of no bytes", []change{
		{"checkPages", `if t.pageSize < leastPageBytes ||`, `if`},
	}, []detector{direct("./net/etcd/migrate", "TestPageSizes")}},
	{"follow a chain of pages of any length", []change{
		{"pageTable.visit", `case p.depth > treeDepth:`, `case p.depth > 1000:`},
	}, []detector{direct("./net/etcd/migrate", "TestDeepPages")}},

	// Package net/peer.
	{"keep the link of a removed peer", []change{
		{"Transport.SetPeers", `t.links.Store(&now)`, `for id, l := range before { if now[id] == nil { now[id] = l } }; t.links.Store(&now)`},
	}, []detector{direct("./net/peer", "TestRemovedPeer")}},
	{"read into the piece of frames that were handed out", []change{
		{"reader.fill", `if r.kept || piece == nil {`, `if piece == nil {`},
	}, []detector{direct("./net/peer", "TestReader")}},
	{"take a new piece for each large frame", []change{
		{"reader.fill", `if r.kept || piece == nil {`, `if r.kept || piece != nil || piece == nil {`},
	}, []detector{direct("./net/peer", "TestReaderOfLargeFrames")}},
	{"read the peers' packets one by one", []change{
		{"Transport.ServeParts", `wire.ReceiveOffload(t.config.Listen)`, `t.config.Listen`},
	}, []detector{direct("./net/peer", "TestPeersReadRows")}},
	{"let whoever calls be the member that it says", []change{
		{"link.is", `return l.transport.config.Trust.Vouches(q.ConnectionState().TLS, addresses)`, `_ = addresses; return nil`},
	}, []detector{direct("./cli", "TestProcessKubeadmThree")}},
	{"dial one that has refused as one that was not reached", []change{
		{"link.pause", `if l.notBefore.After(until) { until = l.notBefore }`, ``},
	}, []detector{direct("./net/peer", "TestPauses")}},
	{"wait at another address for who has refused", []change{
		{"link.takeMoved", `l.moved, l.notBefore = false, time.Time{}`, `l.moved = false`},
	}, []detector{direct("./net/peer", "TestPauses")}},
	{"use a piece's memory again before it is written", []change{
		{"conn.write", `bytes, err := w.addAll(frames)`, `for _, frame := range frames { peerframe.Free(frame) }; bytes, err := w.addAll(frames)`},
	}, []detector{direct("./net/peer", "TestPiecesArriveAsTheyWere")}},
	{"warn of who closes within the handshake", []change{
		{"Transport.turnedAway", `early && gone.Remote && gone.ErrorCode == quic.ApplicationErrorErrorCode ||`, ``},
		{"Transport.turnedAway", `gone, early := errors.AsType[*quic.TransportError](err)`, ``},
	}, []detector{direct("./net/peer", "TestTurnedAway")}},
	{"do not say that a folder was copied", []change{
		{"link.rival", `l.transport.handler.Copied(l.id, why)`, ``},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"take a host that says nothing for one that refuses", []change{
		{"link.findAlive", `if askAlive(ctx, at) == nil && l.out.Load() == c {`, `if l.out.Load() == c {`},
	}, []detector{direct("./net/peer", "TestCheckAlive")}},
	{"let the copy of a folder take the place of its original", []change{
		{"link.rival", `|| askAlive(ctx, at) != nil {`, `|| true {`},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"judge a copied folder before its rival is asked", []change{
		{"Transport.hear", `err = l.rival(ctx, q, &theirs); if err == nil { err = l.judge(&theirs) }`, `err = l.judge(&theirs)`},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"wait for a replacement only while the lost one is a member", []change{
		{"joiner.definite", `return final(err) && !(refused && j.waits)`, `return final(err) && !(refused && j == nil)`},
	}, []detector{direct("./net/peer", "TestJoinWaitsForAReplacement")}},
	{"give up joining by the word of one that may be behind", []change{
		{"peer.final", `refused && no.Code != peerframe.Behind`, `refused && no != nil`},
	}, []detector{direct("./net/peer", "TestJoinWaitsForOneThatIsBehind")}},
	{"give parts to another cluster", []change{
		{"Transport.readPartRequest", `err = request.CheckCluster(t.config.Cluster)`, `_ = t.config.Cluster`},
	}, []detector{direct("./net/peer", "TestPartIsRefused")}},
	{"give parts to strangers", []change{
		{"Transport.readPartRequest", `_, err = t.linkOf(request.From, name, q); err == errOther`, `_, err = t.linkOf(request.From, name, q); err == errOther && request.From == 0`},
		{"Transport.readPartRequest", `return request, asRefusal(err)`, `_ = err; return request, nil`},
	}, []detector{direct("./net/peer", "TestPartIsRefused")}},
	{"believe the name in a request for a part", []change{
		{"Transport.readPartRequest", `name != "" && request.Name != name`, `name == "" && request.Name != name`},
	}, []detector{direct("./net/peer", "TestPartIsRefused")}},
	{"send a part to a reader that takes nothing", []change{
		{"peer.sendPart", `time.Now().Add(limits.PartStall)`, `time.Now().Add(1000 * limits.PartStall)`},
	}, []detector{direct("./net/peer", "TestStuckReaderOfAPart")}},
	{"take a byte a second for a part", []change{
		{"fetcher.receive", `SetReadDeadline(time.Now().Add(limits.PartStall))`, `SetReadDeadline(time.Now().Add(1000 * limits.PartStall))`},
	}, []detector{direct("./net/peer", "TestSlowGiverOfAPart")}},
	{"send a part from its beginning on", []change{
		{"peer.sendPart", `piece := make([]byte, limits.PartPieceBytes)`, `piece := make([]byte, limits.PartPieceBytes); offset = 0`},
	}, []detector{direct("./net/peer", "TestFetchPart")}},
	{"ask again a member that gives other bytes", []change{
		{"fetcher.fetch", `return other == address`, `return other != other`},
	}, []detector{direct("./net/peer", "TestFetchPartOfOtherBytes")}},
	{"use connections before the start", []change{
		{"Transport.judgeNew", `case <-t.open:`, `case <-t.ctx.Done(): default:`},
	}, []detector{direct("./net/peer", "TestPartsBeforeStart")}},
	{"blame who goes on behind wrong bytes of another", []change{
		{"fetcher.fetch", `from > 0 && errors.Is(err, ErrOtherBytes)`, `from < 0`},
	}, []detector{direct("./net/peer", "TestFetchPartBlamesTheRightOne")}},
	{"warn of a join that only has to ask again", []change{
		{"joiner.noteFailure", `time.Since(j.began) < limits.JoinRefusedTimeout`, `time.Since(j.began) < 0`},
	}, []detector{direct("./net/peer", "TestJoinThatIsNormal")}},
	{"take a handshake that was taken before", []change{
		{"choice.accept", `case at.Process == c.seen.Process && at.Dial <= c.seen.Dial:`, `case at.Process == c.seen.Process && at.Dial < c.seen.Dial:`},
	}, []detector{direct("./net/peer", "TestHandshakeIsTakenOnce")}},
	{"try one address of a name", []change{
		{"peer.resolve", `found[attempt%len(found)]`, `found[0]`},
	}, []detector{direct("./net/peer", "TestResolveTakesTurns")}},
	{"tell again of what was told to be held back", []change{
		{"Limited.pass", `suppressed, s.suppressed = s.suppressed, 0`, `suppressed = s.suppressed`},
	}, []detector{direct("./internal/logx", "TestRemindersCountAnew")}},
	{"keep the place of a handshake that came to nothing", []change{
		{"Transport.meet", `k.giveBack()`, ``},
	}, []detector{direct("./net/peer", "TestPlaceOfAnUnmetConnection")}},

	// Package net/server.
	{"record a refused login a second time, as its connection's user", []change{
		{"server.conn.audited", `why == nil || op == wire.OpLogin ||`, `why == nil ||`},
	}, []detector{direct("./net/server", "TestAudit")}},
	{"propose a change of users before the level of a new cluster permits it", []change{
		{"stream.start", `s.conn.server.config.Member.View().LevelRises()`, `false`},
	}, []detector{direct("./net/server", "TestChangeOfUsersWaitsForTheLevel")}},
	{"record a refused token as a proof", []change{
		{"etcd.core.event", `case e.User == "":`, `case e.User == "" && !token:`},
	}, []detector{direct("./net/etcd", "TestAudit")}},
	{"read what a write is answered with from the newest View", []change{
		{"body.begin", `if b.view == nil && !q.Write() {`, `if true {`},
	}, []detector{direct("./net/server", "TestBodyOutlivesCompaction")}},
	{"say of a write without room for its answer that it did not happen", []change{
		{"body.refusal", `if b != nil && b.request.Write() {`, `if false {`},
		{"errAnswerTooLarge", `Code: kv.AnswerTooLarge, Message`, `Code: kv.Overloaded, Message`},
	}, []detector{direct("./net/server", "TestLongBodies")}},
	{"keep counting requests that did not come", []change{
		{"stream.flush", `s.uncount()`, ``},
	}, []detector{direct("./net/server", "TestOneBatch|TestReadsTogether")}},
	{"answer the last read of each 32 as the first", []change{
		{"stream.answerLocals", `x := &l.reads[i]`, `x := &l.reads[i]; x.Range = l.reads[i%(len(l.reads)-1)].Range`},
	}, []detector{direct("./net/server", "TestReadsTogether")}},
	{"log each connection that breaks the protocol", []change{
		{"server.conn.close", `c.warn("closed a client's connection", reason)`, `c.logger.Warn("closed a client's connection", "reason", reason)`},
	}, []detector{direct("./net/server", "TestNoFramesLogged")}},
	{"write once more what was taken before a stall", []change{
		{"stream.sendPiece", `piece = piece[n:]`, `_ = n`},
	}, []detector{direct("./net/server", "TestAnswerGoesOnBehindAStall")}},
	{"count the watches of streams that have ended", []change{
		{"server.watches.end", `w.s.conn.watches.Add(-int64(len(w.all)))`, ``},
	}, []detector{direct("./net/server", "TestEndedWatchesGiveBack")}},
	{"say the TTL that another member would have granted", []change{
		{"buffer.appendLease", `if d.Result.Resent {`, `if false && d.Result.Resent {`},
	}, []detector{direct("./net/server", "TestGrantThatComesAgainElsewhere")}},
	{"hand over long writes at once", []change{
		{"stream.admit", `x.long && !s.conn.server.long.CompareAndSwap(false, true) {`, `x.long && !s.conn.server.long.CompareAndSwap(false, true) && q == nil {`},
	}, []detector{direct("./net/server", "TestLongWritesGoOneByOne")}},
	{"keep what a body reads from while it is read", []change{
		{"body.heldTooLong", `now.Sub(b.since) > limits.ClientStall && retired`, `now.Sub(b.since) > 1000*limits.ClientStall && retired`},
	}, []detector{direct("./net/server", "TestBodyHeldTooLong")}},
	{"give back nothing of what an ended watch stream kept", []change{
		{"server.watches.end", `bytes := w.waiting`, `bytes := int64(0)`},
	}, []detector{direct("./net/server", "TestEndedWatchesGiveBack")}},
	{"let a watch starve that keeps nothing", []change{
		{"watches.write", `if w.written(taken, since); starved {`, `if w.written(taken, since); starved && timed {`},
	}, []detector{direct("./net/server", "TestWatchStarves")}},
	{"cancel the watch whose id was taken again", []change{
		{"server.watches.refuse", `!there {`, `!there || id > 0 {`},
	}, []detector{direct("./net/server", "TestWatchStream")}},
	{"count streams that have ended", []change{
		{"server.conn.release", `c.unpaid--`, `_ = c.unpaid`},
	}, []detector{direct("./net/server", "TestStreamsThatHaveEnded")}},
	{"count watches that found no room", []change{
		{"watches.admit", `if !w.s.share.take(bytes) { w.s.conn.watches.Add(-1)`, `if !w.s.share.take(bytes) {`},
	}, []detector{direct("./net/server", "TestWatchWithoutRoom")}},
	{"move no leader any more for one who has left", []change{
		{"stream.moveLeader", `server.moving.Store(false); }; return nil`, `}; return nil`},
	}, []detector{direct("./net/server", "TestMoveLeaderOfOneWhoHasLeft")}},
	{"keep the decoded transaction until the stream's next request", []change{
		{"stream.handleAll", `s.request.Txn, s.request.Auth = nil, nil`, `s.request.Auth = nil`},
	}, []detector{direct("./net/server", "TestTxnIsForgotten")}},
	{"let a watch that is not read hold up the others", []change{
		{"server.watches.Deliver", `if w.waiting > 0 && w.waiting+size > limits.WatchBytesWaiting || !w.s.share.take(size) {`, `for w.waiting > 0 && w.waiting+size > limits.WatchBytesWaiting && !w.ended { w.room.Wait() }; if !w.s.share.take(size) {`},
	}, []detector{direct("./net/server", "TestWatchNotTaken")}},

	{"propose a change of the members together with other commands", []change{
		{"stream.start", `alone := q.Op.Alone()`, `alone := false`},
	}, []detector{direct("./net/server", "TestMemberChange")}},

	// Package net/wire.
	{"give a read the name of the write before it", []change{
		{"wire.ReadRequest", `q.Once = kv.SessionWrite{}`, ``},
	}, []detector{direct("./net/wire", "TestReadingOneAfterAnother")}},
	{"list the leases of a member that has no state", []change{
		{"wire.ops", `name: "list of leases", path: PathLocal`, `name: "list of leases", path: PathRead`},
	}, []detector{direct("./net/wire", "TestPath"), direct("./node", "TestNothingIsListedBeforeTheFirstLeader")}},
	{"put a transaction that only reads into the log", []change{
		{"Request.Path", `if path == PathLog && q.Txn != nil && q.Txn.ReadOnly() {`, `if path == 0 {`},
	}, []detector{direct("./net/server", "TestTxnReadOnly")}},
	{"take a row of datagrams for one", []change{
		{"offloadConn.read", `c.segment = max(int(binary.NativeEndian.Uint32(body)), 1)`, `_ = binary.NativeEndian.Uint32(body)`},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"lose what the kernel says of a row of datagrams", []change{
		{"offloadConn.read", `c.kept = append(c.kept, rest[:len(rest)-len(behind)]...)`, `_ = c.kept`},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"take a datagram for another sender's", []change{
		{"offloadConn.read", `if c.from == nil || source != c.source {`, `if c.from == nil {`},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"hold back the last of a row of datagrams", []change{
		{"offloadConn.ReadBatch", `i < len(messages) && len(c.left) > 0; i++ {`, `i < len(messages) && len(c.left) >= c.segment; i++ {`},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"change the sender of datagrams that were handed out", []change{
		{"offloadConn.read", `c.from, c.source = net.UDPAddrFromAddrPort(source), source`, `if c.from == nil { c.from = &net.UDPAddr{} }; *c.from, c.source = *net.UDPAddrFromAddrPort(source), source`},
	}, []detector{direct("./net/wire", "TestReceiveOffloadOfEachAddress")}},
	{"lose where a datagram came to", []change{
		{"offloadConn.read", `} else {`, `} else if header.Type != unix.IP_PKTINFO && header.Type != unix.IPV6_PKTINFO {`},
	}, []detector{direct("./net/wire", "TestReceiveOffloadOfEachAddress")}},
	{"read each datagram alone", []change{
		{"wire.ReceiveOffload", `refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)`, ``},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"tell how long ago something was by the time of day", []change{
		{"Moment.Ago", `return now.Sub(momentsBegan) -`, `return time.Unix(0, now.UnixNano()).Sub(momentsBegan) -`},
	}, []detector{direct("./net/wire", "TestMoment")}},
	{"take any certificate of the CA for any member's", []change{
		{"FileTrust.Vouches", `if own.VerifyHostname(host) == nil {`, `if own.VerifyHostname(host) == nil || host != "" {`},
	}, []detector{direct("./net/wire", "TestFilePeers"), direct("./cli", "TestProcessKubeadmThree")}},
	{"take the certificate of one of qkv's clients for a member's", []change{
		{"notClient", `err == nil && id.Class != ClassMember {`, `err == nil && id.Class == ClassCA {`},
	}, []detector{direct("./net/wire", "TestFilePeers")}},
	{"let in a client whose certificate was revoked", []change{
		{"FileTrust.allowed", `if revoked[revocation(c.RawIssuer, c.SerialNumber.Bytes())] {`, `if revoked[revocation(c.RawSubject, c.SerialNumber.Bytes())] {`},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"ask clients for no certificate where there is a CA", []change{
		{"FileTrust.ClientsTLS", `if f.names.CA != "" || required {`, `if required {`},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"write a name with a separator of paths as it is", []change{
		{"nameMarks", `const nameMarks = "._-@+"`, `const nameMarks = "._-@+/"`},
	}, []detector{direct("./net/wire", "TestFileName")}},
	{"give two long names one file", []change{
		{"FileName", `sum := sha256.Sum256([]byte(name))`, `sum := sha256.Sum256([]byte(escaped[:fileNameCut]))`},
	}, []detector{direct("./net/wire", "TestFileName")}},
	{"take another spelling of a name in a certificate", []change{
		{"ParseIdentity", `if err != nil || escapeName(name) != escaped {`, `if err != nil {`},
	}, []detector{direct("./net/wire", "TestParseIdentity")}},
	{"share a local CA in a folder that another user may change", []change{
		{"HomeBeside", `err = checkPrivate(home, os.Geteuid())`, `_, err = os.Stat(home)`},
	}, []detector{direct("./net/wire", "TestHomeBeside")}},
	{"ask clients for certificates of the CA of the start", []change{
		{"FileTrust.demand", `now.ClientCAs = f.fresh().roots`, ``},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"show the certificate of a server where another is for dialling", []change{
		{"FileTrust.base", `return &f.fresh().dial, nil`, `return &f.fresh().own, nil`},
	}, []detector{direct("./net/wire", "TestFileDialling")}},
	{"dial a member whose certificate was revoked", []change{
		{"FileTrust.Dial", `if err := f.allowed(state.PeerCertificates); err != nil { return err }`, ``},
	}, []detector{direct("./net/wire", "TestFileDialling")}},
	{"refuse a status with fewer fields", []change{
		{"readStatus", `whole := r.Struct(statusFields)`, `n := r.Array(); if n < statusFields { r.Fail("a short status") }; whole := r.Fields(n, statusFields)`},
	}, []detector{direct("./net/wire", "TestFramesGrow")}},
	{"publish over a folder without naming it", []change{
		{"wire.publish", `look == nil && there.IsDir() {`, `look == nil && there.Size() < 0 {`},
	}, []detector{direct("./net/wire", "TestLocalCARefuses")}},
	{"give handshakes all their time beside a flood of them", []change{
		{"Handshakes.Timeout", `if 4*h.all < h.most {`, `if h.all < h.most {`},
	}, []detector{direct("./net/wire", "TestHandshakesTimeout")}},
	{"read a local certificate at each handshake", []change{
		{"Credentials.refreshLocked", `&& now.Sub(c.renewalDone) >= renewalPause`, ``},
	}, []detector{direct("./net/wire", "TestLocalCertificateIsReadOnce")}},
	{"take files for read that came while they were read", []change{
		{"Credentials.refreshLocked", `c.seen, c.lastErr = seen, err`, `c.seen, c.lastErr = c.stats(), err`},
	}, []detector{direct("./net/wire", "TestFilesReplacedWhileTheyAreRead")}},
	{"remember why files could not be used", []change{
		{"Credentials.refreshLocked", `if seen == c.seen && c.lastErr == nil && !due { return nil`, `if seen == c.seen && !due { return c.lastErr`},
	}, []detector{direct("./net/wire", "TestFilesThatCannotBeUsedYet")}},
	{"take a key that a group writes", []change{
		{"readKey", `mode&0o027 != 0`, `mode&0o007 != 0`},
	}, []detector{direct("./net/wire", "TestLoadErrors")}},
	{"remember why named files could not be used", []change{
		{"FileTrust.refreshLocked", `seen == f.seen && f.lastErr == nil { return nil`, `seen == f.seen { return f.lastErr`},
	}, []detector{direct("./net/wire", "TestFilesThatCouldNotBeRead")}},
	{"look for none above a certificate among those revoked", []change{
		{"FileTrust.allowed", `for _, c := range chain {`, `for _, c := range chain[:1] {`},
	}, []detector{direct("./net/wire", "TestRevokedAboveTheCertificate")}},
	{"remember every address that has begun a handshake", []change{
		{"Handshakes.End", `if h.from[source]--; h.from[source] == 0 { delete(h.from, source) }`, `h.from[source]--`},
	}, []detector{direct("./net/wire", "TestHandshakesForget")}},
	{"make room for events one after the other", []change{
		{"readArray", `all = make([]T, 0, min(n, arrayAhead))`, `all = nil`},
	}, []detector{direct("./net/wire", "TestEventsTakeOnePlace")}},

	// Package net/wire/peerframe.
	{"make new memory for each message of the log", []change{
		{"Free", `{ buffers.Put(frame) }`, `{}`},
	}, []detector{direct("./net/wire/peerframe", "TestLargeFramesAreUsedAgain")}},
	{"take 64 KiB for each small frame", []change{
		{"Encode", `buffers.Get(bound(m))`, `buffers.Get(max(bound(m), 64<<10))`},
	}, []detector{direct("./net/wire/peerframe", "TestFramesTakeWhatTheyNeed")}},
	{"take a reason of any length", []change{
		{"readCopied", `if r.Err() == nil && len(m.Why) > limits.PeerReasonBytes {`, `if r.Err() == nil && len(m.Why) > limits.PeerFrameBytes {`},
	}, []detector{direct("./net/wire/peerframe", "TestReasonOfACopyIsBounded")}},
	{"save a snapshot to the file that another process writes", []change{
		{"lockPart", `locked := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)`, `var locked error`},
	}, []detector{direct("./net/etcd/migrate", "TestSavesToOnePath")}},
	{"empty a snapshot that got its name before the lock was taken", []change{
		{"lockPart", `err == nil && (look != nil || !os.SameFile(opened, named))`, `err == nil && look == nil && !os.SameFile(opened, named)`},
	}, []detector{direct("./net/etcd/migrate", "TestPartThatHasItsName")}},
	{"write a certificate under its final name", []change{
		{"createFile", `return publish(name, text, mode, os.Link)`, `return os.WriteFile(name, text, mode)`},
	}, []detector{direct("./net/wire", "TestFilesAppearWhole")}},
	{"call a folder a key that others can read", []change{
		{"readKey", `info.Mode().IsRegular() && mode`, `mode`},
	}, []detector{direct("./net/wire", "TestKeyThatIsAFolder")}},
	{"refuse a frame that is full of questions for leases", []change{
		{"readLeases", `n > limits.LeaseAsks {`, `n >= limits.LeaseAsks {`},
	}, []detector{direct("./net/wire/peerframe", "TestFramesFullOfLeases")}},
	{"follow a page that overflows to one page behind the file", []change{
		{"pageTable.visit", `case overflow >= t.pages-int64(p.id):`, `case overflow > t.pages-int64(p.id):`},
	}, []detector{direct("./net/etcd/migrate", "TestHostilePages")}},
	{"follow a page whose last value goes beyond it", []change{
		{"pageTable.elements", `begin+key+value > size {`, `begin+key > size {`},
	}, []detector{direct("./net/etcd/migrate", "TestHostilePages")}},
	{"keep each request that has waited for a lock", []change{
		{"core.untilStopped", `forget()`, `_ = forget`},
	}, []detector{direct("./net/etcd", "TestRequestThatWaitedIsLetGo")}},
	{"count a connection that has ended as one that is served", []change{
		{"front.conn.Close", `c.port.refused.serve(c.client, -1)`, ``},
	}, []detector{direct("./net/etcd/front", "TestConnectionThatEndedIsNotServed")}},
	{"count a watch out twice that its client cancels while it is refused", []change{
		{"watches.canceled", `if w.byID[one.id] == one { w.forgetLocked(one) }`, `w.forgetLocked(one)`},
	}, []detector{direct("./net/etcd", "TestWatchThatEndsTwice")}},
	{"answer pages in a browser at the addresses for metrics", []change{ // CVE-2018-1098, CVE-2018-1099
		{"web.New", `return c.guard(newSite(&c).mux)`, `if c.Gateway == nil { return newSite(&c).mux }; return c.guard(newSite(&c).mux)`},
	}, []detector{direct("./net/etcd", "TestPagesAreRefusedForMetrics")}},
	{"keep the place of an answer that finds no room", []change{
		{"core.build", `defer s.admission.building.Release()`, ``},
		{"core.build", `return r, nil`, `s.admission.building.Release(); return r, nil`},
	}, []detector{direct("./net/etcd", "TestAnswerThatFindsNoRoom")}},
	{"count a stream that was refused", []change{
		{"limited", `defer open.Add(-1); if open.Add(1) > most {`, `if open.Add(1) > most {`},
		{"limited", `return serve(stream)`, `defer open.Add(-1); return serve(stream)`},
	}, []detector{direct("./net/etcd", "TestHealthStreams")}},

	// Users and roles at both endpoints.
	{"let a request go on that has outlived its token", []change{
		{"core.callerOf", `c.epoch != 0 && user.Epoch != c.epoch`, `c.epoch != 0 && user.Epoch > c.epoch+1000`},
	}, []detector{direct("./net/etcd", "TestLockOfAnEndedToken"), direct("./net/etcd", "TestTokenEndsBeforeItsWrite")}},
	{"tell an old JWT of the user of its name", []change{
		{"authService.permitsAbout", `c.in(v).Auth >= v.Auth().Revision() &&`, ``},
	}, []detector{direct("./net/etcd", "TestJWTOfAnEarlierUser")}},
	{"take a stream's token whose password is not the user's any more", []change{
		{"core.checkClaims", `case user.Epoch != c.Epoch:`, `case user.Epoch < c.Epoch:`},
	}, []detector{direct("./net/etcd", "TestStreamOfAnEndedToken")}},
	{"take a certificate for a user when authentication is enabled", []change{
		{"core.head", `by.Auth = 0`, ``},
	}, []detector{direct("./net/etcd", "TestEnableOvertakesACertificate")}},
	{"list leases after a check of the first ones", []change{
		{"leaseService.permitsLeases", `return len(some) < limits.LeaseKeys, s.permits`, `return true, s.permits`},
	}, []detector{direct("./net/etcd", "TestListOfManyLeases")}},
	{"hash for an administrator no more", []change{ // etcd 14663
		{"maintenanceService.hash", `if err := s.permits(ctx, v, kv.AccessAdmin, nil); err != nil {`, `if err := error(nil); err != nil {`},
	}, []detector{direct("./net/etcd", "TestAdministratorNoMore")}},
	{"send a snapshot to an administrator no more", []change{
		{"maintenanceService.writeSnapshot", `if err := s.permits(ctx, v, kv.AccessAdmin, nil); err != nil {`, `if err := error(nil); err != nil {`},
	}, []detector{direct("./net/etcd", "TestAdministratorNoMore")}},
	{"issue a JWT for a password that was changed meanwhile", []change{
		{"authService.authenticate", `now.Epoch != user.Epoch ||`, `now.Epoch == 0 ||`},
	}, []detector{direct("./net/etcd", "TestPasswordChangesDuringAJWTLogin")}},
	{"let a certificate watch on that is no user", []change{
		{"core.watcher", `return v.By(s.certificateUser(ctx)), v, nil`, `return v.By(front.AccountOf(ctx).User()), v, nil`},
	}, []detector{direct("./net/etcd", "TestWatchOfACertificateThatIsNoUser")}},
	{"serve profiles to a certificate", []change{ // CVE-2018-16886
		{"pages.administrator", `md := metadata.Pairs(gatewayHeader, "")`, `md := metadata.MD{}`},
	}, []detector{direct("./net/etcd", "TestProfilesNeedAToken")}},
	{"take the user of a request of a gateway from its certificate", []change{ // CVE-2018-16886
		{"core.certificateUser", `!s.config.CertificateUsers || ofGateway(ctx)`, `!s.config.CertificateUsers`},
	}, []detector{direct("./net/etcd", "TestCertificatesOfUsers")}},
	{"end a watch with the token of its stream", []change{ // etcd 11954, 12615, 8287, 13413, 16112, 19296
		{"net/etcd.watches.sendTo", `func (w *watches) sendTo(one *watched, d *kv.WatchDelivery) error {`, `func (w *watches) sendTo(one *watched, d *kv.WatchDelivery) error { if err := w.s.callerOf(w.stream.Context()).err; err != nil { return err };`},
	}, []detector{direct("./net/etcd", "TestTokenEndsUnderAWatch")}},
	{"log a wrong password", []change{ // CVE-2021-28235
		{"authService.authenticate", `"client", client, "user", q.Name)`, `"client", client, "user", q.Name, "password", string(password))`},
	}, []detector{direct("./net/etcd", "TestNothingShowsASecret")}},
	{"take every name for the member's", []change{ // CVE-2018-1099
		{"web.Config.hostFits", `|| private(name) ||`, `|| name != "" ||`},
	}, []detector{direct("./net/etcd", "TestPagesAreRefused")}},
	{"serve JSON to pages", []change{ // CVE-2018-1098
		{"web.Config.guard", `strings.HasPrefix(r.URL.Path, "/v3/") && (site`, `r.URL.Path == "/v3/" && (site`},
	}, []detector{direct("./net/etcd", "TestPagesAreRefused")}},
	{"leave the hash of a password to the log", []change{ // etcd 6530, 6640
		{"stream.proposeAuthChange", `config.Hasher.Hash(ctx, s.conn.source(), password)`, `bytes.Clone(password), error(nil)`},
	}, []detector{direct("./net/server", "TestPasswordIsHashed")}},
	{"list members without a user", []change{ // GHSA-q8m4-xhhv-38mg
		{"classes", `"/etcdserverpb.Cluster/MemberList":    anyUser`, `"/etcdserverpb.Cluster/MemberList":    anybody`},
	}, []detector{direct("./net/etcd", "TestEveryRPCNeedsAPermission"), direct("./net/etcd", "TestAdministration")}},
	{"tell the names of a lease's keys", []change{ // CVE-2023-32082
		{"leaseService.timeToLive", `if q.Keys {`, `if q.Keys && q.ID == 0 {`},
	}, []detector{direct("./net/etcd", "TestLeases")}},
	{"record no change of a client that left over gRPC", []change{
		{"core.untilRecorded", `return context.WithoutCancel(ctx)`, `return ctx`},
	}, []detector{direct("./net/etcd", "TestChangeOfAClientThatIsGoneIsAudited")}},
	{"record no change of a client that left", []change{
		{"stream.Complete", `s.auditChangesLocked(done); if s.gone {`, `if !s.gone { s.auditChangesLocked(done) }; if s.gone {`},
	}, []detector{direct("./net/server", "TestChangeOfAClientThatIsGoneIsAudited")}},
	{"take a login that has ended for the author", []change{
		{"conn.by", `case v.Auth().Enabled(): return kv.Principal{}, err }; return v.By(c.user), nil`, `case v.Auth().Enabled(): return kv.Principal{}, err }; return v.By(l.name), nil`},
	}, []detector{direct("./net/server", "TestEndedLoginIsNoAuthor")}},
	{"log in by a password that was changed meanwhile", []change{
		{"conn.verify", `!ok || now.Epoch != u.Epoch`, `!ok || now.Epoch < u.Epoch`},
	}, []detector{direct("./net/server", "TestPasswordChangesDuringLogin")}},
	{"make a change with a password that of the certificate", []change{
		{"stream.proposeAuthChange", `by, ended := s.conn.by(config.Member.View())`, `by, ended := config.Member.View().By(s.conn.user), (*kv.Error)(nil)`},
	}, []detector{direct("./net/server", "TestChangeWithPasswordOfALogin")}},

	// Package net/auth.
	{"hash passwords without a rest", []change{
		{"newHasher", `max(0, float64(slots*limits.PasswordShare)/float64(processors)-1)`, `0 * max(0, float64(slots*limits.PasswordShare)/float64(processors)-1)`},
	}, []detector{direct("./net/auth", "TestSlotRests"), direct("./net/auth", "TestSlotsTakeAQuarter")}},
	{"queue passwords without a bound", []change{ // CVE-2020-15115, etcd 9615, 11735, 14692
		{"newHasher", `Total: slots * limits.PasswordsWaiting`, `Total: 1000 * slots * limits.PasswordsWaiting`},
	}, []detector{direct("./net/auth", "TestQueueIsBounded")}},
	{"keep the place of a login whose client has left", []change{
		{"Hasher.run", `defer h.waiting.Release(source)`, ``},
		{"Hasher.run", `begun := time.Now()`, `begun := time.Now(); defer h.waiting.Release(source)`},
	}, []detector{direct("./net/auth", "TestQueueIsBounded")}},
	{"refuse a password whose hash has another member's cost", []change{ // etcd 9475, 9633
		{"Hasher.fits", `return err == nil`, `cost, _ := bcrypt.Cost(hash); return err == nil && cost == h.cost`},
	}, []detector{direct("./net/auth", "TestHashAndVerify")}},
	{"answer an unknown user at once", []change{
		{"Hasher.fits", `_ = bcrypt.CompareHashAndPassword(h.absent, password)`, `_ = h.absent`},
	}, []detector{direct("./net/auth", "TestUnknownUserTakesAsLong")}},
	{"print a password as JSON", []change{ // CVE-2021-28235
		{"Secret.MarshalJSON", "return []byte(`\"` + redacted + `\"`), nil", `return fmt.Appendf(nil, "%q", string(s)), nil`},
		{"Secret.MarshalJSON", `(Secret) MarshalJSON`, `(s Secret) MarshalJSON`},
	}, []detector{direct("./net/auth", "TestSecretIsNotPrinted")}},
	{"take a token with any seal", []change{
		{"auth.Open", `!hmac.Equal([]byte(Seal(key, c)), []byte(token))`, `!hmac.Equal([]byte(Seal(key, c))[:20], []byte(token)[:20])`},
	}, []detector{direct("./net/auth", "TestBadTokens")}},
	{"seal a token without its index", []change{
		{"auth.Seal", `mac.Write(binary.BigEndian.AppendUint64(nil, c.Applied))`, ``},
	}, []detector{direct("./net/auth", "TestGoldenTokens")}},
	{"take a token of any age", []change{
		{"simple.Info", `age >= s.ttl`, `age >= 1000*s.ttl`},
	}, []detector{direct("./net/auth", "TestSimpleTokens")}},
	{"refuse a token of a clock that is a little ahead", []change{
		{"simple.Info", `age < -limits.ClocksApart`, `age < 0`},
	}, []detector{direct("./net/auth", "TestClocksOfMembers")}},
	{"take tokens of an old key that were used before", []change{
		{"uses.turnLocked", `s.tokens == nil || s.key != *key`, `s.tokens == nil`},
	}, []detector{direct("./net/auth", "TestKeyRotates")}},
	{"renew a JWT by use", []change{
		{"jwtTokens.Info", `now, 0)`, `now, t.ttl)`},
	}, []detector{direct("./net/auth", "TestJWTExpires")}},
	{"evict the token that was used last", []change{
		{"uses.find", `s.order.MoveToFront(e)`, `s.order.MoveToBack(e)`},
	}, []detector{direct("./net/auth", "TestUsesAreBounded")}},
	{"take a JWT of any method", []change{
		{"jwtTokens.verify", `jwt.WithValidMethods([]string{t.method.Alg()}),`, ``},
	}, []detector{direct("./net/auth", "TestForgedJWT")}},
	{"take a JWT with many texts", []change{
		{"jwtTokens.verify", `|| strings.ContainsAny(token, "\r\n")`, `|| strings.ContainsAny(token, "")`},
	}, []detector{direct("./net/auth", "TestForgedJWT")}},
	{"take a JWT without a user", []change{
		{"jwtTokens.verify", `user == "" || !ok`, `!ok`},
	}, []detector{direct("./net/auth", "TestClaimsOfJWT")}},
	{"start with a key of another curve", []change{
		{"jwtTokens.checkSize", `key.Curve.Params().BitSize != want`, `key.Curve.Params().BitSize > 2*want`},
	}, []detector{direct("./net/auth", "TestJWTOptions")}},
}
