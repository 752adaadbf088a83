package main

// The bugs of what is given back, or counted anew, behind a stall, a refusal, a stream or a watch that has ended: nothing is wrong at once.
func givenMutants() []mutant {
	return []mutant{
		{"keep all keep-alives that wait for a quorum", []change{
			{"actor/leaseclock.go", "if c.clock.waiting >= limits.LeaseAsksWaiting {", "if c.clock.waiting >= limits.LeaseAsksWaiting<<10 {"},
		}, []detector{direct("./actor", "TestLeaseAsksOfAQuorumThatIsAway")}},
		{"cancel an equal watch that came later where it was", []change{
			{"index/watch/pass.go", "		for _, id := range s.ids {\n			s.stream.watches[id] = other\n		}\n", ""},
		}, []detector{direct("./index/watch", "TestEqualWatchThatComesLater")}},
		{"forget what was written before pages go past the page cache", []change{
			{"log/disk/os_linux.go", "cannot: err != nil, fdToo: f.past.fdToo}", "cannot: err != nil}"},
		}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
		{"forget the room of a file beside its pages", []change{
			{"log/disk/os_linux.go", "	f.past.fdToo = true\n	err := again(func() error { return unix.Fallocate", "	err := again(func() error { return unix.Fallocate"},
		}, []detector{direct("./log/disk", "TestSyncIsOfWhoWrote")}},
		{"keep a part of a snapshot open that has no room", []change{
			{"snapshot/receive.go", "			r.drop()\n		}\n		r.Close()\n", "			r.drop()\n		}\n"},
		}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
		{"remove a part of a snapshot that has no room", []change{
			{"snapshot/receive.go", "		if r.offset == 0 {\n			r.drop()\n		}\n		r.Close()", "		r.drop()\n		r.Close()"},
		}, []detector{direct("./snapshot", "TestReceiveOnAFullDisk")}},
		{"dial one that has refused as one that was not reached", []change{
			{"net/peer/link.go", "		if l.notBefore.After(until) {\n			until = l.notBefore\n		}\n", ""},
		}, []detector{direct("./net/peer", "TestPauses")}},
		{"wait at another address for who has refused", []change{
			{"net/peer/link.go", "l.moved, l.notBefore = false, time.Time{}", "l.moved = false"},
		}, []detector{direct("./net/peer", "TestPauses")}},
		{"remove the file that gave way to a folder", []change{
			{"cli/export.go", "			delete(e.kept, dir)\n			e.keep(other)\n", "			delete(e.kept, dir)\n"},
		}, []detector{direct("./cli", "TestExportOfTwoNames")}},
		{"leave a key's other file, where its own is right", []change{
			{"cli/export.go", "				err = e.removeOther(key, name)\n", ""},
		}, []detector{direct("./cli", "TestExportOfTwoNames")}},
		{"take looks that are not in a row for a member's death", []change{
			{"cli/member_replace.go", "	r.quietLooks = 0\n", ""},
		}, []detector{direct("./cli", "TestMemberReplaceLooksTwice")}},
		{"write once more what was taken before a stall", []change{
			{"net/server/writer.go", "		piece = piece[n:]\n", "		_ = n\n"},
		}, []detector{direct("./net/server", "TestAnswerGoesOnBehindAStall")}},
		{"count the watches of streams that have ended", []change{
			{"net/server/watch.go", "	w.s.conn.watches.Add(-int64(len(w.all)))\n", ""},
		}, []detector{direct("./net/server", "TestEndedWatchesGiveBack")}},
		{"say the TTL that another member would have granted", []change{
			{"net/server/lease.go", "		if d.Result.Resent {", "		if false && d.Result.Resent {"},
		}, []detector{direct("./net/server", "TestGrantThatComesAgainElsewhere")}},
		{"leave a closed watch at its context", []change{
			{"net/client/watch.go", "	if release != nil {\n		release()\n	}\n", "	_ = release\n"},
		}, []detector{direct("./net/client", "TestClosedWatchIsForgotten")}},
		{"count the keys of watches that were canceled", []change{
			{"net/etcd/watch.go", "	w.s.watches.Add(-1)\n	w.namesLocked(-one.names)\n", "	w.s.watches.Add(-1)\n"},
		}, []detector{direct("./net/etcd", "TestWatchedKeysCount")}},
		{"save without haste, whatever the log takes meanwhile", []change{
			{"actor/diskuse.go", "	haste := s.outrun()\n", "	haste := false\n"},
		}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
		{"forget how far a save is", []change{
			{"actor/diskuse.go", "room/2+room/4*s.order.done()", "room/2"},
		}, []detector{direct("./actor", "TestOutrunSaveIsInHaste")}},
		{"count the objects of all messages of a stream", []change{
			{"net/etcd/room.go", "	b.objects = 0\n", ""},
		}, []detector{direct("./net/etcd", "TestGatewayStreamOfManyMessages")}},
	}
}
