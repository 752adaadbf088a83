package checks

import "fmt"

// Level is the level of a result.
type Level string

// The levels. Their texts are part of the JSON of `qkv doctor`.
const (
	OK        Level = "ok"
	Warning   Level = "warning"
	Failure   Level = "failure"
	Unchecked Level = "not checked"
)

// Check is a row of the table.
type Check struct {
	ID    string // words with hyphens: a heading of docs/doctor.md
	Means string // what a warning or a failure means
	Do    string // the next command or step after a finding
	look  func(*Facts, *report)
}

// Result is one outcome of a check.
type Result struct {
	ID    string `json:"id"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Do    string `json:"do"`   // empty unless the level is warning or failure
	Docs  string `json:"docs"` // the page and section about the check
}

// report collects the results of one check.
type report struct {
	check   *Check
	verdict Verdict
	results []Result
}

func (r *report) add(level Level, do, format string, values ...any) {
	if _, replaces := withoutReplace(do); r.verdict.Word == NoQuorum && (replaces || do == askAgain.text) {
		do = r.verdict.Next
	}
	r.results = append(r.results, Result{ID: r.check.ID, Level: level, Text: fmt.Sprintf(format, values...), Do: do, Docs: "docs/doctor.md#" + r.check.ID})
}

func (r *report) ok(format string, values ...any)   { r.add(OK, "", format, values...) }
func (r *report) skip(format string, values ...any) { r.add(Unchecked, "", format, values...) }
func (r *report) warn(format string, values ...any) { r.add(Warning, r.check.Do, format, values...) }

func (r *report) fail(format string, values ...any) { r.add(Failure, r.check.Do, format, values...) }

// Cluster are the checks of a cluster's members.
var Cluster = []Check{
	{"quorum", "too few voters take part, none leads, or a quorum has no space: the cluster accepts no writes", "start the missing members: docs/emergencies.md, A lost quorum", quorum},
	{"margin", "the loss of one more voter stops writes", "add voters until there are three: `qkv member add`", margin},
	{"members", "a member does not answer this host", "start it, or look at its log and at the firewall (UDP and TCP 2379 and 2380)", answering},
	{"alarms", "a member raises an alarm or a notice", "", alarms},
	{"links", "two members have no connection to each other", "open UDP 2380 between the two hosts in both directions", links},
	{"lag", "a member's state is far older than the newest", "wait while the lag shrinks; otherwise look at that member's disk and network", lag},
	{"scrub", "a member found a damaged file when it last read all of its files", "the alarm CORRUPT says what to do: docs/emergencies.md, Damaged files", scrub},
	{"state", "two members have different states at one position of the log", "`qkv status` shows the alarm CORRUPT of the faulty member: docs/emergencies.md, Alarms", state},
	{"disk-sync", "syncs are slow: every write waits for them, and a leader may be replaced", "`qkv bench disk` on that host; look for other programs that use the disk", diskSync},
	{"clock", "the clocks of members or of this host differ", "run a time service on that host (chrony, systemd-timesyncd)", clock},
	{"certificates", "a certificate expires soon, or does not name an address", "`qkv cert renew` where the CA is, or `qkv cert member NAME ADDRESS` to name an address; a member loads the new file without a restart", certificates},
	{"mtu", "the network interface is too small for QUIC's packets", "set the interface's MTU to 1280 bytes or more (`ip link set dev NAME mtu 1500`)", mtu},
	{"open-files", "the limit of open files reduces the number of connections", "raise the limit: LimitNOFILE= of the unit, `ulimit -n`", openFiles},
	{"hosts", "one host's loss takes several voters, and with them the quorum", "move members to hosts of their own: docs/hosts.md", hosts},
	{"disks", "two members share a file system: they fail and slow down together", "give each member a disk of its own", disks},
	{"versions", "the members run different versions", "remove these reasons, and complete the upgrade: docs/upgrading.md", versions},
	{"feature-level", "the cluster does not use the newest features that its members support", "upgrade the members that hold the level down: the check `versions` names the next one", featureLevel},
	{"quota", "the quota is nearly reached or reached: then only deletions are accepted", "delete keys, or set `--quota-bytes` higher on all members", quota},
	{"history", "the history reaches back for less than five minutes", "set `--history-bytes` higher on all members", history},
	{"disk-space", "the disk of a member is nearly full", "free space on that disk, or give the member a larger one", diskSpace},
	{"backup", "the newest changes are in no backup, or will be in none when another member leads", "give all members `--backup`, and look at that place: docs/backup.md", backup},
}

// Host are the checks of a data folder and of the host that holds it.
var Host = []Check{
	{"folder", "other users can read the data folder, or it belongs to another user", "`chown` and `chmod 700` on the folder, as the user that runs the member", folder},
	{"files", "a file of the log or a snapshot is damaged", "start the member: it fetches a part from another member, or uses an older snapshot; if it does not start, `qkv inspect DIR/wal`, and treat it as lost: docs/emergencies.md", files},
	{"free-space", "the disk of the data folder is nearly full", "free space on that disk", freeSpace},
	{"disk", "the disk is slow for a log that is synced with each write", "`qkv bench disk --dir DIR` measures more; a drive with power-loss protection is faster", disk},
	{"file-limit", "the limit of open files of this shell is low", "raise it: LimitNOFILE= of the unit, `ulimit -n`", fileLimit},
	{"timer-slack", "timers of this host fire late", "set TimerSlackNSec= of the unit to 1ms or less", timerSlack},
	{"time-sync", "no time service sets the clock", "run chrony or systemd-timesyncd", timeSync},
	{"udp-buffers", "the kernel's limit of UDP buffers is small: bursts lose packets", "`sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000`, as the packages do", udpBuffers},
}

// Run makes all checks: of the cluster, and of the host if there are facts about a data folder.
func Run(f *Facts) (all []Result) {
	table := Cluster
	if f.Folder != nil {
		table = append(table[:len(table):len(table)], Host...)
	}
	verdict := Judge(f.Members)
	for i := range table {
		r := report{check: &table[i], verdict: verdict}
		if f.NoAnswer != "" && i < len(Cluster) {
			r.skip("%s", f.NoAnswer)
		} else {
			r.check.look(f, &r)
		}
		all = append(all, r.results...)
	}
	return all
}

// Worst returns the worst level: Failure, Warning or OK.
func Worst(results []Result) Level {
	worst := OK
	for _, r := range results {
		if r.Level == Failure || r.Level == Warning && worst == OK {
			worst = r.Level
		}
	}
	return worst
}
