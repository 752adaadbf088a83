package main

var indexBugs = []mutant{
	{"drop compacted changes before their extent is stored", []change{
		{"State.droppable", `return min(limit, max(s.stored.to, s.stored.base)+1)`, `return limit`},
	}, []detector{direct("./index", "TestUnstoredIsKept|TestExtents")}},
	{"drop what a new base has before it is stored", []change{
		{"State.droppable", `limit = min(limit, s.extents.kept)`, ``},
	}, []detector{direct("./index", "TestExtents")}},
	{"weigh an extent without its values", []change{
		{"extents.add", `size = max(size, before.version().valueSize())`, `size = max(size, 0)`},
	}, []detector{direct("./index", "TestExtents")}},
	{"cut before an extent has its size", []change{
		{"extents.cut", `x.open.Weight < size`, `x.open.Weight < size/2`},
	}, []detector{direct("./index", "TestScripts|TestExtents"), direct("./snapshot", "TestGoldenParts")}},
	{"make a base of revisions that can still be read", []change{
		{"State.rebase", `revision >= s.compacted`, `revision > s.revision`},
	}, []detector{direct("./index", "TestBadBases")}},
	{"keep the digest of extents that a base replaces", []change{
		{"State.rebase", `x.sum -= e.digest()`, `_ = e`},
	}, []detector{direct("./index", "TestExtents")}},
	{"keep versions that a change has superseded when it is made again", []change{
		{"Builder.redo", `if before != 0 && !held {`, `if before != 0 && !held && s.revision < 0 {`},
	}, []detector{direct("./index", "TestExtents")}},
	{"bring a deleted key back when changes are made again", []change{
		{"Builder.redo", `s.keys.remove(r)`, ``},
	}, []detector{direct("./index", "TestExtents")}},
	{"load a key with a lease that is gone", []change{
		{"Builder.Finish", `if err := b.checkLeases(); err != nil {`, `if err := b.checkLeases(); err != nil && s.revision < 0 {`},
	}, []detector{direct("./index", "TestRedoRefuses|TestBuilder")}},
	{"take a time before an import for one before the first write", []change{
		{"View.RevisionAt", `if all, _ := v.times.unknownAt(later - 1); all {`, `if all, _ := v.times.unknownAt(later - 1); all && later < 0 {`},
	}, []detector{direct("./index", "TestForgetTimes")}},
	{"give the last imported revision the time of its import", []change{
		{"times.of", `all || first && t.points.at(n-1).revision == revision {`, `all || first && n < 0 {`},
	}, []detector{direct("./index", "TestForgetTimes")}},
	{"give loaded revisions the time of the load", []change{
		{"State.applyAll", `if s.scratch.loaded && s.level >= importLevel {`, `if s.scratch.loaded && s.level > importLevel {`},
	}, []detector{direct("./index", "TestLoadedTimesAreUnknown")}},
	{"forget the times of loaded revisions before all members do", []change{
		{"State.applyAll", `if s.scratch.loaded && s.level >= importLevel {`, `if s.scratch.loaded {`},
	}, []detector{direct("./index", "TestLoadedTimesAreUnknown")}},
	{"change the times of older views", []change{
		{"State.ForgetTimes", `p := *old.points.at(n)`, `p := *old.points.at(n)
		old.points.at(n).wall = unknownTime`},
	}, []detector{direct("./index", "TestLoadedTimesAreUnknown")}},
	{"let the clock of a state go back at an import", []change{
		{"State.ForgetTimes", `s.wall = max(s.wall, wall)`, `s.wall = wall`},
	}, []detector{direct("./index", "TestForgetTimesWithASlowClock")}},
	{"let a watch stay at the first revision", []change{
		{"View.Changes", `next.Compare(end) < 0 {`, `false && next.Compare(end) < 0 {`},
	}, []detector{direct("./index/watch", "TestFirstRevision")}},
	{"end a revision of which a value is missing", []change{
		{"Hub.catchUpKey", `one.open && behind.Revision > one.cursor.Revision`, `one.open`},
	}, []detector{direct("./index/watch", "TestMissingValueWithinARevision")}},
	// Package index.
	{"apply index saved apart from state", []change{
		{"replicated.appendNumbers", `dst = pack.AppendUint(dst, r.applied)`, `dst = pack.AppendUint(dst, r.applied-r.applied%2)`},
		{"Applier.save", `Index: applied, Term: term,`, `Index: applied - applied%2, Term: term,`},
		{"View.Applied", `func (v *View) Applied() (index, term uint64) { return v.applied, v.term }`, `func (v *View) Applied() (index, term uint64) { return v.applied - v.applied%2, v.term }`},
	}, []detector{campaign, snapSweep}},
	{"compaction takes what an event at its revision was before", []change{
		{"State.drop", `for s.history.slots.first < s.dropping {`, `for s.history.slots.first <= min(s.dropping, s.revision-1) {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"compaction drops a tombstone at its revision", []change{
		{"State.drop", `for s.history.slots.first < s.dropping {`, `for h := &s.history; h.slots.first < s.dropping || h.slots.first == s.dropping && h.slots.first < s.revision && h.change(h.slots.first, 0).Load()&changeDeleted != 0; {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"a member that differs is not told of", []change{
		{"State.noteDigest", `s.convict()`, ``},
	}, []detector{story, direct("./index", "TestConvicted")}},
	{"a member that was rebuilt stays convicted", []change{
		{"State.convict", `case d.digest == right:`, `case d.digest == right && s.alarms == nil:`},
	}, []detector{story, direct("./index", "TestConvicted")}},
	{"memory is believed for ever", []change{
		{"verify", `if at.has(away) || at.sum == sumOf(`, `if at.mod > 0 || at.sum == sumOf(`},
	}, []detector{story, direct("./index", "TestVerifier")}},
	{"compare versions that compaction has dropped", []change{
		{"index.Verifier.Step", `oldest := v.history.oldest()`, `oldest := (Position{Revision: v.history.slots.first})`},
	}, []detector{direct("./index", "TestVerifierOfHalfARevision")}},
	{"take a change of the membership beside other commands", []change{
		{"CheckEnvelope", `if k.membership && e.Count > 1 {`, `if k.membership && e.Count < 1 {`},
	}, []detector{direct("./actor", "TestForwardedChangeInDisguise"), direct("./index", "TestChangeOfMembersIsAlone")}},
	{"take the end of an exchange for a batch of writes", []change{
		{"ChangesMembership", `return declared(kind) && kinds[kind].membership`, `return kind == kindMember`},
	}, []detector{direct("./actor", "TestForwardedChangeInDisguise"), direct("./index", "TestChangeOfMembersIsAlone")}},
	{"an announcement makes a voter of who waits for its promotion", []change{
		{"Members.Announce", `one.Role, one.Manual, one.Since = known.Role, known.Manual, known.Since`, `one.Role, one.Since = known.Role, known.Since`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"an id that was removed is used again", []change{
		{"Members.add", `case used || m.Removed(c.ID):`, `case used:`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"sessions forgotten in the snapshot", []change{
		{"sessions.copy", `for rest := l.all; len(rest) > 0; {`, `for rest := l.all[:len(l.all)/2]; len(rest) > 0; {`},
		{"session.sum", `return mixed(mixed(one.id^uint64(one.by)<<32, uint64(one.used)), mixed(one.first, uint64(len(one.window))))`, `return 0`},
		{"outcome.sum", `what := uint64(o.kind) | uint64(o.code)<<8`, `if id > 0 { return 0 }; what := uint64(o.kind) | uint64(o.code)<<8`},
		{"replicated.digest", `b = pack.AppendInt(b, r.numbers.sessions); b = pack.AppendInt(b, r.numbers.places)`, ``},
	}, []detector{campaign, direct("./index", "TestModel")}},
	{"a duplicate is applied again", []change{
		{"State.once", `o.kind != 0 {`, `o.kind != 0 && o.revision%4 != 0 {`},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"one clock of sessions for all members", []change{
		{"State.moveSessionClock", `one := s.memberClock(member); if one.member != member {`, `member = 1; one := s.memberClock(member); if one.member != member {`},
		{"State.moveSessionClock", `if passed > 0 || passed < -pause {`, `if passed > 0 {`},
	}, []detector{direct("./index", "TestSessionsEndBehind|TestSessionClock")}},
	{"an ended session is opened again", []change{
		{"State.endSession", `s.numbers.floor = max(s.numbers.floor, one.used+1)`, ``},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"the window forgets what may come again", []change{
		{"State.once", `s.forgetBelow(one, w.Sequence+1-w.Window)`, `s.forgetBelow(one, w.Sequence+1-w.Window); if one.held > 1 && one.held == len(one.window)/2 { for n := range one.window { one.window[n] = outcome{} }; one.held = 0 }`},
	}, []detector{campaign, direct("./index", "TestScripts|TestModel")}},
	{"an answer that is read again is that of now", []change{
		{"View.RecoverAnswer", `p.at = position{mod: r.Revision}`, `p.at = behind(v.revision)`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"compare with what the transaction has changed", []change{
		{"State.txn", `outcome := &kv.TxnOutcome{Path: appendPath(nil, s, t)}`, `outcome := &kv.TxnOutcome{Path: appendPath(nil, s, t)}; for i := range t.Success { if p := t.Success[i].Put; p != nil && outcome.Path[0] && !p.IgnoreValue { s.put(hashOf(p.Key), p); outcome.Path = appendPath(nil, s, t); break } }`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"change something before all is checked", []change{
		{"State.checkTxn", `err = s.checkOp(o, before)`, `if err = s.checkOp(o, before); err == nil && o.Delete != nil { s.delete(hashOf(o.Delete.Key), o.Delete.Key, o.Delete.End) }`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"put a large transaction's keys by the hashes of others", []change{
		{"opPrefetcher.hash", `return a.hashes[at], true`, `return a.hashes[0], true`},
	}, []detector{direct("./index", "TestLargeTransaction")}},
	{"touch what a nested transaction puts in place of what is outside of it", []change{
		{"opPrefetcher.hash", `|| o != &a.ops[a.next] {`, `{`},
	}, []detector{direct("./index", "TestLargeTransaction")}},
	{"end a sorted range with its limit before it is sorted", []change{
		{"SortedReader.note", `r.passed++`, `if r.passed++; r.q.Limit > 0 && r.passed > r.q.Limit+1 { return }`},
	}, []detector{direct("./index", "TestSortedReader"), direct("./net/server", "TestRangeOptions"), direct("./net/client", "TestRangeFiltered")}},
	{"prune a sorted range to one pair too few", []change{
		{"SortedReader.prune", `len(r.heads) > 0 && r.kept <= r.q.Limit`, `len(r.heads) > 0 && r.kept < r.q.Limit`},
		{"SortedReader.prune", `if len(r.heads) == 0 || r.kept > r.q.Limit {`, `if len(r.heads) == 0 || r.kept >= r.q.Limit {`},
	}, []detector{direct("./index", "TestSortedReaderHasMore"), direct("./index", "TestSortedReader")}},
	{"count usage by what this member has dropped", []change{
		{"UsageReader.keepsBefore", `return mod >= r.compacted && r.held.keepsBefore(at)`, `return mod >= 0 && r.held.keepsBefore(at)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"count versions again in another View", []change{
		{"UsageReader.Renew", `if r.seen = 0; at.mod <= newest.revision {`, `if r.seen = 0; at.mod > newest.revision {`},
	}, []detector{direct("./index", "TestUsageRenew")}},
	{"count usage on when more is compacted", []change{
		{"UsageReader.Renew", `if newest.compacted != r.compacted {`, `if newest.compacted < r.compacted {`},
	}, []detector{direct("./index", "TestUsageRenew")}},
	{"count what was written after a usage began", []change{
		{"UsageReader.add", `if at.mod <= r.revision {`, `if at.mod > 0 {`},
	}, []detector{direct("./index", "TestUsageRenew")}},
	{"walk all versions of a key in one step of a usage", []change{
		{"UsageReader.add", `if work--; !r.keepsBefore(at) {`, `if !r.keepsBefore(at) {`},
	}, []detector{direct("./index", "TestUsageSteps")}},
	{"close any number of groups in one page", []change{
		{"UsageReader.closeTo", `if r.full() {`, `if r.bytes < 0 {`},
	}, []detector{direct("./index", "TestUsageSteps")}},
	{"read a transaction's ranges behind all its changes", []change{
		{"AnswerReader.place", `return position{mod: a.revision, sub: a.sub}`, `return behind(a.revision)`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"drop what the answers before a compaction need", []change{
		{"State.compact", `s.compacted = revision`, `s.compacted, s.dropping = revision, revision`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"one change of a key a revision", []change{
		{"version.before", `return v.mod < p.mod || v.mod == p.mod && v.sub < p.sub`, `return v.mod < p.mod`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"count an older revision without what was deleted since", []change{
		{"RangeReader.countBack", `r.count++`, `r.count += 0`},
	}, []detector{direct("./index", "TestModel|TestRange")}},
	{"drop history by a bound of the build", []change{
		{"State.applyAll", `s.times.trim(s.compacted)`, `if n := int64(s.limits.CountedRows); s.revision-s.compacted > n { s.compacted = s.revision - n/2 }; s.times.trim(s.compacted)`},
	}, []detector{direct("./index", "TestTwoBuilds")}},
	{"revoke in a later term", []change{
		{"State.revoke", `if term != 0 && term != s.term {`, `if term > s.term {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"keep the keys of a lease that are deleted", []change{
		{"State.supersede", `s.detach(v.lease(), r, hint)`, ``},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"forget leases in the snapshot", []change{
		{"metaReader.section", `case sectionLeases: s.readLeases(&r)`, `case sectionLeases: r.Array()`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"leave the weight of history out of the digest", []change{
		{"replicated.digest", `b = pack.AppendInt(b, r.totals.weight)`, ``},
	}, []detector{direct("./index", "TestDigestHasEverything")}},
	{"revoke a lease that was granted anew", []change{
		{"State.revoke", `if !had || term != 0 && l.Granted != granted {`, `if !had {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"decide NOSPACE by a member alone", []change{
		{"State.perform", `if s.alarms.has(kv.AlarmNoSpace) && c.grows() {`, `if s.keys.memory.bytes > 96<<10 && c.grows() {`},
	}, []detector{direct("./index", "TestScripts|TestModel"), campaign}},
	{"propose a command with a field of a later feature level", []change{
		{"CheckLevel", `needed = max(needed, levelOfFields(b, k))`, ``},
	}, []detector{direct("./index", "TestLevelOfFields")}},
	{"keep an envelope in memory that was checked", []change{
		{"decoder.release", `*d = decoder{}`, ``},
	}, []detector{direct("./index", "TestDecodersForget")}},
	{"take puts while NOSPACE is raised", []change{
		{"command.grows", `return grows != nil && grows(c)`, `return c.kind != kindPut && grows != nil && grows(c)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"refuse deletions while NOSPACE is raised", []change{
		{"command.grows", `return grows != nil && grows(c)`, `return c.kind == kindDelete || grows != nil && grows(c)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"forget alarms in a snapshot", []change{
		{"metaReader.section", `s.alarms = readAlarms(&r)`, `readAlarms(&r)`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"use an id again", []change{
		{"Members.add", `case used || m.Removed(c.ID):`, `case used:`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take a newer command for a damaged one", []change{
		{"command.read", `"the command's kind %d is not known: %w", c.kind,`, `"the command's kind %d is not known: %v", c.kind,`},
	}, []detector{direct("./actor", "TestUndecodableEntryIsRefused")}},
	{"believe times in the future", []change{
		{"times.contradicted", `if wall-now > apart {`, `if wall-now > apart && is {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"believe times of a clock that was ahead", []change{
		{"times.contradicted", `for m := n; m < end && max(t.most, t.behind)*behindStep > apart; m++ {`, `for m := end; m < end; m++ {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"believe times while they stand", []change{
		{"times.contradicted", `if n > t.points.first {`, `if n < t.points.first {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"forget what clocks were behind with a snapshot", []change{
		{"State.readTimes", `p.behind = r.Int()`, `r.Int()`},
	}, []detector{direct("./index", "TestScripts")}},
	{"weigh nothing while times stand", []change{
		{"times.note", `(behind == 0 || p.weight-newest.weight < weightStep)`, `(behind == 0 || p.weight > 0)`},
	}, []detector{direct("./index", "TestWeightWhileTimesStand")}},
	{"begin a session again that ended at the moment at which it was opened", []change{
		{"State.endSession", `s.numbers.floor = max(s.numbers.floor, one.used+1)`, `s.numbers.floor = max(s.numbers.floor, one.used)`},
	}, []detector{direct("./index", "TestEndedSessionDoesNotBeginAgain")}},
	{"note of a lease what is left of the one before", []change{
		{"State.checkpoint", `had && l.Granted == one.Granted && one.Remaining`, `had && one.Remaining`},
	}, []detector{direct("./index", "TestNoteOfAnotherLease")}},
	{"raise an alarm in the list that Views have", []change{
		{"State.raise", `slices.Insert(slices.Clip(s.alarms), at, a)`, `slices.Insert(s.alarms, at, a)`},
	}, []detector{direct("./index", "TestAlarmsOfAView")}},
	{"keep the groups of revisions that are compacted", []change{
		{"history.trim", `h.groups.trim(h.groups.first + 1)`, ``},
	}, []detector{direct("./index", "TestCompactedGroupsGo")}},
	{"read a sorted range of a transaction as of now", []change{
		{"UnpagedReader.pin", `if w.sorted != nil { w.sorted.at, w.sorted.pinned = at, true }`, ``},
	}, []detector{direct("./index", "TestSortedRangeOfATransaction")}},
	{"go on with the range that compaction has overtaken", []change{
		{"RangeReader.decide", `r.begin()`, ``},
	}, []detector{direct("./index", "TestRangeOvertaken")}},
	{"divide a segment, and forget that keys did not go in", []change{
		{"table.spread", `parts[i].overflow.Store(full.overflow.Load())`, ``},
	}, []detector{direct("./index", "TestOverflowIsDivided")}},
	{"give two members one name", []change{
		{"Members.Announce", `known.Name == "" && other != nil {`, `known.Name != "" && other != nil && other.ID != a.ID {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take a member without a name for any", []change{
		{"Members.Unnamed", `return r.Name == "" && slices.ContainsFunc(r.Peers, at)`, `return r.Name == "" || slices.ContainsFunc(r.Peers, at)`},
	}, []detector{direct("./node", "TestWhoMayJoinWithoutAName")}},
	{"take a command of a later feature level", []change{
		{"command.read", `if c.level > MaxLevel {`, `if c.level > MaxLevel+1 {`},
	}, []detector{direct("./index", "TestUnknownStopsTheMember")}},
	{"let compaction overtake a streamed range", []change{
		{"PagesReader.Step", `r.begun, r.held = true, newest`, `r.begun = true`},
	}, []detector{direct("./index", "TestPagesAreTheRange"), direct("./net/client", "TestPagesStream")}},
	{"stream a range from whatever is newest", []change{
		{"PagesReader.Step", `if r.q.Revision == 0 { r.q.Revision, r.newest = newest.revision, newest.revision }`, ``},
		{"PagesReader.Step", `if r.held != nil { v = r.held }`, ``},
	}, []detector{direct("./index", "TestPagesAreTheRange")}},
	{"count a learner in the quorum", []change{
		{"Members.Configuration", `c.Learners = append(c.Learners, r.ID)`, `c.Voters = append(c.Voters, r.ID)`},
	}, []detector{direct("./actor", "TestLearnersDoNotCount")}},
	{"forget the members in a snapshot", []change{
		{"View.AppendMeta", `dst = appendSection(dst, sectionMembers, v.members.append(nil))`, `dst = appendSection(dst, sectionMembers, Members{}.append(nil))`},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	{"forget in a snapshot who was removed", []change{
		{"readMembers", `m.removed = append(m.removed, r.Uint())`, `r.Uint()`},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	{"leave the address to the member that is replaced", []change{
		{"Members.add", `other.Peers = without(other.Peers, c.Peers)`, `other.Peers = without(other.Peers, nil)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take a revision before all of it is there", []change{
		{"State.takeRecords", `len(rest) == 0 && !f.complete {`, `len(rest) == 0 && !f.complete && len(group) == 0 {`},
	}, []detector{direct("./index", "TestFollow")}},
	{"take what does not follow", []change{
		{"State.fits", `return one.Create == create && one.Version.Version == number+1`, `return one.Create == create && number >= 0`},
	}, []detector{direct("./index", "TestFollowRefuses")}},
	{"let clients write into what follows", []change{
		{"following.refuses", `if f == nil ||`, `if f == nil || kind == kindPut ||`},
	}, []detector{direct("./index", "TestFollow")}},
	{"read what is loaded in part", []change{
		{"View.unloaded", `f != nil && !f.loaded {`, `f != nil && !f.loaded && f.source == 0 {`},
	}, []detector{direct("./index", "TestFollow")}},
	{"tell what was before a change at the compacted revision", []change{
		{"Change.Before", `if c.KV.ModRevision <= c.view.compacted {`, `if c.KV.ModRevision < c.view.compacted {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take a lease out that has keys", []change{
		{"State.takeLeases", `if !used {`, `if !used || l.TTL == 60 {`},
	}, []detector{direct("./index", "TestFollowRefuses")}},
	{"forget records that wait in a snapshot", []change{
		{"following.append", `for _, b := range f.pending { dst = pack.AppendBytes(dst, b) }`, `for range f.pending { dst = pack.AppendBytes(dst, []byte{0x90}) }`},
	}, []detector{direct("./index", "TestFollow")}},
	{"let a transaction compare as many keys as it likes", []change{
		{"View.RowsOfTxn", `if rows > most {`, `if rows > 1<<40 {`},
	}, []detector{direct("./index", "TestRowsOfWrites")}},
	{"count history that only deletions left", []change{
		{"View.UsedBytes", `if v.compacted == v.revision {`, `if v.compacted == v.revision && v.totals.live > 0 {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"count what the compacted revision itself has deleted", []change{
		{"View.UsedBytes", `v.times.weightAt(v.compacted+1)`, `v.times.weightAt(v.compacted)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"say the revision of the last step, not what was read", []change{
		{"RangeReader.Step", `result.Revision = r.at.mod - 1`, ``},
	}, []detector{direct("./index", "TestRangeInSteps"), direct("./index", "TestRevisionOfWhatWasRead")}},
	{"say the revision of the last page of a whole range", []change{
		{"UnpagedReader.take", `w.all.Count, w.all.Revision = page.Count, page.Revision }`, `w.all.Count = page.Count }; w.all.Revision = page.Revision`},
	}, []detector{direct("./index", "TestRevisionOfWhatWasRead")}},
	{"say the revision of the newest View of released pages", []change{
		{"PagesReader.Step", `page.Revision = r.newest`, ``},
	}, []detector{direct("./index", "TestRevisionOfWhatWasRead")}},
	{"keep shorter windows of sessions than the first level has", []change{
		{"leastWindow", `leastWindow = 8`, `leastWindow = 4`},
	}, []detector{direct("./index", "TestLevelOneStays")}},
	{"go by a bound of the wire when an entry is applied", []change{
		{"checkMemberBytes", `if c.size > limits.MemberBytes {`, `if c.size > limits.JoinAnswerBytes {`},
	}, []detector{direct("./index", "TestLevelOneStays")}},
	{"find a session again that has ended", []change{
		{"sessions.remove", `if l.last == one { l.last = nil }`, ``},
	}, []detector{direct("./index", "TestEndedSessionIsNotFoundAgain")}},
	{"write two removals of the same records into one list", []change{
		{"Members.without", `append(slices.Clip(slices.Clone(m.removed)), id)`, `append(m.removed, id)`},
	}, []detector{direct("./index", "TestRemovalsOfTheSameRecords")}},
	{"take records with an address twice", []change{
		{"Members.check", `addresses[a] = true`, ``},
	}, []detector{direct("./index", "TestRecordsWithOneAddressTwice")}},
	{"convict who was removed", []change{
		{"State.convict", `case s.members.Get(d.member) != nil: s.raise(corrupt)`, `default: s.raise(corrupt)`},
	}, []detector{direct("./index", "TestConvicted")}},
	{"locate one that has moved since", []change{
		{"Members.locate", `if !slices.Equal(c.Peers[1:], one.Peers[:min(len(one.Peers), 1)]) {`, `if len(c.Peers) == 0 {`},
	}, []detector{direct("./index", "TestLocateMember")}},
	{"leave an address to whoever had it when another one is located there", []change{
		{"Members.locate", `other != nil {`, `other != nil && c.ID == 0 {`},
	}, []detector{direct("./index", "TestLocateMember")}},
	{"take the version before for the one before the revision", []change{
		{"Change.Before", `at.mod < c.KV.ModRevision {`, `at.mod <= c.KV.ModRevision {`},
	}, []detector{direct("./index", "TestScripts")}},

	// Users and roles.
	{"let every user put", []change{
		{"kinds", `touches: func(c *command, f func(kv.Touch) bool) bool { return c.put.Touches(f) }`, `touches: func(c *command, f func(kv.Touch) bool) bool { return true }`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"let every user revoke a lease", []change{ // etcd 8031, GHSA-q8m4-xhhv-38mg
		{"kinds", `return c.lease.ID == 0 || f(kv.Touch{Lease: c.lease.ID, Write: true})`, `return true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"let every user compact", []change{ // etcd 8458
		{"kinds", `name: "compaction", access: kv.AccessAdmin`, `name: "compaction", access: kv.AccessNone`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"check no nested transaction", []change{ // GHSA-rfx7-8w68-q57q
		{"Op.Touches", `return o.Txn.Touches(f)`, `return true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"check one branch of a transaction", []change{
		{"Txn.Touches", `for _, ops := range [2][]Op{t.Success, t.Failure} {`, `for _, ops := range [1][]Op{t.Success} {`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"check no comparison of a range", []change{
		{"Compare.Touches", `f(Touch{Key: c.Key, End: c.End})`, `f(Touch{Key: c.Key})`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"return the previous value to a user who may only write", []change{ // CVE-2026-44283, GHSA-x35m-3gp4-4fh5
		{"Put.Touches", `(!p.PrevKV || f(Touch{Key: p.Key})) &&`, ``},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"return deleted pairs to a user who may only write", []change{
		{"Delete.Touches", `&& (!d.PrevKV || f(Touch{Key: d.Key, End: d.End}))`, ``},
	}, []detector{direct("./index", "TestPermissions")}},
	{"attach a key to a lease with keys of others", []change{ // CVE-2026-44283, GHSA-x35m-3gp4-4fh5
		{"Put.Touches", `(p.Lease == 0 || f(Touch{Lease: p.Lease, Write: true}))`, `true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"check the first key of a lease", []change{
		{"access.permits", `if !ok || one.to == "" {`, `if !ok || one.to != "\x00" {`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"keep adjacent permissions apart", []change{
		{"spans.merged", `one.from > merged[last].to`, `one.from >= merged[last].to`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"merge permissions in another order than that of their keys", []change{
		{"spans.merged", `cmp.Compare(a.from, b.from)`, `cmp.Compare(a.to, b.to)`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"take permissions with one key for one permission", []change{
		{"comparePermissions", `cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.End, b.End))`, `cmp.Or(bytes.Compare(a.Key, b.Key), 0)`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"check a range without an end as its first key", []change{ // GHSA-xg4h-6gfc-h4m8
		{"spans.cover", `case len(end) == 1 && end[0] == 0: return one.to == ""`, `case len(end) == 1 && end[0] == 0: return ok`},
	}, []detector{direct("./index", "TestPermissions"), direct("./index/watch", "TestWatchIsRefused")}},
	{"permit a range without keys that begins where the user may read", []change{
		{"spans.cover", `return string(end) > one.from && (`, `return (`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"read with the permission to write", []change{
		{"PermissionType.Reads", `t == PermitRead || t == PermitReadWrite`, `t >= PermitRead`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), direct("./index/watch", "TestWatchIsRefused")}},
	{"apply a command of an old auth revision", []change{
		{"checkUser", `case auth < a.revision:`, `case auth < min(a.revision, 1):`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"check permissions behind the outcome of a session", []change{
		{"State.apply", `if s.auth.Enabled() {`, `if s.auth.Enabled() && c.once.Session == 0 {`},
		{"State.perform", `if e := c.refusal(); e != nil {`, `if s.auth.Enabled() && c.once.Session != 0 { if err := s.permits(c); err != nil { return s.refused(err) } }; if e := c.refusal(); e != nil {`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"give the outcome of a session to another user", []change{
		{"State.ownsSession", `if s.auth.Enabled() && (`, `if s.auth == nil && (`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"check permissions behind the alarms", []change{
		{"State.apply", `if s.auth.Enabled() {`, `if s.alarms.has(kv.AlarmNoSpace) && c.grows() { return s.refused(errNoSpace) }; if s.auth.Enabled() {`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"check no permission while NOSPACE is raised", []change{ // etcd 22386
		{"State.apply", `if s.auth.Enabled() {`, `if s.auth.Enabled() && !s.alarms.has(kv.AlarmNoSpace) {`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"take a command without mark for a member's own", []change{
		{"command.own", `c.auth == kv.AuthOwn && len(c.name) == 0`, `(c.auth == kv.AuthOwn || c.auth == 0) && len(c.name) == 0`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"take a user with a large auth revision for a member", []change{
		{"command.own", `c.auth == kv.AuthOwn && len(c.name) == 0`, `c.auth == kv.AuthOwn`},
	}, []detector{direct("./index", "TestScripts")}},
	{"end no lease while there are users", []change{ // etcd 11689, 11691, 13975, 11123, 13172, 14616
		{"command.own", `|| c.term != 0`, ``},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"leave a role that was deleted with its users", []change{
		{"accounts.deleteRole", `for _, user := range l.usersOf(name) {`, `for _, user := range l.usersOf(name)[:0] {`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"compile no user of a role that has changed", []change{
		{"accounts.setRole", `l.setUser(&u)`, `_ = u`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"let root be deleted while authentication is enabled", []change{
		{"accounts.deleteUser", `case a.enabled && name == kv.Root:`, `case a.enabled && name == "":`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"lock the author of enabling out", []change{
		{"accounts.enable", `case c.authChange.Strict && (author == nil || !author.access.root):`, `case c.authChange.Strict && author == nil:`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"keep users that a change leaves as they are apart from none", []change{
		{"State.changeAuth", `if next == *a {`, `if s.auth != nil && next == *a {`},
	}, []detector{direct("./index", "TestScripts"), direct("./index", "TestPermissions")}},
	{"note no author of a deletion", []change{
		{"State.addTombstone", `s.newVersion(tombstone, 0, s.authorOfChange())`, `s.newVersion(tombstone, 0, 0)`},
	}, []detector{direct("./snapshot", "TestGoldenUsers"), campaign}},
	{"attribute a change to the author before", []change{
		{"authorship.setAuthor", `case string(name) == w.last:`, `case string(name) == w.last || len(name) == len(w.last):`},
	}, []detector{direct("./index", "TestScripts"), campaign}},

	{"give a user without a password one", []change{
		{"accounts.changePassword", `if u.Epoch = a.revision; !u.NoPassword {`, `if u.Epoch = a.revision; true {`},
	}, []detector{direct("./index", "TestUserStaysWithoutPassword")}},
	{"keep the secret of the tokens when authentication is disabled", []change{
		{"accounts.change", `a.enabled, a.secret = false, [limits.AuthSecretBytes]byte{}`, `a.enabled = false`},
	}, []detector{direct("./index", "TestSecretEndsWithAuthentication")}},
	{"give an outcome on a full disk to another user", []change{
		{"State.AppliedBefore", `s.permits(&c) != nil || s.ownsSession(one) != nil`, `s.permits(&c) != nil`},
	}, []detector{direct("./index", "TestAppliedBeforeOfUsers")}},
	{"give an outcome on a full disk to a user who may not write any more", []change{
		{"State.AppliedBefore", `s.permits(&c) != nil || s.ownsSession(one) != nil`, `s.ownsSession(one) != nil`},
	}, []detector{direct("./index", "TestAppliedBeforeOfUsers")}},
	{"leave the users out of the digest", []change{ // etcd 11651, 13503, 13976, 13984
		{"Auth.digest", `if a == nil {`, `if a == nil || a.revision > 0 {`},
	}, []detector{direct("./index", "TestDigestHasUsers")}},
	{"log a name that no user can have", []change{
		{"View.By", `v.level < authLevel || len(name) > limits.AuthNameBytes`, `v.level < authLevel`},
	}, []detector{direct("./index", "TestNameBeyondTheLimit")}},

	// Package index/kv.
	{"cut a deleted range at the end of one within it", []change{
		{"changes.deleteAll", `case bytes.Compare(r.to, last.to) > 0:`, `default:`},
	}, []detector{direct("./index/kv", "TestPutsOfWhatIsDeleted")}},

	{"let a value go before its extent is published", []change{
		{"State.Stored", `s.letting.to = min(to, values.To())`, `s.letting.to = s.revision`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"let a value go that the first change in no file superseded", []change{
		{"State.letGo", `for ; l.next.Revision <= l.to; l.next`, `for ; l.next.Revision <= l.to+1; l.next`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"let small values go", []change{
		{"State.letGoFrom", `return limits.AwayBytes`, `return limits.AwayBytes / 64`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"read a value with the checksum of another author's", []change{
		{"files.value", `v.lease(), v.author())`, `v.lease(), 1)`},
	}, []detector{direct("./index", "TestOldViewReadsOn"), direct("./snapshot", "TestParts")}},
	{"read values from the files that a View began with", []change{
		{"files.value", `for ; f != nil; f = f.next.Load() {`, `for ; f != nil; f = nil {`},
	}, []detector{direct("./index", "TestViewFollowsFiles")}},
	{"count a value that was dropped as away", []change{
		{"State.dropVersion", `s.history.awayBytes -= int64(v.valueSize())`, ``},
	}, []detector{direct("./index", "TestAwayIsCompacted")}},
	{"free a value that Views reach", []change{
		{"State.letGoBefore", `s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`, `clear(old.value()); s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`},
	}, []detector{direct("./index", "TestOldViewReadsOn")}},
	{"say of a read that the write did happen", []change{
		{"AnswerReader.Step", `if a.changed { err = happened(err) }`, `err = happened(err)`},
	}, []detector{direct("./index", "TestValueCannotBeRead")}},
	{"answer without a value that cannot be read", []change{
		{"page.walk", `return p.err == nil`, `p.err = nil; return true`},
	}, []detector{direct("./index", "TestValueCannotBeRead")}},
	{"leave a version with the record of its key that was relocated", []change{
		{"State.letGoBefore", `if s.keys.evacuation.from == at { s.keys.evacuation.from = to }`, ``},
	}, []detector{direct("./index", "TestValuesLeaveRelocatedKeys")}},
	{"say the last reason why a value cannot be read", []change{
		{"files.value", `if err == ErrElsewhere { err = why }`, `err = why`},
	}, []detector{direct("./index", "TestViewFollowsFiles")}},
	{"rest before the last revision has let its values go", []change{
		{"State.letsGo", `s.letting.next.Revision <= s.letting.to`, `s.letting.next.Revision < s.letting.to`},
	}, []detector{direct("./index", "TestLastRevisionLetsGo")}},
	{"let the values of the first open revision go at a load", []change{
		{"Builder.redo", `if held && v.Mod < s.letting.next.Revision {`, `if held && v.Mod <= s.letting.next.Revision {`},
	}, []detector{direct("./snapshot", "TestFirstOpenRevisionIsLoaded")}},
	{"keep the slabs that a load has given up", []change{
		{"Builder.letGo", `s.keys.epoch = &epoch{}`, ``},
	}, []detector{direct("./index", "TestLoadLetsValuesGo")}},
	{"keep the slabs that values have left during a load", []change{
		{"Builder.letGo", `s.evacuate(timesHanded * (s.keys.memory.handed - handed))`, `_ = handed`},
	}, []detector{direct("./index", "TestLoadLetsValuesGo")}},
	{"fill a page without counting the values in files", []change{
		{"page.add", `p.size += int64(at.valueSize())`, `p.size += int64(len(pair.Value))`},
	}, []detector{direct("./index", "TestPageOfValuesInFiles")}},

	// Package index/watch.
	{"wait for missing values when they are here", []change{
		{"Hub.Bring", `if s.reading = nil; s.here == nil`, `if s.here == nil`},
	}, []detector{direct("./index/watch", "TestUnreadableValueCancels"), direct("./index/watch", "TestWatches")}},
	{"never read a value again that could not be read", []change{
		{"Hub.value", `if here && (r.Err == nil || h.now < r.until) {`, `if here {`},
	}, []detector{direct("./index/watch", "TestUnreadableValueCancels")}},
	{"read a value that cannot be read for each watch", []change{
		{"Hub.Bring", `one.until = h.now + limits.WatchReadAgain`, `one.until = h.now`},
	}, []detector{direct("./index/watch", "TestUnreadableValueIsReadOnce")}},
	{"forget a value when the other one of the change comes", []change{
		{"Hub.Bring", `s.older, s.here, s.bytes = s.here, make`, `s.older, s.here, s.bytes = nil, make`},
	}, []detector{direct("./index/watch", "TestLargeValues")}},
	{"cancel watches for a previous pair that they do not want", []change{
		{"unread.of", `if s.prevKV { return cmp.Or(u.value, u.before) }; return u.value`, `return cmp.Or(u.value, u.before)`},
	}, []detector{direct("./index/watch", "TestUnreadableValueCancels")}},
	{"tell a watch of what comes behind a missing value", []change{
		{"Hub.catchUpKey", `behind = index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}; d.Revision = behind.Revision - 1`, `behind = index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}`},
	}, []detector{direct("./index/watch", "TestNoPositionBehindAMissingValue")}},
	{"keep large values that were brought", []change{
		{"Hub.Bring", `s.bytes += len(one.Value)`, ``},
	}, []detector{direct("./index/watch", "TestValuesAreForgotten")}},
	{"read a value twice while it is read", []change{
		{"Hub.value", `if s.wanted[at] || s.reading[at] || s.full() {`, `if s.wanted[at] || s.full() {`},
	}, []detector{direct("./index/watch", "TestNoPositionBehindAMissingValue")}},
	{"list more missing values than the limit", []change{
		{"Hub.value", `|| s.full() {`, `{`},
	}, []detector{direct("./index/watch", "TestMissingValuesAreLimited")}},
	{"let values go for files that are gone", []change{
		{"State.Stored", `if s.letting.to = 0; values == nil {`, `if values == nil {`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"create a watch that its user may not read", []change{
		{"Hub.create", `if err := v.Permits(r.By, kv.AccessRead, w); err != nil {`, `if err := v.Permits(r.By, kv.AccessNone, w); err != nil {`},
	}, []detector{direct("./index/watch", "TestWatchIsRefused"), campaign}},
	{"go on with a watch that its user may not read any more", []change{
		{"Hub.Step", `h.permit(v)`, ``},
	}, []detector{direct("./index/watch", "TestWatchEndsWithPermission"), campaign}},
	{"end watches behind the events of the change that ends them", []change{
		{"Hub.Step", `h.permit(v)`, ``},
		{"Hub.Step", `h.tellProgress()`, `h.permit(v); h.tellProgress()`},
	}, []detector{direct("./index/watch", "TestWatchEndsWithPermission"), campaign}},
	{"merge equal watches of two users", []change{
		{"pass.add", `own := part{g, s.stream, s.by}`, `own := part{g, s.stream, ""}`},
		{"pass.remove", `delete(p.parts, part{g, s.stream, s.by})`, `delete(p.parts, part{g, s.stream, ""})`},
	}, []detector{direct("./index/watch", "TestEqualWatchesOfUsers"), campaign}},
	{"cancel a watch in the list that deliveries have", []change{
		{"Hub.cancel", `others := make([]uint64, 0, len(one.ids)-1)`, `others := one.ids[:0]`},
	}, []detector{direct("./index/watch", "TestEqualWatches")}},
	{"count equal watches that compaction ends as one", []change{
		{"Hub.dropWatches", `h.watches -= len(one.ids)`, `h.watches--`},
	}, []detector{direct("./index/watch", "TestEqualWatches")}},
	{"cancel an equal watch that came later where it was", []change{
		{"pass.add", `for _, id := range s.ids { s.stream.watches[id] = other }`, ``},
	}, []detector{direct("./index/watch", "TestEqualWatchThatComesLater")}},
	{"tell progress in the middle of a revision", []change{
		{"Hub.Notify", `if h.live.at.Sub > 0 { return }`, ``},
	}, []detector{direct("./index/watch", "TestNoNoticeWithinARevision")}},
	{"tell progress before events", []change{
		{"Hub.tellProgress", `case s.level == len(s.subscriptions) && h.live.at.Sub == 0:`, `case h.live.at.Sub == 0:`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"deliver events before a watch is created", []change{
		{"Hub.create", `s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()})`, `h.created = append(h.created, func() { s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()}) })`},
		{"Hub", `matched []*group`, `matched []*group; created []func()`},
		{"Hub.Step", `h.tellProgress()`, `for _, f := range h.created { f() }; h.created = nil; h.tellProgress()`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"tell a watch of the future of older events", []change{
		{"Hub.put", `case c == 0: h.enter(h.live, one, inLive)`, `case c >= 0: h.enter(h.live, one, inLive)`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"move a cursor without delivery", []change{
		{"pass.remove", `if g.touched { s.cursor = g.from }`, ``},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"split a revision without a word", []change{
		{"Hub.flush", `fragment := behind.Sub > 0 && g.count > 0 && g.newest == behind.Revision`, `fragment := behind.Sub > 1<<40`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"leave a revision without an end", []change{
		{"Hub.walk", `p.closeRevision(behind)`, `p.open = p.open[:0]`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"skip what is compacted", []change{
		{"Hub.walk", `h.cancelAll(p, v)`, `p.at = index.Position{Revision: v.Compacted()}`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"forget what is open when a watch waits for room", []change{
		{"pass.remove", `s.cursor, s.open, s.group, s.place = p.at, g.open, nil, nowhere`, `s.cursor, s.open, s.group, s.place = p.at, false, nil, nowhere`},
	}, []detector{direct("./index/watch", "TestRoomWithinARevision"), direct("./index/watch", "TestWatches")}},
	{"tell from the compacted revision what did not stay", []change{
		{"group.wants", `return c.KV.ModRevision != g.since || !c.Superseded()`, `return c.KV.ModRevision >= 0`},
	}, []detector{direct("./index/watch", "TestTwiceAndCompacted")}},
	{"hand those that are behind as much as there is in one step", []change{
		{"Hub.flush", `each += len(g.body) / sentWork`, ``},
	}, []detector{direct("./index/watch", "TestStepSendsLittle")}},
}
