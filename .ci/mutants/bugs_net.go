package main

var netBugs = []mutant{
	// Package net/etcd, users of a new cluster.
	{"derive the same CA from each secret", []change{
		{"ClusterSecret.key", `hkdf.Key(sha256.New, seed[:], nil,`, `hkdf.Key(sha256.New, make([]byte, len(seed)), nil,`},
	}, []detector{direct("./net/wire", "TestSecretMembers")}},
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
		{"server.reader.waitsForStart", `return w.need == need`, `return false`},
	}, []detector{direct("./net/server", "TestWaitingWriteIsNotOvertaken")}},
	// Package net/server, backups.
	{"tell any user where the backup is", []change{
		{"server.reader.permitsEarly", `case wire.PathMember, wire.PathLeader, wire.PathClock, wire.PathBackup:`, `case wire.PathMember, wire.PathLeader, wire.PathClock:`},
	}, []detector{direct("./net/server", "TestEveryOpNeedsAUser")}},
	// Package net/client.
	{"a refusal of one copy is taken for that of the write", []change{
		{"stream.complete", `x.doubt && ofThisCopy(failed.Code)`, `false`},
	}, []detector{direct("./net/client", "TestRefusalOfACopy")}},
	{"a client says that what it waits for is answered", []change{
		{"call.name", `Window: x.sequence + 1 - s.first,`, `Window: (x.sequence + 2 - s.first) / 2,`},
	}, []detector{direct("./net/client", "TestNaming")}},
	{"take a page of no keys for the end", []change{
		{"pager.next", `if page.More && len(page.KVs) == 0 &&`, `if false && page.More && len(page.KVs) == 0 &&`},
	}, []detector{direct("./net/client", "TestPageOfNothing")}},
	{"forget the place of a lock that is locked twice", []change{
		{"Mutex.acquire", `if m.place.Revision != 0 {`, `if false {`},
	}, []detector{direct("./net/client", "TestMutexLockedTwice")}},
	{"keep the name of a lock in use whose place was deleted", []change{
		{"client.acquire", `leave(ctx, s, place) }; session.release(name)`, `leave(ctx, s, place); session.release(name) }`},
	}, []detector{direct("./net/client", "TestMutexAfterItsPlaceIsDeleted")}},
	{"read changes up to the revision of a lagging member", []change{
		{"Client.Changes", `last := newest.Revision`, `last := min(w.Revision(), newest.Revision)`},
	}, []detector{direct("./net/client", "TestChangesAreLinearizable")}},
	{"go on with a session that may have ended", []change{
		{"call.name", `|| s.first == s.next && x.begun.Sub(s.used) > sessionIdle {`, `{`},
	}, []detector{direct("./net/client", "TestSessionAfterAPause")}},
	{"take a session for begun by a write that was given up", []change{
		{"session.release", `if answered { s.opened = 0 }`, `s.opened = 0`},
	}, []detector{direct("./net/client", "TestSessionIsThereWhenAnswered")}},
	{"resume a watch at the member's newest revision", []change{
		{"Watcher.created", `if w.next == 0 {`, `if w.next >= 0 {`},
	}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},
	{"tell a watch that begins again the progress of others", []change{
		{"Watcher.told", `!w.begun || w.beginning || w.err != nil`, `!w.begun || w.err != nil`},
	}, []detector{direct("./net/client", "TestProgressBeforeBeginning")}},
	{"release the locks of a lease that another has taken over", []change{
		{"net/client.acquire", `if over := session.Err(); over != nil { return election.Candidate{}, over }`, ``},
	}, []detector{direct("./net/client", "TestMutexOfAnOrphan")}},

	// Package net/etcd.
	{"take plain text on a port of TLS", []change{
		{"Port.identify", `case over == net.Conn(c) && !c.from.Plain:`, `case over == net.Conn(c) && c.from.TLS == nil:`},
	}, []detector{direct("./net/etcd", "TestTrust")}},
	{"let events overtake progress when they are joined", []change{
		{"etcd.join", `{ clear(last)`, `{`},
	}, []detector{direct("./net/etcd", "TestJoin")}},
	{"read on without a user when authentication is enabled", []change{
		{"rangePermission.in", `if v.Auth() == p.seen {`, `if p.seen != nil && v.Auth().Revision() == p.seen.Revision() {`},
	}, []detector{direct("./net/etcd", "TestStreamedRangeWhileAuthenticationIsEnabled")}},
	// Package net/etcd/migrate.
	{"cut over without a look at the hashes", []change{
		{"Live.cutOver", `if here != old.Hash ||`, `if here != old.Hash && l.source == 0 ||`},
	}, []detector{direct("./net/etcd/migrate", "TestLiveRefuses")}},
	{"cut over before a lease that was granted last", []change{
		{"Live.cutOver", `if err != nil || !slices.Equal(again, ids) {`, `if err != nil || len(again) < 0 {`},
	}, []detector{direct("./net/etcd/migrate", "TestWriteBetweenHashAndCutOver")}},
	// Package net/peer.
	{"read into the piece of frames that were handed out", []change{
		{"reader.fill", `if r.kept || piece == nil {`, `if piece == nil {`},
	}, []detector{direct("./net/peer", "TestReader")}},
	{"let the copy of a folder take the place of its original", []change{
		{"link.refuseSecondProcess", `|| connectAlive(ctx, at) != nil {`, `|| true {`},
	}, []detector{direct("./net/peer", "TestRival")}},
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
		{"server.reader.addWrite", `if q.Op.Alone() {`, `if false {`},
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
	{"let in a client whose certificate was revoked", []change{
		{"FileTrust.allowed", `if revoked[revocation(c.RawIssuer, c.SerialNumber.Bytes())] {`, `if revoked[revocation(c.RawSubject, c.SerialNumber.Bytes())] {`},
	}, []detector{direct("./net/wire", "TestFileClients")}},
	{"share a local CA in a folder that another user may change", []change{
		{"HomeBeside", `err = checkPrivate(home, os.Geteuid())`, `_, err = os.Stat(home)`},
	}, []detector{direct("./net/wire", "TestHomeBeside")}},
	// Users and roles at both endpoints.
	{"let a request go on that has outlived its token", []change{
		{"core.callerOf", `c.epoch != 0 && user.Epoch != c.epoch`, `c.epoch != 0 && user.Epoch > c.epoch+1000`},
	}, []detector{direct("./net/etcd", "TestLockOfAnEndedToken"), direct("./net/etcd", "TestTokenEndsBeforeItsWrite")}},
	{"take a certificate for a user when authentication is enabled", []change{
		{"core.unidentified", `by.Auth = 0`, ``},
	}, []detector{direct("./net/etcd", "TestEnableOvertakesACertificate")}},
	{"let a certificate watch on that is no user", []change{
		{"core.watcher", `return v.By(s.certificateUser(ctx)), v, nil`, `return v.By(front.AccountOf(ctx).User), v, nil`},
	}, []detector{direct("./net/etcd", "TestWatchOfACertificateThatIsNoUser")}},
	{"list the leases of other users", []change{
		{"server.body.readLeases", `!left && v.ListsLease(by.Name, l) {`, `!left && (v.ListsLease(by.Name, l) || l.ID != 0) {`},
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
	{"read a batched transaction's outcome from a slice that is reused", []change{
		{"batched.answerTxn", `p.txn, &done)`, `p.txn, cmp.Or(out, &done))`},
	}, []detector{direct("./net/etcd", "TestBatchedAnswersFail")}},
	{"keep window of an HTTP/2 connection for streams that are reset", []change{
		{
			"net/etcd/h2.conn.dataLocked", `s.reading = false c.window += int64(most - n)`,
			`s.reading = false; if !s.over { c.window += int64(most - n) }`,
		},
	}, []detector{direct("./net/etcd/h2", "TestWindowIsReturned")}},
	{"write a stream's later messages before its first ones", []change{
		{"net/etcd/h2.conn.gather", `c.writableLocked(); batch = c.takeLocked(batch) {`, `c.writableLocked(); {`},
	}, []detector{direct("./net/etcd/h2", "TestAnswersInOrder"), direct("./net/etcd/h2", "TestShrinkComesFirst")}},
	{"leave a place in the line for a lock whose client has gone", []change{
		{"lockService.enter", `ctx.Err() != nil && asked`, `ctx.Err() == nil && asked`},
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
	{"take the user of a request of a gateway from its certificate", []change{ // CVE-2018-16886
		{"core.certificateUser", `!s.config.CertificateUsers || ofGateway(ctx)`, `!s.config.CertificateUsers`},
	}, []detector{direct("./net/etcd", "TestCertificatesOfUsers")}},
	{"take a login that has ended for the author", []change{
		{"conn.loginIn", `!auth.Enabled() { return nil, nil }`, `!auth.Enabled() { return l, nil }`},
	}, []detector{direct("./net/server", "TestEndedLoginIsNoAuthor")}},
	{"log in by a password that was changed meanwhile", []change{
		{"conn.verify", `!ok || now.Epoch != u.Epoch`, `!ok || now.Epoch < u.Epoch`},
	}, []detector{direct("./net/server", "TestPasswordChangesDuringLogin")}},
	// Package net/auth.
	{"take a token with any seal", []change{
		{"auth.open", `!hmac.Equal([]byte(Seal(key, c)), []byte(token))`, `!hmac.Equal([]byte(Seal(key, c))[:20], []byte(token)[:20])`},
	}, []detector{direct("./net/auth", "TestBadTokens")}},
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
}
