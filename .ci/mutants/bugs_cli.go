package main

var cliBugs = []mutant{
	// Package cli.
	{"send the default profile's user to endpoints that a flag gives", []change{
		{"useProfile", `if name == "" && c.IsSet("endpoints") {`, `if name == "" && c.IsSet("endpoints") && c.IsSet("user") {`},
	}, []detector{direct("./cli", "TestProfiles")}},
	{"give another user the password of the profile's", []change{
		{"useProfile", `if c.IsSet(one.Name) || given[belongsTo[one.Name]] {`, `if c.IsSet(one.Name) {`},
	}, []detector{direct("./cli", "TestProfileOfAnotherUser")}},
	{"offer the loss that was accepted", []change{
		{"restoreError", `if !at.AcceptLoss {`, `if at.AcceptLoss {`},
	}, []detector{direct("./cli", "TestRestoreOffersTheLoss")}},
	{"insecure peers by default", []change{
		{"derivedPeers", `case c.InsecurePeers:`, `case c.InsecurePeers || listen.Scheme == "http":`},
	}, []detector{direct("./cli", "TestEtcdPeers")}},
	{"prefer the configuration file to the environment", []change{
		{"memberSettings.readFile", `if s.sources[one.Name] == fromDefault {`, `if s.sources[one.Name] != fromFlag {`},
	}, []detector{direct("./cli", "TestConfigPrecedence")}},
	{"prefer the configuration file to the command line", []change{
		{"memberSettings.readFile", `if s.sources[one.Name] == fromDefault {`, `if s.sources[one.Name] != fromEnvironment {`},
	}, []detector{direct("./cli", "TestConfigPrecedence")}},
	{"leave values of a configuration file unchecked that a flag overrides", []change{
		{"memberSettings.readFile", `withFaults(s.file, faults, s.checkValues())`, `withFaults(s.file, faults, nil)`},
	}, []detector{direct("./cli", "TestConfigChecksWhatIsOverridden")}},
	{"change settings although the configuration file has a fault", []change{
		{"reloading.reload", `if err == nil { _, err = now.member(r.logger) }`, `_, err = now.member(r.logger)`},
	}, []detector{direct("./cli", "TestConfigReload")}},
	{"exit with 0 without a quorum", []change{
		{"cli.status", `!v.Serves() {`, `v.Word == "" {`},
	}, []detector{direct("./cli", "TestProcessDoctor")}},
	{"put the values of all variables into a bundle", []change{
		{"environmentText", `case slices.Contains(shownVariables, name):`, `case name != "":`},
	}, []detector{direct("./cli", "TestProcessDoctorBundle")}},
	{"let chance say where the clients of a load begin", []change{
		{"target.inTurn", `t.inOrder = true`, ``},
	}, []detector{direct("./cli", "TestClientsOfALoadBeginInTurn")}},
	{"maintain another's server unasked", []change{
		{"checkMaintenance", `if at < 0 || len(targets) == 0 || c.Bool("allow-maintenance") {`, `if at >= 0 || len(targets) == 0 {`},
	}, []detector{direct("./cli", "TestMaintenanceOfAnother")}},
	{"wait for an etcd that has ended", []change{
		{"dialWhenReady", `gone != nil {`, `gone != nil && ctx.Err() != nil {`},
	}, []detector{direct("./cli", "TestEtcdThatDies")}},
	{"take another's server for the etcd that was started", []change{
		{"etcdSide.Start", `tcpFree(loopback(s.port + i)); err != nil {`, `tcpFree(loopback(s.port + i)); err != nil && members > 5 {`},
	}, []detector{direct("./cli", "TestPortOfAnother")}},
	{"print control characters of keys on a terminal", []change{
		{"cli.run", `escape: isTerminal(stdout)`, `escape: false`},
	}, []detector{direct("./cli", "TestTerminalGetsNoControlCharacters")}},
	{"escape control characters for a pipe", []change{
		{"cli.run", `escape: isTerminal(stdout)`, `escape: true`},
	}, []detector{direct("./cli", "TestTerminalGetsNoControlCharacters")}},
	{"escape a value that --raw asks for", []change{
		{"answerOf", `if raw { return outputOf(c.App.Writer) }`, ``},
	}, []detector{direct("./cli", "TestTerminalGetsNoControlCharacters")}},
	{"let lone bytes through that a terminal takes for control characters", []change{
		{"shown", `|| r == utf8.RuneError && n == 1 {`, `{`},
	}, []detector{direct("./cli", "TestTerminalGetsNoControlCharacters")}},
	{"escape the first part of a character that two writes have", []change{
		{"answerWriter.Write", `whole := len(text) - partOf(text)`, `whole := len(text)`},
	}, []detector{direct("./cli", "TestEscapesAcrossWrites")}},
	{"break a table's rows at the terminal's width", []change{
		{"table.write", `t.shorten(columns)`, ``},
	}, []detector{direct("./cli", "TestTableFitsTheTerminal")}},
	{"wait for a member in silence", []change{
		{"target.sayAfter", `if isTerminal(w) {`, `if !isTerminal(w) {`},
	}, []detector{direct("./cli", "TestWaitingIsSaidOnATerminal")}},
	{"put a value into the environment that is one byte too large", []change{
		{"changePrinter.run", `len(text) < variableMost`, `len(text) <= variableMost`},
	}, []detector{direct("./cli", "TestWatchCommandOfALargeValue")}},
	{"put the quoted value into the environment, however large", []change{
		{"changePrinter.run", `len(quoted) < variableMost {`, `len(quoted) > 0 {`},
	}, []detector{direct("./cli", "TestWatchCommandOfALargeValue")}},
	{"leave the file of a large value", []change{
		{"changePrinter.run", `defer os.Remove(file)`, ``},
	}, []detector{direct("./cli", "TestWatchCommandOfALargeValue")}},
	{"see no difference in a lease", []change{
		{"difference.same", `d.before.Lease == d.after.Lease &&`, ``},
	}, []detector{direct("./cli", "TestDifferenceOfALease")}},
	{"leave a folder unsynced to which no file came", []change{
		{"exporter.makeFolder", `case err == nil && info.IsDir(): e.folders[dir] = true`, `case err == nil && info.IsDir(): e.folders[dir] = false`},
		{"exporter.syncFolders", `slices.Collect(maps.Keys(e.folders))`, `slices.DeleteFunc(slices.Collect(maps.Keys(e.folders)), func(dir string) bool { return !e.folders[dir] })`},
	}, []detector{direct("./cli", "TestProcessExportSyncs")}},
	{"begin anew beside the data of an etcd", []change{
		{"CheckOwner", `case "member":`, `case "member.":`},
	}, []detector{direct("./cli", "TestScript/etcd")}},
	{"close another program's folder to that program", []change{
		{"CheckOwner", `if mode == 0o700 || other == "" {`, `if mode > 0 || other == "" {`},
	}, []detector{direct("./cli", "TestScript/etcd")}},
	{"mark a folder with other files as one of exports", []change{
		{"exporter.claim", `e.temporary = exportUnmarked`, ``},
	}, []detector{direct("./cli", "TestScript/folder")}},
	{"add a member that cannot reach the others", []change{
		{"memberAdd", `if err := reachable(c, members, name, peers); err != nil { return err }`, ``},
	}, []detector{direct("./cli", "TestScript/member")}},
	{"remove the file that gave way to a folder", []change{
		{"exporter.makeFolder", `delete(e.kept, dir); e.keep(other)`, `delete(e.kept, dir)`},
	}, []detector{direct("./cli", "TestExportOfTwoNames")}},
	{"leave a key's other file, where its own is right", []change{
		{"exporter.prepare", `err = e.removeOther(key, name)`, ``},
	}, []detector{direct("./cli", "TestExportOfTwoNames")}},
	{"take looks that are not in a row for a member's death", []change{
		{"replacement.silent", `r.quietLooks = 0`, ``},
	}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
	{"run a member with the usual timer slack", []change{
		{"prepareProcess", `if runsMember(args) {`, `if false {`},
	}, []detector{direct("./cli", "TestTimerSlack")}},
	{"replace a timer slack that a supervisor set", []change{
		{"relaxTimers", `timerSlack() != usualTimerSlack {`, `timerSlack() == memberTimerSlack {`},
	}, []detector{direct("./cli", "TestTimerSlack")}},
	{"relax the timers of a member with one processor", []change{
		{"relaxTimers", `runtime.GOMAXPROCS(0) == 1 {`, `runtime.GOMAXPROCS(0) == 0 {`},
	}, []detector{direct("./cli", "TestTimerSlack")}},
	{"revert over what somebody wrote meanwhile", []change{
		{"reverter.txn", `t.Compares = append(t.Compares, client.Compare{Key: d.key, Target: kv.CompareMod, Number: d.readAt()})`, `t.Compares = append(t.Compares, client.Compare{Key: d.key, Target: kv.CompareMod, Result: kv.NotEqual, Number: -1 - d.readAt()})`},
	}, []detector{direct("./cli", "TestRevertGuards")}},
	{"make a transaction of what came before the input was cut", []change{
		{"cli.readTxn", `err != nil || number == 0 || name == "" {`, `true {`},
	}, []detector{direct("./cli", "TestScript/txn")}},
	{"end a keep-alive at the first renewal without an answer", []change{
		{"leaseKeepAlive", `case err != nil && !time.Now().Before(until):`, `case err != nil && until.Before(time.Now().Add(time.Hour)):`},
	}, []detector{direct("./cli", "TestScript/lease")}},
	{"put a learner in the place of the only voter", []change{
		{"replacement.step", `if voters(members) == 1 {`, `if voters(members) == 0 {`},
	}, []detector{direct("./cli", "TestMemberReplaceTheOnlyVoter")}},
	{"say of a new member that has died that it runs", []change{
		{"replacement.sayWaits", `connected, away = l.Connected, status.Name`, `connected, away = l.Connected || next.Started(), status.Name`},
	}, []detector{direct("./cli", "TestMemberReplace")}},
	{"ask for the start of a member that runs", []change{
		{"replacement.sayWaits", `connected, away = l.Connected, status.Name`, `connected, away = l.Connected && next.Started(), status.Name`},
	}, []detector{direct("./cli", "TestMemberReplace")}},
	{"take one look for a member's death", []change{
		{"replacement.silent", `r.quietLooks >= silentLooks && time.Since(r.quiet) >= silence, nil`, `r.quietLooks > 0, nil`},
	}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
	{"believe one follower that a member is lost", []change{
		{"replacement.silent", `if len(answers) == 0 && witnesses >= silentWitnesses {`, `if len(answers) == 0 && witnesses > 0 {`},
	}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
	{"say of a member that gets the data that it was never started", []change{
		{"answers.member", `len(m.Clients) == 0 && a.connected(m.ID)`, `len(m.Clients) > 0 && a.connected(m.ID)`},
	}, []detector{direct("./cli", "TestStatus")}},
	{"print etcd's flags in lines of any length", []change{
		{"writeEtcdHelp", `w.wrap(strings.TrimSuffix(indent, " "), indent, f.Usage)`, `fmt.Fprintf(w, "%s%s\n", indent, f.Usage)`},
	}, []detector{direct("./cli", "TestHelp")}},
	{"forget an exit code in the help", []change{
		{"newApp", "\"condition failed, 5 unavailable, 6 not allowed, 7 outcome unknown, 8 the disk failed; 130 after Ctrl-C, 143 \" + \"after SIGTERM, which `qkv serve` ends with 0.\"", "\"condition failed, 5 unavailable, 6 not allowed, 7 outcome unknown, 8 the disk failed; 130 after \" + \"Ctrl-C, which `qkv serve` ends with 0.\""},
	}, []detector{direct("./cli", "TestExitCodesAreListed")}},
	{"name --serializable to no read", []change{
		{"cli.open", `return orSerializable(c, f(s))`, `return f(s)`},
	}, []detector{direct("./cli", "TestMemberListWithoutQuorum")}},
	{"name --serializable for a member that takes no part", []change{
		{"orSerializable", `|| answer.Code != kv.Unavailable || exitCode(err)`, `|| exitCode(err)`},
	}, []detector{direct("./cli", "TestMemberListWithoutQuorum")}},
	{"leave an endpoint of a member that was removed without a word", []change{
		{"answers.others", `m.hint = "no member says that it serves clients there: " + advice`, `_ = advice`},
	}, []detector{direct("./cli", "TestStatusOfEndpointsThatAreNoMembers")}},
	{"take a member of another cluster for one that was removed", []change{
		{"answers.others", `if isMember(other) && other.status.Cluster == one.status.Cluster {`, `if isMember(other) {`},
	}, []detector{direct("./cli", "TestStatusOfEndpointsThatAreNoMembers")}},
	{"name members as the furthest one alone knows them", []change{
		{"answers.names", `add(one.status.ID, one.status.Name)`, `break`},
	}, []detector{direct("./cli", "TestStatusNamesWhoIsKnown")}},
	{"show a member without a name by none", []change{
		{"namesByID.of", `cmp.Or(n[id], hex(id))`, `cmp.Or(n[id], "")`},
	}, []detector{direct("./cli", "TestStatusNamesWhoIsKnown")}},
	{"end a line at a no-break space", []change{
		{"helpWriter.wrap", `return r != noBreakSpace && unicode.IsSpace(r)`, `return unicode.IsSpace(r)`},
	}, []detector{direct("./cli", "TestNoBreakSpaceIsNoEndOfALine")}},
	{"revert without a bound of bytes", []change{
		{"reverter.run", `|| len(r.batch) > 0 && r.bytes+size > revertBytes {`, `{`},
	}, []detector{direct("./cli", "TestRevertTransactionsAreBounded")}},
	{"revert exactly 1 MiB in two transactions", []change{
		{"reverter.run", `r.bytes+size > revertBytes {`, `r.bytes+size >= revertBytes {`},
	}, []detector{direct("./cli", "TestRevertTransactionsAreBounded")}},
	{"count the bytes of the transactions before", []change{
		{"reverter.flush", `r.batch, r.bytes = nil, 0`, `r.batch = nil`},
	}, []detector{direct("./cli", "TestRevertTransactionsAreBounded")}},
	{"end with 7 after a write that happened", []change{
		{"writeFailed", `if errors.As(err, &answer) && answer.Happened() { return err }`, ``},
	}, []detector{direct("./cli", "TestExitCodeOfAWrite")}},
	{"end with 1 after a write that may have happened", []change{
		{"writeFailed", `answer.Happened() {`, `!answer.Certain() {`},
	}, []detector{direct("./cli", "TestExitCodeOfAWrite")}},
	{"let a command that was told to end outlive its lock", []change{
		{"holder.wait", `if h.told { h.kill(); continue }`, ``},
	}, []detector{direct("./cli", "TestScript/lock")}},
	{"leave the names of the folders above an export to the next loss of power", []change{
		{"exporter.run", `return syncAbove(dir)`, `return nil`},
	}, []detector{direct("./cli", "TestProcessExportSyncs")}},
	{"import no key of the largest size", []change{
		{"importer.unfit", `case bytes > limits.KeyBytes:`, `case bytes >= limits.KeyBytes:`},
	}, []detector{direct("./cli", "TestLongestKeyIsImported")}},
	{"end with 0 when one key is not exported", []change{
		{"exportFolder", `if e.refused > 0 {`, `if e.refused > 1 {`},
	}, []detector{direct("./cli", "TestScript/folder")}},
	{"end with 1 when the member has lost its data", []change{
		{"answerCode", `case kv.Unavailable, kv.Overloaded, kv.Amnesia, kv.Corrupt, kv.Removed, kv.Unaudited:`, `case kv.Unavailable, kv.Overloaded, kv.Corrupt, kv.Removed, kv.Unaudited:`},
	}, []detector{direct("./cli", "TestExitCodes")}},
	{"end with 1 when there are too many members", []change{
		{"answerCode", `kv.TooManyMembers, kv.QuorumAtRisk, kv.UserExists`, `kv.QuorumAtRisk, kv.UserExists`},
	}, []detector{direct("./cli", "TestExitCodes")}},
	{"report a member that hangs to the watchdog as working", []change{
		{"serviceManager.follow", `if n.Working(every) {`, `if n.Working(every) || every > 0 {`},
	}, []detector{direct("./cli", "TestWatchdogOfMemberThatHangs")}},
	{"be ready for systemd without a leader", []change{
		{"serviceManager.awaitReady", `err := n.Ready(turn)`, `err := turn.Err()`},
	}, []detector{direct("./cli", "TestProcessTellsSystemd")}},
	{"hang without systemd's notice", []change{
		{"Consensus.tick", `c.Status.ticked.Store(int64(c.now.Now))`, ``},
	}, []detector{direct("./cli", "TestProcessTellsSystemd")}},
}
