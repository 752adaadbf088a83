package etcd_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/meter"
	"qkv/net/etcd"
)

// etcdNames are the metrics of etcd that there are: those that its alerts and its dashboard use first.
const etcdNames = `
	etcd_server_has_leader etcd_server_leader_changes_seen_total etcd_server_proposals_failed_total
	etcd_network_peer_sent_failures_total etcd_network_peer_round_trip_time_seconds_bucket
	grpc_server_handled_total grpc_server_handling_seconds_bucket grpc_server_started_total
	etcd_disk_wal_fsync_duration_seconds_bucket etcd_disk_backend_commit_duration_seconds_bucket
	etcd_mvcc_db_total_size_in_bytes etcd_mvcc_db_total_size_in_use_in_bytes etcd_server_quota_backend_bytes
	process_resident_memory_bytes etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total
	etcd_network_peer_received_bytes_total etcd_network_peer_sent_bytes_total

	etcd_server_is_leader etcd_server_is_learner etcd_server_id etcd_server_version etcd_server_go_version
	etcd_server_slow_apply_total etcd_server_slow_read_indexes_total etcd_server_read_indexes_failed_total
	etcd_server_proposals_committed_total etcd_server_proposals_applied_total etcd_server_proposals_pending
	etcd_server_apply_duration_seconds_bucket etcd_server_range_duration_seconds_bucket etcd_server_request_duration_seconds_bucket
	etcd_server_client_requests_total etcd_server_health_success etcd_server_health_failures etcd_server_healthcheck
	etcd_server_healthchecks_total etcd_server_learner_promote_failures etcd_server_learner_promote_successes etcd_cluster_version
	etcd_network_active_peers etcd_network_known_peers etcd_network_server_stream_failures_total
	etcd_network_snapshot_send_success etcd_network_snapshot_send_failures
	etcd_network_snapshot_receive_success etcd_network_snapshot_receive_failures
	etcd_disk_wal_write_bytes_total etcd_disk_backend_defrag_duration_seconds_bucket etcd_disk_backend_snapshot_duration_seconds_bucket
	etcd_disk_defrag_inflight etcd_snap_db_save_total_duration_seconds_bucket
	etcd_mvcc_range_total etcd_mvcc_put_total etcd_mvcc_delete_total etcd_mvcc_txn_total
	etcd_mvcc_hash_duration_seconds_bucket etcd_mvcc_hash_rev_duration_seconds_bucket
	etcd_debugging_mvcc_keys_total etcd_debugging_mvcc_watch_stream_total etcd_debugging_mvcc_watcher_total
	etcd_debugging_mvcc_events_total etcd_debugging_mvcc_current_revision etcd_debugging_mvcc_compact_revision
	etcd_debugging_mvcc_total_put_size_in_bytes
	etcd_debugging_lease_granted_total etcd_debugging_lease_revoked_total etcd_debugging_lease_renewed_total
	etcd_debugging_lease_ttl_total_bucket etcd_debugging_server_lease_expired_total etcd_debugging_server_alarms
	etcd_debugging_auth_revision
	etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds_bucket
	etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_bucket
	etcd_debugging_server_watch_send_loop_control_stream_duration_seconds_bucket
	etcd_debugging_server_watch_send_loop_progress_duration_seconds_bucket
	etcd_server_heartbeat_send_failures_total etcd_server_snapshot_apply_in_progress_total
	etcd_debugging_mvcc_slow_watcher_total etcd_debugging_mvcc_pending_events_total etcd_debugging_store_expires_total
	etcd_snap_fsync_duration_seconds_bucket etcd_snap_db_fsync_duration_seconds_bucket
	os_fd_used os_fd_limit go_goroutines`

// noMeaning are those that would say something untrue, and why.
var noMeaning = map[string]string{
	"etcd_server_feature_enabled":                                      "there are none of etcd's feature gates",
	"etcd_network_disconnected_peers_total":                            "etcd has it no more; etcd_network_active_peers says it",
	"etcd_network_peer_received_failures_total":                        "QUIC delivers what was sent, or ends the connection",
	"etcd_network_snapshot_send_inflights_total":                       "a snapshot is sent in pieces between others, not in one call",
	"etcd_network_snapshot_receive_inflights_total":                    "the same",
	"etcd_network_snapshot_send_total_duration_seconds":                "the same",
	"etcd_network_snapshot_receive_total_duration_seconds":             "the same",
	"etcd_disk_wal_write_duration_seconds":                             "writing and syncing are one step: etcd_disk_wal_fsync_duration_seconds",
	"etcd_mvcc_db_open_read_transactions":                              "reads hold no transaction",
	"etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds":    "compaction goes on in small steps between other work, and pauses nobody",
	"etcd_debugging_mvcc_db_compaction_total_duration_milliseconds":    "the same",
	"etcd_debugging_mvcc_db_compaction_last":                           "the same",
	"etcd_debugging_mvcc_db_compaction_keys_total":                     "the same",
	"etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "the same",
}

// scrape returns the samples of an endpoint's metrics by name and labels.
func scrape(t *testing.T, s *etcd.Server) map[string]string {
	t.Helper()
	code, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", code, body)
	}
	samples := map[string]string{}
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			at := strings.LastIndexByte(line, ' ')
			samples[line[:at]] = line[at+1:]
		}
	}
	return samples
}

// counting is a member with two peers, an alarm of each kind and something in each counter.
func counting() *member {
	m := newMember()
	h := meter.NewHistogram(100 * time.Microsecond)
	h.Observe(3 * time.Millisecond)
	h.Observe(2 * time.Second)
	m.metrics.Store(&etcd.Metrics{
		WritesFailed: 6, ReadsFailed: 7, ReadsSlow: 8, WritesPending: 9, Renewals: 10, BatchesSlow: 11,
		Batches: h.Times(), Applies: h.Times(), Syncs: h.Times(), Saves: h.Times(), SaveSyncs: h.Times(), LateBeats: 34, Installing: true, SyncBytes: 12, SnapshotsSent: 13, SendsFailed: 14,
		SnapshotsInstalled: 15, SnapshotsNotTaken: 16, CertificateEnds: time.Unix(17, 0),
		Peers: []etcd.PeerMetrics{
			{ID: 2, Connected: true, SentBytes: 18, ReceivedBytes: 19, NotSent: 20, RoundTrips: h.Times(), PacketsSent: 21, PacketsLost: 22},
			{ID: 3},
		},
		Native:    etcd.NativeMetrics{Connections: 23, Handshakes: 24, Requests: 25, Bytes: 26, RangeRows: 27, Accepted: 28},
		Mailboxes: map[string]int{"applier": 29},
	})
	m.SetStatus(kv.Status{
		Name: "n1", ID: 1, Version: "v0", Role: "leader", Leader: 1,
		Values: figures.Values{
			int64(figures.Term), 7, int64(figures.Commit), 30, int64(figures.Applied), 31, int64(figures.Used), 32, int64(figures.Quota), 33,
			int64(figures.LeaderChanges), 5, int64(figures.SyncP99), int64(1500 * time.Microsecond), int64(figures.FalseClaims), 41, int64(figures.Host), 7,
		},
		Alarms: []kv.Alarm{{Name: "DISK", Member: 1, Text: "one"}, {Name: "DISK", Member: 1, Text: "two"}, {Name: "CERT", Member: 2}, {Name: "QUOTA", Member: 1}},
	})
	return m
}

// TestMetrics uses each RPC once or so, and looks for all names of etcd's, and for some numbers.
func TestMetrics(t *testing.T) {
	m := counting()
	s := start(t, m, nil)
	c := dial(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store, maintenance := pb.NewKVClient(c), pb.NewMaintenanceClient(c)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		must(store.Put(ctx, &pb.PutRequest{Key: []byte{'k', byte('0' + i)}, Value: []byte("value")}))
	}
	must(store.Range(ctx, &pb.RangeRequest{Key: []byte("k0")}))
	must(store.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("k0")}))
	must(store.Txn(ctx, &pb.TxnRequest{}))
	_, _ = store.Put(ctx, &pb.PutRequest{})
	must(maintenance.Hash(ctx, &pb.HashRequest{}))
	must(maintenance.HashKV(ctx, &pb.HashKVRequest{}))
	must(maintenance.Defragment(ctx, &pb.DefragmentRequest{}))
	must(maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}))
	must(maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}))
	granted, err := pb.NewLeaseClient(c).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
	must(granted, err)
	must(pb.NewLeaseClient(c).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: granted.ID}))
	must(maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_CORRUPT}))
	w, err := pb.NewWatchClient(c).Watch(ctx)
	must(w, err)
	must(nil, w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"), StartRevision: 2}}}))
	for events := 0; events < 4; {
		r, err := w.Recv()
		must(r, err)
		events += len(r.Events)
	}
	for _, path := range []string{"/livez", "/readyz", "/health", "/health?exclude=CORRUPT"} {
		get(t, s, path)
	}
	eventually(t, func() bool { return scrape(t, s)["etcd_debugging_mvcc_events_total"] == "4" }) // events are counted behind their way
	got := scrape(t, s)
	for name := range strings.FieldsSeq(etcdNames) {
		if !slices.ContainsFunc(keysOf(got), func(k string) bool { return k == name || strings.HasPrefix(k, name+"{") }) {
			t.Errorf("there is no %s", name)
		}
		if noMeaning[name] != "" {
			t.Errorf("%s is there, and is said to have no meaning", name)
		}
	}
	for name := range noMeaning {
		if slices.ContainsFunc(keysOf(got), func(k string) bool {
			return strings.HasPrefix(k, name) && !strings.Contains(etcdNames, name) && (k == name || k[len(name)] == '{')
		}) {
			t.Errorf("%s is there, and is said to have no meaning", name)
		}
	}
	for name := range got { // 1.6384, and not 1.6383999999999999
		if strings.Contains(name, `_bucket{`) && strings.Contains(name, "9999") {
			t.Errorf("a bound is not rounded: %s", name)
		}
	}
	for bound := time.Millisecond; bound < 10*time.Second; bound *= 2 { // of etcd's
		if name := fmt.Sprintf(`etcd_server_request_duration_seconds_bucket{success="true",type="Put",le="%v"}`, bound.Seconds()); got[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for name, want := range map[string]string{
		"etcd_server_has_leader": "1", "etcd_server_is_leader": "1", "etcd_server_leader_changes_seen_total": "5", "etcd_server_proposals_failed_total": "6",
		"etcd_server_heartbeat_send_failures_total": "34", "etcd_server_snapshot_apply_in_progress_total": "1",
		`etcd_network_known_peers{Local="0000000000000001",Remote="0000000000000001"}`: "1",
		"etcd_server_proposals_pending": "9", "etcd_server_proposals_committed_total": "30", "etcd_server_proposals_applied_total": "31",
		"etcd_mvcc_put_total": "3", "etcd_mvcc_delete_total": "1", "etcd_mvcc_txn_total": "1", "etcd_mvcc_range_total": "1",
		"etcd_debugging_mvcc_events_total": "4", "etcd_debugging_lease_granted_total": "1", "etcd_debugging_lease_revoked_total": "1",
		"etcd_debugging_mvcc_watch_stream_total": "1", "etcd_server_quota_backend_bytes": "33",
		"etcd_server_health_success": "1", "etcd_server_health_failures": "1", `etcd_server_healthcheck{name="data_corruption",type="readyz"}`: "0",
		`etcd_server_healthchecks_total{name="serializable_read",status="success",type="livez"}`:                                    "1",
		`etcd_network_peer_sent_failures_total{To="0000000000000002"}`:                                                              "20",
		`etcd_network_peer_round_trip_time_seconds_bucket{To="0000000000000002",le="0.0032"}`:                                       "1",
		`etcd_network_active_peers{Local="0000000000000001",Remote="0000000000000003"}`:                                             "0",
		`etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"}`:                                                                    "2",
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`:              "3",
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`: "1",
		`grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}`:                  "1",
		`grpc_server_msg_received_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}`:             "1",
		`etcd_debugging_server_alarms{alarm_type="CORRUPT",server_id="0000000000000001"}`:                                           "1",
		`qkv_alarm{member="0000000000000001",name="DISK",severity="alarm"}`:                                                         "1", `qkv_alarm{member="0000000000000001",name="QUOTA",severity="notice"}`: "1", `qkv_mailbox_messages{actor="applier"}`: "29",
		"qkv_sync_p99_seconds": "0.0015", "qkv_false_claims_total": "41", "qkv_leader_changes_total": "5", "qkv_write_sessions": "0", "qkv_host": "", "qkv_disk_bytes": "", // the last is not known
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
}

// TestAuthRevisionIsMeasured: the revision of users and roles is 1 at first, and grows with each change, as in etcd.
func TestAuthRevisionIsMeasured(t *testing.T) {
	if got := scrape(t, start(t, newMember(), nil))["etcd_debugging_auth_revision"]; got != "1" {
		t.Errorf("without users it is %s", got)
	}
	u := newUsers(t, nil)
	if got, want := scrape(t, u.server)["etcd_debugging_auth_revision"], fmt.Sprint(u.View().Auth().Revision()); got != want || want == "1" {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// TestMetricsSeconds: what is called seconds is seconds.
func TestMetricsSeconds(t *testing.T) {
	s := start(t, newMember(), nil)
	c := pb.NewKVClient(dial(t, s))
	begun := time.Now()
	if _, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	most := time.Since(begun).Seconds()
	eventually(t, func() bool { // a request is counted behind its answer
		return scrape(t, s)[`grpc_server_handling_seconds_count{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}`] == "1"
	})
	got := scrape(t, s)
	for _, name := range []string{
		`grpc_server_handling_seconds_sum{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}`,
		`etcd_server_request_duration_seconds_sum{success="true",type="Range"}`, `etcd_server_range_duration_seconds_sum{success="true"}`,
	} {
		if sum, err := strconv.ParseFloat(got[name], 64); err != nil || sum <= 0 || sum > most {
			t.Errorf("%s is %q, of a request that took %v seconds", name, got[name], most)
		}
	}
}

func keysOf(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// TestMetricsLabels lets clients say what they like: no label takes it up, and there are no more series for it.
func TestMetricsLabels(t *testing.T) {
	s := start(t, newMember(), nil)
	c := pb.NewKVClient(dial(t, s))
	said := func(version string) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "client-api-version", version)
		if _, err := c.Range(ctx, &pb.RangeRequest{Key: []byte("a"), Serializable: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"3.7", "3.7", "", "x", "3.7.1-alpha", "3", strings.Repeat("1", 100), "3.7.1.2", "9999.1"} {
		said(version)
	}
	const of = `etcd_server_client_requests_total{client_api_version="`
	got := scrape(t, s)
	if got[of+`3.7",type="unary"}`] != "2" || got[of+`unknown",type="unary"}`] != "7" {
		t.Errorf("3.7 is counted %s times, what is no version %s times", got[of+`3.7",type="unary"}`], got[of+`unknown",type="unary"}`])
	}
	for i := range 100 {
		said(fmt.Sprintf("4.%d", i))
	}
	after := scrape(t, s)
	if n := len(after) - len(got); n > 40 || after[of+`other",type="unary"}`] == "" {
		t.Errorf("a hundred versions are %d more series, %s requests of others", n, after[of+`other",type="unary"}`])
	}
	// An RPC that there is not, by a name of the client's choice.
	var none pb.RangeResponse
	if err := dial(t, s).Invoke(t.Context(), "/x.Y/"+strings.Repeat("z", 1000), &pb.RangeRequest{}, &none); err == nil {
		t.Error("an unknown RPC was answered")
	}
	if last := scrape(t, s); len(last) != len(after) {
		t.Errorf("an unknown RPC is counted under its name: %d series, and were %d", len(last), len(after))
	}
}
