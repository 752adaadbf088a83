package main

var internalBugs = []mutant{
	// Package internal/buffers.
	{"keep no buffer of a large request", []change{
		{"buffers.Put", `pooled && size == cap(b) {`, `pooled && size < cap(b) {`},
	}, []detector{direct("./net/client", "TestLargePutsAllocateLittle")}},

	// Package internal/election.
	{"take a place in the line by the newest change of its value", []change{
		{"Enter", `KVs[0].CreateRevision`, `KVs[0].ModRevision`},
	}, []detector{direct("./net/client/concurrency", "TestElectionIsGoneOnWith")}},
	{"own a lock whose lease ended during the wait", []change{
		{"Candidate.Owns", `c.Guard(), {Key: c.Key, Target: kv.CompareLease, Number: c.Lease},`, ``},
	}, []detector{direct("./net/client/concurrency", "TestMutexLeaseEnds")}},
	{"own a lock while somebody stands before", []change{
		{"Candidate.Owns", `{Key: key, End: end, Target: kv.CompareCreate, Result: kv.Greater, Number: c.Revision - 1},`, ``},
	}, []detector{direct("./net/client/concurrency", "TestMutexExcludes")}},

	// Package internal/etcdflags.
	{"read the fallback of discovery from a file", []change{
		{"line.take", `if s == nil || name == "discovery-fallback" {`, `if s == nil {`},
	}, []detector{direct("./internal/etcdflags", "TestLines")}},
	{"take a variable in place of the flag", []change{
		{"line.environment", `if value == "" || shadowed[name] || f.Name == "version" {`, `if value == "" || f.Name == "version" {`},
		{"line.environment", `case shadowed[name]:`, `case shadowed[name] && !used[name]:`},
	}, []detector{direct("./internal/etcdflags", "TestLines")}},

	// Package internal/limits.
	{"let commits take twice as much longer for a follower that catches up", []change{
		{"CatchUpCost", `CatchUpCost = 1.2`, `CatchUpCost = 1.4`},
	}, []detector{direct("./node", "TestCatchUpLeavesRoom")}},

	// Package internal/pack.
	{"skip a field of a command that is not known", []change{
		{"Reader.otherFields", `case have > known && r.exact:`, `case have > known && r.exact && have < 0:`},
	}, []detector{direct("./index", "TestCommandsGrow")}},
	{"read a missing field from what follows the struct", []change{
		{"Reader.otherFields", `r.rest = r.rest[:end:end]`, `_ = end`},
	}, []detector{direct("./internal/pack", "TestStructsGrow")}},
	{"walk structs with missing fields however deep they are", []change{
		{"Reader.otherFields", `case r.short == shortDepth:`, `case r.short == 20*shortDepth:`},
	}, []detector{direct("./internal/pack", "TestMissingFieldsAreBounded")}},
}
