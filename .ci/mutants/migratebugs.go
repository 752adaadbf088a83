package main

// migrateMutants are bugs in following another store, and in reading an etcd's file.
var migrateMutants = []mutant{
	{"take a revision before all of it is there", []change{
		{"index/follow.go", "if rest = rest[n:]; len(rest) == 0 && !f.complete {\n", "if rest = rest[n:]; len(rest) == 0 && !f.complete && len(group) == 0 {\n"},
	}, []detector{direct("./index", "TestFollow")}},
	{"take what does not follow", []change{
		{"index/follow.go", "		return one.Create == create && one.Version.Version == number+1\n", "		return one.Create == create && number >= 0\n"},
	}, []detector{direct("./index", "TestFollowRefuses")}},
	{"let clients write into what follows", []change{
		{"index/follow.go", "	kindPut: true, kindDelete: true,", "	kindDelete: true,"},
	}, []detector{direct("./index", "TestFollow")}},
	{"read what is loaded in part", []change{
		{"index/follow.go", "	if f := v.following; f != nil && !f.loaded {\n", "	if f := v.following; f != nil && !f.loaded && f.source == 0 {\n"},
	}, []detector{direct("./index", "TestFollow")}},
	{"tell what was before a change that is inherited", []change{
		{"index/events.go", "	if c.KV.ModRevision == c.view.inherited {\n", "	if c.KV.ModRevision == c.view.inherited && c.Sub < 0 {\n"},
	}, []detector{direct("./index", "TestFollow")}},
	{"take a lease out that has keys", []change{
		{"index/follow.go", "			if !used {\n", "			if !used || l.TTL == 60 {\n"},
	}, []detector{direct("./index", "TestFollowRefuses")}},
	{"forget records that wait in a snapshot", []change{
		{"index/follow.go", "	for _, b := range f.pending {\n		dst = pack.AppendBytes(dst, b)\n	}\n", "	for range f.pending {\n		dst = pack.AppendBytes(dst, []byte{0x90})\n	}\n"},
	}, []detector{direct("./index", "TestFollow")}},
	{"keep what a compaction that was not through would drop", []change{
		{"net/etcd/migrate/file.go", "several && last != r.Mod {\n", "several && last < r.Mod {\n"},
	}, []detector{direct("./net/etcd/migrate", "TestFile")}},
	{"take a file whose sum is another one", []change{
		{"net/etcd/migrate/file.go", "	if said != f.Sum && !unchecked {\n", "	if said != f.Sum && f.Size == 0 {\n"},
	}, []detector{direct("./net/etcd/migrate", "TestFileDamaged")}},
	{"cut over without a look at the hashes", []change{
		{"net/etcd/migrate/live.go", "	if here.Hash != old.Hash ||", "	if here.Hash != old.Hash && l.source == 0 ||"},
	}, []detector{direct("./net/etcd/migrate", "TestLiveRefuses")}},
	{"take what a member has against a client's certificate for nothing", []change{
		{"net/etcd/migrate/trust.go", "		_, err = conn.Read(make([]byte, 1)) ", "		_ = 0 "},
	}, []detector{direct("./net/etcd/migrate", "TestDiagnose")}},
}
