package main

// The bugs of locks, and of what is made of the history.
func lockMutants() []mutant {
	return []mutant{
		{"own a lock whose lease ended during the wait", []change{
			{"internal/election/election.go", "			c.Guard(),\n			{Key: c.Key, Target: kv.CompareLease, Number: c.Lease},\n", ""},
		}, []detector{direct("./net/client/concurrency", "TestMutexLeaseEnds")}},
		{"own a lock while somebody stands before", []change{
			{"internal/election/election.go", "			{Key: key, End: end, Target: kv.CompareCreate, Result: kv.Greater, Number: c.Revision - 1},\n", ""},
		}, []detector{direct("./net/client/concurrency", "TestMutexExcludes")}},
		{"leave a place in the line that nobody waits at", []change{
			{"net/client/concurrency/mutex.go", "		leave(ctx, s, place)\n	}\n	session", "	}\n	session"},
		}, []detector{direct("./net/client/concurrency", "TestMutexBesideOthers")}},
		{"let compaction overtake a streamed range", []change{
			{"index/pages.go", "		r.begun, r.held = true, newest\n", "		r.begun = true\n"},
		}, []detector{direct("./index", "TestPagesAreTheRange"), direct("./net/client", "TestPagesStream")}},
		{"stream a range from whatever is newest", []change{
			{"index/pages.go", "		if r.q.Revision == 0 {\n			r.q.Revision, r.newest = newest.revision, newest.revision\n		}\n", ""},
			{"index/pages.go", "	if r.held != nil {\n		v = r.held\n	}\n", ""},
		}, []detector{direct("./index", "TestPagesAreTheRange")}},
		{"revert over what somebody wrote meanwhile", []change{
			{"cli/revert.go", "		t.Compares = append(t.Compares, client.Compare{Key: d.key, Target: kv.CompareMod, Number: d.readAt()})\n", "		t.Compares = append(t.Compares, client.Compare{Key: d.key, Target: kv.CompareMod, Result: kv.NotEqual, Number: -1 - d.readAt()})\n"},
		}, []detector{direct("./cli", "TestRevertGuards")}},
		{"make a transaction of what came before the input was cut", []change{
			{"cli/txn.go", "err != nil || number == 0 || name == \"\" {", "true {"},
		}, []detector{direct("./cli", "TestScript/txn")}},
		{"end a keep-alive at the first renewal without an answer", []change{
			{"cli/lease.go", "case err != nil && !time.Now().Before(until):", "case err != nil && until.Before(time.Now().Add(time.Hour)):"},
		}, []detector{direct("./cli", "TestScript/lease")}},
	}
}
