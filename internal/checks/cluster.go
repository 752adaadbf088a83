package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"qkv/internal/figures"
	"qkv/internal/limits"
)

// answers calls look for each member that answers, and returns their number.
func (f *Facts) answers(look func(*Member)) (n int) {
	for i := range f.Members {
		if f.Members[i].Answers {
			n++
			look(&f.Members[i])
		}
	}
	return n
}

// quiet reports the result ok if the check has none so far, or that no member answers.
func (r *report) quiet(members int, format string, values ...any) {
	switch {
	case len(r.results) > 0:
	case members == 0:
		r.skip("no member answers")
	default:
		r.ok(format, values...)
	}
}

func quorum(f *Facts, r *report) {
	if !r.verdict.Serves() {
		r.add(Failure, r.verdict.Next, "%s", r.verdict)
		return
	}
	c := clusterOf(f.Members)
	r.ok("%s, %s leads", c.taking(), c.leader)
}

func margin(f *Facts, r *report) {
	c := clusterOf(f.Members)
	switch {
	case !r.verdict.Serves():
		r.skip("%s", r.verdict.Word)
	case c.margin() > 0:
		r.ok("%s", c.loss())
	case c.up == c.voters:
		r.warn("%s: a cluster of %s survives no loss", c.loss(), Plural(c.voters, "voter", "voters"))
	default:
		r.add(Warning, r.verdict.Next, "%s: %s", c.loss(), c.missing())
	}
}

func answering(f *Facts, r *report) {
	for _, one := range clusterOf(f.Members).faults {
		r.add(one.level, one.do, "%s", one.text)
	}
	r.quiet(1, "%s", Plural(len(f.Members), "member answers", "members answer"))
}

func alarms(f *Facts, r *report) {
	for _, severity := range []string{severityAlarm, "notice"} {
		level := Warning
		if severity == severityAlarm {
			level = Failure
		}
		for _, a := range raised(f.Members, severity) {
			r.add(level, a.Do(), "%v", a)
		}
	}
	r.quiet(f.answers(func(*Member) {}), "none is raised")
}

// links reports pairs of members that both answer this host, without a connection at both ends.
func links(f *Facts, r *report) {
	for _, one := range cuts(f.Members) {
		r.add(Failure, one.do, "%s", one.text)
	}
	r.quiet(f.answers(func(*Member) {}), "all members that answer are connected to each other")
}

// furthest returns the highest applied index.
func (f *Facts) furthest() (most uint64) {
	f.answers(func(m *Member) { most = max(most, m.Count(figures.Applied)) })
	return most
}

const (
	// doctorBackup is the same for a warning of `qkv doctor`: most bases take less time.
	doctorBackup = time.Minute
	// doctorLag is a lag in entries that a healthy follower never has: the alert QkvMemberLags has the same bound.
	doctorLag = 10_000
	// doctorSyncWarning and doctorSyncFailure are parts of the election timeout. A leader whose syncs take a tenth has few retries left,
	// and at half of the timeout a single slow sync may cost it the leadership.
	doctorSyncWarning = 10
	doctorSyncFailure = 2
	// doctorClock is the difference of clocks that no host with a time service has.
	doctorClock = time.Second
	// doctorCertificate is a month, two weeks before the alarm CERT: a doctor that runs monthly reports each certificate in time.
	doctorCertificate = 30 * 24 * time.Hour
	// doctorMTU is the least MTU of IPv6. QUIC's first packets have 1200 bytes of payload, with up to 48 bytes of headers.
	doctorMTU = 1280
)

func lag(f *Facts, r *report) {
	most := f.furthest()
	n := f.answers(func(m *Member) {
		if most-m.Count(figures.Applied) >= doctorLag {
			r.warn("%s lags by %d entries", m.Name, most-m.Count(figures.Applied))
		}
	})
	r.quiet(n, "no member lags by %d entries or more", doctorLag)
}

func state(f *Facts, r *report) {
	first := map[uint64]*Member{}
	n := f.answers(func(m *Member) {
		if o := first[m.Count(figures.Applied)]; o == nil {
			first[m.Count(figures.Applied)] = m
		} else if o.Digest != m.Digest {
			r.fail("%s has the digest %s at index %d, %s has %s", m.Name, m.Digest, m.Count(figures.Applied), o.Name, o.Digest)
		}
	})
	if n > 1 && len(first) == n {
		r.skip("the members answered at different positions of the log")
	}
	r.quiet(n, "members at one position of the log have one digest")
}

func diskSync(f *Facts, r *report) {
	n, idle := 0, 0
	n = f.answers(func(m *Member) {
		timeout := m.Duration(figures.ElectionTimeout)
		switch {
		case m.Duration(figures.SyncP99) == 0:
			idle++
		case timeout > 0 && m.Duration(figures.SyncP99) >= timeout/doctorSyncFailure:
			r.fail("%s: p99 of the last minute is %s, the election timeout %v", m.Name, ms(m.Duration(figures.SyncP99)), timeout)
		case m.Duration(figures.SyncP99) >= limits.SlowSync || timeout > 0 && m.Duration(figures.SyncP99) >= timeout/doctorSyncWarning:
			r.warn("%s: p99 of the last minute is %s, the election timeout %v", m.Name, ms(m.Duration(figures.SyncP99)), timeout)
		}
	})
	if n > 0 && idle == n {
		r.skip("there was no sync in the last minute")
	}
	r.quiet(n, "p99 of the last minute is far below the election timeout on all members")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

func clock(f *Facts, r *report) {
	var known []*Member
	f.answers(func(m *Member) {
		if m.ClockWithin == 0 {
			return
		}
		known = append(known, m)
		if apart := m.Clock.Abs() - m.ClockWithin; apart >= doctorClock {
			r.warn("%s: its clock is %v %s this host's, ±%v", m.Name, m.Clock.Abs().Round(time.Millisecond), aheadOf(m.Clock), m.ClockWithin.Round(time.Millisecond))
		}
	})
	for i, a := range known {
		for _, b := range known[:i] {
			if apart := a.Clock - b.Clock; apart.Abs()-a.ClockWithin-b.ClockWithin >= doctorClock {
				r.warn("the clock of %s is %v %s the clock of %s", a.Name, apart.Abs().Round(time.Millisecond), aheadOf(apart), b.Name)
			}
		}
	}
	if len(known) == 0 {
		r.skip("no member that answers reports its clock")
	}
	r.quiet(len(known), "members and this host differ by less than %v", doctorClock)
}

func aheadOf(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

func certificates(f *Facts, r *report) {
	one := func(name string, c *Certificate) {
		left := fmt.Sprintf("%v", c.Left.Round(time.Second))
		if c.Left >= 48*time.Hour {
			left = fmt.Sprintf("%d days", c.Left/(24*time.Hour))
		}
		switch {
		case *c == Certificate{}:
		case c.Refused:
			r.fail("%s: %s", name, c.Error)
		case c.Error != "":
			r.skip("%s: %s", name, c.Error)
		case c.Left <= 0:
			r.fail("%s: %s expired %v ago", name, c.File, (-c.Left).Round(time.Second))
		case c.Left < doctorCertificate:
			r.warn("%s: %s expires in %s", name, c.File, left)
		}
		if c.NotNamed != "" {
			r.warn("%s: %s does not name the address %s: etcd's clients and browsers refuse it there", name, c.File, c.NotNamed)
		}
	}
	one("this client", &f.Client)
	n := f.answers(func(m *Member) { one(m.Name, &m.Certificate) })
	for i := range f.Members {
		if m := &f.Members[i]; m.Why == Untrusted && !m.Answers {
			r.add(Failure, faultOf(m, f.Members).do, "%s: %s", m.Name, m.Error)
		}
	}
	r.quiet(n, "no known certificate expires within %d days", doctorCertificate/(24*time.Hour))
}

func mtu(f *Facts, r *report) {
	known := 0
	for i := range f.Members {
		if m := &f.Members[i]; m.Get(figures.MTU) > 0 {
			known++
			if one := faultOf(m, f.Members); m.Get(figures.MTU) < doctorMTU {
				r.add(one.level, one.do, "%s", one.text)
			}
		}
		for _, way := range f.Members[i].Routes {
			switch {
			case way.Error != "":
				r.skip("%s: %s", way.Address, way.Error)
				continue
			case way.MTU < doctorMTU:
				r.fail("the interface %s to %s at %s has an MTU of %d bytes, %d are needed", way.Interface, f.Members[i].Name, way.Address, way.MTU, doctorMTU)
			}
			known++
		}
	}
	if known == 0 && len(r.results) == 0 {
		r.skip("no member reports an address")
	}
	r.quiet(known, "the interfaces of this host and of the members carry %d bytes", doctorMTU)
}

func openFiles(f *Facts, r *report) {
	const needed = limits.EtcdConnections + limits.FilesKept
	unknown := 0
	n := f.answers(func(m *Member) {
		if m.Count(figures.Files) == 0 {
			unknown++
		} else if m.Count(figures.Files) < needed {
			r.warn("%s may open %d files, %d are enough for all connections", m.Name, m.Count(figures.Files), needed)
		}
	})
	if n > 0 && unknown == n {
		r.skip("the members do not report their limit")
	}
	r.quiet(n, "all members may open %d files or more", needed)
}

// shared returns the names of the members with an equal key, for each key that several have. The key 0 is not known.
func shared(f *Facts, key func(*Member) [2]uint64) (groups [][]string, known int) {
	at := map[[2]uint64]int{}
	f.answers(func(m *Member) {
		k := key(m)
		if k[0] == 0 {
			return
		}
		known++
		if _, seen := at[k]; !seen {
			at[k] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[k]] = append(groups[at[k]], m.Name)
	})
	all := groups
	groups = nil
	for _, g := range all {
		if len(g) > 1 {
			groups = append(groups, g)
		}
	}
	return groups, known
}

func hosts(f *Facts, r *report) {
	groups, known := shared(f, func(m *Member) [2]uint64 { return [2]uint64{m.Count(figures.Host)} })
	for _, g := range groups {
		r.warn("%s run on one host", list(g))
	}
	if known == 0 {
		r.skip("no member that answers reports its host")
	}
	r.quiet(known, "each member that answers has a host of its own")
}

func disks(f *Facts, r *report) {
	groups, known := shared(f, func(m *Member) [2]uint64 {
		if m.Count(figures.Device) == 0 {
			return [2]uint64{}
		}
		return [2]uint64{m.Count(figures.Host), m.Count(figures.Device)}
	})
	for _, g := range groups {
		r.warn("the data folders of %s are on one file system", list(g))
	}
	if known == 0 {
		r.skip("no member that answers reports its disk")
	}
	r.quiet(known, "each member that answers has a file system of its own")
}

func versions(f *Facts, r *report) {
	all := map[string]bool{}
	var each []string
	n := 0
	for i := range f.Members {
		if m := &f.Members[i]; m.Version != "" {
			n++
			all[m.Version] = true
			each = append(each, m.Name+" "+m.Version)
		}
	}
	u, text := upgradeOf(f.Members, f.Asking), strings.Join(each, ", ")
	if len(all) == 1 {
		text = "all members run " + slices.Collect(maps.Keys(all))[0]
	}
	switch {
	case n == 0:
		r.skip("no member answers")
	case u.done && len(all) == 1:
		r.ok("%s", text)
	case len(all) == 1: // an upgrade may begin
		r.add(OK, u.how, "%s, and this program is %s; going back: %s", text, f.Asking.Version, u.back)
	case u.next == "":
		r.warn("%s; restart no member now: %s", text, strings.Join(u.stops, "; "))
	default:
		r.add(Warning, u.how, "%s; going back: %s", text, u.back)
	}
}

func featureLevel(f *Facts, r *report) {
	var level, most, least uint64
	var holds []string
	n := f.answers(func(m *Member) {
		level, most = max(level, m.Count(figures.Level)), max(most, m.Count(figures.LevelMost))
	})
	for i := range f.Members {
		if m := &f.Members[i]; m.Count(figures.LevelMost) > 0 && m.Count(figures.LevelMost) < most {
			holds = append(holds, fmt.Sprintf("%s supports %d", m.Name, m.Count(figures.LevelMost)))
			least = m.Count(figures.LevelMost)
		}
	}
	switch {
	case level < most && least > 0:
		r.warn("the level is %d, the newest member supports %d; %s", level, most, strings.Join(holds, ", "))
	case level < most:
		r.warn("the level is %d, all members that answer support %d: it rises as soon as all members have announced that", level, most)
	}
	r.quiet(n, "%d, the highest that the members support", level)
}

func quota(f *Facts, r *report) {
	n := f.answers(func(m *Member) {
		switch {
		case m.Get(figures.Quota) <= 0:
		case m.Get(figures.Used) >= m.Get(figures.Quota):
			r.fail("%s: all of the quota of %d bytes is used", m.Name, m.Get(figures.Quota))
		case m.Get(figures.Used) >= m.Get(figures.Quota)/5*4:
			r.warn("%s: %d %% of the quota of %d bytes are used", m.Name, m.Get(figures.Used)*100/m.Get(figures.Quota), m.Get(figures.Quota))
		}
	})
	r.quiet(n, "less than 80 %% are used on all members")
}

func history(f *Facts, r *report) {
	most := f.furthest()
	n := f.answers(func(m *Member) {
		if m.Count(figures.Applied) < most || len(r.results) > 0 {
			return
		}
		age := m.Duration(figures.HistoryAge).Round(time.Second)
		if m.Get(figures.Oldest) > 0 && m.Duration(figures.HistoryAge) < limits.HistoryShort {
			r.warn("it reaches back for %v, to revision %d", age, m.Get(figures.Oldest))
		} else if m.Get(figures.Oldest) > 0 {
			r.ok("it reaches back for %v, to revision %d", age, m.Get(figures.Oldest))
		} else {
			r.ok("it reaches back to the first revision")
		}
	})
	r.quiet(n, "")
}

func diskSpace(f *Facts, r *report) {
	known := 0
	f.answers(func(m *Member) {
		if m.Get(figures.Disk) > 0 {
			known++
			space(r, m.Name, m.Get(figures.DiskFree), m.Get(figures.Disk), m.Get(figures.DiskWant))
		}
	})
	if known == 0 {
		r.skip("no member that answers reports its disk")
	}
	r.quiet(known, "each member has space for a newer base, its next snapshot and the log")
}

// scrub reports whether the members found their files sound.
func scrub(f *Facts, r *report) {
	n := f.answers(func(m *Member) {
		if damaged := m.Get(figures.Damaged); damaged > 0 {
			r.fail("%s found %d damaged files when it last read all of its files", m.Name, damaged)
		}
	})
	r.quiet(n, "no member found a damaged file when it last read all of its files")
}

// backup reports whether the leader makes a backup, and another member would.
func backup(f *Facts, r *report) {
	var leader *Member
	var lack []string
	n := f.answers(func(m *Member) {
		if m.Backup == "" {
			lack = append(lack, m.Name)
		}
		if m.State == "leader" {
			leader = m
		}
	})
	switch {
	case n > 0 && len(lack) == n:
		r.skip("no member that answers has --backup")
	case n > 0 && leader == nil:
		r.skip("no leader answers")
	case n > 0 && leader.Backup == "":
		r.fail("%s leads and makes no backup: it has no --backup, but other members have", leader.Name)
	case n > 0 && leader.Duration(figures.BackupAge) >= limits.BackupOld:
		r.fail("the backup of %s in %s has not been complete for %v", leader.Name, leader.Backup, leader.Duration(figures.BackupAge).Round(time.Second))
	case n > 0 && leader.Duration(figures.BackupAge) >= doctorBackup:
		r.warn("the backup of %s in %s has not been complete for %v", leader.Name, leader.Backup, leader.Duration(figures.BackupAge).Round(time.Second))
	case len(lack) > 0:
		r.warn("no backup is made while %s leads: no --backup", strings.Join(lack, " or "))
	case n > 0 && leader.Duration(figures.BackupAge) == 0:
		r.skip("%s has just begun to lead, so whether its backup in %s is complete is not known yet", leader.Name, leader.Backup)
	case n > 0 && leader.Duration(figures.BackupAge) >= limits.BackupFailing: // it may never have been complete
		r.ok("%s makes it in %s: not complete for %v", leader.Name, leader.Backup,
			leader.Duration(figures.BackupAge).Round(time.Second))
	case n > 0:
		r.ok("%s makes it in %s: complete %v ago", leader.Name, leader.Backup, leader.Duration(figures.BackupAge).Round(time.Second))
	}
	r.quiet(n, "")
}

// space reports a disk that is nearly full.
func space(r *report, name string, free, size, wanted int64) {
	switch {
	case free < limits.SpaceMargin:
		r.fail("%s: %d MiB of %d MiB are free", name, free>>20, size>>20)
	case free < wanted:
		r.warn("%s: %d MiB of %d MiB are free, and %d MiB may be needed", name, free>>20, size>>20, wanted>>20)
	}
}
