package main

var benchBugs = []mutant{
	// Package bench.
	{"end a load of which nothing has come", []change{
		{"span.begins", `return s.counts.CompareAndSwap(false, true)`, `return false`},
	}, []detector{direct("./bench", "TestStallOfALoad")}},
	{"claim a rate by a p99 of too few requests", []change{
		{"rateFinder.note", `case !result.Enough(report.Latencies.Count, 99):`, `case !result.Enough(report.Latencies.Count, 0):`},
	}, []detector{direct("./bench", "TestRateNeedsSamples")}},
	{"claim that no rate holds where none had requests enough", []change{
		{"sweep", `if find.good == 0 && find.few {`, `if find.good < 0 && find.few {`},
	}, []detector{direct("./bench", "TestSweepOfTooFew")}},
	{"take the figures of a load under which a member ended", []change{
		{"suiteRun.cluster", `case ended != nil:`, `case ended != nil && err != nil:`},
	}, []detector{direct("./bench", "TestMemberEnds")}},
	{"compact twice at one revision in a benchmark", []change{
		{"job.maintenance", `if err == nil && page.Revision > compacted {`, `if err == nil && page.Revision >= compacted {`},
	}, []detector{direct("./bench", "TestNothingIsCompactedTwice")}},
	{"take what never came back for a short gap", []change{
		{"kill", `gap = max(gap, at.Sub(report.Last))`, `gap = max(gap, at.Sub(at))`},
	}, []detector{direct("./bench", "TestGapWithoutEnd")}},
	{"wait for a request that is due after the end", []change{
		{"load.pace", `due = l.ends`, `_ = due`},
	}, []detector{direct("./bench", "TestSlowRate")}},
	{"give a load of which nothing succeeds as a figure", []change{
		{"suiteRun.work", `if err == nil && report.Done == 0 {`, `if err == nil && report.Done < 0 {`},
	}, []detector{direct("./bench", "TestNothingSucceeds")}},
	{"record what was begun in the warm-up", []change{
		{"slot.record", `if s.begun.Before(s.load.begun) { return }`, ``},
	}, []detector{direct("./bench", "TestWarmUpIsNotRecorded")}},
	{"read the servers' counters an hour late", []change{
		{"observer.begin", `case o.starts <- at:`, `case o.starts <- at.Add(time.Hour):`},
	}, []detector{direct("./bench", "TestObserve")}},
	{"charge an operation for the seconds of the load", []change{
		{"observer.charge", `o.servers / o.took.Seconds() / rate`, `o.servers / rate`},
	}, []detector{direct("./bench", "TestObserve")}},
	{"measure a disk's rest", []change{
		{"probeFile.write", `if config.Rest > 0 { time.Sleep(config.Rest) }; begun := time.Now()`, `begun := time.Now(); if config.Rest > 0 { time.Sleep(config.Rest) }`},
	}, []detector{direct("./bench", "TestProbeRests")}},

	// Package bench/emulate.
	{"end an emulated sync early", []change{
		{"waiter.until", `for w.now() < due {`, `for w.now() < due-spin/2 {`},
	}, []detector{direct("./bench/emulate", "(TestDraws|TestBytes|TestWait|TestEmulated|TestEmulatedByTheClock)")}},
	{"draw from half of the percentiles", []change{
		{"draws.next", `percent := float64(d.left[last]) + d.random.Float64()`, `percent := float64(d.left[last])/2 + d.random.Float64()`},
	}, []detector{direct("./bench/emulate", "(TestDraws|TestBytes|TestWait|TestEmulated|TestEmulatedByTheClock)")}},

	// Package bench/result.
	{"claim ratios one by one", []change{
		{"File.ratio", `!differ.of[comparison{row.Side, row.Mode, row.load(), m.Name}].Claimed`, `!stat.CompareAll([]stat.Pair{{A: base, B: values}})[0].Claimed`},
	}, []detector{direct("./bench/result", "TestAlikeReports")}},
	{"judge at the gate one by one", []change{
		{"gated", `for i, d := range stat.CompareAll(pairs) {`, `for i, d := range stat.CompareAll(pairs) { d = stat.CompareAll(pairs[i : i+1])[0]`},
	}, []detector{direct("./bench/result", "TestAlikeReports")}},
	{"pass a gate that could not have found one", []change{
		{"gated", `g.Blind = can.String()`, ``},
	}, []detector{direct("./bench/result", "TestLoneDifference")}},
	{"show few runs of many figures without a word", []change{
		{"File.remarks", `s != "" {`, `s == "?" {`},
	}, []detector{direct("./bench/result", "TestLoneDifference")}},
	{"leave out a percentile of too few samples without a word", []change{
		{"Metric.missing", `if m.samples > 0 && slices`, `if m.samples < 0 && slices`},
	}, []detector{direct("./bench/result", "TestMissingAndFailed")}},
	{"leave failures out of the ratios", []change{
		{"File.Ratios", `count != "" {`, `count == "?" {`},
	}, []detector{direct("./bench/result", "TestMissingAndFailed")}},
	{"give a command to repeat that a shell takes apart", []change{
		{"CommandLine", `strings.ContainsFunc(w, needsQuotes) {`, `strings.ContainsFunc(w, func(r rune) bool { return r < ' ' }) {`},
	}, []detector{direct("./bench/result", "TestCommandLine")}},
	{"call the way to the client the network", []change{
		{"judge", `case network >= boundShare && shares(row, outside) >= shares(row, "replicate"):`, `case network >= boundShare && shares(row, outside) > 1:`},
	}, []detector{direct("./bench/result", "TestVerdicts")}},
	{"take a row of a side that is not named", []change{
		{"File.check", `return s.Name == row.Side`, `return s.Name != ""`},
	}, []detector{direct("./bench/result", "TestReadRefuses")}},
	{"take a file that has no sides", []change{
		{"File.check", `if len(f.Sides) == 0 {`, `if len(f.Sides) < 0 {`},
	}, []detector{direct("./bench/result", "TestReadRefuses")}},
	{"compare a closed loop with an open one", []change{
		{"Gate", `len(before.Runs) == 0 || before.Mode != r.Mode {`, `len(before.Runs) == 0 {`},
	}, []detector{direct("./bench/result", "TestGate")}},
	{"do not say which loads the gate has not compared", []change{
		{"Gate", `if len(r.Runs) > 0 && len(find(now.Rows, r.Side, r.load()).Runs) == 0 {`, `if len(r.Runs) == 0 {`},
	}, []detector{direct("./bench/result", "TestGate")}},
	{"pass a load that fails altogether", []change{
		{"Gate", `if before.succeeded() && !r.succeeded() {`, `if !before.succeeded() && !r.succeeded() {`},
	}, []detector{direct("./bench/result", "TestGate")}},
	{"show no server CPU where the first side has none", []change{
		{"File.keyFigures", `len(all) > len(most) {`, `len(most) == 0 {`},
	}, []detector{direct("./bench/result", "TestServerCPU")}},

	// Package bench/stat.
	{"test each figure of a report as if it were the only one", []change{
		{"CompareAll", `all[i].P*float64(len(order))/float64(at+1))`, `all[i].P)`},
	}, []detector{direct("./bench/stat", "TestAlikeSidesOfManyFigures")}},
	{"correct for comparisons that could claim nothing", []change{
		{"Pair.Testable", `least(len(p.A), len(p.B)) <= 1-Confidence`, `least(len(p.A), len(p.B)) <= 1`},
	}, []detector{direct("./bench/stat", "TestTogether")}},
	{"approximate small samples", []change{
		{"MannWhitney", `if len(a)*len(b) <= exactMost {`, `if len(a)*len(b) <= 1 {`},
	}, []detector{direct("./bench/stat", "TestMannWhitneyExact")}},
	{"take equal figures for an accident", []change{
		{"approximate", `(count + 1 - ties/(count*(count-1)))`, `(count + 1)`},
	}, []detector{direct("./bench/stat", "TestMannWhitneyTies")}},
	{"claim a difference whose interval holds 1", []change{
		{"CompareAll", `d.Claimed = d.Low > 1 || d.High < 1`, `d.Claimed = true`},
	}, []detector{direct("./bench/stat", "TestIntervalThatHoldsOne")}},
	{"claim a difference whose interval ends at 1", []change{
		{"CompareAll", `d.Low > 1 || d.High < 1`, `d.Low >= 1 || d.High <= 1`},
	}, []detector{direct("./bench/stat", "TestIntervalThatHoldsOne")}},
	{"charge an operation for one member", []change{
		{"observer.end", `o.servers += max(0, is.processor-was.processor)`, `o.servers = max(0, is.processor-was.processor)`},
	}, []detector{direct("./bench", "TestObserve")}},
}
