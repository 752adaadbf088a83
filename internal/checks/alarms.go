package checks

import (
	"cmp"
	"slices"
	"strings"

	"qkv/index/kv"
)

// severityAlarm is the severity of an alarm, as kv.AlarmName.Severity returns it.
const severityAlarm = "alarm"

// AlarmCheck is the entry of an alarm or a notice in the table.
type AlarmCheck struct {
	Name  kv.AlarmName
	Means string // ends a sentence that begins with the name
	Do    string // the next command or step
}

// Alarms are all alarms, then all notices.
var Alarms = []AlarmCheck{
	{kv.NoSpaceAlarm, "the quota is reached or the disk is full", "free space on the disk that the alarm names, or delete keys"},
	{kv.CorruptAlarm, "damage", "read docs/emergencies.md, Alarms: the text of the alarm decides"},
	{kv.AmnesiaAlarm, "a member lost votes or writes that it had acknowledged", "put the last folder of NAME back; if it is lost, stop NAME and run `qkv member replace NAME`"},
	{kv.SlowDiskAlarm, "slow syncs", "`qkv bench disk` on that host; look for other programs that use the disk"},
	{kv.CertAlarm, "a certificate expires soon, is not valid, or is refused", "correct the clock of the host that the alarm shows to be wrong, if any; otherwise `qkv cert renew` where the CA is, and copy the new .crt to that member, which loads it without a restart"},
	{kv.SnapshotAlarm, "a snapshot cannot be saved or moved", "remove the cause that the alarm names, usually a full disk"},
	{kv.RetentionAlarm, "no quorum has disks and memory for the history that the flags keep", "free space on the member with the least capacity, or set `--history-bytes` lower on all members"},
	{kv.BackupAlarm, "the leader's backup fails or is old", "remove the cause that the alarm names, usually a full or unmounted disk: docs/backup.md"},
	{kv.RefusedAlarm, "members refuse each other", "stop the member with the wrong cluster, the name of another member or a copied folder: docs/emergencies.md, Alarms"},
	{kv.FailedAlarm, "a member ends", "read the last lines of that member's log"},

	{kv.TornNotice, "the end of a log was cut off at the start", "nothing after a power cut; otherwise check that disk"},
	{kv.QuotaNotice, "four fifths of the quota are used", "delete keys, or set `--quota-bytes` higher on all members"},
	{kv.HistoryNotice, "it reaches back for less than five minutes", "set `--history-bytes` higher on all members"},
	{kv.MemoryNotice, "a member's memory is small for keys and history", "give that member more memory, or set `--history-bytes` lower on all members"},
	{kv.NetworkNotice, "a host's kernel refuses to send datagrams", "do on that host what the notice says"},
	{kv.ClockNotice, "a member's clock differs by a minute or more", "set that host's clock, and run a time service (chrony, systemd-timesyncd)"},
	{kv.JoinNotice, "a member asks to join but was not added or has to wait", "do what the notice says, if the member is wanted"},
	{kv.FoundingNotice, "a founder of a new cluster waits for the others", "start the founders that the notice names"},
	{kv.InsecureNotice, "other hosts can guess the secret of the members", "make a secret with `qkv cert secret`, and give `--cluster-secret-file` on all members"},
}

// alarmNamed returns the entry of an alarm. A newer member may raise an alarm that this version does not know: the alarm's own text then
// says what to do.
func alarmNamed(name kv.AlarmName) AlarmCheck {
	if i := slices.IndexFunc(Alarms, func(a AlarmCheck) bool { return a.Name == name }); i >= 0 {
		return Alarms[i]
	}
	return AlarmCheck{Name: name, Do: "read the alarm's text, and use a qkv as new as that member"}
}

// Do returns the next command or step after an alarm, with the name of the member that it is about.
func (a Raised) Do() string {
	if a.Name == kv.NoSpaceAlarm && strings.Contains(a.Text, "--quota-") { // of the two causes
		return makeRoom.text
	}
	return strings.ReplaceAll(alarmNamed(a.Name).Do, "NAME", a.Member)
}

// AlarmsHelp lists the alarms or the notices in one sentence.
func AlarmsHelp(severity string) string {
	var all []string
	for _, name := range kv.AlarmNames() {
		if name.Severity() == severity {
			all = append(all, string(name)+" "+alarmNamed(name).Means)
		}
	}
	return strings.Join(all, ", ")
}

// RaisedBy returns the alarms of all members, and then the notices, each once.
func RaisedBy(members []Member) []Raised {
	return append(raised(members, severityAlarm), raised(members, "notice")...)
}

// raised returns the alarms of all members with a severity, each once. If a member itself reports an alarm, the reports of others about
// it are left out: its own says more.
func raised(members []Member, severity string) (all []Raised) {
	for _, own := range []bool{true, false} {
		for i := range members {
			for _, a := range members[i].Alarms {
				same := func(b Raised) bool { return a.Name == b.Name && a.Member == b.Member }
				if a.Name.Severity() == severity && own == (a.Member == members[i].Name) && !slices.ContainsFunc(all, same) {
					all = append(all, a)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Raised) int { return cmp.Or(cmp.Compare(a.Name, b.Name), strings.Compare(a.Member, b.Member)) })
	return all
}
