package main

var cliBugs = []mutant{
	// Package cli.
	{"send the default profile's user to endpoints that a flag gives", []change{
		{"useProfile", `if name == "" && c.IsSet("endpoints") {`, `if name == "" && c.IsSet("endpoints") && c.IsSet("user") {`},
	}, []detector{direct("./cli", "TestProfiles")}},
	{"give another user the password of the profile's", []change{
		{"useProfile", `if c.IsSet(one.Name) || given[belongsTo[one.Name]] {`, `if c.IsSet(one.Name) {`},
	}, []detector{direct("./cli", "TestProfileOfAnotherUser")}},
	{"insecure peers by default", []change{
		{"derivedPeers", `case c.InsecurePeers:`, `case c.InsecurePeers || listen.Scheme == "http":`},
	}, []detector{direct("./cli/run", "TestEtcdPeers")}},
	{"revert over what somebody wrote meanwhile", []change{
		{"reverter.txn", `t.Compares = append(t.Compares, kv.Compare{Key: d.key, Target: kv.CompareMod, Number: d.readAt()})`, `t.Compares = append(t.Compares, kv.Compare{Key: d.key, Target: kv.CompareMod, Result: kv.NotEqual, Number: -1 - d.readAt()})`},
	}, []detector{direct("./cli", "TestRevertGuards")}},
	{"make a transaction of what came before the input was cut", []change{
		{"cli/keys.readTxn", `err != nil || number == 0 || name == "" {`, `true {`},
	}, []detector{direct("./cli", "TestScript/txn")}},
	{"end with 1 after a write that may have happened", []change{
		{"form.WriteFailed", `answer.Happened() {`, `!answer.Certain() {`},
	}, []detector{direct("./cli", "TestExitCodeOfAWrite")}},
	{"let the processes of a command run on after its lock", []change{
		{"local.Guard", `_ = syscall.Kill(-group, syscall.SIGKILL)`, ``},
	}, []detector{direct("./cli/local", "TestGroupDiesWithProcess")}},
	{"continue a command whose lease has expired", []change{
		{"local.shareTerminal", `if time.Now().After(until()) {`, `if false {`},
	}, []detector{direct("./cli/local", "TestTerminalOfAShell")}},
}
