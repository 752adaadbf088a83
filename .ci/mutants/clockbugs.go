package main

// The bugs of clocks that are wrong.
func clockMutants() []mutant {
	script := direct("./index", "TestScripts")
	ages := direct("./node", "TestHistoryAges")
	clocks := direct("./actor", "TestClocks")
	return []mutant{
		{"believe times in the future", []change{
			{"index/history.go", "		if wall-now > apart {\n", "		if wall-now > apart && is {\n"},
		}, []detector{script}},
		{"believe times of a clock that was ahead", []change{
			{"index/history.go", "		for m := n; m < end && max(t.most, t.behind)*behindStep > apart; m++ {", "		for m := end; m < end; m++ {"},
		}, []detector{script}},
		{"believe times while they stand", []change{
			{"index/history.go", "	if n > t.points.first {\n		worst(", "	if n < t.points.first {\n		worst("},
		}, []detector{script}},
		{"forget what clocks were behind with a snapshot", []change{
			{"index/snapshot.go", "		p.behind = r.Int()\n", "		r.Int()\n"},
		}, []detector{script}},
		{"weigh nothing while times stand", []change{
			{"index/history.go", "(behind == 0 || p.weight-newest.weight < weightStep)", "(behind == 0 || p.weight > 0)"},
		}, []detector{direct("./index", "TestWeightWhileTimesStand")}},
		{"take a pause of the clock for the age of history", []change{
			{"node/historyage.go", "min(max(time.Duration(later-wall), 0), stays/limits.HistoryPauses)", "max(time.Duration(later-wall), 0)"},
		}, []detector{ages}},
		{"compact by age by the clock", []change{
			{"node/historyage.go", "	if now-h.samples[len(h.samples)-1].at >=", "	if now = time.Duration(wall); now-h.samples[len(h.samples)-1].at >="},
		}, []detector{ages}},
		{"tell how long ago something was by the time of day", []change{
			{"net/wire/moment.go", "	return now.Sub(momentsBegan) - ", "	return time.Unix(0, now.UnixNano()).Sub(momentsBegan) - "},
		}, []detector{direct("./net/wire", "TestMoment")}},
		{"write by a clock that is ahead", []change{
			{"actor/clocks.go", "return now.Wall - int64(k.ahead)", "return now.Wall"},
		}, []detector{clocks}},
		{"believe the later one of two clocks", []change{
			{"actor/clocks.go", "all[(len(all)-1)/2]", "all[len(all)/2]"},
		}, []detector{clocks}},
		{"write by a clock that was set", []change{
			{"actor/clocks.go", "		k.ahead += set\n", ""},
		}, []detector{direct("./actor", "TestClockIsSet")}},
		{"keep what others' clocks were before the own one was set", []change{
			{"actor/clocks.go", "		k.others[id] -= set\n", "		k.others[id] -= 0\n"},
		}, []detector{direct("./actor", "TestClockIsSet")}},
		{"judge clocks once a second only", []change{
			{"actor/clocks.go", "	return !known || max(by-before, before-by) > limits.ClocksApart/2\n", "	return known && max(by-before, before-by) > limits.ClocksApart/2\n"},
		}, []detector{direct("./actor", "TestWriteByTheClockOfTheVoters")}},
		{"take what waited for a wrong clock", []change{
			{"actor/clocks.go", "	if known && before-by > limits.ClocksApart/2 {\n", "	if !known && before-by > limits.ClocksApart/2 {\n"},
		}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
		{"believe two that waited together", []change{
			{"actor/clocks.go", "own.Now-since < limits.SpaceCheck/2", "own.Now < since"},
		}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
		{"doubt a clock for ever", []change{
			{"actor/clocks.go", "	delete(k.doubts, from)\n", ""},
		}, []detector{direct("./actor", "TestClockOfWhatWaited")}},
		{"tell nobody the clock", []change{
			{"actor/space.go", "	now.Wall = c.now.Wall\n", ""},
		}, []detector{direct("./actor", "TestClockIsTold")}},
	}
}
