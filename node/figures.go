package node

import (
	"cmp"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/figures"
	"qkv/net/wire"
)

// figures sets the figures of a status. backupDuty.report and Node.load set the others.
func (m *member) figures(to *figures.Values, view *index.View, raft actor.RaftStatus) {
	applied, _ := view.Applied()
	figures.Set(to, figures.Term, raft.Term)
	figures.Set(to, figures.Commit, max(raft.Commit, applied))
	figures.Set(to, figures.Applied, applied)
	figures.Set(to, figures.Revision, view.Revision())
	figures.Set(to, figures.Keys, view.Keys())
	figures.Set(to, figures.Leases, view.LeaseCount())
	figures.Set(to, figures.WriteSessions, view.Sessions())
	figures.Set(to, figures.SessionClock, view.SessionClock())
	figures.Set(to, figures.Watches, m.status.Watches())

	figures.Set(to, figures.Oldest, view.Compacted())
	if view.Dropped() {
		figures.Set(to, figures.Dropped, 1)
	}
	figures.Set(to, figures.HistoryBytes, view.HistoryBytes())
	figures.Set(to, figures.HistoryAge, historyAge(view, m.env.Driver.Time().Wall))
	figures.Set(to, figures.Used, view.UsedBytes())
	figures.Set(to, figures.Quota, m.current().QuotaBytes)
	if view.NoSpace() || m.status.FullDisks() != "" {
		figures.Set(to, figures.Refuses, 1)
	}
	figures.Set(to, figures.Log, m.status.Durable().FileBytes)
	figures.Set(to, figures.Snapshot, m.status.Disk().Newest)
	figures.Set(to, figures.SyncP99, m.status.Observer.SyncP99())

	parts := m.status.Parts()
	cold, coldBytes := view.Cold()
	figures.Set(to, figures.BaseRevision, parts.Base)
	figures.Set(to, figures.BaseFiles, parts.BaseFiles)
	figures.Set(to, figures.BaseBytes, parts.BaseBytes)
	figures.Set(to, figures.Extents, parts.Extents)
	figures.Set(to, figures.ExtentBytes, parts.ExtentBytes)
	figures.Set(to, figures.Cold, cold)
	figures.Set(to, figures.ColdBytes, coldBytes)
	figures.Set(to, figures.Reads, parts.Reads)
	figures.Set(to, figures.ReadsFailed, parts.ReadsFailed)

	figures.Set(to, figures.Level, view.Level())
	figures.Set(to, figures.LevelMost, cmp.Or(m.env.Level, index.MaxLevel))
	figures.Set(to, figures.ElectionTimeout, m.config.ElectionTimeout)

	figures.Set(to, figures.Host, m.env.Machine.hostOf(m.folder.Cluster))
	figures.Set(to, figures.Device, m.env.Machine.Device)
	figures.Set(to, figures.Wall, m.env.Driver.Time().Wall/int64(time.Microsecond))
	disk := m.status.Disk()
	figures.Set(to, figures.DiskFree, disk.Free)
	figures.Set(to, figures.DiskWant, disk.Wants())
	figures.Set(to, figures.Disk, disk.Size)
	figures.Set(to, figures.Files, m.env.Machine.Files)

	counters := &m.status.Observer.Counters
	figures.Set(to, figures.LeaderChanges, counters.LeaderChanges.Load())
	figures.Set(to, figures.FalseClaims, counters.FalseClaims.Load())
	figures.Set(to, figures.AuditLost, m.audit.Lost())
	figures.Set(to, figures.Undecodable, counters.Undecodable.Load())
	figures.Set(to, figures.PathStalls, wire.PathStalls())
}
