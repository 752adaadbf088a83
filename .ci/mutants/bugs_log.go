package main

var logBugs = []mutant{
	// Package log.
	{"give a backup entries behind a gap", []change{
		{"Window.Ask", `case lo <= w.base:`, `case lo < w.base:`},
	}, []detector{direct("./log", "TestAsk")}},
	{"acknowledge before sync", []change{
		{"Log.writeAndSync", `if err := l.file.Datasync(); err != nil { return fmt.Errorf("syncing %s: %w", l.file.Name(), err) }`, `if l.groups%2 == 1 { if err := l.file.Datasync(); err != nil { return fmt.Errorf("syncing %s: %w", l.file.Name(), err) } }`},
	}, []detector{campaign, logSweeps}},
	{"retry fsync", []change{
		{"Log.writeAndSync", `err != nil { return fmt.Errorf("syncing %s: %w", l.file.Name(), err) }`, `err != nil { if err := l.file.Datasync(); err != nil { return fmt.Errorf("syncing %s: %w", l.file.Name(), err) } }`},
	}, []detector{logSweeps, campaign}},
	{"truncate proven-durable frames", []change{
		{"scanner.findIntactHeaders", `if h.synced > from && b.proof == nil {`, `if false {`},
	}, []detector{logSweeps, campaign}},
	{"rewrite a synced page", []change{
		{"Log.writeAndSync", `l.writeAt = at + int64(len(b))`, `l.writeAt = at + int64(len(b)); if len(b) > pageBytes { l.writeAt -= pageBytes }`},
	}, []detector{logSweeps, campaign}},
	{"write over what found no room", []change{
		{"Log.write", `if err := l.clean(); err != nil { return err }`, ``},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"forget that a header found no room", []change{
		{"Log.unbegin", `l.full, l.fresh, l.soiled = true, false, 0`, `l.full, l.fresh, l.soiled = false, false, 0`},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"release what is before a segment without a header", []change{
		{"Log.Release", `if l.fresh { last-- }`, ``},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"begin a spare of a slow disk as on a quick one", []change{
		{"Maker.fill", `if m.Quick && m.at > 0 {`, `if m.Quick {`},
	}, []detector{direct("./log", "TestMakerBegins")}},
	{"fill what the log makes itself", []change{
		{"Log.takeBlank", `b, err = createReserved(l.o, seq, max(l.o.SegmentBytes, need))`, `b, err = createZeroed(l.o, seq, max(l.o.SegmentBytes, need))`},
	}, []detector{direct("./log", "TestInlineSegmentIsReserved"), direct("./node", "TestSlowDisks")}},
	{"stay in a segment that is only reserved", []change{
		{"Log.Sync", `to == l.begun || l.begun == 0 && l.leaves()`, `to == l.begun || l.begun < 0 && l.leaves()`},
	}, []detector{direct("./log", "TestStories")}},
	{"reserve the first segment", []change{
		{"Log.resume", `b, err = l.createSmall(segmentLeast)`, `b, err = l.takeBlank(segmentLeast)`},
	}, []detector{direct("./log", "TestStories")}},
	{"leave a segment without a look at the spares' numbers", []change{
		{"Log.leaves", `return seq > active.seq`, `return seq > 0*active.seq`},
	}, []detector{direct("./log", "TestOvertakenSpare")}},
	{"keep what was read of the log before a snapshot", []change{
		{"Window.rebase", `w.chunks, w.wanted, w.unread = nil, nil, 0`, ``},
	}, []detector{direct("./log", "TestResetForgetsWhatWasRead")}},
	{"close a segment that is read, and keep one that is closed", []change{
		{"Reader.file", `c.open = append(c.open[:0], c.open[1:]...)`, `c.open = c.open[:len(c.open)-1]`},
	}, []detector{direct("./log", "TestColdReadsOfManySegments")}},
	{"open a log that has committed what it has not", []change{
		{"inventory.replay", `r.hard.Commit = min(r.hard.Commit, r.window.last())`, ``},
	}, []detector{direct("./log", "TestCommitIsNotAboveTheLast")}},
	{"start without a newest segment that is gone", []change{
		{"inventory.chain", `if err := s.lost(s.files[i]); err != nil { return nil, err }`, ``},
	}, []detector{direct("./log", "TestLostNewest")}},
	{"say at no start which segment is the newest", []change{
		{"Log.goOn", `l.sayNext()`, ``},
	}, []detector{direct("./log", "TestLostNewest")}},
	{"believe the cache that it is said which segment follows", []change{
		{"NextPage.write", `if err := file.DropCache(p.header.offset, pageBytes); err != nil { return err }`, ``},
	}, []detector{direct("./log", "TestNextPageBehindFailedSync")}},
	{"take 0 for the term of what is behind damage", []change{
		{"inventory.replay", `r.window.baseKnown = oldest.knowsTerm()`, ``},
	}, []detector{direct("./log", "TestTermBehindCoveredDamage"), direct("./node", "TestDamagedEndBelowSnapshot")}},
	{"take a term that was not known for another one", []change{
		{"replay.header", `known && h.knowsTerm() && h.lastTerm`, `known && h.lastTerm`},
	}, []detector{direct("./log", "TestTermBehindCoveredDamage")}},
	{"remove a damaged file until the power fails", []change{
		{"Maker.Remove", `failed = errors.Join(failed, m.o.FS.SyncDir(m.o.Dir))`, ``},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"use a file again whose header is damaged", []change{
		{"inventory.begin", `l.letGo(f.name, f.damaged)`, `l.letGo(f.name, false)`},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"remove a damaged file before those that are older", []change{
		{"Maker.Remove", `all := append(m.store, name)`, `all := append([]string{name}, m.store...)`},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"let a fence take the page of what follows", []change{
		{"Log.writeFence", `if l.full || l.writeAt+keptBytes > l.active().size {`, `if l.full || l.writeAt+pageBytes > l.active().size {`},
	}, []detector{direct("./log", "TestStories")}},
	{"keep a damaged file of the log to be used again", []change{
		{"Log.letGo", `if damaged {`, `if false {`},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"go on in a damaged segment", []change{
		{"Log.resume", `r.torn == nil && !active.damaged && active`, `r.torn == nil && active`},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"take what says which segment follows for a frame", []change{
		{"scanner.frame", `if h.kind == kindNext {`, `if false {`},
	}, []detector{direct("./log", "TestStories")}},
	{"order fewer reads of the log than there are who lack it", []change{
		{"Window.want", `len(w.reading)+len(w.wanted) < limits.ColdReads &&`, `len(w.reading)+len(w.wanted) < limits.ColdReads-1 &&`},
	}, []detector{direct("./log", "TestColdReadsOfAll")}},
	{"end at what was dropped for want of room", []change{
		{"Log.Forget", `l.last, l.lastTerm = l.durable.last, l.durable.lastTerm`, ``},
	}, []detector{direct("./log", "TestForgottenGroupLeavesNothing")}},
	{"put the newest commit index into every frame of a group", []change{
		{"Log.hardBeforeLast", `return HardState{Term: l.hard.Term, Vote: l.hard.Vote, Commit: l.writtenHardState.Commit}`, `return l.hard`},
	}, []detector{direct("./log", "TestTornReplacementCommitsNothingOld")}},
	{"keep what was read of entries that were replaced", []change{
		{"Window.truncate", `w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.next() > from })`, `w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.first >= from })`},
	}, []detector{direct("./log", "TestWindowIsAStorage")}},
	{"take a cut newest segment for one that ends", []change{
		{"replay.decide", `if bad.cut && s.size < s.header.size {`, `if bad.cut && s.size < 0 {`},
	}, []detector{direct("./log", "TestCutNewest")}},
	{"throw away what was read before a bad page", []change{
		{"pages.read", `if got < n {`, `if got < want {`},
	}, []detector{direct("./log", "TestUnreadablePageIsNamed")}},
	{"read segments as they are decoded", []change{
		{"pages.read", `min(at+int64(want)+limits.PrefetchBytes, p.size))`, `at+0*limits.PrefetchBytes)`},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"read segments ahead as a whole", []change{
		{"pages.read", `min(at+int64(want)+limits.PrefetchBytes, p.size))`, `p.size+0*limits.PrefetchBytes)`},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"fill spares into the reserve", []change{
		{"Maker.fill", `if err = keepReserve(m.o, m.o.SegmentBytes-m.at); err == nil {`, `if err == nil {`},
	}, []detector{direct("./log", "TestReserveIsTakenMeanwhile")}},
	{"keep a spare of another size open", []change{
		{"Log.openSpare", `errors.Join(err, file.Close())`, `err`},
	}, []detector{direct("./log", "TestSpareOfAnotherSize")}},
	{"take over entries that were replaced while they were read", []change{
		{"Window.Load", `&& w.slots[order.first+uint64(n)-w.base-1].at == order.slots[n].at {`, `{`},
	}, []detector{direct("./log", "TestColdReadIsOvertaken")}},
	{"count a read that failed before one that did not", []change{
		{"Window.Load", `w.unread = 0`, ``},
	}, []detector{direct("./log", "TestColdReadsThatFailNowAndThen")}},
	{"keep released segments open", []change{
		{"Reader.use", `if list.find(f.seq) != "" {`, `if list.find(f.seq) != "" || f.seq > 0 {`},
	}, []detector{direct("./log", "TestReaderLetsGoOfSegments")}},
	{"refuse damage that ends where a snapshot does", []change{
		{"replay.skipTo", `|| h.next-1 > r.covered {`, `|| h.next > r.covered {`},
	}, []detector{direct("./log", "TestDamageOfWhatASnapshotEndsWith")}},
	{"report a frame that is written while it is read", []change{
		{"scanner.verify", `if err == nil || again {`, `if err == nil || !again {`},
	}, []detector{direct("./log", "TestVerifyReadsAFrameAgain")}},
	{"report a segment that is used again while it is read", []change{
		{"Verify", `if disk.Gone(d, name) {`, `if disk.Gone(d, name) && d == nil {`},
	}, []detector{direct("./log", "TestVerifyBesideTheLog")}},
	{"verify a log whose end is gone", []change{
		{"Verify", `end < least:`, `end < least && d == nil:`},
	}, []detector{direct("./log", "TestVerifyFindsFlippedBits")}},
	{"say that the log ends where the next segment cannot be read", []change{
		{"Verify", `if one.failed != nil {`, `if one.failed != nil && d == nil {`},
	}, []detector{direct("./log", "TestVerifyNamesWhatCannotBeRead")}},
	{"verify a log whose middle is gone", []change{
		{"Verify", `begins > snapshot`, `begins > snapshot && d == nil`},
	}, []detector{direct("./log", "TestVerifyNamesWhatCannotBeRead")}},
	{"verify the beginning of a log before all of it is read", []change{
		{"Verify", `begins = min(begins, behind)`, `if begins == math.MaxUint64 { begins = behind }`},
	}, []detector{direct("./log", "TestVerifyWhileResetSegmentsGo")}},
	{"use the file of a damaged segment again", []change{
		{"Log.MarkDamaged", `seg.damaged || seg.name == name`, `seg.damaged && seg.name == name`},
	}, []detector{direct("./log", "TestMarkedSegmentIsRemoved")}},

	// Package log/disk.
	{"verify what the page cache holds", []change{
		{"mediumFile.ReadAt", `f.File.ReadMedium(piece`, `f.File.ReadAt(piece`},
	}, []detector{direct("./log/disk", "TestMedium")}},
	{"count the blocks that are kept for root as a disk's", []change{
		{"osFS.Size", `int64(s.Blocks-(s.Bfree-s.Bavail))`, `int64(s.Blocks)`},
	}, []detector{direct("./log/disk", "TestSizeWithoutReservedBlocks")}},
	{"lock a file that can be removed alone", []change{
		{"osFS.Lock", `err = l.lockDir(path.Dir(name))`, `l.dir, _ = os.Open(path.Dir(name))`},
	}, []detector{direct("./log/disk", "TestLock")}},
	{"let go of the wrong pages", []change{
		{"osFile.DropCache", `unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED`, `unix.Fadvise(f.fd, n, off, unix.FADV_DONTNEED`},
	}, []detector{direct("./log/disk", "TestDropCacheOfARange")}},
	{"forget what was written before pages go past the page cache", []change{
		{"osFile.openPast", `cannot: err != nil, fdToo: f.past.fdToo`, `cannot: err != nil`},
	}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
	{"forget the room of a file beside its pages", []change{
		{"osFile.Reserve", `f.past.fdToo = true; err := again(func() error {`, `err := again(func() error {`},
	}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
	{"read older entries ahead", []change{
		{"osFile.NoReadahead", `unix.FADV_RANDOM`, `unix.FADV_NORMAL`},
	}, []detector{direct("./log/disk", "TestNoReadahead")}},
	{"prefetch all at once", []change{
		{"Readahead.Ask", `n := min(prefetchBytes, to-r.asked)`, `n := to - r.asked`},
	}, []detector{direct("./log", "TestSegmentsAreReadAhead")}},
	{"prefetch nothing", []change{
		{"osFile.Prefetch", `unix.FADV_WILLNEED`, `unix.FADV_NORMAL`},
	}, []detector{direct("./log/disk", "TestPrefetch")}},
}
