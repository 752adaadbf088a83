package main

var snapshotBugs = []mutant{
	// Package snapshot.
	{"lose a slot of the reads at each miss", []change{
		{"Shelf.Value", `<-s.reads.slots`, `if found || err != nil { <-s.reads.slots }`},
	}, []detector{direct("./snapshot", "TestReadsGiveTheirSlotsBack")}},
	{"skip the directory fsync", []change{
		{"snapshot.replace", `return fs.SyncDir(dir)`, `return nil`},
	}, []detector{direct("./snapshot", "TestCrashAtEveryCall"), campaign}},
	{"save no users", []change{ // etcd 14355
		{"Auth.append", `dst = pack.AppendArray(dst, a.users.Len())`, `dst = pack.AppendArray(dst, 0)`},
		{"Auth.append", `dst = appendUser(dst, u)`, ``},
	}, []detector{direct("./snapshot", "TestGoldenUsers")}},
	{"believe the name of a part", []change{
		{"loadContent", `if err == nil && t.sha != p.SHA {`, `if err == nil && t.sha != p.SHA && p.To < 0 {`},
	}, []detector{direct("./snapshot", "TestDamagedParts")}},
	{"verify a snapshot without its parts", []change{
		{"checks.step", `one.rest = one.info.Parts`, `one.rest = nil`},
	}, []detector{direct("./actor", "TestDamagedPartsAreFetchedInTurn")}},
	{"remove a part that could not be replaced", []change{
		{"snapshot.replace", `return fs.SyncDir(dir)`, `if err := fs.SyncDir(dir); err != nil { fs.Remove(join(dir, name)); return err }; return nil`},
	}, []detector{direct("./snapshot", "TestPartIsMadeAgain")}},
	{"publish a snapshot unseen", []change{
		{"Saver.Step", `case s.back.next < s.back.size:`, `case s.back.next < 0:`},
	}, []detector{direct("./snapshot", "TestReadBackFails")}},
	{"publish what is received without its SHA-256", []change{
		{"Readback.announced", `if t.sha != b.sha {`, `if t.sha != b.sha && b.size == 0 {`},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"list snapshots whose names are not durable", []change{
		{"List", `if err := fs.SyncDir(dir); err != nil { return l, fmt.Errorf("list snapshots: %w", err) }`, ``},
	}, []detector{direct("./snapshot", "TestListedIsDurable")}},
	// Package snapshot/backup/store.
	{"replace an object that another writer has made meanwhile", []change{
		{"S3.upload", `options.SetMatchETagExcept("*")`, ``},
	}, []detector{direct("./snapshot/backup/store", "TestCondition")}},
	{"take an object that is damaged on the server for stored", []change{
		{"S3.Put", `return s.compare(ctx, name, content)`, `return nil`},
	}, []detector{direct("./snapshot/backup/store", "TestFaultyPut")}},
	{"return the bytes of another range", []change{
		{"S3.getRange", `n < 3 || first != offset || end`, `n < 3 || end < 0 && end`},
	}, []detector{direct("./snapshot/backup/store", "TestFaultyGet")}},
	{"take an object for removed that the server did not name", []change{
		{"S3.Delete", `if !confirmed[s.key(name)] {`, `if len(confirmed) == 0 {`},
	}, []detector{direct("./snapshot/backup/store", "TestFaultyDelete")}},
	{"take a list for complete that was canceled", []change{
		{"S3.List", `if ctx.Err() != nil {`, `if ctx.Err() != nil && all == nil && prefix == "" {`},
	}, []detector{direct("./snapshot/backup/store", "TestStalls")}},
	{"wait for ever for a server that is silent", []change{
		{"patient.RoundTrip", `cancel(fmt.Errorf("%w for %v", errStalled, p.stall))`, `_ = errStalled`},
	}, []detector{direct("./snapshot/backup/store", "TestStalls")}},
	{"take a missing bucket for an empty folder", []change{
		{"S3.List", `case object.Err != nil:`, `case object.Err != nil && statusOf(object.Err) == 404: return nil, nil; case object.Err != nil:`},
	}, []detector{direct("./snapshot/backup/store", "TestNoBucket")}},
	{"name an object before its content is synced", []change{
		{"Folder.put", `err = file.Datasync()`, `err = nil`},
		{"Folder.put", `err = file.Sync()`, `err = nil`},
	}, []detector{direct("./snapshot/backup/store", "TestFolderCrashes")}},
	{"acknowledge a deletion before it is durable", []change{
		{"Folder.Delete", `dirs[path.Dir(f.Path(name))] = true`, `dirs[path.Dir(f.Path(name))] = false; clear(dirs)`},
	}, []detector{direct("./snapshot/backup/store", "TestFolderCrashes")}},
	// Package snapshot/backup.
	{"write into the backup of another cluster", []change{
		{"backup.Writer.check", `of.ID != w.cluster.ID {`, `of.ID != w.cluster.ID && of.ID == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFolderRefused")}},
	{"restore over a gap at the end of the log", []change{
		{"follower.ends", `if of.first > l.index+1 {`, `if of.first > l.index+1 && of.first == 0 {`},
		{"follower.ends", `l.r.Bases[n-1].Index > l.index {`, `l.r.Bases[n-1].Index < 0*l.index {`},
	}, []detector{direct("./snapshot/backup", "TestGap"), direct("./snapshot/backup", "TestMissingObjects")}},
	{"restore over a part of the log that is missing", []change{
		{"follower.following", `if of.first > l.index+1 {`, `if of.first > l.index+9 {`},
	}, []detector{direct("./snapshot/backup", "TestMissingObjects"), direct("./snapshot/backup", "TestGap")}},
	{"remove the base that a kept moment needs", []change{
		{"Writer.oldestKept", `w.bases[i].Wall > from {`, `w.bases[i].Wall > from && i > 1 {`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"remove the log behind the oldest base", []change{
		{"Writer.oldLog", `of.last <= w.bases[0].Index &&`, `of.last <= w.bases[0].Index+1 &&`},
	}, []detector{direct("./snapshot/backup", "TestRetainTheEntriesBehindTheBase")}},
	{"take a base without one of its parts for whole", []change{
		{"Writer.oldestKept", `slices.ContainsFunc(w.bases[i].Files, func`, `slices.ContainsFunc(w.bases[i].Files[:1], func`},
	}, []detector{direct("./snapshot/backup", "TestRetainWithoutAFile"), direct("./snapshot/backup", "TestEveryMomentRestores")}},
	{"take a base with a part that was cut for whole", []change{
		{"lacks", `case size != of.Stored:`, `case size < 0:`},
	}, []detector{direct("./snapshot/backup", "TestRetainWithoutAFile"), direct("./snapshot/backup", "TestEveryMomentRestores")}},
	{"take a failed read of an encrypted part for damage", []change{
		{"decrypting", `if err != nil && !errors.Is(err, io.EOF) {`, `if err != nil && errors.Is(err, io.EOF) {`},
	}, []detector{direct("./snapshot/backup", "TestFailedReadIsNoDamage")}},
	{"verify a backup whose newest changes were renamed as undamaged", []change{
		{"listKnown", `len(faults) < misnamedMost {`, `len(faults) < 0 {`},
	}, []detector{direct("./snapshot/backup", "TestRenamed"), direct("./snapshot/backup", "TestOtherNames")}},
	{"list a changed file of an interrupted base", []change{
		{"Writer.has", `w.rotten[fileName(of)] = damaged(fault) || fault == nil && e.SHA != p.SHA`, `fault, e.SHA = nil, p.SHA`},
	}, []detector{direct("./snapshot/backup", "TestChangedFileOfAnInterruptedBase")}},
	{"remove the files of the own copy", []change{
		{"Retention.oldFiles", `append(bases, Base{Files: w.wanted})`, `append(bases, Base{})`},
	}, []detector{direct("./snapshot/backup", "TestGraceOfTheOwnCopy")}},
	{"remove a part that another base lists", []change{
		{"Retention.oldFiles", `if needed[name] {`, `if needed[""] {`},
	}, []detector{direct("./snapshot/backup", "TestPartsAreCopiedOnce")}},
	{"remove files while a manifest is damaged", []change{
		{"Retention.oldFiles", `errors.Join(append(faults, err)...)`, `errors.Join(append(faults[:0], err)...)`},
	}, []detector{direct("./snapshot/backup", "TestRetainWhileAManifestIsDamaged")}},
	{"write without encryption behind encrypted content", []change{
		{"Writer.refuseClear", `if encrypted {`, `if encrypted && len(w.bases) > 9 {`},
	}, []detector{direct("./snapshot/backup", "TestEncryptedBackupStaysEncrypted")}},
	{"restore a copy that is not the announced snapshot", []change{
		{"copying.store", `sha != c.sha {`, `sha != c.sha && c.of.Bytes == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestCopyOfAnotherSnapshot")}},
	{"restore an entry that is later than the moment", []change{
		{"work.apply", `wall > at.Wall {`, `wall > at.Wall+1_000_000_000 {`},
	}, []detector{direct("./snapshot/backup", "TestEveryMomentRestores")}},
	{"apply entries of a backup whose bytes are damaged", []change{
		{"readLog", `sum != of.sha {`, `sum != of.sha && len(b) == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFlippedBits")}},
	{"apply the entries of two histories", []change{
		{"follower.read", `l.term != 0 && same.Term != l.term {`, `l.term != 0 && same.Term < l.term {`},
	}, []detector{direct("./snapshot/backup", "TestTwoHistories")}},
	{"trust a log that leads to another state than the base has", []change{
		{"work.compare", `got != b.Digest || w.got.Term != b.Term`, `got != b.Digest && w.got.Term != b.Term`},
	}, []detector{direct("./snapshot/backup", "TestDigestsOnTheWay")}},
	{"verify a backup with a damaged manifest as undamaged", []change{
		{"Reader.Verify", `faults := len(r.Faults)`, `faults := 0`},
	}, []detector{direct("./snapshot/backup", "TestVerifyTheOtherObjects")}},
	{"publish a base whose files are gone", []change{
		{"Copy.publish", `err = errors.Join(err, fault)`, `_ = fault`},
	}, []detector{direct("./snapshot/backup", "TestPublishRefused")}},
	{"publish a base before its last part", []change{
		{"Copy.step", `if len(c.missing) == 0 {`, `if len(c.missing) <= 1 {`},
	}, []detector{direct("./snapshot/backup", "TestResume"), direct("./snapshot/backup", "TestPublishRefused")}},
	{"leave a damaged object whose entries are appended again", []change{
		{"Writer.putLog", `if w.broken[of] {`, `if w.broken[of] && of.first == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestGoesOnBehindDamage")}},
	{"go on behind a damaged object", []change{
		{"Writer.findEnd", `w.broken[of] = true`, `w.end = end{of.last, h.Term, h.Wall, h.Encrypted}; return nil`},
	}, []detector{direct("./snapshot/backup", "TestGoesOnBehindDamage")}},
	{"merge objects with a time that is too early", []change{
		{"Writer.mergeTail", `w.putLog(ctx, t.entries, w.end.wall)`, `w.putLog(ctx, t.entries, 0)`},
	}, []detector{direct("./snapshot/backup", "TestMerge")}},
	{"remove small objects with their merge", []change{
		{"Writer.mergeTail", `range t.covered {`, `range append(t.covered, t.spans...) {`},
		{"Writer.mergeTail", `if _, err := w.putLog(ctx, t.entries, w.end.wall); err != nil { return err }`, `defer w.putLog(ctx, t.entries, w.end.wall)`},
	}, []detector{direct("./snapshot/backup", "TestMerge"), direct("./snapshot/backup", "TestCrashOfAMerge")}},
	{"read a merged log by an old list", []change{
		{"follower.next", `l.fresh, l.at = true, 0`, `return h, nil, 0, failed`},
	}, []detector{direct("./snapshot/backup", "TestOldListOfAReader"), direct("./snapshot/backup", "TestMerge")}},
	{"append the entries of a cluster that was set back", []change{
		{"Writer.Continues", `e.Term != term || wall > known`, `e.Term != term && wall > known`},
	}, []detector{direct("./node/backuprun", "TestAnotherHistory")}},
	{"publish an object of a backup before it is read back", []change{
		{"Folder.put", `err = readBack(file, content)`, `err = nil`},
	}, []detector{direct("./snapshot/backup", "TestReadBack")}},
	{"rely on names of a backup that a crash takes", []change{
		{"Folder.Lock", `if err := f.makeDurable(); err != nil {`, `if err := error(nil); err != nil {`},
	}, []detector{direct("./snapshot/backup", "TestFoundIsDurable")}},
	{"leave the name of the marker to the next loss of power", []change{
		{"Folder.makeDurable", `append(names, ".")`, `names`},
	}, []detector{direct("./snapshot/backup/store", "TestLockMakesNamesDurable")}},
	{"take what was read ahead for another file", []change{
		{"work.piece", `w.next != nil && w.ahead == (spot{of, off})`, `w.next != nil`},
	}, []detector{direct("./snapshot/backup", "TestRestoreGoesOnWithSomeParts")}},
	{"read zeros behind the end of a stored part", []change{
		{"storedParts.Open", `err == nil && len(got) < len(b)`, `err == nil && len(got) > len(b)`},
	}, []detector{direct("./snapshot/backup", "TestPartsThatEndEarly")}},
	// Shelves.
	{"answer a value with another checksum", []change{
		{"Shelf.Value", `if err == nil && !sound(value) {`, `if err == nil && !sound(value) && value == nil {`},
	}, []detector{direct("./snapshot", "TestEveryBitOfAShelf")}},
	{"forget an extent behind a newer base", []change{
		{"Shelf.Rebased", `one.To > base[0].To`, `one.To > base[0].To+1 && one.Number > s.extents[0].Number+1`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"read behind a gap in the extents", []change{
		{"newShelf", `if one.From != s.reach+1 {`, `if one.From <= s.to {`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"save an extent although a value cannot be read", []change{
		{"Saver.stepChanges", `if _, err = s.record(key, one[:]); err != nil {`, `if _, _ = s.record(key, one[:]); err != nil {`},
	}, []detector{direct("./snapshot", "TestPartWithoutAValueIsNotSaved")}},
	{"save a part without a value that cannot be read", []change{
		{"Saver.record", `if err := versions[n].Read(); err != nil { return 0, err }`, `_ = versions[n].Read()`},
	}, []detector{direct("./snapshot", "TestPartWithoutAValueIsNotSaved")}},
	// Salvage.
	{"take the records of a damaged block", []change{
		{"salvage.part", `if err == nil { err, refused = decode(&b)`, `if err, refused = decode(&b); err != nil {`},
	}, []detector{direct("./snapshot", "TestSalvage$")}},
	{"take another part's file for a damaged one", []change{
		{"verifyName", `!= p.SHA`, `== [32]byte{}`},
	}, []detector{direct("./snapshot", "TestSalvageLooksAside")}},
}
