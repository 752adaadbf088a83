package main

var internalBugs = []mutant{
	// Package internal/checks.
	{"call half of the voters a quorum", []change{
		{"cluster.quorum", `return c.voters/2 + 1`, `return (c.voters + 1) / 2`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a suspended member count for the quorum", []change{
		{"faultOf", `case m.Answers && m.State == stateSuspended:`, `case m.Answers && m.State == "":`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a learner count for the quorum", []change{
		{"roleOf", `if !reported && m.State`, `if (reported || !reported) && m.State`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"ask only the new configuration for a quorum", []change{
		{"clusterOf", `if i == 0 || one.margin() < c.margin() {`, `if i == 0 {`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"call a cluster that refuses all puts degraded", []change{
		{"Judge", `case c.refuses != nil:`, `case c.refuses != nil && c.margin() < 0:`},
	}, []detector{direct("./internal/checks", "TestNoSpace")}},
	// Package internal/election.
	{"take a place in the line by the newest change of its value", []change{
		{"Enter", `KVs[0].CreateRevision`, `KVs[0].ModRevision`},
	}, []detector{direct("./net/client", "TestElectionIsGoneOnWith")}},
	{"own a lock by a key without its lease", []change{
		{"Candidate.Owns", `c.Guard(), {Key: c.Key, Target: kv.CompareLease, Number: c.Lease},`, `c.Guard(),`},
	}, []detector{direct("./net/client", "TestMutexKeyWithoutItsLease")}},
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
