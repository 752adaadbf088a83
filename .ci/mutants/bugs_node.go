package main

var nodeBugs = []mutant{
	{"lose --fixed-detection on its way", []change{
		{"member.connect", `FixedDetection: m.config.FixedDetection,`, ``},
	}, []detector{direct("./node", "TestFixedDetectionWaits")}},
	{"take a leader's report of a removal for a follower's", []change{
		{"peerHandler.Refused", ` || why.Code == peerframe.RemovedByLeader, Text`, `, Text`},
	}, []detector{direct("./node", "TestRefusalsKeepTheirMeaning")}},
	// Package node, repair of parts.
	{"begin the log anew although it continues another member's snapshot", []change{
		{"storage.takeNewest", `if err == nil && !continues(found, info) {`, `if err == nil {`},
	}, []detector{direct("./node", "TestNewerStateComesFromAnotherMember")}},
	{"take a snapshot that is older than the log", []change{
		{"follows", `> 0`, `!= 0`},
	}, []detector{direct("./node", "TestNewerStateFollowsTheLog")}},
	{"move a damaged part aside where no member runs", []change{
		{"storage.repairParts", `if !d.Missing && s.repairs.fetch != nil {`, `if !d.Missing {`},
	}, []detector{direct("./node", "TestRecoverWithoutAPart")}},
	{"give parts to those who are no members", []change{
		{"peerHandler.Part", `if !known {`, `if !known && request.From == 0 {`},
	}, []detector{direct("./node", "TestPartsForMembersOnly")}},
	{"open a damaged log without the snapshot that lacks a part", []change{
		{"storage.openCovered", `err != nil && len(info.Parts) > 0`, `err != nil && len(info.Parts) < 0`},
	}, []detector{direct("./node", "TestPartsAreRepaired")}},

	// Package node, backups.
	{"give a backup entries that are not committed", []change{
		{"backups.entries", `UpTo: applied,`, `UpTo: applied + 1<<40,`},
	}, []detector{campaign}},
	{"give any file of the data folder to a backup", []change{
		{"backups.Piece", `if !snapshot.IsFile(name) {`, `if name == "" {`},
	}, []detector{direct("./node", "TestBackupReadsSnapshotAndParts")}},
	// Package node/backuprun.
	{"call a backup complete that lacks applied entries", []change{
		{"runner.follow", `if err == nil && after >= part.Applied {`, `if err == nil {`},
	}, []detector{direct("./node/backuprun", "TestCompleteIsAllThatIsApplied")}},
	{"begin the time of a call with the answer", []change{
		{"heldStore.call", `held, err := s.hold.has(ctx, s.member)`, `held, err := s.hold.has(ctx, s.member); ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), backupCall); defer cancel()`},
	}, []detector{direct("./node/backuprun", "TestCallBehindASlowAnswer")}},
	{"believe the hold behind a take without an answer", []change{
		{"Hold.Take", `held && !h.unsure`, `held`},
	}, []detector{direct("./node/backuprun", "TestTakeWithoutAnAnswer")}},
	{"try a refused deletion never again", []change{
		{"runner.follow", `if !r.retain.IsZero() && time.Now().After(r.retain) {`, `if false {`},
	}, []detector{direct("./node/backuprun", "TestDeletionsAreRefused")}},
	// Package node.
	{"propose a command never again that a full mailbox dropped", []change{
		{"own.propose", `Own: true}) { o.underWay.Store(false)`, `Own: true}) {`},
	}, []detector{direct("./node", "TestDroppedCommandIsProposedAgain")}},
	{"offer the snapshot of a suspended member", []change{
		{"peerHandler.newestSnapshot", `== actor.RoleSuspended`, `== actor.RoleSuspended && h.config.Name == ""`},
	}, []detector{direct("./node", "TestSuspendedMemberOffersNoSnapshot")}},
	{"admit a removed member by the secret", []change{
		{"peerHandler.judgeJoiner", `case members.Removed(request.ID):`, `case members.Removed(request.ID) && !h.config.addsBySecret():`},
	}, []detector{direct("./node", "TestWhoMayJoinByTheSecret")}},
	{"let other users read the data folder", []change{ // CVE-2020-15113
		{"checkMode", `mode == 0o700`, `mode&^0o055 == 0o700`},
	}, []detector{direct("./node", "TestDataFolderMode")}},
	{"a member that found damage goes on", []change{
		{"member.leaveDamaged", `m.actors.consensus.Offer(actor.Differs{Reason: m.duty.verifying.damage})`, ``},
	}, []detector{direct("./node", "TestStories/memory_rots")}},
	{"go on with what was read ahead of another place", []change{
		{"aheadFile.ReadAt", `f.at, f.rest = off, nil`, `f.at = off`},
	}, []detector{direct("./node", "TestReadingAhead")}},
	{"start from a snapshot of another term", []change{
		{"continues", `return err == nil && term == info.Term && info.Index > found.Marker.Index`, `return (err != nil || term > 0) && info.Index > found.Marker.Index && info.Index <= found.Last`},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"found alone with the ids of before", []change{
		{"member.begin", `if len(founders) == 1 {`, `if len(founders) == 0 {`},
	}, []detector{direct("./node", "TestLoneFounderIsUsedOnce")}},
	{"take a snapshot whose configuration is not its records'", []change{
		{"configurationIn", `meta.ConfState, confState); err != nil {`, `meta.ConfState, confState); err != nil || meta.ConfState != nil {`},
		{"configurationIn", `return nil, fmt.Errorf("%w: its configuration: %w", damage.ErrDamaged, err)`, `return confState, err`},
	}, []detector{direct("./node", "TestSnapshotOfOtherMembers")}},
	{"start a removed member's folder", []change{
		{"folder.identify", `if f.Removed {`, `if f.Removed && f.Boot > 1<<60 {`},
	}, []detector{direct("./node", "TestFoldersThatDoNotStart")}},
	{"found a cluster where a recovery was interrupted", []change{
		{"folder.recovering", `err == nil && aside == nil`, `err == nil && aside == nil && f.Boot > 0`},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},
	{"write over a small file of a newer qkv", []change{
		{"damage.Format.Known", `case p.Version > f.Version:`, `case p.Version > f.Version+1<<20:`},
	}, []detector{direct("./node", "TestSmallFilesOfOtherFormats")}},
	{"start without the file of the other members' folders", []change{
		{"folder.known", `err := f.decided("peers",`, `if _, missing := f.read("peers"); errors.Is(missing, fs.ErrNotExist) { return nil, nil }; err := f.decided("peers",`},
	}, []detector{direct("./node", "TestPeersMustBeThere")}},
	{"take every connection for a later process", []change{
		{"peerHandler.Connected", `met && before != process {`, `met && before != [16]byte{} {`},
	}, []detector{direct("./node", "TestConsensusIsToldOfConnections")}},
	{"take every founder for one without data", []change{
		{"peerHandler.Connected", `actor.Connected{Peer: peer, Last: h.actors.admission.End(peer)}`, `actor.Connected{Peer: peer}`},
	}, []detector{direct("./node", "TestConsensusIsToldOfConnections")}},
	{"know a joiner by its address alone", []change{
		{"peerHandler.judgeJoiner", `told != nil && told.Name == "" {`, `told != nil && told.Name == "" && told.ID == 0 {`},
	}, []detector{direct("./node", "TestWhoMayJoinWithoutAName")}},
	{"replace the newer half of a small file first", []change{
		{"folder.writeSlots", `[]int{1 - s.at, s.at}`, `[]int{s.at, 1 - s.at}`},
	}, []detector{direct("./node", "TestSmallFilesInPlace")}},
	{"welcome a joiner before the log binds its id to its folder", []change{
		{"peerHandler.judgeJoiner", `if one.Folder != request.Folder {`, `if one.Folder != request.Folder && one.Bound() {`},
	}, []detector{direct("./node", "TestTwoProcessesOfOneName")}},
	{"bind an id to a second folder", []change{
		{"Members.Change", `if one.Bound() && one.Folder != c.Folder {`, `if one.Bound() && one.Folder != c.Folder && c.ID == 0 {`},
	}, []detector{direct("./node", "TestTwoProcessesOfOneName")}},
	{"let a second folder join in a member's place", []change{
		{"peerHandler.judgeJoiner", `case h.joined(one):`, `case h.joined(one) && name == "":`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"leave the old half of a small file", []change{
		{"readSlots", `if one.Number == s.newest.Number {`, `if one.Number <= s.newest.Number {`},
	}, []detector{direct("./node", "TestRepairSmallFiles")}},
	{"talk to one that was removed, by what a joiner was told", []change{
		{"member.setPeers", `case !members.Removed(one.ID):`, `default:`},
	}, []detector{direct("./node", "TestToldOfAMemberThatWasRemoved")}},
	{"call a new leader's backup complete that may not exist", []change{
		{"backupDuty.report", `d.leads && (d.known || age >= limits.BackupFailing)`, `d.leads`},
	}, []detector{direct("./node", "TestBackupOfANewLeader")}},
	{"begin a joining member without the parts of the backup", []change{
		{"storage.loadState", `s.repairs.seed == nil || !s.joins(r)`, `true`},
	}, []detector{direct("./node", "TestSeed")}},
	{"begin with the backup of another cluster", []change{
		{"storage.seed", `err == nil && from.Cluster.ID != s.folder.Cluster`, `false`},
	}, []detector{direct("./node", "TestSeedOfAnotherCluster")}},
	{"take no lost part from the backup", []change{
		{"member.fetchPart", `m.env.Backup == nil`, `m.env.Backup != nil`},
	}, []detector{direct("./node", "TestLostPartComesFromTheBackup")}},
	{"take the parts of the oldest base", []change{
		{"storage.seed", `&from.Bases[len(from.Bases)-1]`, `&from.Bases[0]`},
	}, []detector{direct("./node", "TestSeedTakesTheRest")}},
	{"write a part from its beginning where it goes on", []change{
		{"writePart", `piece[skip:]`, `piece`},
	}, []detector{direct("./node", "TestSeedTakesTheRest")}},
	{"end the seed at a part that is there", []change{
		{"storage.seedBase", `err != nil && !errors.Is(err, fs.ErrExist)`, `err != nil`},
	}, []detector{direct("./node", "TestSeedTakesTheRest")}},
	{"call a part missing that cannot be read elsewhere", []change{
		{"besideParts.Open", `return b.parts.Open(name)`, `if there, other := b.parts.Open(name); other == nil { return there, nil }`},
	}, []detector{direct("./node", "TestBesideParts")}},
	{"look elsewhere for a part that the own disk cannot read", []change{
		{"besideParts.Open", `errors.Is(err, iofs.ErrNotExist)`, `err != nil || errors.Is(err, iofs.ErrNotExist)`},
	}, []detector{direct("./node", "TestBesideParts")}},
	{"start a branch without the parts of the backup", []change{
		{"branchOn", `parts != nil`, `parts != nil && c.Name == ""`},
	}, []detector{direct("./node", "TestBranch")}},
	{"read a restored state from the files of before", []change{
		{"storage.make", `s.made = shelf`, `s.made = snapshot.ShelfOf(state.View())`},
	}, []detector{direct("./node", "TestRestoreKeepsParts")}},
	{"name a restored folder before its files are durable", []change{
		{"folder.moveUp", `err = f.fs.SyncDir(to)`, `err = nil`},
	}, []detector{direct("./node", "TestRestoreCrash")}},
	{"leave a start's only sound snapshot alone", []change{
		{"storage.putAside", `r.damaged, r.alarms = max(r.damaged, 1)`, `r.damaged, r.alarms = r.damaged`},
	}, []detector{direct("./node", "TestDamagedSnapshotIsReplacedAtAStart")}},
	{"move a damaged part back over the one that was written again", []change{
		{"member.repairPart", `aside != "" && disk.Gone(m.folder.fs, path)`, `(aside != "" || disk.Gone(m.folder.fs, path))`},
	}, []detector{direct("./node", "TestFailedRepairLeavesANewFile")}},
	{"leave an interrupted recovery to the empty folder of a refused start", []change{
		{"folder.moveBack", `_ = f.fs.Remove(f.dir)`, ``},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},
	{"give a branch's own client no rights", []change{
		{"branchOn", `fill = withRoot(fill, wire.LocalClientName)`, `_ = withRoot`},
	}, []detector{direct("./node", "TestBranchWithUsers")}},
	{"serve a branch on TCP without TLS", []change{
		{"sockets.openTogether", `c.Native`, `false`},
	}, []detector{direct("./node", "TestBranchWithUsers")}},
	{"remove the parts of an interrupted seed", []change{
		{"storage.removeParts", `!s.joins(r)`, `(s.repairs.seed == nil || !s.joins(r))`},
	}, []detector{direct("./node", "TestInterruptedSeedKeepsItsParts")}},
}
