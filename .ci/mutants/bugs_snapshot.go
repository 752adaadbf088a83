package main

var snapshotBugs = []mutant{
	// Package snapshot.
	{"skip the directory fsync", []change{
		{"snapshot.replace", `return fs.SyncDir(dir)`, `return nil`},
	}, []detector{snapSweep, campaign}},
	{"save versions without their authors", []change{
		{"snapshot.appendVersion", `fields := versionFields`, `fields, own := versionFields, *v; own.Author = 0; v = &own`},
	}, []detector{direct("./snapshot", "TestGoldenUsers"), campaign}},
	{"save no users", []change{ // etcd 14355
		{"Auth.append", `dst = pack.AppendArray(dst, a.users.Len())`, `dst = pack.AppendArray(dst, 0)`},
		{"Auth.append", `dst = appendUser(dst, u)`, ``},
	}, []detector{direct("./snapshot", "TestGoldenUsers")}},
	{"believe the name of a part", []change{
		{"loadContent", `if err == nil && t.sha != p.SHA {`, `if err == nil && t.sha != p.SHA && p.To < 0 {`},
	}, []detector{direct("./snapshot", "TestDamagedParts")}},
	{"verify a snapshot without its parts", []change{
		{"Verifier.Step", `len(v.reading.meta.Parts) == 0`, `len(v.reading.meta.Parts) >= 0`},
	}, []detector{direct("./snapshot", "TestDamagedParts")}},
	{"verify a part and not its name", []change{
		{"Verifier.stepPart", `v.part.tail.sha != p.SHA || !v.part.reading.part`, `p.To < 0`},
	}, []detector{direct("./snapshot", "TestDamagedParts")}},
	{"verify no part behind a damaged one", []change{
		{"Verifier.beginPart", `for len(v.parts) > 0 {`, `for v.harm == nil && len(v.parts) > 0 {`},
	}, []detector{direct("./snapshot", "TestAllDamagedPartsAreReported")}},
	{"remove a part that could not be replaced", []change{
		{"snapshot.replace", `return fs.SyncDir(dir)`, `if err := fs.SyncDir(dir); err != nil { fs.Remove(join(dir, name)); return err }; return nil`},
	}, []detector{direct("./snapshot", "TestPartIsMadeAgain")}},
	{"take changes in any order", []change{
		{"decoder.changes", `case !after(&one.Version, &last):`, `case !after(&one.Version, &last) && n > 1:`},
	}, []detector{direct("./snapshot", "TestForged")}},
	{"publish a snapshot unseen", []change{
		{"Saver.Step", `case s.back.next < s.back.size:`, `case s.back.next < 0:`},
	}, []detector{direct("./snapshot", "TestReadBackFails")}},
	{"keep the state until its snapshot is published", []change{
		{"Saver.finish", `s.keys, s.changes, s.block = nil, index.Changes{}, nil`, `s.block = nil`},
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
	// Package snapshot/backup.
	{"report the revision of a resent write as that of the restored state", []change{
		{"work.applyOne", `e.Index, e.Term, s.Revision()`, `e.Index, e.Term, w.got.Revision; if n := len(w.results); n > 0 { w.got.Revision = w.results[n-1].Revision }`},
	}, []detector{direct("./snapshot/backup", "TestRevisionBeforeAResentWrite")}},
	{"apply a change of members as another entry", []change{
		{"work.applyOne", `case e.Change:`, `case e.Change && until < 0:`},
	}, []detector{direct("./snapshot/backup", "TestModel")}},
	{"let the clock of a restored state go back", []change{
		{"work.apply", `wall = max(wall, head.Wall)`, `wall = head.Wall`},
	}, []detector{direct("./snapshot/backup", "TestClockAnHourOff")}},
	{"read the backup of a newer qkv", []change{
		{"backup.readHeader", `if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {`, `if v := binary.LittleEndian.Uint32(b[8:]); v < formatVersion {`},
	}, []detector{direct("./snapshot/backup", "TestNewer")}},
	{"write into the backup of another cluster", []change{
		{"backup.Writer.begin", `m.cluster != w.cluster.ID {`, `m.cluster != w.cluster.ID && m.cluster == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFolderRefused")}},
	{"make a backup among other files", []change{
		{"backup.openFolder", `len(other) > 0 && !isBackup {`, `len(other) > 9 && !isBackup {`},
	}, []detector{direct("./snapshot/backup", "TestFolderRefused")}},
	{"restore over a gap at the end of the log", []change{
		{"follower.ends", `if s.first > l.index+1 {`, `if s.first > l.index+1 && s.first == 0 {`},
		{"follower.ends", `r.Bases[n-1].Index > l.index {`, `r.Bases[n-1].Index < 0*l.index {`},
	}, []detector{direct("./snapshot/backup", "TestGap"), direct("./snapshot/backup", "TestMissingFiles")}},
	{"take damage for a torn write at the end", []change{
		{"scanner.intactBehind", `if c, ok := readChunk(b[i : i+headerBytes]); ok {`, `if c, ok := readChunk(b[i : i+headerBytes]); ok && c.last == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestDamageBeforeAnIntactChunk")}},
	{"remove the base that a kept moment needs", []change{
		{"Writer.oldestKept", `w.bases[i].Wall > from {`, `w.bases[i].Wall > from && i > 1 {`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"remove old data by a clock that is ahead", []change{
		{"Writer.Retain", `max(w.bases[len(w.bases)-1].Wall, w.end.wall)`, `now.UnixNano()`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"remove all old bases at once while the clocks are ahead", []change{
		{"Writer.Retain", `min(oldest, limits.BackupBasesRemoved)`, `min(oldest, 100*limits.BackupBasesRemoved)`},
	}, []detector{direct("./snapshot/backup", "TestRetainWithAllClocksAhead")}},
	{"write without encryption behind encrypted content", []change{
		{"Writer.refuseClear", `if encrypted {`, `if encrypted && len(w.bases) > 9 {`},
	}, []detector{direct("./snapshot/backup", "TestEncryptedBackupStaysEncrypted")}},
	{"restore a copy that is not the announced snapshot", []change{
		{"Copy.described", `if e.SHA != c.from.SHA() {`, `if e.SHA != c.from.SHA() && e.Index == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestCopyOfAnotherSnapshot")}},
	{"restore the end of a backup though another one goes on", []change{
		{"Several.Restore", `got.Index < ends[furthest]`, `got.Index < 0`},
	}, []detector{direct("./snapshot/backup", "TestSeveral")}},
	{"take the end of a backup for the newest state beside one that lost its marker", []change{
		{"holdsBackup", `on.List(path + "/" + baseDir)`, `on.List(path + "/" + filesDir)`},
		{"holdsBackup", `on.List(path + "/" + logDir)`, `on.List(path + "/" + filesDir)`},
	}, []detector{direct("./snapshot/backup", "TestSeveralDamaged")}},
	{"forget the entries behind the damage of another backup", []change{
		{"Reader.last", `return max(newest, behind.last), err`, `return max(newest, behind.last*0), err`},
	}, []detector{direct("./snapshot/backup", "TestSeveralDamaged")}},
	{"restore from the backups of two clusters", []change{
		{"OpenSeveral", `len(all) > 0 && r.Cluster.ID`, `len(all) < 0 && r.Cluster.ID`},
	}, []detector{direct("./snapshot/backup", "TestSeveral")}},
	{"restore an entry that is later than the moment", []change{
		{"work.apply", `wall > at.Wall`, `wall > at.Wall+1_000_000_000`},
	}, []detector{direct("./snapshot/backup", "TestModel")}},
	{"restore all commands of the entry that makes a revision", []change{
		{"State.applyAll", `if s.revision >= until {`, `if s.revision >= until && until < 0 {`},
	}, []detector{direct("./snapshot/backup", "TestModel")}},
	{"apply a chunk of a backup whose bytes are damaged", []change{
		{"scanner.payload", `if sumOf(s.raw, into) != c.sum {`, `if sumOf(s.raw, into) != c.sum && c.bytes == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFlippedBits")}},
	{"restore over a part of the log that is missing", []change{
		{"scanner.chunk", `case c.number != s.number || c.previous != s.sum:`, `case c.number != s.number:`},
		{"follower.next", `c.first > l.index+1 {`, `c.first > l.index+1 && c.first == 0 {`},
		{"follower.open", `|| l.r.segments[l.at].first > l.index+1 {`, `{`},
		{"follower.after", `case s.fault == nil && s.before != 0 && l.any:`, `case s.fault == nil && s.before != 0 && l.any && s.first == 0:`},
	}, []detector{direct("./snapshot/backup", "TestMissingFiles"), direct("./snapshot/backup", "TestGap"), direct("./snapshot/backup", "TestCutAtEveryByte")}},
	{"take the log of another cluster", []change{
		{"checkSegment", `case s.cluster != cluster:`, `case s.cluster != cluster && cluster == 0:`},
	}, []detector{direct("./snapshot/backup", "TestForeignSegment")}},
	{"trust a log that leads to another state than the base has", []change{
		{"work.compare", `got != b.Digest || w.got.Term != b.Term`, `got != b.Digest && w.got.Term != b.Term`},
	}, []detector{direct("./snapshot/backup", "TestDigestsOnTheWay")}},
	{"publish a base before its file is read back", []change{
		{"Copy.step", `return c.beginBack()`, `if err := c.out.publish(); err != nil { return err }; return c.publishBase()`},
	}, []detector{direct("./snapshot/backup", "TestReadBack")}},
	{"leave the copy of a damaged snapshot", []change{
		{"Copy.discard", `case c.there:`, `case !c.there:`},
	}, []detector{direct("./snapshot/backup", "TestSourceDamaged")}},
	{"continue a copy behind a chunk that the medium has damaged", []change{
		{"stored.keepIntact", `err != nil || p.chunk.flags&flagLast != 0`, `err == io.EOF || p.chunk.flags&flagLast != 0`},
	}, []detector{direct("./snapshot/backup", "TestResumeDamaged")}},
	{"append the entries of a cluster that was set back", []change{
		{"Writer.Continues", `e.Term != term || wall > known`, `e.Term != term && wall > known`},
	}, []detector{direct("./node/backuprun", "TestAnotherHistory")}},
	{"call a backup complete that has more than its member", []change{
		{"runner.follow", `err == nil && part.Applied < after`, `err == nil && part.Applied < after && after == 0`},
		{"Continues", `case part.Applied < end:`, `case part.Applied < end && end == 0:`},
		{"Continues", `case len(part.Entries) == 0:`, `case len(part.Entries) == 0: return nil; case end == 0:`},
	}, []detector{direct("./node/backuprun", "TestAnotherHistory")}},
	{"begin the log anew without a base", []change{
		{"Writer.follows", `if !slices.ContainsFunc(w.bases, covered) {`, `if len(w.bases) == 0 && !slices.ContainsFunc(w.bases, covered) {`},
	}, []detector{direct("./snapshot/backup", "TestGap")}},
	{"begin a second backup where the disk of the first one is not mounted", []change{
		{"openFolder", `if !isBackup && !anew {`, `if !isBackup && !anew && dir == "" {`},
		{"Writer.begin", `errors.Is(err, iofs.ErrNotExist) && anew`, `errors.Is(err, iofs.ErrNotExist)`},
	}, []detector{direct("./snapshot/backup", "TestVanishedFolder")}},
	{"acknowledge entries of a backup that are not synced", []change{
		{"written.append", `if err == nil { err = o.f.Datasync() }`, ``},
	}, []detector{direct("./snapshot/backup", "TestCrashAtEveryCall")}},
	{"rely on names of a backup that a crash takes", []change{
		{"Writer.syncNames", `return fmt.Errorf("make the names in %s durable: %w", w.folder.dir, err)`, `return nil`},
		{"Writer.begin", `err = w.syncNames()`, `err = nil`},
	}, []detector{direct("./snapshot/backup", "TestFoundIsDurable")}},
	{"count a damaged base as the one that stays", []change{
		{"Writer.oldestKept", `if err != nil { continue }`, `if err != nil { return i }`},
	}, []detector{direct("./snapshot/backup", "TestRetainDamaged")}},
	{"remove a segment that the oldest base needs", []change{
		{"Writer.removeSegments", `first <= w.bases[0].Index+1 {`, `first <= w.bases[0].Index+1 || first > 0 {`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"take a cut archive for a whole one", []change{
		{"archive.final", `return true, a.fault`, `return true, nil`},
	}, []detector{direct("./snapshot/backup", "TestArchiveDamaged")}},
	{"bring back a base whose file was removed", []change{
		{"Writer.Retain", `if len(removed) > 0 {`, `if len(removed) > 99 {`},
	}, []detector{direct("./snapshot/backup", "TestRetainIsDurable")}},
	{"remove the file of a base whose manifest cannot be read", []change{
		{"Writer.removeFiles", `err != nil || len(faults) > 0 {`, `err != nil || len(faults) > 9 {`},
	}, []detector{direct("./snapshot/backup", "TestRetainWhileAManifestIsDamaged")}},
	{"remove a damaged segment of kept moments", []change{
		{"Writer.removeSegments", `ok && first <= w.bases[0].Index {`, `ok && first > 0 {`},
	}, []detector{direct("./snapshot/backup", "TestRetainWhatWasMovedAside")}},
	{"restore a lease that was granted behind the revision", []change{
		{"Reader.candidates", `case at.Revision != 0 && b.Revision == at.Revision:`, `case at.Revision != 0 && b.Revision == at.Revision && at.Wall != 0:`},
	}, []detector{direct("./snapshot/backup", "TestRevisionBeforeALease")}},
	{"verify a backup whose log is damaged", []change{
		{"backup.Reader.Verify", `if v.Fault != nil || v.Log != nil {`, `if v.Fault != nil {`},
	}, []detector{direct("./snapshot/backup", "TestDamageBeforeAnIntactChunk")}},
	{"keep the part of a copy that nothing continues", []change{
		{"Copy.removeOthers", `if strings.HasSuffix(name, temporary) && filesDir`, `if strings.HasSuffix(name, "x"+temporary) && filesDir`},
	}, []detector{direct("./snapshot/backup", "TestCopyRemovesAnotherOnesPart")}},

	// Shelves.
	{"answer a value with another checksum", []change{
		{"Shelf.Value", `if err == nil && !sound(value) {`, `if err == nil && !sound(value) && value == nil {`},
	}, []detector{direct("./snapshot", "TestEveryBitOfAShelf")}},
	{"look for a version in the chunk before", []change{
		{"places.find", `return p.chunks[i-1], true`, `return p.chunks[max(i-2, 0)], true`},
	}, []detector{direct("./snapshot", "TestLongKeyOnAShelf")}},
	{"end a chunk with the record that begins the next one", []change{
		{"places.note", `p.end(offset)`, `p.end(offset - 1)`},
	}, []detector{direct("./snapshot", "TestLongKeyOnAShelf")}},
	{"forget an extent behind a newer base", []change{
		{"Shelf.Rebased", `one.To > base[0].To`, `one.To > base[0].To+1 && one.Number > s.extents[0].Number+1`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"forget extents that come before their base", []change{
		{"Shelf.With", `if n := len(s.extents); len(extent.chunks) == 0 ||`, `if n := len(s.extents); len(s.base) == 0 || len(extent.chunks) == 0 ||`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"read behind a gap in the extents", []change{
		{"newShelf", `if one.chunks[0].mod != s.reach+1 {`, `if one.chunks[0].mod <= s.to {`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"keep a part in which a version is missing", []change{
		{"Shelf.Value", `case err == nil && !found && at.Revision <= s.base[0].To:`, `case err == nil && !found:`},
	}, []detector{direct("./snapshot", "TestEveryBitOfAShelf")}},
	{"read as many values at once as are wanted", []change{
		{"Shelf.Value", `s.reads.slots <- struct{}{}`, `go func() { s.reads.slots <- struct{}{} }()`},
	}, []detector{direct("./snapshot", "TestReadsAreBounded")}},
	{"report a damaged part at each look", []change{
		{"Shelf.Damaged", `return s.reads.damaged.Swap(nil)`, `return s.reads.damaged.Load()`},
	}, []detector{direct("./snapshot", "TestShelfIsRepaired")}},
	{"leave a short part as it is", []change{
		{"Volume.read", `if err == nil || errors.Is(err, io.EOF) {`, `if err == nil && !errors.Is(err, io.EOF) {`},
	}, []detector{direct("./snapshot", "TestLostPartIsDamaged")}},
	{"leave a missing part as it is", []change{
		{"Volume.read", `absent(v.path, err)`, `err`},
	}, []detector{direct("./snapshot", "TestLostPartIsDamaged")}},
	{"leave a part open after a value was read", []change{
		{"Volume.read", `defer f.Close()`, ``},
	}, []detector{direct("./snapshot", "TestReadsKeepNothing")}},
	{"look for the first key of a piece in the piece before", []change{
		{"Shelf.volume", `bytes.Compare(s.base[i].keys[0], key) > 0`, `bytes.Compare(s.base[i].keys[0], key) >= 0`},
	}, []detector{direct("./snapshot", "TestFirstKeyOfAPiece")}},
	{"change a Shelf when another one is made from it", []change{
		{"Shelf.With", `append(slices.Clip(s.extents), extent)`, `append(s.extents, extent)`},
	}, []detector{direct("./snapshot", "TestShelfGrows")}},
	{"save an extent although a value cannot be read", []change{
		{"Saver.stepChanges", `if _, err = s.record(key, one[:]); err != nil {`, `if _, _ = s.record(key, one[:]); err != nil {`},
	}, []detector{direct("./snapshot", "TestPartWithoutAValueIsNotSaved")}},
	{"save a part without a value that cannot be read", []change{
		{"Saver.record", `if err := versions[n].Read(); err != nil { return 0, err }`, `_ = versions[n].Read()`},
	}, []detector{direct("./snapshot", "TestPartWithoutAValueIsNotSaved")}},
}
