package main

// The bugs of what is said to whoever reads it: nothing else goes wrong by them.
func saidMutants() []mutant {
	return []mutant{
		{"print etcd's flags in lines of any length", []change{
			{"cli/etcd.go", "w.wrap(strings.TrimSuffix(indent, \" \"), indent, f.Usage)", "fmt.Fprintf(w, \"%s%s\\n\", indent, f.Usage)"},
		}, []detector{direct("./cli", "TestHelp")}},
		{"forget an exit code in the help", []change{
			{"cli/cli.go", "130 after Ctrl-C, 143 \" +\n\t\t\t\"after SIGTERM,", "130 after \" +\n\t\t\t\"Ctrl-C,"},
		}, []detector{direct("./cli", "TestExitCodesAreListed")}},
		{"name a change of the members where nobody leads", []change{
			{"node/peers.go", "	if now.Leader == 0 {\n		add =", "	if now.Leader == 0 && name == \"\" {\n		add ="},
		}, []detector{direct("./node", "TestWhoMayJoin")}},
		{"name --serializable to no read", []change{
			{"cli/dial.go", "return orSerializable(c, f(s))", "return f(s)"},
		}, []detector{direct("./cli", "TestMemberListWithoutQuorum")}},
		{"name --serializable for a member that takes no part", []change{
			{"cli/exit.go", " || answer.Code != kv.Unavailable || exitCode(err)", " || exitCode(err)"},
		}, []detector{direct("./cli", "TestMemberListWithoutQuorum")}},
		{"advise free space for any failure of a disk", []change{
			{"actor/segmentmaker.go", "	if errors.Is(err, syscall.ENOSPC) {\n		return \"free", "	if err != nil {\n		return \"free"},
		}, []detector{direct("./actor", "TestAdviceIsOfTheFailure")}},
		{"advise once, whatever fails later", []change{
			{"actor/segmentmaker.go", "advice != s.advised {", "s.advised == \"\" {"},
		}, []detector{direct("./actor", "TestAdviceIsOfTheFailure")}},
		{"leave an endpoint of a member that was removed without a word", []change{
			{"cli/status.go", "			m.hint = \"no member says that it serves clients there: \" + advice\n", "			_ = advice\n"},
		}, []detector{direct("./cli", "TestStatusOfEndpointsThatAreNoMembers")}},
		{"take a member of another cluster for one that was removed", []change{
			{"cli/status.go", "if isMember(other) && other.status.Cluster == one.status.Cluster {", "if isMember(other) {"},
		}, []detector{direct("./cli", "TestStatusOfEndpointsThatAreNoMembers")}},
		{"name members as the furthest one alone knows them", []change{
			{"cli/status.go", "		add(one.status.ID, one.status.Name)\n", "		break\n"},
		}, []detector{direct("./cli", "TestStatusNamesWhoIsKnown")}},
		{"show a member without a name by none", []change{
			{"cli/status.go", "cmp.Or(n[id], hex(id))", "n[id]"},
		}, []detector{direct("./cli", "TestStatusNamesWhoIsKnown")}},
		{"end a line at a no-break space", []change{
			{"cli/help.go", "return r != noBreakSpace && unicode.IsSpace(r)", "return unicode.IsSpace(r)"},
		}, []detector{direct("./cli", "TestNoBreakSpaceIsNoEndOfALine")}},
	}
}
