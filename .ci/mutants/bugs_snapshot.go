package main

var snapshotBugs = []mutant{
	// Package snapshot.
	{"lose a slot of the reads for each value that is read alone", []change{
		{"reads.read", `defer func() { <-r.slots }()`, `defer func() { if len(all) > 1 { <-r.slots } }()`},
	}, []detector{direct("./snapshot", "TestReadsGiveTheirSlotsBack")}},
	{"remove a part that could not be replaced", []change{
		{"snapshot.replace", `return fs.SyncDir(dir)`, `if err := fs.SyncDir(dir); err != nil { fs.Remove(join(dir, name)); return err }; return nil`},
	}, []detector{direct("./snapshot", "TestPartIsMadeAgain")}},
	{"publish a snapshot unseen", []change{
		{"Saver.Step", `case s.back.next < s.back.size:`, `case s.back.next < 0:`},
	}, []detector{direct("./snapshot", "TestReadBackFails")}},
	{"publish what is received without its SHA-256", []change{
		{"Incoming.announced", `if t.sha != i.sha {`, `if t.sha != i.sha && i.size == 0 {`},
	}, []detector{direct("./snapshot", "TestReceiveWrong")}},
	{"list snapshots whose names are not durable", []change{
		{"List", `if err := fs.SyncDir(dir); err != nil { return l, fmt.Errorf("list snapshots: %w", err) }`, ``},
	}, []detector{direct("./snapshot", "TestListedIsDurable")}},
	// Package snapshot/backup/store.
	{"replace an object that another writer has made meanwhile", []change{
		{"S3.upload", `options.SetMatchETagExcept("*")`, ``},
	}, []detector{direct("./snapshot/backup/store", "TestCondition")}},
	{"take a list for complete that was canceled", []change{
		{"S3.List", `if ctx.Err() != nil {`, `if ctx.Err() != nil && all == nil && prefix == "" {`},
	}, []detector{direct("./snapshot/backup/store", "TestStalls")}},
	{"take a missing bucket for an empty folder", []change{
		{"S3.List", `case object.Err != nil:`, `case object.Err != nil && statusOf(object.Err) == 404: return nil, nil; case object.Err != nil:`},
	}, []detector{direct("./snapshot/backup/store", "TestNoBucket")}},
	{"name an object before its content is synced", []change{
		{"Folder.put", `err = file.Datasync()`, `err = nil`},
		{"Folder.put", `err = file.Sync()`, `err = nil`},
	}, []detector{direct("./snapshot/backup/store", "TestFolderCrashes")}},
	// Package snapshot/backup.
	{"write into the backup of another cluster", []change{
		{"backup.Writer.check", `of.ID != w.cluster.ID {`, `of.ID != w.cluster.ID && of.ID == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFolderRefused")}},
	{"restore over a gap at the end of the log", []change{
		{"follower.ends", `if of.first > l.index+1 {`, `if of.first > l.index+1 && of.first == 0 {`},
		{"follower.ends", `l.r.Bases[n-1].Index > l.index {`, `l.r.Bases[n-1].Index < 0*l.index {`},
	}, []detector{direct("./snapshot/backup", "TestGap"), direct("./snapshot/backup", "TestMissingObjects")}},
	{"remove the base that a kept moment needs", []change{
		{"Writer.kept", `if b.Wall <= newest-int64(w.Keep) &&`, `if (i == 1 || b.Wall <= newest-int64(w.Keep)) &&`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"remove the log behind the oldest base", []change{
		{"Writer.condemnedLog", `of.last <= w.bases[0].Index &&`, `of.last <= w.bases[0].Index+1 &&`},
	}, []detector{direct("./snapshot/backup", "TestRetainTheEntriesBehindTheBase")}},
	{"take a base without one of its parts for whole", []change{
		{"Writer.kept", `slices.ContainsFunc(b.Files, func`, `slices.ContainsFunc(b.Files[:1], func`},
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
		{"Copy.has", `sum == of.Sum && (of.Encrypted || w.proves(ctx, of, p.SHA))`, `sum != of.Sum || of.Stored > 0`},
	}, []detector{direct("./snapshot/backup", "TestChangedFileOfAnInterruptedBase")}},
	{"believe a table of frames that lies", []change{
		{"readFrames", `f.at[n] != size`, `f.at[n] > size`},
	}, []detector{direct("./snapshot/backup", "TestFramesThatLie")}},
	{"take a frame with less content than is due", []change{
		{"frames.frame", `int64(len(content)) != due`, `int64(len(content)) > due`},
	}, []detector{direct("./snapshot/backup", "TestFramesThatLie")}},
	{"remove a part that another base lists", []change{
		{"Writer.condemnedFiles", `!is && of.Number`, `(!is || of.Number < w.number) && of.Number`},
	}, []detector{direct("./snapshot/backup", "TestPartsAreCopiedOnce")}},
	{"remove a file that the next list may name", []change{
		{"Writer.condemnedFiles", `of.Number <= w.number {`, `of.Number <= w.number+1 {`},
	}, []detector{direct("./snapshot/backup", "TestTwoLeaders")}},
	{"list a file again that was condemned", []change{
		{"Copy.describe", `f.Number == c.w.number+1 &&`, `f.Number <= c.w.number+1 &&`},
	}, []detector{direct("./snapshot/backup", "TestTwoLeaders")}},
	{"make a list although another leader has made it", []change{
		{"Writer.publish", `if errors.Is(err, iofs.ErrExist) {`, `if errors.Is(err, iofs.ErrExist) { err = nil } else if errors.Is(err, iofs.ErrExist) {`},
	}, []detector{direct("./snapshot/backup", "TestTwoLeaders"), direct("./snapshot/backup", "TestFence")}},
	{"go on after a long sleep", []change{
		{"Writer.publish", `err = w.newest(ctx, l.Number)`, `err = nil`},
	}, []detector{direct("./snapshot/backup", "TestFence")}},
	{"make lists in an earlier term", []change{
		{"Writer.read", `l.Term > w.term {`, `l.Term > w.term && l.Term == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFence")}},
	{"write to a store without conditions", []change{
		{"Writer.mark", `return fmt.Errorf("%w: %s was made twice", store.ErrUnfenced, w.store.Path(markName))`, `return nil`},
	}, []detector{direct("./snapshot/backup", "TestFence")}},
	{"apply the entries of two histories", []change{
		{"follower.read", `l.term != 0 && same.Term != l.term {`, `l.term != 0 && same.Term < l.term {`},
	}, []detector{direct("./snapshot/backup", "TestTwoHistories")}},
	{"trust a log that leads to another state than the base has", []change{
		{"work.compare", `got != b.Digest || w.got.Term != b.Term`, `got != b.Digest && w.got.Term != b.Term`},
	}, []detector{direct("./snapshot/backup", "TestDigestsOnTheWay")}},
	{"remove small objects with their merge", []change{
		{"Writer.mergeTail", `range t.covered {`, `range append(t.covered, t.spans...) {`},
		{"Writer.mergeTail", `if _, err := w.putLog(ctx, t.entries, w.end.wall); err != nil { return err }`, `defer w.putLog(ctx, t.entries, w.end.wall)`},
	}, []detector{direct("./snapshot/backup", "TestMerge"), direct("./snapshot/backup", "TestCrashOfAMerge")}},
	{"append the entries of a cluster that was set back", []change{
		{"Writer.Continues", `e.Term != term || wall > known`, `e.Term != term && wall > known`},
	}, []detector{direct("./node", "TestBackupOfAnotherHistory")}},
	{"publish an object of a backup before it is read back", []change{
		{"Folder.put", `err = readBack(file, content)`, `err = nil`},
	}, []detector{direct("./snapshot/backup", "TestReadBack")}},
	{"rely on names of a backup that a crash takes", []change{
		{"Folder.Prepare", `err := f.makeDurable()`, `err := error(nil)`},
	}, []detector{direct("./snapshot/backup", "TestFoundIsDurable")}},
	// Shelves.
	{"answer a value with another checksum", []change{
		{"Shelf.Value", `if found, right = true, sound(b); right {`, `if found, right = true, sound(b) || true; right {`},
	}, []detector{direct("./snapshot", "TestEveryBitOfAShelf")}},
	{"read behind a gap in the extents", []change{
		{"newShelf", `if one.From != s.reach+1 {`, `if one.From <= s.to {`},
	}, []detector{direct("./snapshot", "TestShelfChanges")}},
	{"save a part without a value that cannot be read", []change{
		{"Saver.record", `if err := versions[n].Read(); err != nil { return 0, err }`, `_ = versions[n].Read()`},
	}, []detector{direct("./snapshot", "TestPartWithoutAValueIsNotSaved")}},
	// Salvage.
	{"take the records of a damaged block", []change{
		{"salvage.part", `if err == nil { err, refused = decode(&b)`, `if err, refused = decode(&b); err != nil {`},
	}, []detector{direct("./snapshot", "TestSalvage$")}},
}
