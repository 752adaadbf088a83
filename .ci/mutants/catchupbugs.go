package main

// The bugs of sending members what they lack.
func catchupMutants() []mutant {
	pace := direct("./actor", "TestPace.*")
	gone := direct("./actor", "TestSenderOfASnapshotIsGone")
	leaves := direct("./node", "TestCatchUpLeavesRoom")
	waits := direct("./actor", "TestFollowerWaitsForASave")
	offload := direct("./net/wire", "TestReceiveOffload")
	addresses := direct("./net/wire", "TestReceiveOffloadOfEachAddress")
	return []mutant{
		{"read for who is behind whatever it costs", []change{
			{"actor/pace.go", "	if p.credit <= 0 {\n", "	if p.credit <= 0 && p.behind == 0 {\n"},
		}, []detector{leaves}},
		{"send pieces of snapshots whatever it costs", []change{
			{"actor/snapshotsend.go", "		if one.allowed <= 0 {\n", "		if one.allowed <= 0 && !one.wanted {\n"},
		}, []detector{direct("./actor", "TestPiecesAreSentAsAllowed")}},
		{"send what is written, and no more", []change{
			{"actor/pace.go", "p.gain()*p.writes", "p.writes"},
		}, []detector{pace}},
		{"send one snapshot after the other", []change{
			{"actor/pace.go", "	c.pace.presses = 2*c.fileBytes > ", "	c.pace.presses = 1<<62 < "},
		}, []detector{direct("./node", "TestCatchUpByOneSnapshot")}},
		{"keep in the page cache what was read back", []change{
			{"snapshot/readback.go", "	if b.reading.next-b.dropped < limits.SnapshotCacheBytes {\n", "	if b.reading.next-b.dropped < limits.SnapshotCacheBytes<<20 {\n"},
		}, []detector{direct("./snapshot", "TestReadbackLetsGo")}},
		{"keep in the page cache what was sent again", []change{
			{"snapshot/open.go", "	r.dropped = min(r.dropped, off) // it is sent again from here\n", ""},
		}, []detector{direct("./snapshot", "TestReaderLetsGo")}},
		{"make new memory for each message of the log", []change{
			{"net/wire/peerframe/message.go", "		written[steps].Put(&frame)\n", ""},
		}, []detector{direct("./net/wire/peerframe", "TestLargeFramesAreUsedAgain")}},
		{"take a row of datagrams for one", []change{
			{"net/wire/offload_linux.go", "			c.segment = max(int(binary.NativeEndian.Uint32(body)), 1)\n", "			_ = binary.NativeEndian.Uint32(body)\n"},
		}, []detector{offload}},
		{"lose what the kernel says of a row of datagrams", []change{
			{"net/wire/offload_linux.go", "			c.kept = append(c.kept, rest[:len(rest)-len(behind)]...)\n", "			_ = c.kept\n"},
		}, []detector{offload}},
		{"take a datagram for another sender's", []change{
			{"net/wire/offload_linux.go", "	if c.from == nil || source != c.source {\n", "	if c.from == nil {\n"},
		}, []detector{offload}},
		{"hold back the last of a row of datagrams", []change{
			{"net/wire/offload_linux.go", "	for ; i < len(messages) && len(c.left) > 0; i++ {\n", "	for ; i < len(messages) && len(c.left) >= c.segment; i++ {\n"},
		}, []detector{offload}},
		{"change the sender of datagrams that were handed out", []change{
			{"net/wire/offload_linux.go", "		c.from, c.source = net.UDPAddrFromAddrPort(source), source\n", "		if c.from == nil {\n			c.from = &net.UDPAddr{}\n		}\n		*c.from, c.source = *net.UDPAddrFromAddrPort(source), source\n"},
		}, []detector{addresses}},
		{"lose where a datagram came to", []change{
			{"net/wire/offload_linux.go", "		} else {\n			c.kept", "		} else if header.Type != unix.IP_PKTINFO && header.Type != unix.IPV6_PKTINFO {\n			c.kept"},
		}, []detector{addresses}},
		{"let go of the wrong pages", []change{
			{"log/disk/os_linux.go", "unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED", "unix.Fadvise(f.fd, n, off, unix.FADV_DONTNEED"},
		}, []detector{direct("./log/disk", "TestDropCacheOfARange")}},
		{"send on from a disk that gives up no pages", []change{
			{"snapshot/open.go", "err == nil && dropped != nil", "err != nil && dropped != nil"},
		}, []detector{direct("./snapshot", "TestCacheThatStays")}},
		{"take 64 KiB for each small frame", []change{
			{"net/wire/peerframe/message.go", "	if most < limits.PeerFrameReuse || steps", "	if most < 1 || steps"},
		}, []detector{direct("./net/wire/peerframe", "TestFramesTakeWhatTheyNeed")}},
		{"read the peers' packets one by one", []change{
			{"net/peer/transport.go", "wire.ReceiveOffload(t.config.Listen)", "t.config.Listen"},
		}, []detector{direct("./net/peer", "TestPeersReadRows")}},
		{"read each datagram alone", []change{
			{"net/wire/offload_linux.go", "		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)\n", ""},
		}, []detector{offload}},
		{"hold a follower back that costs nothing", []change{
			{"actor/pace.go", "			p.rate *= 5. / 4\n", ""},
		}, []detector{pace}},
		{"hold a follower back for what a scheduler does", []change{
			{"actor/pace.go", "max(p.calm*limits.CatchUpCost, p.calm+limits.CatchUpCostLeast.Seconds())", "p.calm*limits.CatchUpCost"},
		}, []detector{pace}},
		{"send a follower nothing that slow commits leave", []change{
			{"actor/pace.go", "max(p.calm*limits.CatchUpCost, p.calm+limits.CatchUpCostLeast.Seconds())", "p.calm+limits.CatchUpCostLeast.Seconds()"},
		}, []detector{pace}},
		{"take what a follower costs for the load at once", []change{
			{"actor/pace.go", "(p.busy - p.calm) / limits.CatchUpForget", "(p.busy - p.calm)"},
		}, []detector{pace}},
		{"take the fastest commits for the norm", []change{
			{"actor/pace.go", "			p.calm += (p.busy - p.calm) / limits.CatchUpSmoothCalm\n", "			p.calm = p.busy\n"},
		}, []detector{pace}},
		{"take a disk that stood for a slow one", []change{
			{"actor/pace.go", "(min(commit, 2*p.calm) - p.calm) / limits.CatchUpSmoothCalm", "(commit - p.calm) / limits.CatchUpSmooth"},
		}, []detector{pace}},
		{"send all of a pause at once", []change{
			{"actor/pace.go", "min(now-p.at, limits.CatchUpBurst).Seconds()", "(now - p.at).Seconds()"},
		}, []detector{pace}},
		{"save a snapshot while behind", []change{
			{"actor/applier.go", "	if a.Status.catchesUp() {\n		worth", "	if a.Status.catchesUp() && worth == 0 {\n		worth"},
		}, []detector{direct("./actor", "TestNothingIsSavedWhileBehind")}},
		{"go on to receive what the log has brought", []change{
			{"actor/snapshotsend.go", "	s.endNeedless()\n", ""},
		}, []detector{gone}},
		{"take what nobody sends for a snapshot that comes", []change{
			{"actor/snapshotter.go", "s.Status.receives.Store(s.comes())", "s.Status.receives.Store(s.receive != nil)"},
		}, []detector{gone}},
		{"send the old one while a snapshot is being saved", []change{
			{"actor/catchup.go", "	return saves && newest", "	return false && saves && newest"},
		}, []detector{waits}},
		{"wait for a snapshot that nobody saves", []change{
			{"actor/catchup.go", "	return saves && newest", "	return newest"},
		}, []detector{waits}},
		{"wait for the snapshot behind the one that was being saved", []change{
			{"actor/catchup.go", "saves && newest == w.newest && now", "saves && now"},
		}, []detector{waits}},
		{"wait for a snapshot that is hardly begun", []change{
			{"actor/snapshotter.go", "s.writing() && 2*s.growth() < s.order.bytes", "s.writing()"},
		}, []detector{direct("./actor", "TestSaveIsNearlyThere")}},
		{"wait for a snapshot for ever", []change{
			{"actor/catchup.go", "now-w.since < limits.SnapshotWait", "now-w.since < 1000*limits.SnapshotWait"},
		}, []detector{waits}},
		{"take how long a loss lasted for the way's slowness", []change{
			{"actor/snapshotsend.go", "			one.first, one.begun = one.acked, s.now // the way is not as slow as this was long\n", ""},
		}, []detector{direct("./actor", "TestLostPiecesAreMissedSoon")}},
		{"count the silence itself for the way's slowness", []change{
			{"actor/snapshotsend.go", "float64(one.progressed-one.begun))", "float64(s.now-one.begun))"},
			{"actor/snapshotsend.go", "func (one *sending) timeout() time.Duration {", "func (s *Snapshotter) timeout(one *sending) time.Duration {"},
			{"actor/snapshotsend.go", "one.timeout()", "s.timeout(one)"},
		}, []detector{direct("./actor", "TestLostPiecesAreMissedSoon")}},
		{"drop a snapshot that came in another term", []change{
			{"actor/ready.go", "now.GetTerm() > m.GetTerm() {", "false {"},
		}, []detector{direct("./actor", "TestSnapshotOfAnEarlierTerm")}},
	}
}
