package main

var snapshotBugs = []mutant{
	// Package snapshot.
	{"skip the directory fsync", []change{
		{"snapshot.publish", `if err = fs.SyncDir(dir); err != nil { fs.Remove(join(dir, name)) }; return err`, `return nil`},
	}, []detector{snapSweep, campaign}},
	{"save versions without their authors", []change{
		{"snapshot.appendVersion", `fields := versionFields`, `fields, own := versionFields, *v; own.Author = 0; v = &own`},
	}, []detector{direct("./snapshot", "TestGoldenUsers"), campaign}},
	{"save no users", []change{ // etcd 14355
		{"Auth.append", `dst = pack.AppendArray(dst, a.users.Len())`, `dst = pack.AppendArray(dst, 0)`},
		{"Auth.append", `dst = appendUser(dst, u)`, ``},
	}, []detector{direct("./snapshot", "TestGoldenUsers")}},
	{"publish a snapshot unseen", []change{
		{"Saver.Step", `case s.back.next < s.back.size:`, `case s.back.next < 0:`},
	}, []detector{direct("./snapshot", "TestReadBackFails")}},
	{"keep the state until its snapshot is published", []change{
		{"Saver.finish", `s.source, s.block = nil, nil`, `s.block = nil`},
	}, []detector{direct("./actor", "TestViewIsLetGoWhileASnapshotIsReadBack")}},
	{"publish what is received without its SHA-256", []change{
		{"Readback.announced", `if t.sha != b.sha {`, `if t.sha != b.sha && b.size == 0 {`},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"keep in the page cache what was read back", []change{
		{"Readback.dropRead", `if b.reading.next-b.dropped < limits.SnapshotCacheBytes {`, `if b.reading.next-b.dropped < limits.SnapshotCacheBytes<<20 {`},
	}, []detector{direct("./snapshot", "TestReadbackLetsGo")}},
	{"keep in the page cache what was sent again", []change{
		{"Reader.ReadAt", `r.dropped = min(r.dropped, off)`, ``},
	}, []detector{direct("./snapshot", "TestReaderLetsGo")}},
	{"send on from a disk that gives up no pages", []change{
		{"Reader.ReadAt", `err == nil && dropped != nil`, `err != nil && dropped != nil`},
	}, []detector{direct("./snapshot", "TestCacheThatStays")}},
	{"forget what of a save is read back", []change{
		{"Saver.Done", `return s.file.offset + s.back.next`, `return s.file.offset`},
	}, []detector{direct("./snapshot", "TestDoneGrows")}},
	{"keep a part of a snapshot open that has no room", []change{
		{"Receive", `r.drop() }; r.Close()`, `r.drop() }`},
	}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
	{"remove a part of a snapshot that has no room", []change{
		{"Receive", `if r.offset == 0 { r.drop() }`, `r.drop()`},
	}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
	{"sync what is received each time", []change{
		{"output.append", `if o.behind {`, `if o.behind && o.back < 0 {`},
	}, []detector{direct("./snapshot", "TestSyncsAsItGrows")}},
	{"wait for nothing of what is written back", []change{
		{"output.writeBack", `there >= 0 {`, `there >= o.offset {`},
	}, []detector{direct("./snapshot", "TestSyncsAsItGrows")}},
	{"put a damaged snapshot into a folder that a crash takes", []change{
		{"snapshot.Quarantine", `[]string{dir, parent(dir), parent(path)}`, `[]string{dir, parent(path)}`},
	}, []detector{direct("./snapshot", "TestQuarantine")}},
	{"list snapshots whose names are not durable", []change{
		{"List", `if err := fs.SyncDir(dir); err != nil { return l, fmt.Errorf("list snapshots: %w", err) }`, ``},
	}, []detector{direct("./snapshot", "TestListedIsDurable")}},
	{"leave headers out of a snapshot's identity", []change{
		{"Saver.write", `s.sum.Write(b[:headerBytes])`, `s.sum.Write(b[:0])`},
		{"walker.take", `w.sum.Write(b[:headerBytes])`, `w.sum.Write(b[:0])`},
	}, []detector{direct("./snapshot", "TestIdentity")}},
	{"take a file with something behind its tail", []change{
		{"reading.tail", `case r.next != r.total:`, `case r.next > r.total:`},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"write a snapshot as it is gathered", []change{
		{"Saver.Step", `s.file.piece, s.medium.piece = s.Piece, s.Piece`, `s.medium.piece = s.Piece`},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"read a snapshot back a window at once", []change{
		{"Saver.Step", `s.file.piece, s.medium.piece = s.Piece, s.Piece`, `s.file.piece = s.Piece`},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"verify a snapshot a window at once", []change{
		{"snapshot.Verifier.Step", `v.medium.piece = v.Piece`, ``},
	}, []detector{direct("./snapshot", "TestSaveInPieces")}},
	{"keep a snapshot open that was listed", []change{
		{"inspect", `defer f.Close()`, ``},
	}, []detector{direct("./snapshot", "TestEveryCallFails")}},
}
