package main

var snapshotBugs = []mutant{
	// Package snapshot.
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
		{"Snapshotter.stepCheck", `c.rest = c.info.Parts`, `c.rest = nil`},
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
	// Package snapshot/backup.
	{"write into the backup of another cluster", []change{
		{"backup.Writer.begin", `of.ID != w.cluster.ID {`, `of.ID != w.cluster.ID && of.ID == 0 {`},
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
	{"remove the segment with the first entry behind the oldest base", []change{
		{"Writer.removeSegments", `first <= w.bases[0].Index+1 {`, `first <= w.bases[0].Index+2 {`},
	}, []detector{direct("./snapshot/backup", "TestRetainTheEntriesBehindTheBase")}},
	{"write without encryption behind encrypted content", []change{
		{"Writer.refuseClear", `if encrypted {`, `if encrypted && len(w.bases) > 9 {`},
	}, []detector{direct("./snapshot/backup", "TestEncryptedBackupStaysEncrypted")}},
	{"restore a copy that is not the announced snapshot", []change{
		{"copying.step", `sha != c.of.SHA {`, `sha != c.of.SHA && c.of.Bytes == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestCopyOfAnotherSnapshot")}},
	{"restore the end of a backup though another one goes on", []change{
		{"Several.Restore", `got.Index < ends[furthest]`, `got.Index < 0`},
	}, []detector{direct("./snapshot/backup", "TestSeveral")}},
	{"restore from the backups of two clusters", []change{
		{"OpenSeveral", `len(all) > 0 && r.Cluster.ID`, `len(all) < 0 && r.Cluster.ID`},
	}, []detector{direct("./snapshot/backup", "TestSeveral")}},
	{"restore an entry that is later than the moment", []change{
		{"work.apply", `wall > at.Wall`, `wall > at.Wall+1_000_000_000`},
	}, []detector{direct("./snapshot/backup", "TestEveryMomentRestores")}},
	{"apply a chunk of a backup whose bytes are damaged", []change{
		{"scanner.payload", `if sumOf(s.raw, into) != c.sum {`, `if sumOf(s.raw, into) != c.sum && c.bytes == 0 {`},
	}, []detector{direct("./snapshot/backup", "TestFlippedBits")}},
	{"restore over a part of the log that is missing", []change{
		{"scanner.chunk", `case c.number != s.number || c.previous != s.sum:`, `case c.number != s.number:`},
		{"follower.next", `c.first > l.index+1 {`, `c.first > l.index+1 && c.first == 0 {`},
		{"follower.open", `|| l.r.segments[l.at].first > l.index+1 {`, `{`},
		{"follower.after", `case s.fault == nil && s.before != 0 && l.any:`, `case s.fault == nil && s.before != 0 && l.any && s.first == 0:`},
	}, []detector{direct("./snapshot/backup", "TestMissingFiles"), direct("./snapshot/backup", "TestGap"), direct("./snapshot/backup", "TestCutAtEveryByte")}},
	{"take a segment of another history as the next one", []change{
		{"follower.after", ` && s.link == l.newest.sum {`, ` {`},
	}, []detector{direct("./snapshot/backup", "TestSegmentOfAnotherHistory")}},
	{"trust a log that leads to another state than the base has", []change{
		{"work.compare", `got != b.Digest || w.got.Term != b.Term`, `got != b.Digest && w.got.Term != b.Term`},
	}, []detector{direct("./snapshot/backup", "TestDigestsOnTheWay")}},
	{"verify a backup with a damaged manifest as undamaged", []change{
		{"Reader.Verify", `faults := len(r.Faults)`, `faults := 0`},
	}, []detector{direct("./snapshot/backup", "TestVerifyTheOtherFiles")}},
	{"publish a base before its file is read back", []change{
		{"copying.stepBack", `[32]byte(c.back.Sum(nil)) != c.of.Sum`, `c.checked < 0`},
	}, []detector{direct("./snapshot/backup", "TestReadBack")}},
	{"publish a base before its last part", []change{
		{"Copy.step", `if len(c.missing) == 0 {`, `if len(c.missing) <= 1 {`},
	}, []detector{direct("./snapshot/backup", "TestResume")}},
	{"remove a part that another base lists", []change{
		{"Writer.removeFiles", `isFile(name) && !needed[filesDir+"/"+name]`, `isFile(name)`},
	}, []detector{direct("./snapshot/backup", "TestPartsAreCopiedOnce")}},
	{"append the entries of a cluster that was set back", []change{
		{"Writer.Continues", `e.Term != term || wall > known`, `e.Term != term && wall > known`},
	}, []detector{direct("./node/backuprun", "TestAnotherHistory")}},
	{"acknowledge entries of a backup that are not synced", []change{
		{"written.append", `if err == nil { err = o.f.Datasync() }`, ``},
	}, []detector{direct("./snapshot/backup", "TestCrashAtEveryCall")}},
	{"rely on names of a backup that a crash takes", []change{
		{"Writer.syncNames", `return fmt.Errorf("make the names in %s durable: %w", w.folder.dir, err)`, `return nil`},
		{"Writer.begin", `err = w.syncNames()`, `err = nil`},
	}, []detector{direct("./snapshot/backup", "TestFoundIsDurable")}},
	{"remove a segment that the oldest base needs", []change{
		{"Writer.removeSegments", `first <= w.bases[0].Index+1 {`, `first <= w.bases[0].Index+1 || first > 0 {`},
	}, []detector{direct("./snapshot/backup", "TestRetain")}},
	{"remove a damaged segment of kept moments", []change{
		{"Writer.removeSegments", `ok && first <= w.bases[0].Index {`, `ok && first > 0 {`},
	}, []detector{direct("./snapshot/backup", "TestRetainWhatWasMovedAside")}},
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
