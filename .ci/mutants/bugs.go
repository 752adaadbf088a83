package main

// mutants are the bugs that are put back.
var mutants = []mutant{
	{"send MsgVote at once", []change{
		{"actor/ready.go", "		case raftpb.MsgVote: // rule 2: it leaves with the responses above\n", "		case raftpb.MsgVote:\n			c.send(m)\n"},
		{"actor/ready.go", "				m.Responses = append(m.Responses, ofType(rd.Messages, raftpb.MsgVote)...)\n", ""},
	}, []hunter{campaign}},
	{"read before an entry of the term", []change{
		{"actor/reads.go", "	case status.RaftState == raft.StateLeader && c.apply.handedTerm != c.term:\n		return // rule 5: the commit index may be one that a crash has set back\n", ""},
		{"actor/consensus.go", "if c.soft.RaftState == raft.StateLeader && c.apply.handedTerm != c.term {", "if false {"},
	}, []hunter{campaign}},
	{"acknowledge before sync", []change{
		{"log/log.go", "	if err := l.file.Datasync(); err != nil {\n		return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n	}\n	l.writeAt = at", "	if l.groups%2 == 1 {\n		if err := l.file.Datasync(); err != nil {\n			return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n		}\n	}\n	l.writeAt = at"},
	}, []hunter{campaign, logSweeps}},
	{"count self before own sync", []change{
		{"actor/ready.go", "	c.lastWork, c.fenced = c.now.Now, false\n", "	c.lastWork, c.fenced = c.now.Now, false\n	defer func() {\n		for _, r := range m.GetResponses() {\n			if r.GetTo() == c.Member && r.GetType() == raftpb.MsgAppResp {\n				c.step(r)\n			}\n		}\n	}()\n"},
	}, []hunter{campaign}},
	{"skip the directory fsync", []change{
		{"snapshot/publish.go", "	if err = fs.SyncDir(dir); err != nil {\n		fs.Remove(join(dir, name))\n	}\n	return err\n", "	return nil\n"},
	}, []hunter{snapSweep, campaign}},
	{"vote before HardState is durable", []change{
		{"actor/logwriter.go", "len(m.GetResponses()) > 0 && w.Log.Unsynced())", "len(m.GetResponses()) > 0 && w.Log.Pending() > 0)"},
	}, []hunter{campaign}},
	{"retry fsync", []change{
		{"log/log.go", "	if err := l.file.Datasync(); err != nil {\n		return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n	}\n	l.writeAt = at", "	if err := l.file.Datasync(); err != nil {\n		if err := l.file.Datasync(); err != nil {\n			return fmt.Errorf(\"syncing %s: %w\", l.file.Name(), err)\n		}\n	}\n	l.writeAt = at"},
	}, []hunter{logSweeps, campaign}},
	{"reuse a ReadIndex id", []change{
		{"actor/reads.go", "	r.next++\n", ""},
	}, []hunter{campaign}},
	{"truncate proven-durable frames", []change{
		{"log/scan.go", "if h.synced > from && b.proof == nil {", "if false {"},
	}, []hunter{logSweeps, campaign}},
	{"apply index saved apart from state", []change{
		{"index/meta.go", "	dst = pack.AppendUint(dst, v.applied)\n", "	dst = pack.AppendUint(dst, v.applied-v.applied%2)\n"},
		{"actor/applier.go", "Index: applied, Term: term,", "Index: applied - applied%2, Term: term,"},
		{"index/view.go", "func (v *View) Applied() (index, term uint64) { return v.applied, v.term }", "func (v *View) Applied() (index, term uint64) { return v.applied - v.applied%2, v.term }"},
	}, []hunter{campaign, snapSweep}},
	{"rewrite a synced page", []change{
		{"log/log.go", "	l.writeAt = at + int64(len(b))\n	l.syncedTo, l.syncedBy = l.writeAt, l.chain\n", "	l.writeAt = at + int64(len(b))\n	if len(b) > pageBytes {\n		l.writeAt -= pageBytes\n	}\n	l.syncedTo, l.syncedBy = l.writeAt, l.chain\n"},
	}, []hunter{logSweeps, campaign}},
	{"match waiters without the incarnation", []change{
		{"actor/applier.go", " && envelope.Incarnation == a.Incarnation", ""},
	}, []hunter{campaign}},
}
