package main

var indexBugs = []mutant{
	{"drop compacted changes before their extent is stored", []change{
		{"State.droppable", `limit := min(s.oldest(), max(s.stored.to, s.extents.base)+1)`, `limit := s.compacted`},
	}, []detector{direct("./index", "TestUnstoredIsKept|TestExtents")}},
	{"drop what a new base has before it is stored", []change{
		{"State.droppable", `limit = min(limit, s.extents.historyFrom)`, ``},
	}, []detector{direct("./index", "TestExtents")}},
	{"bring a deleted key back when changes are made again", []change{
		{"Builder.replay", `s.keys.remove(r)`, ``},
	}, []detector{direct("./index", "TestExtents")}},
	{"end a revision of which a value is missing", []change{
		{"Hub.catchUpKey", `one.open && behind.Revision > one.cursor.Revision`, `one.open`},
	}, []detector{direct("./index/watch", "TestMissingValueWithinARevision")}},
	// Package index.
	{"take a change of the membership beside other commands", []change{
		{"CheckEnvelope", `if k.membership && e.Count > 1 {`, `if k.membership && e.Count < 1 {`},
	}, []detector{direct("./actor", "TestForwardedChangeInDisguise"), direct("./index", "TestChangeOfMembersIsAlone")}},
	{"an announcement makes a voter of who waits for its promotion", []change{
		{"Members.Announce", `one.Role, one.Manual, one.Since, one.Replaces = known.Role, known.Manual, known.Since, known.Replaces`, `one.Role, one.Since, one.Replaces = known.Role, known.Since, known.Replaces`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"an id that was removed is used again", []change{
		{"Members.add", `case used || m.Removed(c.ID):`, `case used:`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"a duplicate is applied again", []change{
		{"State.applyOnce", `o != nil {`, `o != nil && o.revision%4 != 0 {`},
	}, []detector{direct("./index", "TestScripts|TestModel"), campaign}},
	{"a watch outlives the password of its login", []change{
		{"View.Permits", `by.Login != 0 && by.Login != one.Epoch`, `by.Login > one.Epoch`},
	}, []detector{direct("./index/watch", "TestNewPasswordEndsWatchesOfItsLogins")}},
	{"revisions are counted again after a restore", []change{
		{"restoreOn", `state.SkipRevisions(c.wall)`, ``},
		{"recoverOn", `r.state.SkipRevisions(c.wall)`, ``},
	}, []detector{direct("./node", "TestCut|TestRestore")}},
	{"a watch begins among the revisions of a lost history", []change{
		{"replicated.Watchable", `case one != nil:`, `case one != nil && revision < 0:`},
	}, []detector{direct("./index", "TestModel"), direct("./node", "TestCut")}},
	{"a read among the revisions of a lost history is answered", []change{
		{"replicated.checkRange", `|| r.gaps.of(revision) != nil`, ``},
	}, []detector{direct("./index", "TestModel"), direct("./node", "TestCut")}},
	{"auth revisions are counted again after a restore", []change{
		{"Auth.afterCut", `next.revision = revisionAfterCut(next.revision, wall)`, ``},
	}, []detector{direct("./index", "TestCutEndsLogins")}},
	{"a second restore begins at the revisions of the first one", []change{
		{"cutDistance", `((wall>>10-from)/chunkLen+1)*chunkLen`, `0`},
	}, []detector{direct("./index", "TestCutAboveAnEarlierCut"), direct("./node", "TestRestoreAgainGoesOnAbove")}},
	{"a restored cluster keeps the key of the tokens", []change{
		{"Auth.afterCut", `copy(next.secret[:], mac.Sum(nil))`, `_ = mac`},
	}, []detector{direct("./index", "TestCutEndsLogins")}},
	{"a lease without keys is revoked by every user", []change{
		{"replicated.owns", `r.authors.name(l.By) == user`, `r.authors.name(l.By) != "-"`},
	}, []detector{direct("./index", "TestLeaseWithoutKeysIsItsGranters")}},
	{"another user attaches the first key of a lease", []change{
		{"verdict.check", `t.Lease != 0 && t.Write &&`, `false &&`},
	}, []detector{direct("./index", "TestFirstKeyOfALeaseIsItsOwners|TestPermissions")}},
	{"a list has leases whose keys the user may not read", []change{
		{"access.readsKeyOf", `if _, ok := a.reads.at(key); ok {`, `if _, ok := a.reads.at(key); ok || len(a.reads) > 0 {`},
	}, []detector{direct("./index", "TestListedLeases")}},
	{"begin a session again that ended at the moment at which it was opened", []change{
		{"sessions.end", `l.numbers.floor = max(l.numbers.floor, one.used+1)`, `l.numbers.floor = max(l.numbers.floor, one.used)`},
	}, []detector{direct("./index", "TestEndedSessionDoesNotBeginAgain")}},
	{"go on with the range that compaction has overtaken", []change{
		{"RangeReader.decide", `r.begin()`, ``},
	}, []detector{direct("./index", "TestRangeOvertaken")}},
	{"divide a segment, and forget that keys did not go in", []change{
		{"table.spread", `halves[i].overflow.Store(full.overflow.Load())`, ``},
	}, []detector{direct("./index", "TestOverflowIsDivided")}},
	{"let compaction overtake a streamed range", []change{
		{"PagesReader.Step", `r.begun, r.held = true, newest`, `r.begun = true`},
	}, []detector{direct("./index", "TestPagesAreTheRange"), direct("./net/client", "TestPagesStream")}},
	{"forget the members in a snapshot", []change{
		{"View.AppendMeta", `dst = appendSection(dst, sectionMembers, v.members.append(nil))`, `dst = appendSection(dst, sectionMembers, Members{}.append(nil))`},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	{"forget in a snapshot who was removed", []change{
		{"readMembers", `m.removed = append(m.removed, r.Uint())`, `r.Uint()`},
	}, []detector{direct("./index", "TestSnapshotHasTheMembers")}},
	// Users and roles.
	{"check no nested transaction", []change{ // GHSA-rfx7-8w68-q57q
		{"Op.Touches", `return o.Txn.Touches(f)`, `return true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"return the previous value to a user who may only write", []change{ // CVE-2026-44283, GHSA-x35m-3gp4-4fh5
		{"Put.Touches", `(!p.PrevKV || f(Touch{Key: p.Key})) &&`, ``},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"return deleted pairs to a user who may only write", []change{
		{"Delete.Touches", `&& (!d.PrevKV || f(Touch{Key: d.Key, End: d.End}))`, ``},
	}, []detector{direct("./index", "TestPermissions")}},
	{"attach a key to a lease with keys of others", []change{ // CVE-2026-44283, GHSA-x35m-3gp4-4fh5
		{"Put.Touches", `(p.Lease == 0 || f(Touch{Lease: p.Lease, Write: true}))`, `true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"check a range without an end as its first key", []change{ // GHSA-xg4h-6gfc-h4m8
		{"spans.cover", `case len(end) == 1 && end[0] == 0: return one.to == ""`, `case len(end) == 1 && end[0] == 0: return ok`},
	}, []detector{direct("./index", "TestPermissions"), direct("./index/watch", "TestWatchIsRefused")}},
	{"permit a range without keys that begins where the user may read", []change{
		{"spans.cover", `return string(end) > one.from && (`, `return (`},
	}, []detector{direct("./index", "TestPermissions")}},
	{"check permissions behind the outcome of a session", []change{
		{"State.apply", `if s.auth.Enabled() {`, `if s.auth.Enabled() && c.once.Session == 0 {`},
		{"State.perform", `if e := c.refusal(); e != nil {`, `if s.auth.Enabled() && c.once.Session != 0 { if err := s.accounts.permits(c, s); err != nil { return s.refused(err) } }; if e := c.refusal(); e != nil {`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"give the outcome of a session to another user", []change{
		{"accounts.ownsSession", `if l.auth.Enabled() && (`, `if l.auth == nil && (`},
	}, []detector{direct("./index", "TestScripts"), campaign}},
	{"take a command without mark for a member's own", []change{
		{"command.own", `c.auth == kv.AuthOwn && len(c.name) == 0`, `(c.auth == kv.AuthOwn || c.auth == 0) && len(c.name) == 0`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"take a user with a large auth revision for a member", []change{
		{"command.own", `c.auth == kv.AuthOwn && len(c.name) == 0`, `c.auth == kv.AuthOwn`},
	}, []detector{direct("./index", "TestScripts")}},

	{"keep the secret of the tokens when authentication is disabled", []change{
		{"accounts.change", `a.enabled, a.secret = false, [limits.AuthSecretBytes]byte{}`, `a.enabled = false`},
	}, []detector{direct("./index", "TestSecretEndsWithAuthentication")}},
	{"give an outcome on a full disk to a user who may not write any more", []change{
		{"State.AppliedBefore", `s.accounts.permits(&c, s) != nil || s.accounts.ownsSession(one.id, one.by) != nil`, `s.accounts.ownsSession(one.id, one.by) != nil`},
	}, []detector{direct("./index", "TestAppliedBeforeOfUsers")}},
	// Package index/kv.
	{"cut a deleted range at the end of one within it", []change{
		{"changes.deleteAll", `case bytes.Compare(r.to, last.to) > 0:`, `default:`},
	}, []detector{direct("./index/kv", "TestPutsOfWhatIsDeleted")}},

	{"let a value go before its extent is published", []change{
		{"State.Stored", `s.eviction.to = min(to, values.To())`, `s.eviction.to = s.revision`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"let a value go that the first change in no file superseded", []change{
		{"store.evictValues", `for ; l.next.Revision <= l.to; l.next`, `for ; l.next.Revision <= l.to+1; l.next`},
	}, []detector{direct("./index", "TestValuesLeave")}},
	{"read a value with the checksum of another author's", []change{
		{"version.sound", `v.lease(), v.author())`, `v.lease(), 1)`},
	}, []detector{direct("./index", "TestOldViewReadsOn"), direct("./snapshot", "TestParts")}},
	{"free a value that Views reach", []change{
		{"store.replace", `s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`, `clear(old.value()); s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`},
	}, []detector{direct("./index", "TestOldViewReadsOn")}},
	{"leave a version with the record of its key that was relocated", []change{
		{"store.replace", `if s.keys.evacuation.from == at { s.keys.evacuation.from = to }`, ``},
	}, []detector{direct("./index", "TestValuesLeaveRelocatedKeys")}},
	{"decide an entry by values that are not in memory", []change{
		{"State.ApplyUntil", `err = s.warm()`, `_ = s.warm`},
	}, []detector{direct("./actor", "TestUnreadValueDecidesNothing")}},
	{"let values leave memory that gets have used", []change{
		{"store.evictableNow", `&& !s.keys.recordOf(v).record().used()`, ``},
	}, []detector{direct("./index", "TestUsedValuesStay")}},
	// Package index/watch.
	{"tell a watch of what comes behind a missing value", []change{
		{"Hub.catchUpKey", `behind = index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}; d.Revision = behind.Revision - 1`, `behind = index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}`},
	}, []detector{direct("./index/watch", "TestNoPositionBehindAMissingValue")}},
	{"create a watch that its user may not read", []change{
		{"Hub.create", `if err := v.Permits(r.By, kv.AccessRead, w); err != nil {`, `if err := v.Permits(r.By, kv.AccessNone, w); err != nil {`},
	}, []detector{direct("./index/watch", "TestWatchIsRefused"), campaign}},
	{"go on with a watch that its user may not read any more", []change{
		{"Hub.Step", `h.cancelForbidden(v)`, ``},
	}, []detector{direct("./index/watch", "TestWatchEndsWithPermission"), campaign}},
	{"end watches behind the events of the change that ends them", []change{
		{"Hub.Step", `h.cancelForbidden(v)`, ``},
		{"Hub.Step", `h.answerProgress()`, `h.cancelForbidden(v); h.answerProgress()`},
	}, []detector{direct("./index/watch", "TestWatchEndsWithPermission"), campaign}},
	{"merge equal watches of two users", []change{
		{"pass.add", `own := subscriber{g, s.stream, s.by}`, `own := subscriber{g, s.stream, kv.Principal{}}`},
		{"pass.remove", `delete(p.byKey, subscriber{g, s.stream, s.by})`, `delete(p.byKey, subscriber{g, s.stream, kv.Principal{}})`},
	}, []detector{direct("./index/watch", "TestEqualWatchesOfUsers"), campaign}},
	{"leave a revision without an end", []change{
		{"Hub.walk", `p.closeRevision(behind)`, `p.open = p.open[:0]`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	// Salvage.
	{"bring back a key whose lease has ended", []change{
		{"Builder.FinishSalvage", `s.leases.refuses(a.lease) != nil`, `s.leases.refuses(a.lease) != nil && a.lease < 0`},
	}, []detector{direct("./snapshot", "TestSalvageEndsLeases")}},
}
