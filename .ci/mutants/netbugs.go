package main

// The bugs of what holds hostile clients.
func netMutants() []mutant {
	return []mutant{
		{"take requests of a watch stream whose answers nobody reads", []change{
			{"net/etcd/watch.go", "	for w.answers > limits.EtcdWatchAnswers && !w.over {\n", "	for w.answers < 0 && !w.over {\n"},
		}, []detector{direct("./net/etcd", "TestWatchAnswersUnread")}},
		{"let metadata cost nothing", []change{
			{"net/etcd/memory.go", " + s.heads + s.out", " + s.out"},
		}, []detector{direct("./net/etcd", "TestMetadataCounts")}},
		{"encode large answers before they are asked for", []change{
			{"net/etcd/kv.go", "	if !a.large() {\n		return a.finish", "	if a.most = 0; true {\n		return a.finish"},
			{"net/etcd/message.go", "	if a.most > 0 {\n", "	if a.most < 0 {\n"},
		}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
		{"send what cannot be read any more", []change{
			{"net/etcd/later.go", "			l.share.close()\n", ""},
		}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
		{"let large answers go with a compaction", []change{
			{"net/etcd/later.go", "	if p.view != nil {\n		return p.view\n	}\n", ""},
		}, []detector{direct("./net/etcd", "TestLargeAnswersUnread")}},
		{"keep the room of built answers with a closed connection", []change{
			{"net/etcd/memory.go", "	defer s.giveRooms() ", "	defer func() {}() "},
		}, []detector{direct("./net/etcd", "TestBuiltAnswers")}},
		{"count nothing for requests that are not answered", []change{
			{"net/etcd/memory.go", " + int64(len(s.asked))*limits.EtcdAskedBytes", " + 0*limits.EtcdAskedBytes"},
		}, []detector{direct("./net/etcd", "TestUnreadAndHalf")}},
		{"give one host all places of locks", []change{
			{"net/etcd/lock.go", "	if p.by[client] >= p.most-p.taken {\n", "	if p.taken >= p.most {\n"},
		}, []detector{direct("./net/etcd", "TestPlacesOfLocks"), direct("./net/etcd", "TestLocksThatWait")}},
		{"let who was closed open as much again at once", []change{
			{"net/etcd/resets.go", "	r.blames[client] = now\n", ""},
		}, []detector{direct("./net/etcd", "TestBlamed")}},
		{"ask the same room for each snapshot", []change{
			{"net/etcd/snapshot.go", "min(limits.EtcdSnapshotRoom, limits.EtcdSnapshotLeast+4*state)", "limits.EtcdSnapshotRoom"},
		}, []detector{direct("./net/etcd", "TestSnapshotRoom")}},
		{"keep the place of a handshake while the other side says nothing", []change{
			{"net/etcd/port.go", "	if c.place != nil {\n", "	if c.place != nil && len(b) == 0 {\n"},
		}, []detector{direct("./net/etcd", "TestHandshakesThatAreLeft")}},
		{"read JSON for which there is no room", []change{
			{"net/etcd/room.go", "		if bytes <= r.left {\n", "		if bytes <= r.left || bytes > 1<<20 {\n"},
		}, []detector{direct("./net/etcd", "TestGatewayRoom")}},
		{"let who stands still keep the room for JSON", []change{
			{"net/etcd/room.go", "		if h.moved-h.mark < least {\n", "		if h.moved-h.mark < 0 {\n"},
		}, []detector{direct("./net/etcd", "TestGatewayRoom")}},
		{"give handshakes all their time beside a flood of them", []change{
			{"net/wire/handshakes.go", "	if 4*h.all < h.most {\n", "	if h.all < h.most {\n"},
		}, []detector{direct("./net/wire", "TestHandshakesTimeout")}},
		{"serve one connection however much it asks", []change{
			{"net/etcd/served.go", "s.of.serving.Load() > limits.EtcdServed", "s.of.serving.Load() > 1<<40"},
		}, []detector{direct("./net/etcd", "TestServed$")}},
		{"count a request whose answer begins until it ends", []change{
			{"net/etcd/memory.go", "		s.answered(stream)\n", ""},
		}, []detector{direct("./net/etcd", "TestServed$")}},
		{"make those wait who ask little beside one who asks much", []change{
			{"net/etcd/served.go", "s.serving.Load() > limits.EtcdServedFew", "s.serving.Load() >= 0"},
		}, []detector{direct("./net/etcd", "TestServed$")}},
		{"have a connection wait for those that wait for a lock", []change{
			{"net/etcd/served.go", "	serve(-1)\n	return func() { serve(1) }\n", "	serve(0)\n	return func() { serve(0) }\n"},
		}, []detector{direct("./net/etcd", "TestServed$"), direct("./net/etcd", "TestLocksThatWait")}},
		{"close a connection for each that finds too much held", []change{
			{"net/etcd/memory.go", "	m.closing.Lock()\n	worst, most := m.largest()\n", "	worst, most := m.largest()\n	m.closing.Lock()\n"},
		}, []detector{direct("./net/etcd", "TestOneIsEnough")}},
		{"refuse a client of gRPC in a way that lets it dial again at once", []change{
			{"net/etcd/port.go", "	_ = f.WriteGoAway(0, http2", "	_ = f.WriteSettings()\n	_ = f.WriteGoAway(0, http2"},
		}, []detector{direct("./net/etcd", "TestFull"), direct("./net/etcd", "TestTrust")}},
		{"let one address keep all others out of a full port", []change{
			{"net/etcd/port.go", "	others := len(from) > own+1\n", "	others := len(from) < own\n"},
		}, []detector{direct("./net/etcd", "TestPlaces")}},
		{"close a connection that watches in favour of its client's next", []change{
			{"net/etcd/port.go", "		if !others && (serves || ", "		serves = false\n		if !others && ("},
		}, []detector{direct("./net/etcd", "TestPlaces")}},
		{"hear an address whose connections all come to nothing", []change{
			{"net/etcd/resets.go", "max(c.last, c.now) < limits.EtcdRefused", "c.now >= 0"},
		}, []detector{direct("./net/etcd", "TestRefusedAddress")}},
		{"let pings cost nothing", []change{
			{"net/etcd/memory.go", "	case kind != dataFrame && kind != headersFrame, kind == dataFrame", "	case kind == dataFrame"},
		}, []detector{direct("./net/etcd", "TestFramesThatAskForNothing")}},
		{"begin gRPC's workers with the member", []change{
			{"net/etcd/port.go", "	running.Go(func() { _ = p.web.Serve(p.http) })\n", "	p.s.begin()\n	running.Go(func() { _ = p.web.Serve(p.http) })\n"},
		}, []detector{direct("./net/etcd", "TestWorkersBeginWithAConnection")}},
		{"go on with a session that may have ended", []change{
			{"net/client/session.go", " || s.first == s.next && x.begun.Sub(s.used) > sessionIdle {", " {"},
		}, []detector{direct("./net/client", "TestSessionAfterAPause")}},
		{"take an older session clock", []change{
			{"net/client/session.go", "s.SessionClock > old;", "s.SessionClock != old;"},
		}, []detector{direct("./net/client", "TestSessionClockNeverGoesBack")}},
		{"say of a write what is certain of its last attempt", []change{
			{"net/client/errors.go", "	case answer.Certain(): // of the last attempt alone\n", "	case answer.Code < 0:\n"},
		}, []detector{direct("./net/client", "TestUnknownOutcomeOfAnEarlierAttempt")}},
		{"read a local certificate at each handshake", []change{
			{"net/wire/credentials.go", " && now.Sub(c.renewalDone) >= renewalPause", ""},
		}, []detector{direct("./net/wire", "TestLocalCertificateIsReadOnce")}},
		{"let a transaction compare as many keys as it likes", []change{
			{"index/rows.go", "	if rows > most {\n		return 0, kv.Errorf", "	if rows > 1<<40 {\n		return 0, kv.Errorf"},
		}, []detector{direct("./index", "TestRowsOfWrites")}},
		{"hand over long writes at once", []change{
			{"net/server/reader.go", "	if long && !s.conn.server.long.CompareAndSwap(false, true) {", "	if long && !s.conn.server.long.CompareAndSwap(false, true) && q == nil {"},
		}, []detector{direct("./net/server", "TestLongWritesGoOneByOne")}},
		{"keep what a body reads from while it is read", []change{
			{"net/server/bodies.go", "now.Sub(b.since) > limits.ClientStall && retired", "now.Sub(b.since) > 1000*limits.ClientStall && retired"},
		}, []detector{direct("./net/server", "TestBodyHeldTooLong")}},
		{"keep what an answer of etcd's API reads from", []change{
			{"net/etcd/room.go", "held > bounds.Stall && retired()", "held > 1000*bounds.Stall && retired()"},
		}, []detector{direct("./net/etcd", "TestHeldTooLong")}},
		{"go back to a member that was left shortly before", []change{
			{"net/client/learn.go", "	if now.Sub(c.leftAt) >= leftFor {", "	if now.Sub(c.leftAt) >= 0 {"},
		}, []detector{direct("./net/client", "TestTurnsToEachMember")}},
	}
}
