package main

var nodeBugs = []mutant{
	// Package node, verification of files.
	{"save one snapshot for a damaged segment", []change{
		{"fileCheck.segment", `Twice: true}`, `Twice: false}`},
	}, []detector{direct("./node", "TestVerifyRepairs")}},
	{"leave a damaged snapshot where it is", []change{
		{"Snapshotter.recheck", `if i < 0 {`, `if i >= 0 {`},
	}, []detector{direct("./node", "TestVerifyRepairs")}},
	{"verify files though no client asks any more", []change{
		{"newFileCheck", `c.cancel(errVerifyUnasked)`, `_ = errVerifyUnasked`},
	}, []detector{direct("./node", "TestVerifyOnce")}},

	// Package node, repair of parts.
	{"give any file for a part", []change{
		{"peerHandler.Part", `!snapshot.IsPart(request.Part)`, `request.Part == ""`},
	}, []detector{direct("./node", "TestPartsForMembersOnly")}},
	{"give parts to those who are no members", []change{
		{"peerHandler.Part", `if !known {`, `if !known && request.From == 0 {`},
	}, []detector{direct("./node", "TestPartsForMembersOnly")}},
	{"move a snapshot aside when a part of it is lost", []change{
		{"storage.consider", `r.lacking = append(r.lacking, lacks); return nil`, `return s.putAside(r, info, lacks)`},
	}, []detector{direct("./node", "TestPartsThatNobodyGives")}},
	{"leave a part open that could not be fetched", []change{
		{"storage.fetch", `sink.close()`, ``},
	}, []detector{direct("./node", "TestFailedRepairLeavesNoFileOpen")}},
	{"fetch one part alone", []change{
		{"snapshot.Defects", `if err != nil {`, `if err != nil && len(all) == 0 {`},
	}, []detector{direct("./node", "TestPartsAreRepaired")}},
	{"give no part while a member starts", []change{
		{"member.serveParts", `return m.transport.ServeParts(peerHandler{m})`, `return nil`},
	}, []detector{direct("./node", "TestPartsAreGivenWhileOneIsFetched")}},
	{"fetch no part that the disk cannot read", []change{
		{"snapshot.Defects", `if errors.Is(err, ErrFormat) {`, `if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, iofs.ErrNotExist) {`},
	}, []detector{direct("./node", "TestUnreadablePart")}},
	{"leave a part aside that the disk may read later", []change{
		{"storage.repairParts", `_ = s.folder.fs.Rename(aside, d.Path)`, `_ = aside`},
	}, []detector{direct("./node", "TestUnreadablePart")}},
	{"ask for a part again for the older snapshot", []change{
		{"storage.repairParts", `s.repairs.failed[d.Name()] = err`, `s.repairs.failed = map[string]error{d.Name(): err}; defer func() { s.repairs.failed = nil }()`},
	}, []detector{direct("./node", "TestPartsThatNobodyGives")}},
	{"open a damaged log without the snapshot that lacks a part", []change{
		{"storage.openCovered", `err != nil && len(info.Parts) > 0`, `err != nil && len(info.Parts) < 0`},
	}, []detector{direct("./node", "TestPartsAreRepaired")}},

	// Package node, backups.
	{"give a backup entries that are not committed", []change{
		{"backups.entries", `UpTo: applied,`, `UpTo: applied + 1<<40,`},
	}, []detector{campaign}},
	{"give a backup changes of members as other entries", []change{
		{"logEntries", `Change: e.GetType() != raftpb.EntryNormal,`, ``},
	}, []detector{campaign}},
	{"give a backup from a member without a leader", []change{
		{"backups.ready", `if b.member.status.Raft().Leader == 0 {`, `if b.member.status.Raft().Leader == 1<<63 {`},
	}, []detector{direct("./node", "TestBackupOfALaggingMember")}},
	{"wait on for entries when the leader is lost", []change{
		{"backups.Log", `refusal := b.ready(); refusal != nil {`, `refusal := b.ready(); refusal != nil && unread != nil {`},
	}, []detector{direct("./node", "TestBackupOfALaggingMember")}},
	{"wait for a base that a lagging member cannot have", []change{
		{"backups.Base", `least = min(least, applied)`, `least = max(least, min(least, applied))`},
	}, []detector{direct("./node", "TestBackupOfALaggingMember")}},
	{"give a base that is older than the backup needs", []change{
		{"backups.newest", `info.Err == nil && info.Index < least {`, `info.Err == nil && info.Index < least && least == 0 {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"read a piece of another snapshot", []change{
		{"backups.find", `f.Name() == name && f.SHA() == sha {`, `f.Name() == name {`},
		{"backups.find", `err == nil && r.SHA() == sha {`, `err == nil {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"close the snapshot that a backup reads for another one", []change{
		{"backups.open", `if b.files[i].used < b.files[oldest].used {`, `if b.files[i].used > b.files[oldest].used {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"keep any number of snapshots open for backups", []change{
		{"backups.open", `if len(b.files) == limits.BackupFilesOpen {`, `if len(b.files) == 100*limits.BackupFilesOpen {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"keep snapshots open that no backup reads", []change{
		{"backups.closeIdle", `b.now()-f.used < limits.BackupFileIdle {`, `b.now()-f.used < 100*limits.BackupFileIdle {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"open a snapshot for a backup after the end of the member", []change{
		{"backups.open", `if b.closed {`, `if b.closed && b.files == nil && b.log == nil {`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	{"say that there are no entries when the log cannot be read", []change{
		{"backups.Log", `return part, unread`, `_ = unread; return part, nil`},
	}, []detector{direct("./node", "TestBackupOfAnUnreadableLog")}},
	{"refuse a backup when the log could not be read once", []change{
		{"backups.Log", `err != nil && err.Code != kv.Unavailable {`, `err != nil {`},
	}, []detector{direct("./node", "TestBackupOfAnUnreadableLog")}},
	{"make memory of a negative size for a piece behind the end", []change{
		{"backups.Piece", `max(0, min(limits.BackupPieceBytes, r.Size()-offset))`, `min(limits.BackupPieceBytes, r.Size()-offset)`},
	}, []detector{direct("./node", "TestBackupFiles")}},
	// Package node/backuprun.
	{"call a backup complete that lacks applied entries", []change{
		{"runner.follow", `if err == nil && after >= part.Applied {`, `if err == nil {`},
	}, []detector{direct("./node/backuprun", "TestCompleteIsAllThatIsApplied")}},
	{"make base after base while nothing is written", []change{
		{"runner.follow", `after > newest.Index {`, `after >= newest.Index {`},
	}, []detector{direct("./node/backuprun", "TestNoBaseWithoutAWrite")}},
	{"take a part of a piece for all of it", []change{
		{"baseReader.fetch", `for len(all) < wanted {`, `for len(all) == 0 {`},
	}, []detector{direct("./node/backuprun", "TestShortPieces")}},
	{"make a base though another member's log goes further back", []change{
		{"runner.follow", `case NeedsBase(err) && r.lacking < r.of && r.of > 1:`, `case NeedsBase(err) && r.lacking > r.of && r.of > 1:`},
	}, []detector{direct("./node/backuprun", "TestAnotherMembersLog")}},
	{"ask for a log for ever that no member has", []change{
		{"runner.follow", `case NeedsBase(err) && r.lacking < r.of && r.of > 1:`, `case NeedsBase(err) && r.lacking >= 0 && r.of > 1:`},
	}, []detector{direct("./node/backuprun", "TestAnotherMembersLog")}},
	{"begin another backup where a run's disk was unmounted", []change{
		{"runner.session", `if r.Continue || r.cluster != 0 {`, `if r.Continue {`},
	}, []detector{direct("./node/backuprun", "TestUnmountedDuringARun")}},
	// Package node.
	{"admit a removed member by the secret", []change{
		{"peerHandler.judgeJoiner", `case members.Removed(request.ID):`, `case members.Removed(request.ID) && !h.config.addsBySecret():`},
	}, []detector{direct("./node", "TestWhoMayJoinByTheSecret")}},
	{"refuse for good a host with the secret while voters are exchanged", []change{
		{"peerHandler.addBySecret", `refused != nil && refused.Code == kv.Unavailable:`, `refused != nil && refused.Code == kv.OK:`},
	}, []detector{direct("./node", "TestWhoMayJoinByTheSecret")}},
	{"take changes while the audit log cannot be written", []change{
		{"endpoint.Propose", `if refusal := e.audit.Refuses(); refusal != nil {`, `if refusal := e.audit.Refuses(); refusal != nil && refusal.Code == kv.OK {`},
	}, []detector{direct("./node", "TestAuditOnAFullDisk")}},
	{"let other users read the data folder", []change{ // CVE-2020-15113
		{"checkMode", `mode == 0o700`, `mode&^0o055 == 0o700`},
	}, []detector{direct("./node", "TestDataFolderMode")}},
	{"put an audit log where other users can replace it", []change{
		{"checkAuditFolder", `case info.Mode().Perm()&0o077 != 0:`, `case info.Mode().Perm()&0o002 != 0:`},
	}, []detector{direct("./node", "TestAuditSettings")}},
	{"leave the log no files", []change{
		{"Node.serveHTTP", `etcdLimits.Connections = connections`, ``},
	}, []detector{direct("./cli", "TestProcessFewFiles")}},
	{"start where the log may get no files", []change{
		{"connectionsFor", `files < least {`, `files < least && files == 0 {`},
	}, []detector{direct("./node", "TestConnectionsFor")}},
	{"keep parts of snapshots for ever", []change{
		{"storage.loadState", `(one.Part || one.Index > found.Last)`, `(one.Part || one.Index > 0)`},
	}, []detector{direct("./node", "TestReceivedPartsGo")}},
	{"a member that found damage goes on", []change{
		{"member.leaveDamaged", `m.actors.consensus.Offer(actor.Differs{Reason: m.duty.verifying.damage})`, ``},
	}, []detector{story}},
	{"close a snapshot's file while it is read ahead", []change{
		{"aheadFile.Close", `f.wait()`, ``},
	}, []detector{direct("./node", "TestReadingAheadCloses")}},
	{"go on with what was read ahead of another place", []change{
		{"aheadFile.ReadAt", `f.at, f.rest = off, nil`, `f.at = off`},
	}, []detector{direct("./node", "TestReadingAhead")}},
	{"never write the peers' file", []change{
		{"folder.remember", `return f.write("peers", b)`, `_ = b; return nil`},
	}, []detector{direct("./node", "TestPeersAreRemembered"), campaign}},
	{"start from a snapshot of another term", []change{
		{"continues", `return err == nil && term == info.Term && info.Index > found.Marker.Index`, `return (err != nil || term > 0) && info.Index > found.Marker.Index && info.Index <= found.Last`},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"throw a snapshot right before the log away", []change{
		{"continues", `if errors.Is(err, raft.ErrCompacted) && info.Index+1 == found.First {`, `if errors.Is(err, raft.ErrCompacted) && info.Index+1 == 0 {`},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"let a member's own commands wait behind clients'", []change{
		{"own.propose", `actor.Propose{Proposal: proposal, Own: true}`, `actor.Propose{Proposal: proposal}`},
	}, []detector{direct("./node", "TestOwnCommandsSayThatTheyAre")}},
	{"raise NOSPACE and never disarm it", []change{
		{"member.guard", `case !full && view.NoSpace():`, `case !full && view.NoSpace() && false:`},
	}, []detector{direct("./node", "TestQuotaIsReached")}},
	{"found alone with the ids of before", []change{
		{"member.begin", `if len(founders) == 1 {`, `if len(founders) == 0 {`},
	}, []detector{direct("./node", "TestLoneFounderIsUsedOnce")}},
	{"read small files through the page cache", []change{
		{"readSlots", `if err := file.DropCache(0, 0); err != nil { return s, err }`, ``},
	}, []detector{direct("./node", "TestSmallFilesAreReadFromTheMedium")}},
	{"take a snapshot whose configuration is not its records'", []change{
		{"configurationIn", `meta.ConfState, confState); err != nil {`, `meta.ConfState, confState); err != nil || meta.ConfState != nil {`},
		{"configurationIn", `return nil, fmt.Errorf("%w: its configuration: %w", snapshot.ErrCorrupt, err)`, `return confState, err`},
	}, []detector{direct("./node", "TestSnapshotOfOtherMembers")}},
	{"start a removed member's folder", []change{
		{"folder.identify", `if f.Removed {`, `if f.Removed && f.Boot > 1<<60 {`},
	}, []detector{direct("./node", "TestFoldersThatDoNotStart")}},
	{"refuse a leader that was added meanwhile", []change{
		{"peerHandler.Stranger", `if newcomer {`, `if newcomer && id == 0 {`},
	}, []detector{direct("./node", "TestLeaderThatWasAddedMeanwhile")}},
	{"found a cluster where a recovery was interrupted", []change{
		{"folder.recovering", `err == nil && aside == nil`, `err == nil && aside == nil && f.Boot > 0`},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},
	{"serve what a member on an emulated disk has left", []change{
		{"node.Start", `if err := refuseEmulated(c.DataDir); err != nil { return nil, err }`, ``},
	}, []detector{direct("./node", "TestEmulatedFolders")}},
	{"emulate a disk on a member's own data", []change{
		{"markEmulated", `if len(entries) > 0 {`, `if len(entries) > 1<<20 {`},
	}, []detector{direct("./node", "TestEmulatedFolders")}},
	{"take a member's own bound for the machine's memory", []change{
		{"machineMemory", `if os.Getenv("GOMEMLIMIT") != "" {`, `if least > 0 {`},
	}, []detector{direct("./node", "TestHeapIsBounded")}},
	{"leave Go's heap nothing where the state is large", []change{
		{"heapMost", `return max(memory-memory/limits.MemoryKept-mapped, memory/limits.HeapOfMemory)`, `return max(memory-memory/limits.MemoryKept-mapped, 0)`},
	}, []detector{direct("./node", "TestHeapMost")}},
	{"take a pause of the clock for the age of history", []change{
		{"historyAges.begin", `min(max(time.Duration(later-wall), 0), stays/limits.HistoryPauses)`, `max(time.Duration(later-wall), 0)`},
	}, []detector{direct("./node", "TestHistoryAges")}},
	{"compact by age by the clock", []change{
		{"historyAges.look", `if now-h.samples[len(h.samples)-1].at >=`, `if now = time.Duration(wall); now-h.samples[len(h.samples)-1].at >=`},
	}, []detector{direct("./node", "TestHistoryAges")}},
	{"believe what a member that was removed has refused", []change{
		{"member.refusers", `return members.Removed(r.Member)`, `return false && members.Removed(r.Member)`},
	}, []detector{direct("./node", "TestAlarmsOfTheRemoved")}},
	{"save nothing behind damage that a snapshot covers", []change{
		{"member.connect", `if r.damaged > 0 {`, `if r.damaged > r.damaged {`},
	}, []detector{direct("./node", "TestCoveredDamageGoes")}},
	{"compact what etcd keeps", []change{
		{"autoCompaction.due", `case a.next == 0: a.next = now.Now + first`, `case a.next == 0: a.next = now.Now + 1`},
	}, []detector{direct("./node", "TestAutoCompaction")}},
	{"write over a small file of a newer qkv", []change{
		{"readSlots", `if err == nil && s.newest.format != slotFormat {`, `if err == nil && s.newest.format == 0 {`},
	}, []detector{direct("./node", "TestSmallFilesOfOtherFormats")}},
	{"call a file of an older qkv only damaged", []change{
		{"decodeSlot", `return s, errMagic`, `return s, errChecksum`},
	}, []detector{direct("./node", "TestSmallFilesOfOtherFormats")}},
	{"start without the file of the other members' folders", []change{
		{"folder.known", `raw, err := f.decided("peers",`, `if _, missing := f.read("peers"); errors.Is(missing, fs.ErrNotExist) { return nil, nil }; raw, err := f.decided("peers",`},
	}, []detector{direct("./node", "TestPeersMustBeThere")}},
	{"write down once where a member has called from, and not again when that failed", []change{
		{"member.saveCallers", `c.unsaved || err != nil, err != nil`, `c.unsaved, err != nil`},
	}, []detector{direct("./node", "TestCallersAreRemembered")}},
	{"take every connection for a later process", []change{
		{"peerHandler.Connected", `met && before != process {`, `met && before != [16]byte{} {`},
	}, []detector{direct("./node", "TestConsensusIsToldOfConnections")}},
	{"take every founder for one without data", []change{
		{"peerHandler.Connected", `actor.Connected{Peer: peer, Last: h.actors.admission.End(peer)}`, `actor.Connected{Peer: peer}`},
	}, []detector{direct("./node", "TestConsensusIsToldOfConnections")}},
	{"take an address from this member itself", []change{
		{"member.misplaced", `&& holder != m.folder.Member &&`, `&&`},
	}, []detector{direct("./node", "TestMisplaced")}},
	{"pack batches that no segment holds", []change{
		{"build", `m.env.Limits.BatchBytes = min(env.Limits.BatchBytes, int(segmentBytes/limits.BatchesOfSegment))`, ``},
	}, []detector{direct("./node", "TestBatchesFitSegments")}},
	{"make segments that hold no large request", []change{
		{"segmentBytes", `return min(max(whole, entry), limits.SegmentBytes)`, `return min(max(whole, limits.SegmentBytesSmall+0*entry), limits.SegmentBytes)`},
	}, []detector{direct("./node", "TestSegmentsFitTheDisk")}},
	{"keep what a start took of memory", []change{
		{"member.giveBack", `(idle || started) && m.env.Idle`, `idle && m.env.Idle`},
	}, []detector{direct("./node", "TestStartGivesBack")}},
	{"let history fill the members' disks", []change{
		{"Config.historyBound", `if most > 0 && held.Now > 0 {`, `if most > 0 && held.Now < 0 {`},
	}, []detector{direct("./node", "TestHistoryGivesWay"), direct("./node", "TestOverwritingFillsNoDisk")}},
	{"drop history without a delay", []change{
		{"historyDrop.bound", `len(d.fits) > 1 && now >= d.dropsAt(d.fits[1])`, `len(d.fits) > 1`},
	}, []detector{direct("./node", "TestHistoryDropWaits"), direct("./node", "TestQuorumDropsHistoryBehindAnAlarm")}},
	{"count a delay from the alarm, whatever was short then", []change{
		{"historyDrop.note", `append(d.fits, historyFits{since, fits})`, `append(d.fits, historyFits{d.fits[0].since, fits})`},
	}, []detector{direct("./node", "TestHistoryDropWaits")}},
	{"drop history for a moment of full disks", []change{
		{"historyDrop.dropsAt", `max(f.since, d.fullSince)`, `f.since`},
	}, []detector{direct("./node", "TestHistoryDropWaits")}},
	{"say later that grown history is dropped", []change{
		{"historyDrop.bound", `d.drops = d.drops || d.weighs > d.most`, ``},
	}, []detector{direct("./node", "TestGrownHistoryIsDropped")}},
	{"wait for the whole delay while writes are refused", []change{
		{"historyDrop.dropsAt", `if d.full {`, `if d.full && d.delay < 0 {`},
	}, []detector{direct("./node", "TestHistoryDropWaits"), direct("./node", "TestQuorumDropsHistoryBehindAnAlarm")}},
	{"take an alarm of before for the present one", []change{
		{"historyDrop.bound", `*d = historyDrop{}`, ``},
	}, []detector{direct("./node", "TestHistoryDropWaits")}},
	{"raise RETENTION for the tables of a file system", []change{
		{"historyDrop.bound", `fits >= kept-kept/limits.HistorySlack`, `fits == kept`},
	}, []detector{direct("./node", "TestHistoryDropWaits")}},
	{"let history grow over full disks while it waits", []change{
		{"historyDrop.bound", `d.most = min(d.most, max(besideLive(held.Full(), view.LiveUsedBytes()), d.first/4*5, d.weighed))`, ``},
	}, []detector{direct("./node", "TestHistoryDropWaits"), direct("./node", "TestOverwritingFillsNoDisk")}},
	{"let each leader give the history another quarter", []change{
		{"historyDrop.follow", `if lags {`, `if lags || len(d.fits) > 0 {`},
	}, []detector{direct("./node", "TestHistoryGrowsOnce"), direct("./node", "TestOverwritingFillsNoDisk")}},
	{"let each larger shortage give the history another quarter", []change{
		{"historyDrop.bound", `d.first/4*5, d.weighed))`, `d.weighed/4*5))`},
	}, []detector{direct("./node", "TestHistoryGrowsOnce")}},
	{"take the history of a member that lags for that of the shortage", []change{
		{"historyDrop.follow", `if lags {`, `if lags && len(d.fits) == 0 {`},
	}, []detector{direct("./node", "TestHistoryGrowsOnce")}},
	{"drop history without an alarm of the new leader", []change{
		{"historyDrop.follow", `d.fits = []historyFits{{now, math.MaxInt64}, {now, d.fits[n-1].bytes}}`, `d.fits[n-1].since = now`},
	}, []detector{direct("./node", "TestHistoryGrowsOnce")}},
	{"say nothing of a small memory", []change{
		{"member.noticeMemory", `m.status.Alarm(actor.Alarm{Name: kv.MemoryNotice, Text: text})`, `m.status.Alarm(actor.Alarm{Name: kv.MemoryNotice})`},
	}, []detector{direct("./node", "TestOneMemberDropsNoHistory")}},
	{"say that a memory is small which holds the state", []change{
		{"memoryText", `<= holds+holds/8`, `< holds+holds/8`},
	}, []detector{direct("./node", "TestMemoryText")}},
	{"bound the automatic history by what other programs leave", []change{
		{"Config.historyKept", `most = min(most, besideLive(held.Bytes, live))`, `most = min(most, besideLive(held.Now, live))`},
	}, []detector{direct("./node", "TestHistoryGivesWay")}},
	{"make a log where the one that is there cannot be seen", []change{
		{"storage.createLog", `if err == nil || errors.Is(err, fs.ErrNotExist) {`, `if err == nil || errors.Is(err, fs.ErrNotExist) || err != nil {`},
	}, []detector{direct("./node", "TestFirstStartOnAFailingDisk")}},
	{"say for ever who was turned away", []change{
		{"member.forgetTurnedAway", `c.turnedAway[who] <= 0 {`, `c.turnedAway[who] < -1<<30 {`},
	}, []detector{direct("./node", "TestWhoWaitsToJoinShows")}},
	{"do not tell the one that was copied", []change{
		{"peerHandler.Copied", `h.transport.Send(peer, told.Class(), peerframe.Encode(told), false)`, `_ = told`},
	}, []detector{direct("./node", "TestCopyShows")}},
	{"collect garbage again for what Views hold", []change{
		{"retiredWatch.look", `w.at = retired + least`, ``},
	}, []detector{direct("./node", "TestRetiredWatch")}},
	{"collect garbage as ever where clients hold much", []change{
		{"collectWatch.look", `w.percent = limits.CollectedOften`, `w.percent = usualPercent`},
	}, []detector{direct("./node", "TestCollectWatch")}},
	{"collect garbage seldom, however much lives", []change{
		{"collectWatch.look", `case w.percent != limits.CollectedSeldom || live >= limits.HeapSmall*5/4:`, `case w.percent != limits.CollectedSeldom:`},
	}, []detector{direct("./node", "TestCollectWatch")}},
	{"know a joiner by its address alone", []change{
		{"peerHandler.judgeJoiner", `told != nil && told.Name == "" {`, `told != nil && told.Name == "" && told.ID == 0 {`},
	}, []detector{direct("./node", "TestWhoMayJoinWithoutAName")}},
	{"refuse for good who comes before a lost member is replaced", []change{
		{"peerHandler.judgeJoiner", `case h.lost(one): return w, &peerframe.Refusal{Code: peerframe.Taken,`, `case h.lost(one): return w, &peerframe.Refusal{Code: peerframe.Refused,`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"refuse for good who comes while a lost member is replaced in its place", []change{
		{"peerHandler.judgeJoiner", `one != unnamed && h.lost(one):`, `one != unnamed && h.lost(one) && name == "":`},
	}, []detector{direct("./node", "TestWhoMayJoinInPlace")}},
	{"let the second process of a member's name wait", []change{
		{"member.lost", `s.ID == one.ID && s.Connected`, `s.ID == one.ID && s.Connected && s.Dialled`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"tell a joiner its id while the log is applied anew", []change{
		{"peerHandler.judgeJoiner", `if now.Leader == 0 || !h.announced() {`, `if now.Leader == 0 {`},
	}, []detector{direct("./node", "TestWhoMayJoinIsNotToldByOneThatIsBehind")}},
	{"take one with an empty folder for a member that was met", []change{
		{"member.joined", `return one.Started() || m.actors.admission.Knows(one.ID).Folder != [16]byte{}`, `return one.Started()`},
	}, []detector{direct("./node", "TestWhoWasMetHasJoined")}},
	{"let no client finish where there is no native endpoint", []change{
		{"Node.shutdown", `if !failed { n.drain(ctx)`, `if !failed && n.server != nil { n.drain(ctx)`},
	}, []detector{direct("./node", "TestStopDrainsEtcdAlone")}},
	{"replace the newer half of a small file first", []change{
		{"folder.writeSlots", `[]int{1 - s.at, s.at}`, `[]int{s.at, 1 - s.at}`},
	}, []detector{direct("./node", "TestSmallFilesInPlace")}},
	{"let a second folder join in a member's place", []change{
		{"peerHandler.judgeJoiner", `case h.joined(one):`, `case h.joined(one) && name == "":`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"change settings without a check", []change{
		{"member.change", `if err := changed.validateSettings(); err != nil { return err }`, ``},
	}, []detector{direct("./node", "TestSettingsChange")}},
	{"keep the quota of the start after a change", []change{
		{"member.current", `if changed := m.changed.Load(); changed != nil {`, `if changed := m.changed.Load(); changed != nil && changed.QuotaBytes == 0 {`},
	}, []detector{direct("./node", "TestSettingsChange")}},
	{"end NOSPACE at the quota itself", []change{
		{"Config.overQuota", `most = c.hundredths(limits.QuotaCleared)`, `most = c.QuotaBytes + 0*limits.QuotaCleared`},
	}, []detector{direct("./node", "TestQuotaMarks")}},
	{"leave the old half of a small file", []change{
		{"readSlots", `if one.number == s.newest.number {`, `if one.number <= s.newest.number {`},
	}, []detector{direct("./node", "TestRepairSmallFiles")}},
	{"read a snapshot as it is loaded", []change{
		{"aheadFile.begin", `f.ahead.Ask(f.File, at, min(at+n+limits.PrefetchBytes, f.size))`, ``},
	}, []detector{direct("./node", "TestTheDiskIsAskedForSnapshots")}},
	{"name a change of the members where nobody leads", []change{
		{"peerHandler.judgeJoiner", `if now.Leader == 0 {`, `if now.Leader == 0 && name == "" {`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"say where one is that has said so itself", []change{
		{"member.misplaced", `|| m.actors.admission.Knows(one.ID).Process == one.Process {`, `{`},
	}, []detector{direct("./node", "TestMisplaced")}},
	{"say where one has called from alone", []change{
		{"member.whereabouts", `if s.ID == id && s.Connected {`, `if s.ID == id && s.Connected && id == 0 {`},
	}, []detector{direct("./node", "TestMisplaced")}},
	{"take an address from another member for one that has called from there once", []change{
		{"member.misplaced", `if now && holder != one.ID`, `if (now || at != "") && holder != one.ID`},
	}, []detector{direct("./node", "TestMisplaced")}},
	{"talk to one that was removed, by what a joiner was told", []change{
		{"member.setPeers", `case !members.Removed(one.ID):`, `default:`},
	}, []detector{direct("./node", "TestToldOfAMemberThatWasRemoved")}},
	{"keep a folder's first starts", []change{
		{"folder.boot", `f.Past = past[max(len(past)-limits.PeerPastBytes, 0):]`, `f.Past = past[:min(len(past), limits.PeerPastBytes)]`},
	}, []detector{direct("./node", "TestLastStarts")}},
	{"place a founder elsewhere than an operator has", []change{
		{"unplaced", `at < 0 || one.Started() || len(one.Peers) > 0 {`, `at < 0 || one.Started() {`},
	}, []detector{direct("./node", "TestPlacedByAnOperator")}},
	{"count a start that a file of a newer qkv ends", []change{
		{"member.start", `known, err := m.folder.known()`, `if err := m.folder.boot(m.process); err != nil { return err }; known, err := m.folder.known()`},
	}, []detector{direct("./node", "TestRefusedStartsAreNotCounted")}},
	{"hold a new data folder up for a recovery that moved nothing", []change{
		{"folder.recovering", `err == nil && aside == nil`, `(err == nil || aside == nil)`},
	}, []detector{direct("./node", "TestRecoveryThatMovedNothing")}},
	{"call the largest small file damaged", []change{
		{"decodeSlot", `if n > slotContent {`, `if n >= slotContent {`},
	}, []detector{direct("./node", "TestLargestSmallFile")}},
	{"call a folder corrupt that has as many starts as it keeps", []change{
		{"decodeIdentity", `len(i.Past) > limits.PeerPastBytes`, `len(i.Past) >= limits.PeerPastBytes`},
	}, []detector{direct("./node", "TestLastStarts")}},
	{"write the whole reason of a quarantine", []change{
		{"folder.quarantine", `q.Reason[:min(len(q.Reason), limits.QuarantineReasonBytes)]`, `q.Reason`},
	}, []detector{direct("./node", "TestLongReasonOfAQuarantine")}},
	{"keep the alarm of history that a former leader would drop", []change{
		{"member.retain", `m.status.Alarm(actor.Alarm{Name: kv.RetentionAlarm}); return`, `return`},
	}, []detector{direct("./node", "TestFormerLeaderEndsItsAlarm")}},
	{"count the age of a backup since the first time that a member led", []change{
		{"backupDuty.turn", `if leads && !d.leads {`, `if leads && !d.leads && d.complete == 0 {`},
	}, []detector{direct("./node", "TestBackupOfAFormerLeader")}},
	{"call a new leader's backup complete that may not exist", []change{
		{"backupDuty.report", `d.leads && (d.known || age >= limits.BackupFailing)`, `d.leads`},
	}, []detector{direct("./node", "TestBackupOfANewLeader")}},
	{"take the backup for known that was complete when the member last led", []change{
		{"backupDuty.turn", `d.now(), "", false`, `d.now(), "", d.known`},
	}, []detector{direct("./node", "TestBackupOfANewLeader")}},
	{"go on with the backup when another member leads", []change{
		{"backupDuty.look", "d.cancel()\n\t\td.cancel = nil", `d.cancel = nil`},
	}, []detector{direct("./node", "TestBackupOfAFormerLeader")}},
	{"make the backup as a follower, too", []change{
		{"backupDuty.look", `leads := m.status.Raft().Role == "leader"`, `leads := m.status.Raft().Role != ""`},
	}, []detector{direct("./node", "TestBackupOfTheLeader")}},
	{"make the backup's folder on a disk that is not mounted", []change{
		{"backupDuty.checkFolder", `return fmt.Errorf("the folder %s does not exist: mount its disk, or make the folder", d.parent)`, `return nil`},
	}, []detector{direct("./node", "TestBackupOfTheLeader")}},
	{"call a backup complete that fails", []change{
		{"backupDuty.note", `d.problem = problem`, `d.problem, d.complete = problem, d.now()`},
	}, []detector{direct("./node", "TestBackupOfAFormerLeader")}},
	{"call a backup complete as of now though its disk took minutes", []change{
		{"backupDuty.completed", `d.now()-ago`, `d.now()`},
	}, []detector{direct("./node", "TestBackupOfAFormerLeader")}},
	{"forget how long the disk of a backup took", []change{
		{"runner.upToDate", `r.Complete(time.Since(answered))`, `r.Complete(0)`},
	}, []detector{direct("./node/backuprun", "TestCompleteAsOfTheAnswer")}},
	{"begin another backup where the disk of the first one is not mounted any more", []change{
		{"backupDuty.config", `Continue: d.began`, `Continue: d.began && false`},
	}, []detector{direct("./node", "TestBackupOfTheLeader")}},
	{"write into the folder of another kind of backup", []change{
		{"backupDuty.checkFolder", `_, err := os.Stat(filepath.Join(d.parent, "backup")); err == nil`, `_, err := os.Stat(filepath.Join(d.parent, "backup")); err == nil && false`},
	}, []detector{direct("./node", "TestBackupOfTheLeader")}},
}
