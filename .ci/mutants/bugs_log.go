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
	}, []detector{direct("./log", "TestEveryCallFails"), campaign}},
	{"truncate proven-durable frames", []change{
		{"scanner.findIntactHeaders", `if h.synced > from && b.proof == nil {`, `if false {`},
	}, []detector{direct("./log", "TestValueThatHoldsALog"), campaign}},
	{"write over what found no room", []change{
		{"Log.write", `if err := l.clean(); err != nil { return err }`, ``},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"release what is before a segment without a header", []change{
		{"Log.Release", `if l.fresh { last-- }`, ``},
	}, []detector{direct("./log", "TestNoRoom.*")}},
	{"start without a newest segment that is gone", []change{
		{"inventory.chain", `if err := s.lost(s.files[i]); err != nil { return nil, err }`, ``},
	}, []detector{direct("./log", "TestLostNewest")}},
	{"believe the cache that it is said which segment follows", []change{
		{"NextPage.write", `if err := file.DropCache(p.header.offset, pageBytes); err != nil { return err }`, ``},
	}, []detector{direct("./log", "TestNextPageBehindFailedSync")}},
	{"take 0 for the term of what is behind damage", []change{
		{"inventory.replay", `r.window.baseKnown = oldest.knowsTerm()`, ``},
	}, []detector{direct("./log", "TestTermBehindCoveredDamage"), direct("./node", "TestDamagedEndBelowSnapshot")}},
	{"remove a damaged file until the power fails", []change{
		{"Maker.Remove", `failed = errors.Join(failed, m.o.FS.SyncDir(m.o.Dir))`, ``},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"use a reserved segment whose size is not durable", []change{
		{"Maker.finish", `if err := m.file.Sync(); err != nil { m.Close(); return "", err }`, ``},
	}, []detector{direct("./log", "TestMakerReserves")}},
	{"let a fence take the page of what follows", []change{
		{"Log.writeFence", `if l.full || l.writeAt+keptBytes > l.active().size {`, `if l.full || l.writeAt+pageBytes > l.active().size {`},
	}, []detector{direct("./log", "TestStories")}},
	{"go on in a damaged segment", []change{
		{"Log.resume", `r.torn == nil && !active.damaged && active`, `r.torn == nil && active`},
	}, []detector{direct("./log", "TestCoveredDamageLeaves")}},
	{"keep what was read of entries that were replaced", []change{
		{"Window.truncate", `w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.next() > from })`, `w.chunks = slices.DeleteFunc(w.chunks, func(c chunk) bool { return c.first >= from })`},
	}, []detector{direct("./log", "TestWindowIsAStorage")}},
	{"take a cut newest segment for one that ends", []change{
		{"replay.decide", `if bad.cut && s.size < s.header.size {`, `if bad.cut && s.size < 0 {`},
	}, []detector{direct("./log", "TestCutNewest")}},
	{"take over entries that were replaced while they were read", []change{
		{"Window.Load", `&& w.slots[order.first+uint64(n)-w.base-1].at == order.slots[n].at {`, `{`},
	}, []detector{direct("./log", "TestColdReadIsOvertaken")}},
	{"use the file of a damaged segment again", []change{
		{"Log.MarkDamaged", `seg.damaged || seg.name == name`, `seg.damaged && seg.name == name`},
	}, []detector{direct("./log", "TestMarkedSegmentIsRemoved")}},

	// Package log/disk.
	{"forget what was written before pages go past the page cache", []change{
		{"osFile.openPast", `cannot: err != nil, fdToo: f.past.fdToo`, `cannot: err != nil`},
	}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
}
