package main

var benchBugs = []mutant{
	// Package bench.
	{"measure the gap at a member's return from its failure on", []change{
		{"Failover.try", `p.gap(undone, over)`, `p.gap(begun, over)`},
	}, []detector{direct("./bench", "TestFailover")}},
	{"measure a failure's gap up to the end of the return", []change{
		{"Failover.try", `p.gap(begun, undone)`, `p.gap(begun, over)`},
	}, []detector{direct("./bench", "TestFailover")}},
	{"list the last key of a page once more", []change{
		{"listPages", `append(page.Kvs[len(page.Kvs)-1].Key, 0)`, `page.Kvs[len(page.Kvs)-1].Key`},
	}, []detector{direct("./bench", "TestKubeListsWithoutStream")}},
	{"cut the other direction than a failure's name says", []change{
		{"Failures", `return c.Cut(leader, outgoing, incoming)`, `return c.Cut(leader, incoming, outgoing)`},
	}, []detector{direct("./bench", "TestFailures")}},
}
