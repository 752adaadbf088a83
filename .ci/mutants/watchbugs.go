package main

// hub is the watch hub's own test, which judges every delivery by the history.
var hub = direct("./index/watch", "TestWatches")

// The bugs of etcd's watches, and some of qkv's own.
func watchMutants() []mutant {
	return []mutant{
		{"make room for events one after the other", []change{
			{"net/wire/status.go", "		all = make([]T, 0, min(n, arrayAhead))\n", "		all = nil\n"},
		}, []detector{direct("./net/wire", "TestEventsTakeOnePlace")}},
		{"rest for what is sent when nobody writes", []change{
			{"actor/watchhub.go", "ahead && t.Now-w.wrote < limits.WatchCalm {", "ahead {"},
		}, []detector{direct("./actor", "TestHubRestsForWhatItSends")}},
		{"hold watches back that hardly gain on what is written", []change{
			{"actor/watchhub.go", "ahead && t.Now-w.wrote < limits.WatchCalm {", "(ahead || events > 0) && t.Now-w.wrote < limits.WatchCalm {"},
		}, []detector{direct("./actor", "TestHubRestsForWhatItSends")}},
		{"tell progress before events", []change{
			{"index/watch/step.go", "		case s.level == len(s.subscriptions) && h.live.at.Sub == 0:\n", "		case h.live.at.Sub == 0:\n"},
		}, []detector{hub, campaign}},
		{"deliver events before a watch is created", []change{
			{"index/watch/hub.go", "	s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()})\n	if one.cursor", "	h.created = append(h.created, func() { s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()}) })\n	if one.cursor"},
			{"index/watch/hub.go", "	matched []*group   // that watch its key\n", "	matched []*group   // that watch its key\n	created []func()\n"},
			{"index/watch/step.go", "	h.tellProgress()\n	again =", "	for _, f := range h.created {\n		f()\n	}\n	h.created = nil\n	h.tellProgress()\n	again ="},
		}, []detector{hub, campaign}},
		{"tell a watch of the future of older events", []change{
			{"index/watch/hub.go", "	case c == 0:\n		h.enter(h.live, one, inLive)\n", "	case c >= 0:\n		h.enter(h.live, one, inLive)\n"},
		}, []detector{hub, campaign}},
		{"move a cursor without delivery", []change{
			{"index/watch/pass.go", "	if g.touched {\n		s.cursor = g.from\n	}\n", ""},
		}, []detector{hub, campaign}},
		{"split a revision without a word", []change{
			{"index/watch/walk.go", "	fragment := behind.Sub > 0 && g.count > 0 && g.newest == behind.Revision\n", "	fragment := behind.Sub > 1<<40\n"},
		}, []detector{hub, campaign}},
		{"leave a revision without an end", []change{
			{"index/watch/walk.go", "				p.closeRevision(behind)\n", "				p.open = p.open[:0]\n"},
		}, []detector{hub, campaign}},
		{"skip what is compacted", []change{
			{"index/watch/walk.go", "		h.cancelAll(p, v)\n		return\n", "		p.at = index.Position{Revision: v.Compacted()}\n		return\n"},
		}, []detector{hub, campaign}},
		{"forget what is open when a watch waits for room", []change{
			{"index/watch/pass.go", "	s.cursor, s.open, s.group, s.place = p.at, g.open, nil, nowhere\n", "	s.cursor, s.open, s.group, s.place = p.at, false, nil, nowhere\n"},
		}, []detector{direct("./index/watch", "TestRoomWithinARevision"), hub}},
		{"take the version before for the one before the revision", []change{
			{"index/events.go", "		if at = ref(at.prev.Load()).version(); at.mod < c.KV.ModRevision {\n", "		if at = ref(at.prev.Load()).version(); at.mod <= c.KV.ModRevision {\n"},
		}, []detector{hub}},
		{"tell from the compacted revision what did not stay", []change{
			{"index/watch/pass.go", "	return c.KV.ModRevision != g.since || !c.Superseded()\n", "	return c.KV.ModRevision >= 0\n"},
		}, []detector{direct("./index/watch", "TestTwiceAndCompacted")}},
		{"let a watch that is not read hold up the others", []change{
			{"net/server/watch.go", "	if w.waiting > 0 && w.waiting+size > limits.WatchBytesWaiting || !w.s.share.take(size) {\n", "	for w.waiting > 0 && w.waiting+size > limits.WatchBytesWaiting && !w.ended {\n		w.room.Wait()\n	}\n	if !w.s.share.take(size) {\n"},
		}, []detector{direct("./net/server", "TestWatchNotTaken")}},
		{"resume a watch at the member's newest revision", []change{
			{"net/client/watch.go", "	if w.next == 0 {\n", "	if w.next >= 0 {\n"},
		}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},
		{"resume a watch at the last revision again", []change{
			{"net/client/watch.go", "	w.next = f.Revision + 1\n", "	w.next = f.Revision\n"},
		}, []detector{direct("./net/client", "TestWatchResumes")}},
		{"resume a watch within a revision", []change{
			{"net/client/watch.go", "	w.partial, w.parts = nil, 0 // of the stream before\n", "	w.parts = 0\n"},
		}, []detector{direct("./net/client", "TestWatchResumesWithinRevision")}},
		{"let what the watch hub has worked off take its clients' room", []change{
			{"actor/driver.go", "			box.turnEnds()\n", ""},
		}, []detector{direct("./actor", "TestRoomIsFreeBehindEachTurn")}},
		{"hand those that are behind as much as there is in one step", []change{
			{"index/watch/walk.go", "		each += len(g.body) / sentWork\n", ""},
		}, []detector{direct("./index/watch", "TestStepSendsLittle")}},
		{"tell the watch hub of a View before it is there", []change{
			{"actor/applier.go", "		a.Status.view.Store(view)\n		a.Status.watch.published(a.WatchHub)\n", "		a.Status.view.Store(view)\n"},
		}, []detector{actors, campaign}},
	}
}
