package etcd

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qkv/internal/figures"
	"qkv/internal/meter"
	"qkv/net/wire"
)

// memberCollector collects the member's metrics at each scrape.
type memberCollector struct{ m *metrics }

// Describe implements prometheus.Collector. It describes nothing, which disables the library's check of the metrics.
func (memberCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c memberCollector) Collect(to chan<- prometheus.Metric) {
	t := scrape{to: to}
	own, v := c.m.s.config.Member.Metrics(), c.m.s.config.Member.View()
	own.WritesFailed += c.m.s.calls.writesFailed.Load()
	own.ReadsFailed += c.m.s.calls.readsFailed.Load()
	self := fmt.Sprintf("%016x", own.ID)
	learner, _ := c.m.s.learner()
	t.raft(&own, self, learner)
	t.peers(&own, self)

	t.histogram("etcd_disk_wal_fsync_duration_seconds", "Duration of writing a group of entries to the log and syncing it.", &own.Syncs)
	t.gauge("etcd_disk_wal_write_bytes_total", "Bytes of records that were synced to the log.", float64(own.SyncBytes))
	t.histogram("etcd_disk_backend_commit_duration_seconds", "Duration of applying a batch of committed entries, until the clients have their answers. It writes nothing to the disk.", &own.Batches)
	t.histogram("etcd_server_apply_duration_seconds", "The same as etcd_disk_backend_commit_duration_seconds, with other bounds.", &own.Applies, "version", "v3", "op", "batch", "success", "true")
	t.histogram("etcd_snap_db_save_total_duration_seconds", "Duration of saving a snapshot, with its pauses for more urgent work.", &own.Saves)

	const synced = "Duration of writing the last bytes of a snapshot's file and syncing it."
	t.histogram("etcd_snap_fsync_duration_seconds", synced, &own.SaveSyncs)
	t.histogram("etcd_snap_db_fsync_duration_seconds", synced, &own.SaveSyncs)

	counts := v.Counts()
	t.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of keys, values, history and leases that count against the quota.", float64(max(own.Get(figures.Used), 1)))
	t.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "The same without history.", float64(min(max(v.LiveUsedBytes(), 1), max(own.Get(figures.Used), 1))))
	t.gauge("etcd_server_quota_backend_bytes", "Bytes at which NOSPACE is raised; 0 is never.", float64(own.Get(figures.Quota)))
	t.counter("etcd_mvcc_range_total", "Ranges of etcd's clients.", float64(c.m.ranges.Load()))
	t.counter("etcd_mvcc_put_total", "Keys that were put, including puts of transactions.", float64(counts.Puts))
	t.counter("etcd_mvcc_delete_total", "Deletions, including deletions of transactions.", float64(counts.Deletes))
	t.counter("etcd_mvcc_txn_total", "Transactions.", float64(counts.Transactions+c.m.reads.Load()))
	t.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values that were put.", float64(counts.PutBytes))
	t.gauge("etcd_debugging_mvcc_keys_total", "Live keys.", float64(own.Get(figures.Keys)))
	t.gauge("etcd_debugging_mvcc_current_revision", "The newest revision.", float64(own.Get(figures.Revision)))
	t.gauge("etcd_debugging_mvcc_compact_revision", "The compacted revision; -1 before the first compaction.", float64(compactedOf(v)))
	t.gauge("etcd_debugging_mvcc_watcher_total", "Watches, of all clients.", float64(own.Get(figures.Watches)))
	t.gauge("etcd_debugging_mvcc_watch_stream_total", "Streams of watches of etcd's clients.", float64(c.m.streams.Load()))
	t.counter("etcd_debugging_lease_granted_total", "Leases that were granted.", float64(counts.Grants))
	t.counter("etcd_debugging_lease_revoked_total", "Leases that were revoked or have expired.", float64(counts.Revokes))
	t.counter("etcd_debugging_lease_renewed_total", "Lease renewals by this member while it leads.", float64(own.Renewals))
	t.counter("etcd_debugging_server_lease_expired_total", "Leases that have expired.", float64(counts.Expiry))
	t.counter("etcd_debugging_store_expires_total", "Keys that were deleted because their lease has expired.", float64(counts.ExpiredKeys))
	slow, pending := c.m.s.watchLag()
	t.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches of etcd's clients whose events wait because the client does not read them.", float64(slow))
	t.gauge("etcd_debugging_mvcc_pending_events_total", "Events that wait to be sent to etcd's clients.", float64(pending))
	t.gauge("etcd_debugging_auth_revision", "The revision of users and roles.", float64(v.Auth().Revision()))
	for _, alarm := range alarmsOf(v) {
		t.gauge("etcd_debugging_server_alarms", "Alarms of the replicated state that are raised.", 1,
			"alarm_type", alarm.Alarm.String(), "server_id", fmt.Sprintf("%016x", alarm.MemberID))
	}
	t.files()
	t.ownMetrics(c.m.s, &own)
}

// raft reports the member's raft state.
func (t scrape) raft(own *Metrics, self string, learner bool) {
	t.gauge("etcd_server_has_leader", "1 if this member knows a leader.", truth(own.Leader != 0))
	t.gauge("etcd_server_is_leader", "1 if this member is the leader.", truth(own.Role == "leader"))
	t.gauge("etcd_server_is_learner", "1 if this member is a learner that waits for a promotion.", truth(learner))
	t.counter("etcd_server_leader_changes_seen_total", "Leader changes that this member has seen.", float64(own.Get(figures.LeaderChanges)))
	t.gauge("etcd_server_id", "This member's id.", 1, "server_id", self)
	t.gauge("etcd_server_version", "The version of etcd's API.", 1, "server_version", Version)
	t.gauge("etcd_server_go_version", "The version of Go.", 1, "server_go_version", runtime.Version())
	t.gauge("etcd_cluster_version", "The version of etcd's API that all members support.", 1, "cluster_version", minorOf(clusterVersion))
	t.gauge("etcd_server_proposals_committed_total", "Index of the last committed entry.", float64(own.Get(figures.Commit)))
	t.gauge("etcd_server_proposals_applied_total", "Index of the last applied entry.", float64(own.Get(figures.Applied)))
	t.gauge("etcd_server_proposals_pending", "Batches of writes of this member's clients that are in flight.", float64(own.WritesPending))
	t.counter("etcd_server_proposals_failed_total", "Writes that found no quorum within their timeout, or whose leader was replaced.", float64(own.WritesFailed))
	t.counter("etcd_server_read_indexes_failed_total", "Linearizable reads that were not confirmed within their timeout.", float64(own.ReadsFailed))
	t.counter("etcd_server_slow_read_indexes_total", "Rounds of linearizable reads that took longer than an election timeout.", float64(own.ReadsSlow))
	t.counter("etcd_server_heartbeat_send_failures_total", "Heartbeats that this leader sent later than two intervals after the ones before.", float64(own.LateBeats))
	t.gauge("etcd_server_snapshot_apply_in_progress_total", "1 while a received snapshot becomes this member's state.", truth(own.Installing))
	t.counter("etcd_server_slow_apply_total", "Batches that took more than 100 ms to apply.", float64(own.BatchesSlow))
}

// peers reports the connections to the other members, and snapshots in transfer.
func (t scrape) peers(own *Metrics, self string) {
	t.counter("etcd_network_snapshot_send_success", "Snapshots that other members have installed.", float64(own.SnapshotsSent), "To", "all")
	t.counter("etcd_network_snapshot_send_failures", "Snapshots for other members whose transfer failed.", float64(own.SendsFailed), "To", "all")
	t.counter("etcd_network_snapshot_receive_success", "Snapshots that this member has installed.", float64(own.SnapshotsInstalled), "From", "all")
	t.counter("etcd_network_snapshot_receive_failures", "Snapshots whose transfer to this member failed.", float64(own.SnapshotsNotTaken), "From", "all")
	const known = "1 for each known member, this one included."
	t.gauge("etcd_network_known_peers", known, 1, "Local", self, "Remote", self)
	for i := range own.Peers {
		p := &own.Peers[i]
		to := fmt.Sprintf("%016x", p.ID)
		t.gauge("etcd_network_known_peers", known, 1, "Local", self, "Remote", to)
		t.gauge("etcd_network_active_peers", "1 if the other member is connected.", truth(p.Connected), "Local", self, "Remote", to)
		t.counter("etcd_network_peer_sent_bytes_total", "Bytes to another member.", float64(p.SentBytes), "To", to)
		t.counter("etcd_network_peer_received_bytes_total", "Bytes from another member.", float64(p.ReceivedBytes), "From", to)
		t.counter("etcd_network_peer_sent_failures_total", "Messages to another member that were dropped: no connection, or a full queue.", float64(p.NotSent), "To", to)
		t.histogram("etcd_network_peer_round_trip_time_seconds", "Round trip of the connection, sampled once a second.", &p.RoundTrips, "To", to)
		t.gauge("qkv_peer_queued_bytes", "Bytes that wait to be sent to another member.", float64(p.Queued), "to", to)
		t.counter("qkv_peer_sent_frames_total", "Frames to another member.", float64(p.SentFrames), "to", to)
		t.gauge("qkv_peer_packets_sent", "Packets sent by the current connection.", float64(p.PacketsSent), "to", to)
		t.gauge("qkv_peer_packets_lost", "Packets of the current connection that were lost.", float64(p.PacketsLost), "to", to)
	}
}

// files reports the open files.
func (t scrape) files() {
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		t.gauge("os_fd_used", "Open files.", float64(len(open)-1)) // minus the folder's own descriptor
	}
	var most syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most) == nil {
		t.gauge("os_fd_limit", "The limit of open files.", float64(most.Cur))
	}
}

// ownMetrics reports metrics that etcd does not have.
func (t scrape) ownMetrics(s *core, own *Metrics) {
	t.gauge("qkv_build_info", "The version of qkv, and the member's name.", 1, "version", own.Version, "name", own.Name)
	for _, role := range []string{"leader", "follower", "candidate", "learner", "suspended"} {
		t.gauge("qkv_role", "This member's role in raft: one of the series is 1.", truth(own.Role == role), "role", role)
	}
	t.gauge("qkv_starting", "1 until a quorum has confirmed that this member has every write acknowledged before its start.", truth(!s.config.Start.Current()))
	for _, f := range figures.Table() {
		if f.ID != figures.BackupAge || own.Backup != "" && own.Role == "leader" { // the others make no backup
			t.figure(&f, own.Get(f.ID))
		}
	}
	raised := map[[2]string]bool{}
	for _, a := range own.Alarms {
		one := [2]string{string(a.Name), fmt.Sprintf("%016x", a.Member)}
		if raised[one] { // the same alarm with another text
			continue
		}
		raised[one] = true
		t.gauge("qkv_alarm", "1 for each raised alarm or notice.", 1, "name", one[0], "severity", a.Name.Severity(), "member", one[1])
	}
	for i := range own.Stages {
		t.histogram("qkv_write_stage_seconds", "Duration of the stages of a write, for a sample of the writes of this member's clients.", &own.Stages[i].Times, "stage", own.Stages[i].Name)
	}
	for errno, n := range own.SendErrors {
		t.counter("qkv_udp_send_errors_total", "Datagrams, or rows of them, that the kernel of this member's host refused to send.", float64(n), "errno", wire.ErrnoName(errno))
	}
	t.gauge("qkv_certificate_not_after_seconds", "Expiry of this member's certificate, in seconds since 1970.", float64(own.CertificateEnds.Unix()))
	t.gauge("qkv_backup_configured", "1 if this member makes a backup while it leads.", truth(own.Backup != ""))
	for name, n := range own.Mailboxes {
		t.gauge("qkv_mailbox_messages", "Messages in an actor's mailbox.", float64(n), "actor", name)
	}
	const connections, requests = "qkv_client_connections", "qkv_client_requests"
	t.gauge(connections, "Connections of clients.", float64(own.Native.Connections), "protocol", "qkv")
	t.gauge(connections, "Connections of clients.", float64(s.port.Count()), "protocol", "etcd")
	t.gauge(requests, "Requests in progress.", float64(own.Native.Requests), "protocol", "qkv")
	t.gauge(requests, "Requests in progress.", float64(s.requests.Load()), "protocol", "etcd")
	t.gauge("qkv_client_handshakes", "TLS handshakes of qkv's clients in progress.", float64(own.Native.Handshakes))
	t.gauge("qkv_client_memory_bytes", "Memory budget that requests and answers of qkv's clients hold.", float64(own.Native.Bytes))
	t.counter("qkv_client_connections_total", "Connections of qkv's clients.", float64(own.Native.Accepted))
	t.counter("qkv_range_rows_total", "Approximate number of keys that ranges of qkv's clients have read.", float64(own.Native.RangeRows))
	t.gauge("qkv_client_message_bytes", "Memory of incomplete requests and unread answers of etcd's clients.", float64(s.accounts.Total()))
	t.gauge("qkv_watch_waiting_bytes", "Bytes of events that wait to be sent to etcd's clients.", float64(s.watchBytes.Load()))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// scrape sends metrics to a scrape.
type scrape struct{ to chan<- prometheus.Metric }

// figure sends a figure of the table.
func (t scrape) figure(f *figures.Figure, value int64) {
	kind, number := prometheus.GaugeValue, float64(value)
	switch {
	case f.Kind == figures.Internal, f.Kind == figures.Known && value == 0:
		return
	case f.Kind == figures.Counter:
		kind = prometheus.CounterValue
	case f.Unit == figures.Milliseconds, f.Unit == figures.Seconds:
		number = time.Duration(value).Seconds()
	}
	t.send(kind, f.Metric(), f.Help, number, nil)
}

func (t scrape) gauge(name, help string, value float64, labels ...string) {
	t.send(prometheus.GaugeValue, name, help, value, labels)
}

func (t scrape) counter(name, help string, value float64, labels ...string) {
	t.send(prometheus.CounterValue, name, help, value, labels)
}

// send sends one metric. labels alternates names and values.
func (t scrape) send(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	names, values := split(labels)
	t.to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

func (t scrape) histogram(name, help string, times *meter.Times, labels ...string) {
	names, values := split(labels)
	buckets := make(map[float64]uint64, len(times.Ends))
	for i, end := range times.Ends {
		if end > 0 { // a histogram without observations has no bounds
			buckets[float64(end)/float64(time.Second)] = times.Through[i] // Seconds would round twice
		}
	}
	t.to <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, names, nil), times.Count, times.Sum.Seconds(), buckets, values...)
}

func split(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

// since returns the seconds since began.
func since(began time.Time) float64 { return time.Since(began).Seconds() }
