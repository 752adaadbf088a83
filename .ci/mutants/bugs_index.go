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
	{"let the clock of a state go back at an import", []change{
		{"replicated.forgetTimes", `r.wall = max(r.wall, wall)`, `r.wall = wall`},
	}, []detector{direct("./index", "TestForgetTimesWithASlowClock")}},
	{"end a revision of which a value is missing", []change{
		{"Hub.catchUpKey", `one.open && behind.Revision > one.cursor.Revision`, `one.open`},
	}, []detector{direct("./index/watch", "TestMissingValueWithinARevision")}},
	// Package index.
	{"apply index saved apart from state", []change{
		{"replicated.appendNumbers", `dst = pack.AppendUint(dst, r.applied)`, `dst = pack.AppendUint(dst, r.applied-r.applied%2)`},
		{"Applier.save", `Index: applied, Term: term,`, `Index: applied - applied%2, Term: term,`},
		{"replicated.Applied", `func (r *replicated) Applied() (index, term uint64) { return r.applied, r.term }`, `func (r *replicated) Applied() (index, term uint64) { return r.applied - r.applied%2, r.term }`},
	}, []detector{campaign, snapSweep}},
	{"compaction takes what an event at its revision was before", []change{
		{"store.drop", `for s.history.first() < s.dropping {`, `for s.history.slots.first <= min(s.dropping, s.history.slots.end-2) {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"compaction drops a tombstone at its revision", []change{
		{"store.drop", `for s.history.first() < s.dropping {`, `for h := &s.history; h.slots.first < s.dropping || h.slots.first == s.dropping && h.slots.first < h.slots.end-1 && h.change(h.slots.first, 0).Load()&changeDeleted != 0; {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take a change of the membership beside other commands", []change{
		{"CheckEnvelope", `if k.membership && e.Count > 1 {`, `if k.membership && e.Count < 1 {`},
	}, []detector{direct("./actor", "TestForwardedChangeInDisguise"), direct("./index", "TestChangeOfMembersIsAlone")}},
	{"an announcement makes a voter of who waits for its promotion", []change{
		{"Members.Announce", `one.Role, one.Manual, one.Since, one.Replaces = known.Role, known.Manual, known.Since, known.Replaces`, `one.Role, one.Since, one.Replaces = known.Role, known.Since, known.Replaces`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"an id that was removed is used again", []change{
		{"Members.add", `case used || m.Removed(c.ID):`, `case used:`},
	}, []detector{direct("./index", "TestMembersModel")}},
	{"sessions forgotten in the snapshot", []change{
		{"sessions.copy", `for rest := l.all; len(rest) > 0; {`, `for rest := l.all[:len(l.all)/2]; len(rest) > 0; {`},
		{"session.sum", `return mixHash(mixHash(one.id^uint64(one.by)<<32, uint64(one.used)), one.first)`, `return 0`},
		{"outcome.sum", `what := uint64(o.kind) | uint64(o.code)<<8`, `if id > 0 { return 0 }; what := uint64(o.kind) | uint64(o.code)<<8`},
		{"replicated.Digest", `b = pack.AppendInt(b, r.numbers.sessions); b = pack.AppendInt(b, r.numbers.outcomes)`, ``},
	}, []detector{direct("./index", "TestModel"), campaign}},
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
	{"a sequence overflows at the end of its session", []change{
		{"WriteName.Check", `w.Sequence > limits.SessionSequence`, `w.Sequence > 1<<64-1`},
	}, []detector{direct("./index", "TestSequencesAreBounded|TestHostileCommands")}},
	{"members take addresses that no load takes", []change{
		{"State.changeMembers", `err = next.check()`, `_ = next.check()`},
		{"checkPeers", `slices.Contains(all[:i], one)`, `i < 0 && one == ""`},
	}, []detector{direct("./index", "TestRepeatedPeerAddressIsRefused|TestHostileCommands")}},
	{"an ended session is opened again", []change{
		{"sessions.end", `l.numbers.floor = max(l.numbers.floor, one.used+1)`, ``},
	}, []detector{direct("./index", "TestScripts|TestModel"), campaign}},
	{"the window forgets what may come again", []change{
		{"State.applyOnce", `s.sessions.forgetBelow(one, w.Sequence+1-w.Window)`, `s.sessions.forgetBelow(one, w.Sequence+1-w.Window); if one.outcomes.held == 2 { s.sessions.forgetBelow(one, w.Sequence) }`},
	}, []detector{direct("./index", "TestScripts|TestModel"), campaign}},
	{"an answer that is read again is that of now", []change{
		{"View.RecoverAnswer", `p.at = position{mod: r.Revision}`, `p.at = endOf(v.revision)`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"compare with what the transaction has changed", []change{
		{"State.txn", `outcome := &kv.TxnOutcome{Path: appendPath(nil, &s.keys, t)}`, `outcome := &kv.TxnOutcome{Path: appendPath(nil, &s.keys, t)}; for i := range t.Success { if p := t.Success[i].Put; p != nil && outcome.Path[0] && !p.IgnoreValue { s.put(hashOf(p.Key), p); outcome.Path = appendPath(nil, &s.keys, t); break } }`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"change something before all is checked", []change{
		{"State.checkTxn", `err = s.checkOp(o, before)`, `if err = s.checkOp(o, before); err == nil && o.Delete != nil { s.delete(hashOf(o.Delete.Key), o.Delete.Key, o.Delete.End) }`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"revoke in a later term", []change{
		{"State.revoke", `if term != 0 && term != s.term {`, `if term > s.term {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"keep the keys of a lease that are deleted", []change{
		{"State.supersede", `s.leases.detach(v.lease(), r, hint)`, ``},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"forget leases in the snapshot", []change{
		{"metaReader.section", `case sectionLeases: s.leases.read(&r)`, `case sectionLeases: r.Array()`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
	{"revoke a lease that was granted anew", []change{
		{"State.revoke", `if !had || term != 0 && l.Granted != granted {`, `if !had {`},
	}, []detector{direct("./index", "TestScripts|TestModel")}},
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
	{"leave the address to the member that is replaced", []change{
		{"Members.add", `old.Peers = without(old.Peers, c.Peers)`, `old.Peers = without(old.Peers, nil)`},
	}, []detector{direct("./index", "TestScripts")}},
	{"tell what was before a change at the compacted revision", []change{
		{"Change.Before", `if c.KV.ModRevision <= c.view.compacted {`, `if c.KV.ModRevision < c.view.compacted {`},
	}, []detector{direct("./index", "TestScripts")}},
	{"take records with an address twice", []change{
		{"Members.check", `addresses[a] = true`, ``},
	}, []detector{direct("./index", "TestRecordsWithOneAddressTwice")}},
	// Users and roles.
	{"let every user put", []change{
		{"kinds", `touches: func(c *command, f func(kv.Touch) bool) bool { return c.put.Touches(f) }`, `touches: func(c *command, f func(kv.Touch) bool) bool { return true }`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"check no nested transaction", []change{ // GHSA-rfx7-8w68-q57q
		{"Op.Touches", `return o.Txn.Touches(f)`, `return true`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
	{"check one branch of a transaction", []change{
		{"Txn.Touches", `for _, ops := range [2][]Op{t.Success, t.Failure} {`, `for _, ops := range [1][]Op{t.Success} {`},
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
	{"check the first key of a lease", []change{
		{"access.permits", `if !ok || one.to == "" {`, `if !ok || one.to != "\x00" {`},
	}, []detector{direct("./index", "TestScripts|TestPermissions")}},
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
	{"leave a role that was deleted with its users", []change{
		{"accounts.deleteRole", `for _, user := range l.usersOf(name) {`, `for _, user := range l.usersOf(name)[:0] {`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"compile no user of a role that has changed", []change{
		{"accounts.setRole", `l.setUser(&u)`, `_ = u`},
	}, []detector{direct("./index", "TestScripts|TestPermissions"), campaign}},
	{"attribute a change to the author before", []change{
		{"authorship.setAuthor", `case string(name) == w.last:`, `case string(name) == w.last || len(name) == len(w.last):`},
	}, []detector{direct("./index", "TestScripts"), campaign}},

	{"give a user without a password one", []change{
		{"accounts.changePassword", `if u.Epoch = a.revision; !u.NoPassword {`, `if u.Epoch = a.revision; true {`},
	}, []detector{direct("./index", "TestUserStaysWithoutPassword")}},
	{"keep the secret of the tokens when authentication is disabled", []change{
		{"accounts.change", `a.enabled, a.secret = false, [limits.AuthSecretBytes]byte{}`, `a.enabled = false`},
	}, []detector{direct("./index", "TestSecretEndsWithAuthentication")}},
	{"give an outcome on a full disk to a user who may not write any more", []change{
		{"State.AppliedBefore", `s.accounts.permits(&c, s) != nil || s.accounts.ownsSession(one.id, one.by) != nil`, `s.accounts.ownsSession(one.id, one.by) != nil`},
	}, []detector{direct("./index", "TestAppliedBeforeOfUsers")}},
	{"leave the users out of the digest", []change{ // etcd 11651, 13503, 13976, 13984
		{"Auth.digest", `if a == nil {`, `if a == nil || a.revision > 0 {`},
	}, []detector{direct("./index", "TestDigestHasUsers")}},
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
		{"files.value", `v.lease(), v.author())`, `v.lease(), 1)`},
	}, []detector{direct("./index", "TestOldViewReadsOn"), direct("./snapshot", "TestParts")}},
	{"free a value that Views reach", []change{
		{"store.evictValueBefore", `s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`, `clear(old.value()); s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)`},
	}, []detector{direct("./index", "TestOldViewReadsOn")}},
	{"leave a version with the record of its key that was relocated", []change{
		{"store.evictValueBefore", `if s.keys.evacuation.from == at { s.keys.evacuation.from = to }`, ``},
	}, []detector{direct("./index", "TestValuesLeaveRelocatedKeys")}},
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
	{"hand a watch the events from before its start", []change{
		{"Hub.enter", `h.flush(p, g, p.at, new(int))`, ``},
	}, []detector{direct("./index/watch", "TestEqualWatchThatBeginsLater")}},
	{"tell progress before events", []change{
		{"Hub.answerProgress", `case s.level == len(s.subscriptions) && h.live.at.Sub == 0:`, `case h.live.at.Sub == 0:`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	{"leave a revision without an end", []change{
		{"Hub.walk", `p.closeRevision(behind)`, `p.open = p.open[:0]`},
	}, []detector{direct("./index/watch", "TestWatches"), campaign}},
	// Salvage.
	{"bring back a key whose lease has ended", []change{
		{"Builder.FinishSalvage", `s.leases.refuses(a.lease) != nil`, `s.leases.refuses(a.lease) != nil && a.lease < 0`},
	}, []detector{direct("./snapshot", "TestSalvageEndsLeases")}},
	{"keep an older version of a key beside a newer one", []change{
		{"Builder.Salvage", `s.dropVersion(before)`, ``},
	}, []detector{direct("./snapshot", "TestSalvage$")}},
	{"forget the backup that was taken last", []change{
		{"backupHolds.note", `h.all = slices.Delete(slices.Clone(h.all), i, i+1)`, `if h.all = slices.Clone(h.all); !b.Leave { h.all[i].holder = b.Holder; return }; h.all = slices.Delete(h.all, i, i+1)`},
	}, []detector{direct("./index", "TestBackupHoldOfPlaces")}},
}
