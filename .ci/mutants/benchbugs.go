package main

// The bugs of the benchmark suite, and of what members count for it.
func benchMutants() []mutant {
	emulated := direct("./bench/emulate", "(TestDraws|TestBytes|TestWait|TestEmulated|TestEmulatedByTheClock)")
	stages := direct("./actor", "TestStages.*")
	return []mutant{
		{"end a load of which nothing has come", []change{
			{"bench/load.go", "return s.counts.CompareAndSwap(false, true)", "return false"},
		}, []detector{direct("./bench", "TestStallOfALoad")}},
		{"test each figure of a report as if it were the only one", []change{
			{"bench/stat/stat.go", "all[i].P*float64(len(order))/float64(at+1))", "all[i].P)"},
		}, []detector{direct("./bench/stat", "TestAlikeSidesOfManyFigures")}},
		{"correct for comparisons that could claim nothing", []change{
			{"bench/stat/stat.go", "least(len(p.A), len(p.B)) <= 1-Confidence", "least(len(p.A), len(p.B)) <= 1"},
		}, []detector{direct("./bench/stat", "TestTogether")}},
		{"approximate small samples", []change{
			{"bench/stat/stat.go", "if len(a)*len(b) <= exactMost {", "if len(a)*len(b) <= 1 {"},
		}, []detector{direct("./bench/stat", "TestMannWhitneyExact")}},
		{"claim ratios one by one", []change{
			{"bench/result/ratios.go", "!differ.of[comparison{row.Side, row.Mode, row.load(), m.Name}].Claimed", "!stat.CompareAll([]stat.Pair{{A: base, B: values}})[0].Claimed"},
		}, []detector{direct("./bench/result", "TestAlikeReports")}},
		{"judge at the gate one by one", []change{
			{"bench/result/gate.go", "	for i, d := range stat.CompareAll(pairs) {\n", "	for i, d := range stat.CompareAll(pairs) {\n		d = stat.CompareAll(pairs[i : i+1])[0]\n"},
		}, []detector{direct("./bench/result", "TestAlikeReports")}},
		{"pass a gate that could not have found one", []change{
			{"bench/result/gate.go", "	g.Blind = can.String()\n", ""},
		}, []detector{direct("./bench/result", "TestLoneDifference")}},
		{"show few runs of many figures without a word", []change{
			{"bench/result/compare.go", "if s := f.differences().power.String(); s != \"\" {", "if s := f.differences().power.String(); s == \"?\" {"},
		}, []detector{direct("./bench/result", "TestLoneDifference")}},
		{"claim a rate by a p99 of too few requests", []change{
			{"bench/suite.go", "case !result.Enough(report.Latencies.Count, 99):", "case !result.Enough(report.Latencies.Count, 0):"},
		}, []detector{direct("./bench", "TestRateNeedsSamples")}},
		{"claim that no rate holds where none had requests enough", []change{
			{"bench/suite.go", "if find.good == 0 && find.few {", "if find.good < 0 && find.few {"},
		}, []detector{direct("./bench", "TestSweepOfTooFew")}},
		{"leave out a percentile of too few samples without a word", []change{
			{"bench/result/metric.go", "if m.samples > 0 && slices", "if m.samples < 0 && slices"},
		}, []detector{direct("./bench/result", "TestMissingAndFailed")}},
		{"leave failures out of the ratios", []change{
			{"bench/result/ratios.go", "if count := row.failed(); count != \"\" {", "if count := row.failed(); count == \"?\" {"},
		}, []detector{direct("./bench/result", "TestMissingAndFailed")}},
		{"give a command to repeat that a shell takes apart", []change{
			{"bench/result/file.go", "strings.ContainsFunc(w, needsQuotes) {", "strings.ContainsFunc(w, func(r rune) bool { return r < ' ' }) {"},
		}, []detector{direct("./bench/result", "TestCommandLine")}},
		{"maintain another's server unasked", []change{
			{"cli/bench_run.go", "if at < 0 || len(targets) == 0 || c.Bool(\"allow-maintenance\") {", "if at >= 0 || len(targets) == 0 {"},
		}, []detector{direct("./cli", "TestMaintenanceOfAnother")}},
		{"take the figures of a load under which a member ended", []change{
			{"bench/suite.go", "case ended != nil: //", "case ended != nil && err != nil: //"},
		}, []detector{direct("./bench", "TestMemberEnds")}},
		{"wait for an etcd that has ended", []change{
			{"cli/bench_etcd.go", "if gone := ended(); gone != nil {", "if gone := ended(); gone != nil && ctx.Err() != nil {"},
		}, []detector{direct("./cli", "TestEtcdThatDies")}},
		{"compact twice at one revision in a benchmark", []change{
			{"bench/special.go", "if err == nil && page.Revision > compacted {", "if err == nil && page.Revision >= compacted {"},
		}, []detector{direct("./bench", "TestNothingIsCompactedTwice")}},
		{"call the way to the client the network", []change{
			{"bench/result/stages.go", "case network >= boundShare && share(outside) >= share(\"replicate\"):", "case network >= boundShare && share(outside) > 1:"},
		}, []detector{direct("./bench/result", "TestVerdicts")}},
		{"serve what a member on an emulated disk has left", []change{
			{"node/node.go", "	if err := refuseEmulated(c.DataDir); err != nil {\n		return nil, err\n	}\n	return start(", "	return start("},
		}, []detector{direct("./node", "TestEmulatedFolders")}},
		{"take what never came back for a short gap", []change{
			{"bench/suite.go", "gap = max(gap, at.Sub(report.Last))", "gap = max(gap, at.Sub(at))"},
		}, []detector{direct("./bench", "TestGapWithoutEnd")}},
		{"wait for a request that is due after the end", []change{
			{"bench/load.go", "			due = l.ends // what is due later is not waited for\n", "			_ = due\n"},
		}, []detector{direct("./bench", "TestSlowRate")}},
		{"give a load of which nothing succeeds as a figure", []change{
			{"bench/suite.go", "if err == nil && report.Done == 0 {", "if err == nil && report.Done < 0 {"},
		}, []detector{direct("./bench", "TestNothingSucceeds")}},
		{"take another's server for the etcd that was started", []change{
			{"cli/bench_etcd.go", "tcpFree(loopback(s.port + i)); err != nil {", "tcpFree(loopback(s.port + i)); err != nil && members > 5 {"},
		}, []detector{direct("./cli", "TestPortOfAnother")}},
		{"emulate a disk on a member's own data", []change{
			{"node/emulated.go", "	if len(entries) > 0 {\n", "	if len(entries) > 1<<20 {\n"},
		}, []detector{direct("./node", "TestEmulatedFolders")}},
		{"end an emulated sync early", []change{
			{"bench/emulate/wait.go", "	for w.now() < due { //nolint:revive // it spins\n", "	for w.now() < due-spin/2 { //nolint:revive // it spins\n"},
		}, []detector{emulated}},
		{"draw from half of the percentiles", []change{
			{"bench/emulate/profile.go", "	percent := float64(d.left[last]) + d.random.Float64()\n", "	percent := float64(d.left[last])/2 + d.random.Float64()\n"},
		}, []detector{emulated}},
		{"follow another write's entry", []change{
			{"actor/stages.go", "v.Incarnation == incarnation && v.First == s.first", "v.Incarnation == incarnation"},
		}, []detector{stages}},
		{"follow a lost write for ever", []change{
			{"actor/stages.go", "	if s.index.Swap(0) != 0 || s.first != 0 {", "	if s.first != 0 {"},
		}, []detector{stages}},
		{"count a sync twice that others were faster than", []change{
			{"actor/stages.go", "	if ended == 0 || ended > taken {", "	if ended > taken {"},
		}, []detector{stages}},
		{"record what was begun in the warm-up", []change{
			{"bench/load.go", "	if s.begun.Before(s.load.begun) {\n		return\n	}\n", ""},
		}, []detector{direct("./bench", "TestWarmUpIsNotRecorded")}},
		{"take a row of a side that is not named", []change{
			{"bench/result/file.go", "return s.Name == row.Side })", "return s.Name != \"\" })"},
		}, []detector{direct("./bench/result", "TestReadRefuses")}},
		{"take a file that has no sides", []change{
			{"bench/result/file.go", "if len(f.Sides) == 0 {", "if len(f.Sides) < 0 {"},
		}, []detector{direct("./bench/result", "TestReadRefuses")}},
		{"compare a closed loop with an open one", []change{
			{"bench/result/gate.go", "len(before.Runs) == 0 || before.Mode != r.Mode {", "len(before.Runs) == 0 {"},
		}, []detector{direct("./bench/result", "TestGate")}},
		{"do not say which loads the gate has not compared", []change{
			{"bench/result/gate.go", "if len(r.Runs) > 0 && len(find(now.Rows, r.Side, r.load()).Runs) == 0 {", "if len(r.Runs) == 0 {"},
		}, []detector{direct("./bench/result", "TestGate")}},
		{"pass a load that fails altogether", []change{
			{"bench/result/gate.go", "if before.succeeded() && !r.succeeded() {", "if !before.succeeded() && !r.succeeded() {"},
		}, []detector{direct("./bench/result", "TestGate")}},
		{"take a member's own bound for the machine's memory", []change{
			{"node/machine.go", "	if os.Getenv(\"GOMEMLIMIT\") != \"\" { // else", "	if least > 0 { // else"},
		}, []detector{direct("./node", "TestHeapIsBounded")}},
		{"leave Go's heap nothing where the state is large", []change{
			{"node/idle.go", "return max(memory-memory/limits.MemoryKept-mapped, memory/limits.HeapOfMemory)", "return max(memory-memory/limits.MemoryKept-mapped, 0)"},
		}, []detector{direct("./node", "TestHeapMost")}},
	}
}
