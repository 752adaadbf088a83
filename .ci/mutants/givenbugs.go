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
		{"count the objects of all messages of a stream", []change{
			{"net/etcd/room.go", "	b.objects = 0\n", ""},
		}, []detector{direct("./net/etcd", "TestGatewayStreamOfManyMessages")}},
	}
}
