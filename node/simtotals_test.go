package node

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"qkv/index/kv"
)

// totals counts what happened in a run, or in all runs of a campaign.
type totals struct {
	Operations, Acknowledged, Reads, Unknown, Refused                                           int
	Txns, TxnsRefused, Compactions                                                              int
	Starts, Crashes, PowerLosses, RecoveryCrashes                                               int
	Kills, Stops, Pauses, Ended                                                                 int
	Died, DiedNot                                                                               int // that a host says so of its process, and that it is not so
	Leaders, LeaderChanges, Transfers                                                           int
	Stalls, StallsMoved                                                                         int
	TornTails, Snapshots, Installs, Interrupted, SavedMeanwhile                                 int // SavedMeanwhile: ordered during a transfer
	Adds, Promotions, Removals, LeaderRemovals                                                  int
	Replaces, Insteads, Walked, NamesTaken, JointEntered, JointLeft                             int
	AddressesChanged, RefusedChanges                                                            int
	Woken, Copied, Lost, Recoveries                                                             int
	Rivals, RivalsBySecret, RivalsThatWon                                                       int // second processes of one name; RivalsThatWon: the log has theirs
	ColdReads, Replacements, CoveredDamage                                                      int
	ColdCatchups, Suspended, Ruined, Amnesiacs                                                  int
	PartsLost, PartsRotten, PartsFetched, PartsAwaited, PartsPutBack, PartsRepaired, FetchesCut int // PartsRepaired: while their member ran
	SnapshotsFetched                                                                            int // by members that start, in place of parts that no member has
	Frames, Disconnects, Faults                                                                 int
	Leases, LeasesRenewed                                                                       int
	LeasesExpired, LeasesRevoked                                                                int
	Full, RefusedFull, RoomAgain                                                                int // by the quota, or the disks
	OnceWrites, OnceResent, OnceEnded, OnceNoPlace, OnceGone                                    int
	CrampedMinorities, CrampedQuorums, OldestRead                                               int // lives in which members had little disk or memory
	Trickles, CutsInside, Probes, StrictRuns                                                    int
	Watched, WatchProgress, WatchFragments, WatchesResumed, WatchesEnded, WatchesCompacted      int
	ValuesRead, ValuesUnread, WatchesAwaited, WatchesUnread                                     int // that were in files only; those that watches waited for, and that ended them
	Liars, LiarsAlone                                                                           int // members that lie, and those beside which nothing else goes wrong
	LiesCommits, LiesEntries, LiesTerms, LiesClocks, LiesSpace, LiesLeases                      int
	LiesAccepted, LiesOffers, FalseClaims                                                       int
	LivesWithUsers                                                                              int
	AuthChanges, AuthChangesRefused, AuthEnabled, AuthDisabled                                  int
	Permitted, NotAllowed, AuthOld, NoUser                                                      int // writes while authentication is enabled
	ReadsNotAllowed, ReadsAuthOld, ReadsNoUser, WatchesRefused, WatchesEndedByRoles             int
	OwnCommands, ExpiredWithUsers, OnceOthers                                                   int // while it is enabled
	VerdictsCompared, Authors                                                                   int
	FilesVerified, FilesDamaged                                                                 int // FilesDamaged: found where a bit was flipped
	Backups, BackupKills, BackupsFull, BackupBases, BackupEntries, BackupsLate                  int
	BackupRestores, BackupsCompared, BackupGaps, RestoredClusters                               int           // BackupGaps: moments that were refused
	SlowestService                                                                              time.Duration // until every member served everything again
	CrossChecked, CrossUndecided, LateAnswers                                                   int
	Bounds                                                                                      map[string]int // how often each was reached
}

// add adds the counts of another run.
func (t *totals) add(other totals) {
	if t.Bounds == nil {
		t.Bounds = map[string]int{}
	}
	for bound, n := range other.Bounds {
		t.Bounds[bound] += n
	}
	to, from := reflect.ValueOf(t).Elem(), reflect.ValueOf(other)
	for i := range to.NumField() {
		if to.Field(i).Kind() == reflect.Map {
			continue
		}
		if to.Field(i).Type() == reflect.TypeFor[time.Duration]() { // the longest of all runs
			to.Field(i).SetInt(max(to.Field(i).Int(), from.Field(i).Int()))
			continue
		}
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// bounds are those that a campaign must reach.
var bounds = []string{
	"append bytes", "batch", "catch-up rate", "compaction", "evacuation", "forwarded bytes", "group bytes", "history drop", "live values read", "order bytes", "peer messages", "proposal bytes",
	"snapshot frames", "uncommitted bytes", "watch room", "watch step",
}

// refusedBy counts a write that was refused for want of permission.
func (t *totals) refusedBy(code kv.Code) {
	switch code {
	case kv.NotAllowed:
		t.NotAllowed++
	case kv.AuthOld:
		t.AuthOld++
	default:
		t.NoUser++
	}
}

// refusedRead does so for a read.
func (t *totals) refusedRead(code kv.Code) {
	switch code {
	case kv.NotAllowed:
		t.ReadsNotAllowed++
	case kv.AuthOld:
		t.ReadsAuthOld++
	default:
		t.ReadsNoUser++
	}
}

// noSpace counts that NOSPACE is raised, or ends.
func (t *totals) noSpace(raised bool) {
	if raised {
		t.Full++
	} else {
		t.RoomAgain++
	}
}

// String lists the counts in words.
func (t totals) String() string {
	var b strings.Builder
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		if i > 0 {
			b.WriteString(", ")
		}
		if reached, ok := v.Field(i).Interface().(map[string]int); ok {
			b.WriteString("bounds reached:")
			for _, bound := range bounds {
				fmt.Fprintf(&b, " %d %s,", reached[bound], bound)
			}
			continue
		}
		if d, ok := v.Field(i).Interface().(time.Duration); ok {
			fmt.Fprintf(&b, "%v %s", d.Round(time.Millisecond), words(v.Type().Field(i).Name))
			continue
		}
		fmt.Fprintf(&b, "%d %s", v.Field(i).Int(), words(v.Type().Field(i).Name))
	}
	return b.String()
}

// words turns a field's name into words.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte(' ')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// missing names what a campaign must have seen and has not.
func (t totals) missing() []string {
	var none []string
	for name, n := range map[string]int{
		"crashes": t.Crashes, "crashes inside a handler": t.CutsInside, "losses of all power": t.PowerLosses, "leader changes": t.LeaderChanges, "torn tails": t.TornTails,
		"snapshot installs": t.Installs, "cold catch-ups": t.ColdCatchups, "unknown outcomes": t.Unknown,
		"hosts that say that their process has died": t.Died, "that say so of one that lives": t.DiedNot,
		"disk stalls that moved leadership": t.StallsMoved, "refused amnesiacs": t.Amnesiacs,
		"operations that both judges checked": t.CrossChecked, "late answers": t.LateAnswers, "runs in which nothing may be refused": t.StrictRuns, "refusals": t.Refused,
		"added members": t.Adds, "promotions": t.Promotions, "removals": t.Removals, "removals of a leader": t.LeaderRemovals, "replacements": t.Replaces,
		"members added in another one's place": t.Insteads, "members that the leader has replaced": t.Walked, "members whose name another one has taken over": t.NamesTaken,
		"joint configurations": t.JointEntered, "ends of them": t.JointLeft, "changed addresses": t.AddressesChanged, "refused changes of the membership": t.RefusedChanges,
		"watched changes": t.Watched, "progress of watches": t.WatchProgress, "fragments": t.WatchFragments, "resumed watches": t.WatchesResumed,
		"watches that a member ended": t.WatchesEnded, "compacted watches": t.WatchesCompacted,
		"removed members that wake up": t.Woken, "folders that run twice": t.Copied, "recoveries": t.Recoveries,
		"quotas reached": t.Full, "refusals for want of room": t.RefusedFull, "room again": t.RoomAgain,
		"writes with a name": t.OnceWrites, "copies that were answered as the first": t.OnceResent, "ended sessions": t.OnceEnded,
		"full tables of sessions": t.OnceNoPlace, "answers that are gone": t.OnceGone,
		"members that lie": t.Liars, "such beside which nothing else goes wrong": t.LiarsAlone, "claims that were dropped": t.FalseClaims,
		"false commit indexes": t.LiesCommits, "false entries": t.LiesEntries, "false terms": t.LiesTerms, "false clocks": t.LiesClocks, "false room": t.LiesSpace,
		"false answers for leases": t.LiesLeases, "false answers to forwarded writes": t.LiesAccepted, "false snapshots": t.LiesOffers,
		"lives in which a minority had no room for the history": t.CrampedMinorities, "lives in which a quorum had none": t.CrampedQuorums, "reads at the oldest revision": t.OldestRead,
		"lives with users": t.LivesWithUsers, "changes of users": t.AuthChanges, "refused changes of users": t.AuthChangesRefused,
		"enabled authentication": t.AuthEnabled, "disabled authentication": t.AuthDisabled,
		"permitted writes": t.Permitted, "writes that are not allowed": t.NotAllowed, "writes of an old auth revision": t.AuthOld, "writes without a user": t.NoUser,
		"reads that are not allowed": t.ReadsNotAllowed, "reads of an old auth revision": t.ReadsAuthOld, "reads without a user": t.ReadsNoUser,
		"refused watches": t.WatchesRefused, "watches that a change of roles has ended": t.WatchesEndedByRoles,
		"members' own commands while there are users": t.OwnCommands, "leases that expired while there are users": t.ExpiredWithUsers,
		"copies of a write by another user": t.OnceOthers, "compared verdicts": t.VerdictsCompared, "authors": t.Authors,
		"lost parts": t.PartsLost, "rotten parts": t.PartsRotten, "fetched parts": t.PartsFetched, "starts that waited for parts": t.PartsAwaited,
		"parts that a running member has repaired": t.PartsRepaired,
		"values read from files":                   t.ValuesRead, "values that could not be read": t.ValuesUnread, "values that watches waited for": t.WatchesAwaited,
		"watches that ended because a value could not be read": t.WatchesUnread,
		"verified files": t.FilesVerified, "damaged files that a verification found": t.FilesDamaged,
		"backups": t.Backups, "leaders that died in a call of the backup": t.BackupKills, "backups on a full disk": t.BackupsFull, "bases of backups": t.BackupBases, "late calls of backups": t.BackupsLate,
		"entries in backups": t.BackupEntries, "restores": t.BackupRestores, "restored states that a member had": t.BackupsCompared,
		"refused moments in a gap of a backup": t.BackupGaps, "clusters that were restored": t.RestoredClusters,
		"renewed leases": t.LeasesRenewed, "expired leases": t.LeasesExpired, "revoked leases": t.LeasesRevoked,
	} {
		if n == 0 {
			none = append(none, name)
		}
	}
	for _, bound := range bounds {
		if t.Bounds[bound] == 0 {
			none = append(none, "bound reached: "+bound)
		}
	}
	return none
}
