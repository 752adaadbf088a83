package main

var netBugs = []mutant{
	{"take unanswered acknowledgements for silence", []change{
		{"silence.look", `if stats.PacketsSent >= s.sent+2 {`, `if !s.sentAt.IsZero() {`},
	}, []detector{direct("./net/client", "TestSilence")}},
	{"give an idle member no time to answer a probe", []change{
		{"silence.look", ` && now.Sub(s.probedAt) >= most/2`, ``},
	}, []detector{direct("./net/client", "TestSilenceEndsWithAProbe")}},
	{"take a round trip behind load for silence", []change{
		{"silence.timeout", `silenceLeast+2*stats.SmoothedRTT`, `silenceLeast`},
	}, []detector{direct("./net/client", "TestSilenceIsLongerThanARoundTrip")}},
	{"take a pause of the client for a late answer", []change{
		{"silence.look", `if !paused && stats.PacketsSent > s.sent {`, `if stats.PacketsSent > s.sent {`},
	}, []detector{direct("./net/client", "TestLatenessIsOfAnswers")}},
	{"take the events of a watch for answers", []change{
		{"silence.look", `if !paused && stats.PacketsSent > s.sent {`, `if !paused {`},
	}, []detector{direct("./net/client", "TestLatenessIsOfAnswers")}},
	{"take a client with one connection for one that knows one member", []change{
		{"link.tick", `l.alternatives() < 2`, `len(open) < 2`},
	}, []detector{direct("./net/client", "TestSilenceFollowsTheLink")}},
	{"forget how late answers were", []change{
		{"silence.look", `s.late = max(late, s.late-s.late/latenessFades)`, `s.late = min(late, 0)`},
	}, []detector{direct("./net/client", "TestSilence")}},
	// Package net/etcd, users of a new cluster.
	{"derive the same CA from each secret", []change{
		{"ClusterSecret.key", `hkdf.Key(sha256.New, seed[:], nil,`, `hkdf.Key(sha256.New, make([]byte, len(seed)), nil,`},
	}, []detector{direct("./net/wire", "TestSecretMembers")}},
	{"read the cluster's secret from a file that a group may change", []change{
		{"ReadSecrets", `mode&0o027 != 0`, `mode&0o007 != 0`},
	}, []detector{direct("./net/wire", "TestSecretFile")}},
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
	{"let a write overtake one that waits for the member's start", []change{
		{"stream.waitsForStart", `return w.need == need`, `return false`},
	}, []detector{direct("./net/server", "TestWaitingWriteIsNotOvertaken")}},
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
	{"send late writes again", []change{
		{"conn.waits", `return !k.health.ill()`, `return false`},
	}, []detector{direct("./net/client", "TestSlowWritesAreNotSentAgain")}},
	{"take a page of no keys for the end", []change{
		{"pager.next", `if page.More && len(page.KVs) == 0 &&`, `if false && page.More && len(page.KVs) == 0 &&`},
	}, []detector{direct("./net/client", "TestPageOfNothing")}},
	{"tell a version at the compacted revision twice", []change{
		{"Client.versions", `ModRevision < oldest`, `ModRevision <= oldest`},
	}, []detector{direct("./net/client", "TestHistory")}},
	{"forget the place of a lock that is locked twice", []change{
		{"Mutex.acquire", `if m.place.Revision != 0 {`, `if false {`},
	}, []detector{direct("./net/client", "TestMutexLockedTwice")}},
	{"keep the name of a lock in use whose place was deleted", []change{
		{"client.acquire", `leave(ctx, s, place) }; session.release(name)`, `leave(ctx, s, place); session.release(name) }`},
	}, []detector{direct("./net/client", "TestMutexAfterItsPlaceIsDeleted")}},
	{"give a call after its deadline the error of a canceled one", []change{
		{"link.notSent", `errors.Is(ctx.Err(), context.DeadlineExceeded)`, `false`},
	}, []detector{direct("./net/client", "TestContextEndsBeforeTheCall")}},
	{"give a stream of pages after its deadline the bare reason", []change{
		{"pageStream.frame", `return nil, s.conn.link.notSent(ctx, wire.OpPages, begun, s.conn)`, `_ = begun; return nil, context.Cause(ctx)`},
	}, []detector{direct("./net/client", "TestPagesStreamEnds")}},
	{"leave calls without an answer that wait for an attempt when their client is closed", []change{
		{"link.close", `append(l.waiting, l.delayed...)`, `l.waiting`},
	}, []detector{direct("./net/client", "TestCloseEndsDelayedCalls")}},
	{"read changes up to the revision of a lagging member", []change{
		{"Client.Changes", `last := newest.Revision`, `last := min(w.Revision(), newest.Revision)`},
	}, []detector{direct("./net/client", "TestChangesAreLinearizable")}},
	{"take an unknown outcome for a write that did not happen", []change{
		{"OutcomeUnknownError.Unwrap", `return errors.Join(last.Unwrap()...)`, `return last`},
	}, []detector{direct("./net/client", "TestUnknownOutcomeIsNotUnavailable")}},
	{"go on with a session that may have ended", []change{
		{"call.name", `|| s.first == s.next && x.begun.Sub(s.used) > sessionIdle {`, `{`},
	}, []detector{direct("./net/client", "TestSessionAfterAPause")}},
	{"say of a readmit without an answer that it has not happened", []change{
		{"net/wire.Op.Write", `|| o == OpReadmit`, ``},
	}, []detector{direct("./net/client", "TestReadmitWithoutAnAnswer")}},
	{"send writes on the stream of keep-alives", []change{
		{"Client.Txn", `x.bulk = !x.write && t.Ranges()`, `x.bulk = t.Ranges()`},
	}, []detector{direct("./net/client", "TestKeepAliveWaitsForNoWrite")}},
	{"say of a write what is certain of its last attempt", []change{
		{"OutcomeUnknownError.Error", `case answer.Certain():`, `case answer.Code < 0:`},
	}, []detector{direct("./net/client", "TestUnknownOutcomeOfAnEarlierAttempt")}},
	{"take a session for begun by a write that was given up", []change{
		{"session.release", `if answered { s.opened = 0 }`, `s.opened = 0`},
	}, []detector{direct("./net/client", "TestSessionIsThereWhenAnswered")}},
	{"resume a watch at the member's newest revision", []change{
		{"Watcher.created", `if w.next == 0 {`, `if w.next >= 0 {`},
	}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},
	{"resume a watch at the last revision again", []change{
		{"Watcher.told", `w.next = f.Revision + 1`, `w.next = f.Revision`},
	}, []detector{direct("./net/client", "TestWatchResumes")}},
	{"tell a watch that begins again the progress of others", []change{
		{"Watcher.told", `!w.begun || w.beginning || w.err != nil`, `!w.begun || w.err != nil`},
	}, []detector{direct("./net/client", "TestProgressBeforeBeginning")}},
	{"release the locks of a lease that another has taken over", []change{
		{"net/client.acquire", `if over := session.Err(); over != nil { return election.Candidate{}, over }`, ``},
	}, []detector{direct("./net/client", "TestMutexOfAnOrphan")}},
	{"resume a watch within a revision", []change{
		{"Watcher.created", `w.partial, w.parts, w.beginning = nil, 0, false`, `w.parts, w.beginning = 0, false`},
	}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},

	// Package net/etcd.
	{"take plain text on a port of TLS", []change{
		{"Port.identify", `case over == net.Conn(c) && !c.from.Plain:`, `case over == net.Conn(c) && c.from.TLS == nil:`},
	}, []detector{direct("./net/etcd", "TestTrust")}},
	{"keep etcd's clients at a suspended member", []change{
		{"core.gate", `refusal != nil {`, `refusal != nil && s.config.Stuck != nil {`},
	}, []detector{direct("./net/etcd", "TestClientsLeaveASuspendedMember")}},
	{"keep etcd's clients at a member that starts", []change{
		{"Server.begin", `if !s.config.Start.Await(ctx, wire.NeedKeys) {`, `if ctx.Err() != nil {`},
	}, []detector{direct("./net/etcd", "TestGRPCWaitsForTheStart")}},
	{"let events overtake progress when they are joined", []change{
		{"etcd.join", `{ clear(last)`, `{`},
	}, []detector{direct("./net/etcd", "TestJoin")}},
	{"let pages of other sites ask outside of the gateway", []change{
		{"Config.guard", `case site != "" && site != "none" &&`, `case site == "" && site != "none" &&`},
	}, []detector{direct("./net/etcd", "TestPagesAreRefused")}},
	{"campaign with the value of before", []change{
		{"lockService.campaign", `found && !bytes.Equal(own.Value, q.Value) {`, `found && !bytes.Equal(own.Key, own.Key) {`},
	}, []detector{direct("./net/etcd", "TestStories")}},
	{"read on without a user when authentication is enabled", []change{
		{"rangePermission.in", `if v.Auth() == p.seen {`, `if p.seen != nil && v.Auth().Revision() == p.seen.Revision() {`},
	}, []detector{direct("./net/etcd", "TestStreamedRangeWhileAuthenticationIsEnabled")}},
	{"list the keys of a lease by the roles of before the leader was asked", []change{
		{"leaseService.timeToLive", `left, err := s.calls.lease(ctx, kv.LeaseAsk{Lease: q.ID})`, `before := s.config.Member.View(); left, err := s.calls.lease(ctx, kv.LeaseAsk{Lease: q.ID})`},
		{"leaseService.timeToLive", `s.permits(ctx, v, kv.AccessRead, leaseAccess(q.ID, false))`, `s.permits(ctx, before, kv.AccessRead, leaseAccess(q.ID, false))`},
	}, []detector{direct("./net/etcd", "TestLeaseKeysOfTheirTime")}},
	{"audit a refused put from the buffer of another request", []change{
		{"kvService.put", `p, err := s.putOf(&q.PutRequest)`, `defer buffers.Put(q.from); p, err := s.putOf(&q.PutRequest)`},
		{"kvService.put", `defer buffers.Put(q.from)`, ``},
	}, []detector{direct("./net/etcd", "TestKeyOfARefusedPutIsAudited")}},
	{"wait for the answer to a recorded change when the member has ended", []change{
		{"core.untilRecorded", `return until(s.open, context.WithoutCancel(ctx))`, `return context.WithoutCancel(ctx), func() {}`},
	}, []detector{direct("./net/etcd", "TestCloseDuringARecordedChange")}},
	// Package net/etcd/migrate.
	{"take a file whose sum is another one", []change{
		{"File.readSum", `if said != f.Sum && !unchecked {`, `if said != f.Sum && f.Size == 0 {`},
	}, []detector{direct("./net/etcd/migrate", "TestFileDamaged")}},
	{"cut over without a look at the hashes", []change{
		{"Live.cutOver", `if here != old.Hash ||`, `if here != old.Hash && l.source == 0 ||`},
	}, []detector{direct("./net/etcd/migrate", "TestLiveRefuses")}},
	{"leave the users behind that were made while etcd was followed", []change{
		{"Live.users", `case max(a.AuthRevision, 1) == max(l.Auth.Revision, 1):`, `case max(a.AuthRevision, 1) >= max(l.Auth.Revision, 1):`},
	}, []detector{direct("./net/etcd/migrate", "TestLiveUsers")}},
	{"leave the users behind that were made after the hash", []change{
		{"Live.cutOver", `ids, err := l.leaseIDs(ctx)`, `if err := l.users(ctx); err != nil { return false, err }; ids, err := l.leaseIDs(ctx)`},
		{"Live.cutOver", `if err := l.users(ctx); err != nil {`, `if err := error(nil); err != nil {`},
	}, []detector{direct("./net/etcd/migrate", "TestUsersBetweenHashAndCutOver")}},
	{"cut over before a lease that was granted last", []change{
		{"Live.cutOver", `if err != nil || !slices.Equal(again, ids) {`, `if err != nil || len(again) < 0 {`},
	}, []detector{direct("./net/etcd/migrate", "TestWriteBetweenHashAndCutOver")}},
	// Package net/peer.
	{"read into the piece of frames that were handed out", []change{
		{"reader.fill", `if r.kept || piece == nil {`, `if piece == nil {`},
	}, []detector{direct("./net/peer", "TestReader")}},
	{"let whoever calls be the member that it says", []change{
		{"link.checkCertificate", `return l.transport.config.Trust.Vouches(q.ConnectionState().TLS, addresses)`, `_ = addresses; return nil`},
	}, []detector{direct("./cli", "TestProcessKubeadmThree")}},
	{"let the copy of a folder take the place of its original", []change{
		{"link.refuseSecondProcess", `|| connectAlive(ctx, at) != nil {`, `|| true {`},
	}, []detector{direct("./net/peer", "TestRival")}},
	{"give parts to another cluster", []change{
		{"Transport.readPartRequest", `err = request.CheckCluster(t.config.Cluster)`, `_ = t.config.Cluster`},
	}, []detector{direct("./net/peer", "TestPartIsRefused")}},
	{"give parts to strangers", []change{
		{"Transport.readPartRequest", `_, err = t.linkOf(request.From, name, q); err == errOther`, `_, err = t.linkOf(request.From, name, q); err == errOther && request.From == 0`},
		{"Transport.readPartRequest", `return request, asRefusal(err)`, `_ = err; return request, nil`},
	}, []detector{direct("./net/peer", "TestPartIsRefused")}},
	{"believe the address that a joiner gives itself", []change{
		{"Transport.judgeJoin", `t.config.Trust.Vouches(q.ConnectionState().TLS, welcome.Own().Peers)`, `t.config.Trust.Vouches(q.ConnectionState().TLS, append(request.Addresses, welcome.Own().Peers...))`},
	}, []detector{direct("./net/peer", "TestJoinAtAnAddressOfItsOwn")}},
	// Package net/server.
	{"say of a write without room for its answer that it did not happen", []change{
		{"body.refusal", `if b != nil && b.request.Logged() {`, `if false {`},
		{"errAnswerTooLarge", `Code: kv.AnswerTooLarge, Message`, `Code: kv.Overloaded, Message`},
	}, []detector{direct("./net/server", "TestLongBodies")}},
	{"propose a change of the members together with other commands", []change{
		{"stream.start", `alone := q.Op.Alone()`, `alone := false`},
	}, []detector{direct("./net/server", "TestMemberChange")}},

	// Package net/wire.
	{"give a read the name of the write before it", []change{
		{"wire.ReadRequest", `q.Once = kv.WriteName{}`, ``},
	}, []detector{direct("./net/wire", "TestReadingOneAfterAnother")}},
	{"take a datagram for another sender's", []change{
		{"offloadConn.read", `if c.from == nil || source != c.source {`, `if c.from == nil {`},
	}, []detector{direct("./net/wire", "TestReceiveOffload")}},
	{"take any certificate of the CA for any member's", []change{
		{"FileTrust.Vouches", `if own.VerifyHostname(host) == nil {`, `if own.VerifyHostname(host) == nil || host != "" {`},
	}, []detector{direct("./net/wire", "TestFilePeers"), direct("./cli", "TestProcessKubeadmThree")}},
	{"take the certificate of one of qkv's clients for a member's", []change{
		{"notClient", `err == nil && id.Class != ClassMember {`, `err == nil && id.Class == classCA {`},
	}, []detector{direct("./net/wire", "TestFilePeers")}},
	{"let in a client whose certificate was revoked", []change{
		{"FileTrust.allowed", `if revoked[revocation(c.RawIssuer, c.SerialNumber.Bytes())] {`, `if revoked[revocation(c.RawSubject, c.SerialNumber.Bytes())] {`},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"ask clients for no certificate where there is a CA", []change{
		{"FileTrust.ClientsTLS", `if f.names.CA != "" || required {`, `if required {`},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"share a local CA in a folder that another user may change", []change{
		{"HomeBeside", `err = checkPrivate(home, os.Geteuid())`, `_, err = os.Stat(home)`},
	}, []detector{direct("./net/wire", "TestHomeBeside")}},
	{"take a key that a group writes", []change{
		{"readKey", `mode&0o027 != 0`, `mode&0o007 != 0`},
	}, []detector{direct("./net/wire", "TestKeyForAGroup")}},
	// Package net/wire/peerframe.
	{"save a snapshot to the file that another process writes", []change{
		{"lockPart", `locked := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)`, `var locked error`},
	}, []detector{direct("./net/etcd/migrate", "TestSavesToOnePath")}},
	// Users and roles at both endpoints.
	{"let a request go on that has outlived its token", []change{
		{"core.callerOf", `c.epoch != 0 && user.Epoch != c.epoch`, `c.epoch != 0 && user.Epoch > c.epoch+1000`},
	}, []detector{direct("./net/etcd", "TestLockOfAnEndedToken"), direct("./net/etcd", "TestTokenEndsBeforeItsWrite")}},
	{"take a certificate for a user when authentication is enabled", []change{
		{"core.unidentified", `by.Auth = 0`, ``},
	}, []detector{direct("./net/etcd", "TestEnableOvertakesACertificate")}},
	{"let a certificate watch on that is no user", []change{
		{"core.watcher", `return v.By(s.certificateUser(ctx)), v, nil`, `return v.By(front.AccountOf(ctx).User()), v, nil`},
	}, []detector{direct("./net/etcd", "TestWatchOfACertificateThatIsNoUser")}},
	{"list the leases of other users", []change{
		{"buffer.appendLeases", `if v.ListsLease(by.Name, l) {`, `if v.ListsLease(by.Name, l) || l.ID != 0 {`},
	}, []detector{direct("./net/server", "TestLeasesOfOthers|TestPageOfLeases")}},
	{"list the leases of other users to etcd's clients", []change{
		{"leaseService.leasesSorted", `if v.ListsLease(user, l) {`, `if v.ListsLease(user, l) || l.ID != 0 {`},
		{"leaseService.leases", `if size := sizeInt(l.ID); v.ListsLease(user, l) {`, `if size := sizeInt(l.ID); v.ListsLease(user, l) || l.ID != 0 {`},
	}, []detector{direct("./net/etcd", "TestLeases"), direct("./net/etcd", "TestListOfManyLeases")}},
	{"show the leases of other users in the dashboard", []change{
		{"leases.step", `len(l.from.Keys) > 0 || v.ListsLease(l.user, one)`, `len(l.from.Keys) > 0 || v.ListsLease("root", one)`},
	}, []detector{direct("./net/web", "TestHoldersOfOthers"), direct("./net/etcd", "TestDashboardUsers")}},
	{"show the keys of a lease in the dashboard that the user may not read", []change{
		{"leases.addKeys", `case !l.permits(v, key):`, `case len(key) == 0:`},
	}, []detector{direct("./net/web", "TestHoldersOfHiddenKeys")}},
	{"show the keys of a lease to every native client", []change{
		{"conn.permitsRead", `return c.permitsRequest(v, &wire.Request{Op: x.op, Ask: &wire.Ask{Lease: *x.lease}})`, `return nil`},
	}, []detector{direct("./net/server", "TestLeasesOfOthers"), direct("./net/server", "TestRolesDecide")}},
	{"close the connection that holds most, of a client that holds little", []change{
		{"Accounts.largest", `if n := one.held.Load(); n > held {`, `if n := one.held.Load() / int64(len(one.accounts)); n > held {`},
	}, []detector{direct("./net/etcd/front", "TestLargestClientPays"), direct("./net/etcd", "TestLargestClientPays")}},
	{"answer with values that were only measured", []change{
		{"readMeasured", `if unread == 0 || enough(found) {`, `if unread >= 0 || enough(found) {`},
	}, []detector{direct("./net/etcd", "TestPastIsReadOnce")}},
	// Package net/etcd/h2, and the requests without a goroutine.
	{"answer a batched get although authentication was enabled", []change{
		{"batched.answerGet", `if v.Auth().Enabled() {`, `if false {`},
	}, []detector{direct("./net/etcd", "TestEnableOvertakesAGet")}},
	{"retry a batched transaction without its answer", []change{
		{"batchedCall.retry", `body: p.txn != nil`, `body: false`},
	}, []detector{direct("./net/etcd", "TestBatchedTxn")}},
	{"read a batched transaction's revision from a slice that is reused", []change{
		{"batched.answerTxn", `doneAt(revision, err)`, `doneAt(out.Result.Revision+0*revision, err)`},
	}, []detector{direct("./net/etcd", "TestBatchedAnswersFail")}},
	{"spend the window of an HTTP/2 connection twice", []change{
		{"net/etcd/h2.conn.dataLocked", `c.window -= int64(n)`, `_ = c.window`},
	}, []detector{direct("./net/etcd/h2", "TestWindowIsTakenOnce")}},
	{"keep window of an HTTP/2 connection for streams that are reset", []change{
		{
			"net/etcd/h2.conn.dataLocked", `s.reading = false c.window += int64(most - n)`,
			`s.reading = false; if !s.over { c.window += int64(most - n) }`,
		},
	}, []detector{direct("./net/etcd/h2", "TestWindowIsReturned")}},
	{"write a stream's later messages before its first ones", []change{
		{"net/etcd/h2.conn.gather", `c.writableLocked(); batch = c.takeLocked(batch) {`, `c.writableLocked(); {`},
	}, []detector{direct("./net/etcd/h2", "TestAnswersInOrder"), direct("./net/etcd/h2", "TestShrinkComesFirst")}},
	{"charge a client for a fault of an encoder, from the writer", []change{
		{"net/etcd/h2.conn.dataLocked", `c.appendResetLocked(s.id, http2.ErrCodeInternal); c.forgetLocked(s)`, `c.resetLocked(s.id, http2.ErrCodeInternal)`},
	}, []detector{direct("./net/etcd/h2", "TestFaultOfAnEncoder")}},
	{"count a stream in its client's account for ever", []change{
		{"net/etcd/h2.conn.forgetLocked", `c.ledger.Over(&s.charge)`, ``},
	}, []detector{direct("./net/etcd/h2", "TestEchoes")}},
	{"release more of a header block than was charged", []change{
		{
			"net/etcd/h2.conn.headers", `c.ledger.Charge(-int64(len(c.block))); c.block = append(c.block, part...); part = c.block`,
			`c.block = append(c.block, part...); c.ledger.Charge(-int64(len(c.block))); part = c.block`,
		},
	}, []detector{direct("./net/etcd/h2", "TestHeaderBlockIsReleasedOnce")}},
	{"keep the memory of an answer that is complete when its connection has ended", []change{
		{"Account.Carry", `if ended {`, `if ended && r == nil {`},
	}, []detector{direct("./net/etcd/front", "TestAnswerOfAnEndedConnection")}},
	{"leave a batched request alone when its deadline passes", []change{
		{"stream.beginLocked", `h.timeout > 0 || h.method.batched == nil`, `h.method.batched == nil`},
	}, []detector{direct("./net/etcd", "TestH2Deadlines")}},
	{"keep every goroutine of streams that have ended", []change{
		{"net/etcd/h2.Server.next", `s.idle.Add(1) > workersIdle`, `s.idle.Add(1) < 0`},
	}, []detector{direct("./net/etcd", "TestHealthStreams")}},
	{"encode a large answer under its connection's lock, as one frame", []change{
		{"net/etcd/h2.conn.settings", `c.frame = min(int(one.Val), outBytes)`, `c.frame = int(one.Val)`},
	}, []detector{direct("./net/etcd/h2", "TestLargeFramesWait")}},
	{"name a stream in a GOAWAY that is not served", []change{
		{"net/etcd/h2.conn.headers", `c.mu.Lock(); defer c.mu.Unlock(); c.last = id`, `c.last = id; c.mu.Lock(); defer c.mu.Unlock()`},
	}, []detector{direct("./net/etcd/h2", "TestGoAwayServesItsLast")}},
	{"leave a request out of service while its client does not end its side", []change{
		{"net/etcd/h2.stream.receiveLocked", `s.c.ledger.HalfClosed(&s.charge, 0)`, ``},
	}, []detector{direct("./net/etcd", "TestServedWithoutAnEnd")}},
	{"tell clients of HTTP/2 to speak HTTP/1.1", []change{
		{"net/wire.EtcdTLS", `ServerTLS(c, "h2", ClassClient, ClassMember)`, `ServerTLS(c, "http/1.1", ClassClient, ClassMember)`},
	}, []detector{direct("./net/etcd", "TestPagesOverHTTP2")}},
	{"charge nothing for pages that are not read", []change{
		{"net/etcd/h2.page.serve", `err = p.awaitWritten(0)`, ``},
	}, []detector{direct("./net/etcd", "TestUnreadPagesAreCharged")}},
	{"end a member by a fault of a stream's reader", []change{
		{"net/etcd.watchService.watch", `s.contain("/etcdserverpb.Watch/Watch", w.receive)`, `w.receive()`},
	}, []detector{direct("./net/etcd", "TestFaultOfAWatch")}},
	{"take any number of frames of padding", []change{
		{"net/etcd/h2.conn.take", `len(f.Data()) < dataLeast && !f.StreamEnded()`, `f.Length < dataLeast && !f.StreamEnded()`},
	}, []detector{direct("./net/etcd/h2", "TestFramesCost")}},
	{"change all windows of a connection for one frame", []change{
		{"net/etcd/h2.conn.settings", `c.ledger.Idle(len(c.streams) / streamsFrame)`, ``},
	}, []detector{direct("./net/etcd/h2", "TestFramesCost")}},
	{"decode large header blocks for nothing", []change{
		{"net/etcd/h2.heads.read", `h.ledger.Idle(max(0, h.fields+len(block)/blockPiece-blockFree))`, ``},
	}, []detector{direct("./net/etcd/h2", "TestFramesCost")}},
	{"serve a request with malformed trailers", []change{
		{"net/etcd/h2.conn.trailers", `h.pseudo || h.bad != 0 ||`, `h.pseudo ||`},
	}, []detector{direct("./net/etcd", "TestH2Illegal")}},
	{"evict a connection whose request waits for a lock", []change{
		{"Account.open", `s.streams+s.halfClosed+s.web > 0`, `s.streams+s.web > 0`},
	}, []detector{direct("./net/etcd/front", "TestOpenUntilAnswered")}},
	{"leave a place in the line for a lock whose client has gone", []change{
		{"lockService.enter", `ctx.Err() != nil && asked`, `ctx.Err() == nil && asked`},
	}, []detector{direct("./net/etcd", "TestLockThatIsGivenUpAtOnce")}},
	{"give up the place of a client's lease, which its next request may share", []change{
		{"lockService.enter", ` && asked == 0`, ` && asked >= 0`},
	}, []detector{direct("./net/etcd", "TestLockThatIsGivenUpAtOnce")}},
	{"keep a header block when the table has changed", []change{
		{"net/etcd/h2.heads.read", `case !refersOnly(block): clear(h.seen)`, `case !refersOnly(block):`},
	}, []detector{direct("./net/etcd", "TestH2TokenReferences"), direct("./net/etcd/h2", "TestHeadsModel")}},
	{"keep header blocks when a large one has changed the table", []change{
		{
			"net/etcd/h2.heads.read", `case !refersOnly(block): clear(h.seen) case h.size <= headBytes:`,
			`case h.size > headBytes: case !refersOnly(block): clear(h.seen); default:`,
		},
	}, []detector{direct("./net/etcd", "TestH2TokenReferences"), direct("./net/etcd/h2", "TestHeadsModel")}},
	{"take empty messages without an end", []change{
		{"net/etcd/h2.stream.assembleLocked", `s.waiting += size + messageOver`, `s.waiting += size`},
	}, []detector{direct("./net/etcd/h2", "TestEmptyMessagesWait")}},
	{"serve profiles to a certificate", []change{ // CVE-2018-16886
		{"pages.administrator", `md := metadata.Pairs(gatewayHeader, "")`, `md := metadata.MD{}`},
	}, []detector{direct("./net/etcd", "TestProfilesNeedAToken")}},
	{"take the user of a request of a gateway from its certificate", []change{ // CVE-2018-16886
		{"core.certificateUser", `!s.config.CertificateUsers || ofGateway(ctx)`, `!s.config.CertificateUsers`},
	}, []detector{direct("./net/etcd", "TestCertificatesOfUsers")}},
	{"end a watch with the token of its stream", []change{ // etcd 11954, 12615, 8287, 13413, 16112, 19296
		{"net/etcd.watchStream.sendTo", `func (w *watchStream) sendTo(one *watched, d *kv.WatchDelivery) error {`, `func (w *watchStream) sendTo(one *watched, d *kv.WatchDelivery) error { if err := w.s.callerOf(w.stream.Context()).err; err != nil { return err };`},
	}, []detector{direct("./net/etcd", "TestTokenEndsUnderAWatch")}},
	{"tell the names of a lease's keys", []change{ // CVE-2023-32082
		{"leaseService.timeToLive", `if q.Keys {`, `if q.Keys && q.ID == 0 {`},
	}, []detector{direct("./net/etcd", "TestLeases")}},
	{"take a login that has ended for the author", []change{
		{"conn.author", `case v.Auth().Enabled(): return kv.Principal{}, err }; return v.By(c.user), nil`, `case v.Auth().Enabled(): return kv.Principal{}, err }; return v.By(l.name), nil`},
	}, []detector{direct("./net/server", "TestEndedLoginIsNoAuthor")}},
	{"log in by a password that was changed meanwhile", []change{
		{"conn.verify", `!ok || now.Epoch != u.Epoch`, `!ok || now.Epoch < u.Epoch`},
	}, []detector{direct("./net/server", "TestPasswordChangesDuringLogin")}},
	// Package net/auth.
	{"take a token with any seal", []change{
		{"auth.open", `!hmac.Equal([]byte(Seal(key, c)), []byte(token))`, `!hmac.Equal([]byte(Seal(key, c))[:20], []byte(token)[:20])`},
	}, []detector{direct("./net/auth", "TestBadTokens")}},
	{"take a token of any age", []change{
		{"simple.Info", `age >= s.ttl`, `age >= 1000*s.ttl`},
	}, []detector{direct("./net/auth", "TestSimpleTokens")}},
	{"wait for the members of a cluster that was replaced", []change{
		{"link.dialRound", `replaced = replaced || errors.Is(err, ErrClusterReplaced)`, `replaced = replaced && errors.Is(err, ErrClusterReplaced)`},
	}, []detector{direct("./net/client", "TestReplacedCluster")}},
	{"hold a lease of a cluster that was replaced", []change{
		{"isLost", `return errors.Is(err, ErrClusterReplaced) || ok &&`, `return ok &&`},
	}, []detector{direct("./net/client", "TestReplacedCluster")}},
	{"take a JWT of any method", []change{
		{"jwtTokens.verify", `jwt.WithValidMethods([]string{t.method.Alg()}),`, ``},
	}, []detector{direct("./net/auth", "TestForgedJWT")}},
	{"serve the dashboard on loopback without the certificate that clients need", []change{
		{"dashboard.Identify", `!d.config.Dashboard.Certified ||`, `true ||`},
	}, []detector{direct("./net/etcd", "TestDashboardOnLoopback")}},
	{"let a JWT's login outlive it on a connection", []change{
		{"conn.resume", `until: claims.Until}`, `}`},
	}, []detector{direct("./net/server", "TestLoginEndsWithItsJWT")}},
	{"ignore the critical extensions of a JWT", []change{
		{"jwtTokens.verify", `parsed.Header["crit"]; ok {`, `parsed.Header["crit"]; ok && false {`},
	}, []detector{direct("./net/auth", "TestForgedJWT")}},
}
