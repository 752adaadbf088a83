package main

var filePeers = direct("./net/wire", "TestFilePeers")

// The bugs of etcd's command line, and of certificates that know nothing of qkv.
func etcdMutants() []mutant {
	return []mutant{
		{"keep what was read while there is no place for it", []change{
			{"net/etcd/room.go", "	begin()\n	until :=", "	_ = begin\n	until :="},
		}, []detector{direct("./net/etcd", "TestWideReadsWait")}},
		{"let events overtake progress when they are joined", []change{
			{"net/etcd/watch.go", "			clear(last) // nothing overtakes it\n", ""},
		}, []detector{direct("./net/etcd", "TestJoin")}},
		{"join events in memory that streams share", []change{
			{"net/etcd/watch.go", "slices.Clip(to.Events), true", "slices.Grow(to.Events, 0), true"},
		}, []detector{direct("./net/etcd", "TestJoinShared")}},
		{"join a watch's events with those of another list", []change{
			{"net/etcd/watch.go", "listed{&n.IDs[0], len(n.IDs)}", "listed{&n.IDs[0], 1}"},
		}, []detector{direct("./net/etcd", "TestJoin")}},
		{"sort ranges without a place until they are large", []change{
			{"net/etcd/kv.go", " || a.size > pieceBytes && !wide.placed, nil", ", nil"},
		}, []detector{direct("./net/etcd", "TestBuiltAnswersThatWait")}},
		{"encode sorted answers of large values before they have room", []change{
			{"net/etcd/kv.go", "	reads := index.NewSortedReader(r, limits.PageBytes)", "	reads := index.NewSortedReader(r, 0)"},
		}, []detector{direct("./net/etcd", "TestBuiltAnswersThatWait")}},
		{"take any certificate of the CA for any member's", []change{
			{"net/wire/filetrust.go", "		if own.VerifyHostname(host) == nil {\n", "		if own.VerifyHostname(host) == nil || host != \"\" {\n"},
		}, []detector{filePeers, direct("./cli", "TestProcessKubeadmThree")}},
		{"let whoever calls be the member that it says", []change{
			{"net/peer/link.go", "	return l.transport.config.Trust.Vouches(q.ConnectionState().TLS, addresses)\n", "	_ = addresses\n	return nil\n"},
		}, []detector{direct("./cli", "TestProcessKubeadmThree")}},
		{"take the certificate of one of qkv's clients for a member's", []change{
			{"net/wire/filetrust.go", "	if id, err := IdentityOf(c); err == nil && id.Class != ClassMember {\n		return &TrustError", "	if id, err := IdentityOf(c); err == nil && id.Class == ClassCA {\n		return &TrustError"},
		}, []detector{filePeers}},
		{"let in a client whose certificate was revoked", []change{
			{"net/wire/filetrust.go", "		if revoked[revocation(c.RawIssuer, c.SerialNumber.Bytes())] {\n", "		if revoked[revocation(c.RawSubject, c.SerialNumber.Bytes())] {\n"},
		}, []detector{direct("./net/wire", "TestFileClients")}},
		{"ask clients for no certificate where there is a CA", []change{
			{"net/wire/filetrust.go", "	if f.names.CA != \"\" || required {\n", "	if required {\n"},
		}, []detector{direct("./net/wire", "TestFileClients")}},
		{"give two members one name", []change{
			{"index/members.go", "	if other := m.Named(a.Name); known.Name == \"\" && other != nil {\n", "	if other := m.Named(a.Name); known.Name != \"\" && other != nil && other.ID != a.ID {\n"},
		}, []detector{direct("./index", "TestScripts")}},
		{"take a member without a name for any", []change{
			{"index/members.go", "return r.Name == \"\" && slices.ContainsFunc(r.Peers, at) }", "return r.Name == \"\" || slices.ContainsFunc(r.Peers, at) }"},
		}, []detector{direct("./node", "TestWhoMayJoinWithoutAName")}},
		{"compact what etcd keeps", []change{
			{"node/retention.go", "	case a.next == 0:\n		a.next = now.Now + first\n", "	case a.next == 0:\n		a.next = now.Now + 1\n"},
		}, []detector{direct("./node", "TestAutoCompaction")}},
		{"take a variable in place of the flag", []change{
			{"internal/etcdflags/parse.go", "		if value == \"\" || shadowed[name] || f.Name == \"version\" {\n", "		if value == \"\" || f.Name == \"version\" {\n"},
			{"internal/etcdflags/parse.go", "		case shadowed[name]:\n", "		case shadowed[name] && !used[name]:\n"},
		}, []detector{direct("./internal/etcdflags", "TestLines")}},
		{"begin anew beside the data of an etcd", []change{
			{"cli/etcd.go", "	if _, err := os.Stat(filepath.Join(c.DataDir, \"member\")); err == nil {\n", "	if _, err := os.Stat(filepath.Join(c.DataDir, \"member\", \"x\")); err == nil {\n"},
		}, []detector{direct("./cli", "TestScript/etcd")}},
		{"ask clients for certificates of the CA of the start", []change{
			{"net/wire/filetrust.go", "		now.ClientCAs = f.fresh().roots\n", ""},
		}, []detector{direct("./net/wire", "TestFileClients")}},
		{"show the certificate of a server where another is for dialling", []change{
			{"net/wire/filetrust.go", "return &f.fresh().dial, nil", "return &f.fresh().own, nil"},
		}, []detector{direct("./net/wire", "TestFileDialling")}},
		{"dial a member whose certificate was revoked", []change{
			{"net/wire/filetrust.go", "		if err := f.allowed(state.PeerCertificates); err != nil {\n			return err\n		}\n		is, err", "		is, err"},
		}, []detector{direct("./net/wire", "TestFileDialling")}},
		{"make JSON of much at once", []change{
			{"net/etcd/gateway.go", "proto.Size(m) > limits.EtcdPieceBytes {", "proto.Size(m) > limits.EtcdPieceBytes && limits.EtcdPieceBytes == 0 {"},
		}, []detector{direct("./net/etcd", "TestMuchJSONTakesTurns")}},
		{"make JSON of a stream's parts at once", []change{
			{"net/etcd/gateway.go", "		of = chunk[\"result\"]\n", "		_ = chunk\n"},
		}, []detector{direct("./net/etcd", "TestMuchJSONTakesTurns")}},
		{"log each connection that breaks the protocol", []change{
			{"net/server/conn.go", "c.server.broken.warn(c.logger, \"a client's connection is closed\"", "c.logger.Warn(\"a client's connection is closed\""},
		}, []detector{direct("./net/server", "TestNoFramesLogged")}},
	}
}
