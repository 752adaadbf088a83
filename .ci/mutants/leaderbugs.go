package main

// The bugs of a leader whose disk is put back to an earlier moment.
func leaderMutants() []mutant {
	stories := direct("./node", "TestStories")
	ends := direct("./actor", "TestLeaderEnds")
	tells := direct("./actor", "TestLeaderTellsWhatIsDurable")
	admission := direct("./actor", "TestAdmission")
	return []mutant{
		{"admit a leader that was rolled back", []change{
			{"actor/admission.go", "its.HardTerm <= end.term && its.Last < end.durable", "its.HardTerm < end.term && its.Last < end.durable"},
			{"actor/admission.go", "max(a.Status.minMatch(from), end.kept, known.Owed)", "max(a.Status.minMatch(from), known.Owed)"},
		}, []detector{stories}},
		{"admit a leader that lacks what was committed", []change{
			{"actor/admission.go", "max(a.Status.minMatch(from), end.kept, known.Owed)", "max(a.Status.minMatch(from), known.Owed)"},
		}, []detector{admission}},
		{"refuse a leader whose log was cut", []change{
			{"actor/admission.go", "its.HardTerm <= end.term && its.Last < end.durable", "its.Last < end.durable"},
		}, []detector{admission}},
		{"tell of entries that are not on the disk", []change{
			{"actor/ready.go", "c.ends.told(m)", "max(c.ends.told(m), c.last)"},
		}, []detector{tells}},
		{"tell no disk with heartbeats", []change{
			{"actor/leaderends.go", "return m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgHeartbeat", "return m.GetType() == raftpb.MsgApp"},
		}, []detector{tells}},
		{"take a cut log for a longer one", []change{
			{"actor/leaderends.go", "		l.durable = m.Entries[n-1].GetIndex()\n", "		l.durable = max(l.durable, m.Entries[n-1].GetIndex())\n"},
		}, []detector{direct("./actor", "TestDurableEndFollowsTheLog")}},
		{"carry a leader's end into a later term", []change{
			{"actor/leaderends.go", "end.term, end.durable = m.GetTerm(), 0", "end.term = m.GetTerm()"},
		}, []detector{ends}},
		{"take what is not committed for what is kept", []change{
			{"actor/leaderends.go", "min(m.Durable, m.GetCommit())", "m.Durable"},
		}, []detector{ends}},
		{"hear the end of a leader whose term is over", []change{
			{"actor/consensus.go", "!c.absurd(m.GetTerm()) && m.GetTerm() >= c.term", "!c.absurd(m.GetTerm())"},
		}, []detector{direct("./actor", "TestEndOfAnOldLeaderIsNotHeard")}},
	}
}
