package node

import (
	"fmt"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
)

// hundredths returns that many hundredths of the quota.
func (c *Config) hundredths(n int64) int64 { return c.QuotaBytes / 100 * n }

const (
	// quotaWarning is the percentage of the quota from which a warning is given. NOSPACE ends below quotaCleared percent: this hysteresis
	// keeps the alarm from toggling with each write.
	quotaWarning = 80
	quotaCleared = 90
	// quotaLeast is the smallest quota of `qkv serve`: with less, history would be compacted at once. With etcd's command line history does
	// not yield to the quota.
	quotaLeast = 1 << 20
)

// etcdsQuota reports a small quota by etcd's command line: the alarm that it raises stays until somebody disarms it, as etcd's.
func (c *Config) etcdsQuota() bool {
	return len(c.Etcd.Listen) > 0 && 0 < c.QuotaBytes && c.QuotaBytes < quotaLeast
}

// overQuota reports whether a state exceeds the quota. Once NOSPACE is raised, it stays true until a good part of the quota is free
// (hysteresis).
func (c *Config) overQuota(view *index.View) bool {
	most := c.QuotaBytes
	if view.NoSpace() && c.etcdsQuota() {
		return true
	} else if view.NoSpace() {
		most = c.hundredths(quotaCleared)
	}
	return c.QuotaBytes > 0 && view.UsedBytes() >= most
}

// guard raises NOSPACE if the quota is reached or a quorum's disks are full, and disarms it when there is space again, whichever member
// raised it, if this member leads. All members refuse by the alarm, and none by its own space.
func (m *member) guard() {
	if m.status.Raft().Role != "leader" {
		return
	}
	view, config := m.status.View(), m.current()
	full := config.overQuota(view) || m.status.FullDisks() != ""
	switch {
	case full && !view.NoSpace():
		m.proposed.guarding.propose(m, index.Own().AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: m.folder.Member, Name: kv.NoSpaceAlarm}))
		if m.duty.noSpace.due(m.env.Driver.Time().Now) {
			m.logger.Error("NOSPACE: only deletions, compactions, revocations and reads are accepted until space is free", "because", m.noSpaceText(view))
		}
	case !full && view.NoSpace():
		if m.duty.space.due(m.env.Driver.Time().Now) {
			m.logger.Info("NOSPACE ends: space is free, all writes are accepted again", "used", view.UsedBytes(), "quota", config.QuotaBytes)
		}
		m.proposed.guarding.propose(m, index.Own().AppendAlarm(nil, kv.AlarmChange{Name: kv.NoSpaceAlarm}))
	}
	if !full && m.quotaText(view) != "" && m.duty.nearQuota.due(m.env.Driver.Time().Now) {
		m.logger.Warn("the quota is nearly reached: NOSPACE follows", "used", view.UsedBytes(), "quota", config.QuotaBytes)
	}
}

// noSpaceText returns the reason for NOSPACE, as far as this member knows.
func (m *member) noSpaceText(view *index.View) string {
	if disks := m.status.FullDisks(); disks != "" {
		return disks
	}
	if c := m.current(); c.etcdsQuota() {
		return fmt.Sprintf("keys, history and leases take %d of %d bytes of --quota-backend-bytes: delete keys and compact, then run `etcdctl alarm disarm`", view.UsedBytes(), c.QuotaBytes)
	} else if c.overQuota(view) {
		return fmt.Sprintf("keys, history and leases take %.1f of %.1f MiB of --quota-bytes; the alarm ends below %.1f MiB: %s, or raise --quota-bytes",
			mib(view.UsedBytes()), mib(c.QuotaBytes), mib(c.hundredths(quotaCleared)), c.makesRoom())
	}
	return "the disks of a quorum are full, or the quota is reached: writes that add data are refused until space is free"
}

// quotaText returns the notice of a nearly reached quota, or an empty text.
func (m *member) quotaText(view *index.View) string {
	c := m.current()
	if c.QuotaBytes == 0 || view.NoSpace() || view.UsedBytes() < c.hundredths(quotaWarning) {
		return ""
	}
	return fmt.Sprintf("keys, history and leases take %.1f of %.1f MiB of --quota-bytes: when it is full, NOSPACE is raised, and only deletions, "+
		"compactions, revocations and reads are accepted; %s, or raise --quota-bytes", mib(view.UsedBytes()), mib(c.QuotaBytes), c.makesRoom())
}

// makesRoom returns the advice that frees space under the quota: deleted data is history, which yields by itself only if it has a bound.
func (c *Config) makesRoom() string {
	if c.HistoryBytes == 0 {
		return "delete keys and compact (`qkv compact REVISION`), since deleted and superseded versions count until then"
	}
	return "delete keys"
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// replicatedAlarms returns the state's alarms, and the notices of possible ones, without the alarms that this member already reports.
func (m *member) replicatedAlarms(view *index.View, said []kv.Alarm) (alarms []kv.Alarm) {
	own := func(a kv.Alarm) bool { // the member's own text has more detail
		for _, s := range said {
			if about := s.Member; s.Name == a.Name && (about == a.Member || about == 0 && (a.Member == m.folder.Member || s.Subject == actor.StateSubject)) {
				return true
			}
		}
		return false
	}
	for _, a := range view.Alarms() {
		switch {
		case own(a):
		case a.Name == kv.NoSpaceAlarm:
			alarms = append(alarms, kv.Alarm{Name: kv.NoSpaceAlarm, Member: a.Member, Text: m.noSpaceText(view)})
		default:
			alarms = append(alarms, kv.Alarm{Name: kv.CorruptAlarm, Member: a.Member, Text: "its state differs from the other members', or its memory is damaged; it takes no part until its state is rebuilt. The alarm ends when a comparison finds no difference; " +
				"if the alarm returns: stop the member and, while there is a leader, run `qkv member replace " + m.status.NameOf(a.Member) + " --peer HOST:PORT`"})
		}
	}
	if text := m.status.WrongClock(); text != "" {
		alarms = append(alarms, kv.Alarm{Name: kv.ClockNotice, Text: text})
	}
	if m.status.Raft().Role != "leader" { // the leader's flags count
		return alarms
	}
	if text := m.quotaText(view); text != "" {
		alarms = append(alarms, kv.Alarm{Name: kv.QuotaNotice, Text: text})
	}
	if text := m.current().historyText(view, m.status.QuorumCapacity(), m.env.Driver.Time().Wall); text != "" {
		alarms = append(alarms, kv.Alarm{Name: kv.HistoryNotice, Text: text})
	}
	return alarms
}
