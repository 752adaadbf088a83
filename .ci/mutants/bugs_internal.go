package main

var internalBugs = []mutant{
	// Package internal/checks.
	{"call half of the voters a quorum", []change{
		{"cluster.quorum", `return c.voters/2 + 1`, `return (c.voters + 1) / 2`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a quarantined member count for the quorum", []change{
		{"faultOf", `case m.Answers && m.State == stateRefused:`, `case m.Answers && m.State == "":`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a learner count for the quorum", []change{
		{"roleOf", `if !reported && m.State`, `if (reported || !reported) && m.State`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"ask only the new configuration for a quorum", []change{
		{"clusterOf", `if i == 0 || one.margin() < c.margin() {`, `if i == 0 {`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	// Package internal/audit.
	{"create the next audit file before the rename is durable", []change{
		{"writer.create", `if err := w.log.config.FS.SyncDir(path.Dir(w.log.config.File)); err != nil { return nil, fmt.Errorf("sync its folder: %w", err) }`, ``},
	}, []detector{direct("./internal/audit", "TestRenameIsDurableFirst")}},
	{"count an audit line as durable before its sync", []change{
		{"writer.append", `if err := file.Datasync(); err != nil { return fmt.Errorf("sync it: %w", err) }`, ``},
	}, []detector{direct("./internal/audit", "TestEveryCrash")}},
	{"write an audit line behind what a failed attempt has left", []change{
		{"writer.append", `if err := file.Truncate(w.end); err != nil { return err }`, `w.end, _ = file.Size()`},
	}, []detector{direct("./internal/audit", "TestDiskFails")}},
	// Package internal/election.
	{"take a place in the line by the newest change of its value", []change{
		{"Enter", `KVs[0].CreateRevision`, `KVs[0].ModRevision`},
	}, []detector{direct("./net/client", "TestElectionIsGoneOnWith")}},
	{"own a lock whose lease ended during the wait", []change{
		{"Candidate.Owns", `c.Guard(), {Key: c.Key, Target: kv.CompareLease, Number: c.Lease},`, ``},
	}, []detector{direct("./net/client", "TestMutexLeaseEnds")}},
	{"own a lock while somebody stands before", []change{
		{"Candidate.Owns", `{Key: key, End: end, Target: kv.CompareCreate, Result: kv.Greater, Number: c.Revision - 1},`, ``},
	}, []detector{direct("./net/client", "TestMutexExcludes")}},

	// Package internal/pack.
	{"skip a field of a command that is not known", []change{
		{"Reader.otherFields", `case have > known && r.exact:`, `case have > known && r.exact && have < 0:`},
	}, []detector{direct("./index", "TestCommandsGrow")}},
	{"read a missing field from what follows the struct", []change{
		{"Reader.otherFields", `r.rest = r.rest[:end:end]`, `_ = end`},
	}, []detector{direct("./internal/pack", "TestStructsGrow")}},
}
