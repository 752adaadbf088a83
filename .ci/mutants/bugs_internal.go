package main

var internalBugs = []mutant{
	// Package internal/checks.
	{"call a cluster well whose leader makes no backup", []change{
		{"backup", `case n > 0 && leader.Backup == "":`, `case false:`},
	}, []detector{direct("./internal/checks", "TestChecks")}},
	{"call a cluster degraded that has lost its quorum", []change{
		{"cluster.margin", `return c.up - c.quorum()`, `return c.up - c.quorum() + 1`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"call half of the voters a quorum", []change{
		{"cluster.quorum", `return c.voters/2 + 1`, `return (c.voters + 1) / 2`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"call a cluster healthy without one of its voters", []change{
		{"checks.Judge", `case len(c.away)+len(c.awayOthers) > 0:`, `case len(c.away)+len(c.awayOthers) > 1:`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"call a cluster healthy under an alarm", []change{
		{"checks.Judge", `case len(alarms) > 0:`, `case len(alarms) > 1:`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a quarantined member count for the quorum", []change{
		{"takesPart", `return m.Leader != "" && m.State != stateRefused`, `return m.Leader != ""`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"let a learner count for the quorum", []change{
		{"roleOf", `if !reported && m.State`, `if (reported || !reported) && m.State`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"ask only the new configuration for a quorum", []change{
		{"clusterOf", `if i == 0 || one.margin() < c.margin() {`, `if i == 0 {`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"tell the operator to start a member that answers", []change{
		{"cluster.comeBack", `names := c.silent`, `names := c.away`},
	}, []detector{direct("./internal/checks", "TestVerdicts")}},
	{"restart a member whose loss stops writes", []change{
		{"checks.stops", `if c.margin() < 1 && c.voters > 1 {`, `if c.margin() < 0 && c.voters > 1 {`},
	}, []detector{direct("./internal/checks", "TestUpgrade")}},
	{"restart the leader first", []change{
		{"nextOf", `cmp.Compare(count(a.State == "leader"), count(b.State == "leader"))`, `cmp.Compare(count(b.State == "leader"), count(a.State == "leader"))`},
	}, []detector{direct("./internal/checks", "TestUpgrade")}},
	{"warn of a certificate that has ended a moment ago", []change{
		{"certificates", `case c.Left <= 0:`, `case c.Left < 0:`},
	}, []detector{direct("./internal/checks", "TestChecks")}},
	{"upgrade an endpoint of no member", []change{
		{"UpgradeOf", `return m.Unknown }`, `return m.Unknown && m.Answers }`},
	}, []detector{direct("./internal/checks", "TestUpgrade")}},
	{"believe the last end of a connection alone", []change{
		{"links", `seen[pair] = seen[pair] || l.Connected`, `seen[pair] = l.Connected`},
	}, []detector{direct("./internal/checks", "TestOneEndOfALink")}},
	{"blame the folder of a member's user on root", []change{
		{"checks.folder", `case d.Owner != d.User && d.User != 0:`, `case d.Owner != d.User:`},
	}, []detector{direct("./internal/checks", "TestFolderAsRoot")}},
	{"take a missing fact for a failure", []change{
		{"report.skip", `r.add(Unchecked,`, `r.add(Failure,`},
	}, []detector{direct("./internal/checks", "TestUnchecked")}},

	// Package internal/audit.
	{"begin the audit log's chain anew in each file", []change{
		{"writer.begin", `return w.create()`, `w.chain = chain{}; return w.create()`},
	}, []detector{direct("./internal/audit", "TestRotation")}},
	{"let an audit event have a value", []change{
		{"audit.Event", `Message string`, `Message string; Value []byte`},
	}, []detector{direct("./internal/audit", "TestEventsHoldNoSecrets")}},
	{"refuse no change while the audit log cannot be written", []change{
		{"Log.fail", `p.refusal = kv.Errorf(`, `_ = kv.Errorf(`},
	}, []detector{direct("./internal/audit", "TestStrict")}},
	{"create the next audit file before the rename is durable", []change{
		{"writer.create", `if err := w.log.config.FS.SyncDir(path.Dir(w.log.config.File)); err != nil { return nil, fmt.Errorf("sync its folder: %w", err) }`, ``},
	}, []detector{direct("./internal/audit", "TestRenameIsDurableFirst")}},
	{"count an audit line as durable before its sync", []change{
		{"writer.append", `if err := file.Datasync(); err != nil { return fmt.Errorf("sync it: %w", err) }`, ``},
	}, []detector{direct("./internal/audit", "TestEveryCrash")}},
	{"write an audit line behind what a failed attempt has left", []change{
		{"writer.append", `if err := file.Truncate(w.end); err != nil { return err }`, `w.end, _ = file.Size()`},
	}, []detector{direct("./internal/audit", "TestDiskFails")}},
	{"continue a torn audit line", []change{
		{"writer.encode", `if w.newline { lines = append(lines, '\n') }`, ``},
	}, []detector{direct("./internal/audit", "TestCutAtEveryByte")}},
	{"take a changed audit line for a torn one", []change{
		{"verifier.add", `if v.whole {`, `if v.whole && at == 0 {`},
	}, []detector{direct("./internal/audit", "TestChangeBeforeAStart")}},
	{"give each refused user of a flood an audit line", []change{
		{"repeats.pass", `len(r) >= limits.AuditSubjects:`, `len(r) >= 1000*limits.AuditSubjects:`},
	}, []detector{direct("./internal/audit", "TestFlood")}},

	// Package internal/buffers.
	{"keep no buffer of a large request", []change{
		{"buffers.Put", `pooled && size == cap(b) {`, `pooled && size < cap(b) {`},
	}, []detector{direct("./net/client", "TestLargePutsAllocateLittle")}},

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

	// Package internal/settings.
	{"expand anchors of a configuration file", []change{
		{"reader.anchored", `if n.Kind != yaml.AliasNode && n.Anchor == "" {`, `if n.Kind != yaml.AliasNode || n.Anchor == "" {`},
	}, []detector{direct("./internal/settings", "TestRead")}},
	{"take the last of two equal names in a configuration file", []change{
		{"reader.entries", `if first := lines[key.Value]; first > 0 {`, `if first := lines[key.Value]; first < 0 {`},
	}, []detector{direct("./internal/settings", "TestRead")}},
	{"tell the faults of a file in another order than its lines", []change{
		{"reader.end", `return a.Line - b.Line`, `return 0`},
	}, []detector{direct("./internal/settings", "TestReadProfiles")}},
	{"parse a configuration file of any size", []change{
		{"reader.parse", `if len(text) > limits.SettingsBytes {`, `if len(text) > 1000*limits.SettingsBytes {`},
		{"reader.parse", `io.LimitReader(from, limits.SettingsBytes+1)`, `from`},
	}, []detector{direct("./internal/settings", "TestHostileFiles")}},

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
