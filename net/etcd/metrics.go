package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/meter"
	"qkv/net/wire"
)

// Metrics are what a member counts, beside its status and its View.
type Metrics struct {
	wire.Status

	LeaderChanges                         uint64 // that were seen
	WritesFailed, ReadsFailed, ReadsSlow  uint64
	WritesPending                         int64 // batches
	Renewals                              uint64
	BatchesSlow                           uint64
	Batches, Syncs, Saves                 meter.Times
	Stages                                []StageMetrics
	SyncBytes                             int64
	SnapshotsSent, SendsFailed            uint64
	SnapshotsInstalled, SnapshotsNotTaken uint64
	CertificateEnds                       time.Time
	Peers                                 []PeerMetrics
	Native                                NativeMetrics
	Mailboxes                             map[string]int // messages that wait, by actor
}

// StageMetrics are of one part of a write's way.
type StageMetrics struct {
	Name  string
	Times meter.Times
}

// PeerMetrics are of the way to another member.
type PeerMetrics struct {
	ID                                            uint64
	Connected                                     bool
	SentBytes, ReceivedBytes, SentFrames, NotSent uint64
	Queued                                        int64 // bytes
	RoundTrips                                    meter.Times
	PacketsSent, PacketsLost                      uint64 // of this connection
}

// NativeMetrics are of the endpoint of qkv's own clients.
type NativeMetrics struct {
	Connections, Handshakes, Requests, Bytes, RangeRows int64
	Accepted                                            uint64
}

// metrics is what /metrics tells. What the endpoint does itself is counted where it happens, in counters that are found once; all
// else is asked of the member when somebody looks. No label has a value of a client's choice, but the version of its library,
// of which there are limits.EtcdClientVersions.
type metrics struct {
	s        *Server
	registry *prometheus.Registry

	received, sent prometheus.Counter // bytes of gRPC's messages

	started, handled, messagesIn, messagesOut *prometheus.CounterVec
	handling                                  *prometheus.HistogramVec
	durations                                 *prometheus.HistogramVec
	rangeDurations                            *prometheus.HistogramVec
	streamFailures                            *prometheus.CounterVec
	requests                                  *prometheus.CounterVec
	versions                                  clientVersions

	healthy, unhealthy                              prometheus.Counter
	probes                                          *prometheus.GaugeVec
	probed                                          *prometheus.CounterVec
	promoted, notPromoted                           prometheus.Counter
	hash, hashRevision                              prometheus.Observer
	defragment, copies                              prometheus.Observer
	defragmenting                                   prometheus.Gauge
	leaseTTL                                        prometheus.Observer
	events                                          prometheus.Counter
	sendEvents, perEvent, sendAnswers, sendProgress prometheus.Observer
	streams                                         atomic.Int64 // of watches
	ranges                                          atomic.Uint64
	reads                                           atomic.Uint64 // transactions that changed nothing
}

func newMetrics(s *Server) *metrics {
	m := &metrics{s: s, registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	histogram := func(name, help string, first float64, n int) prometheus.Observer {
		return histograms(name, help, prometheus.ExponentialBuckets(first, 2, n)).WithLabelValues()
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	rpc := []string{"grpc_type", "grpc_service", "grpc_method"}
	m.received = counter("etcd_network_client_grpc_received_bytes_total", "Bytes of messages from clients of gRPC.")
	m.sent = counter("etcd_network_client_grpc_sent_bytes_total", "Bytes of messages to clients of gRPC.")
	m.started = counters("grpc_server_started_total", "RPCs that were begun.", rpc...)
	m.handled = counters("grpc_server_handled_total", "RPCs that have ended, by their code.", append(rpc, "grpc_code")...)
	m.messagesIn = counters("grpc_server_msg_received_total", "Messages from clients.", rpc...)
	m.messagesOut = counters("grpc_server_msg_sent_total", "Messages to clients.", rpc...)
	m.handling = histograms("grpc_server_handling_seconds", "How long RPCs have taken.", prometheus.DefBuckets, rpc...)
	m.durations = histograms("etcd_server_request_duration_seconds", "How long requests have taken.", prometheus.ExponentialBuckets(0.0001, 2, 16), "type", "success")
	m.rangeDurations = histograms("etcd_server_range_duration_seconds", "How long ranges have taken.", prometheus.ExponentialBuckets(0.0001, 2, 16), "success")
	m.streamFailures = counters("etcd_network_server_stream_failures_total", "Streams that have ended with an error.", "Type", "API")
	m.requests = counters("etcd_server_client_requests_total", "Requests by the version of the client's library.", "type", "client_api_version")
	m.versions.none = m.requestsOf("unknown")
	m.versions.all.Store(&map[string]*[2]prometheus.Counter{})
	m.healthy = counter("etcd_server_health_success", "Answers of /health that all is well.")
	m.unhealthy = counter("etcd_server_health_failures", "Answers of /health that something is wrong.")
	m.probed = counters("etcd_server_healthchecks_total", "Checks of /livez and /readyz, by what came of them.", "type", "name", "status")
	m.probes = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_server_healthcheck", Help: "What came of the last check: 1 is well."}, []string{"type", "name"})
	m.registry.MustRegister(m.probes)
	m.promoted = counter("etcd_server_learner_promote_successes", "Learners that were promoted by this member.")
	promote := counters("etcd_server_learner_promote_failures", "Promotions that this member was asked for and that failed.", "Reason")
	m.notPromoted = promote.WithLabelValues("refused")
	m.hash = histogram("etcd_mvcc_hash_duration_seconds", "How long it took to hash all there is.", .01, 15)
	m.hashRevision = histogram("etcd_mvcc_hash_rev_duration_seconds", "How long it took to hash what is there up to a revision.", .01, 15)
	m.defragment = histogram("etcd_disk_backend_defrag_duration_seconds", "How long Defragment took, which gives memory back.", .1, 13)
	m.copies = histogram("etcd_disk_backend_snapshot_duration_seconds", "How long it took to send a snapshot for etcd.", .01, 17)
	m.defragmenting = gauge("etcd_disk_defrag_inflight", "Whether a Defragment is under way.")
	m.leaseTTL = histogram("etcd_debugging_lease_ttl_total", "The TTLs of leases that were granted here, in seconds.", 1, 24)
	m.events = counter("etcd_debugging_mvcc_events_total", "Events that were sent to etcd's clients.")
	const loop = "etcd_debugging_server_watch_send_loop_"
	m.sendEvents = histogram(loop+"watch_stream_duration_seconds", "How long it took to hand one delivery of events to gRPC.", .001, 14)
	m.perEvent = histogram(loop+"watch_stream_duration_per_event_seconds", "The same for each event, on the average of a delivery.", .001, 14)
	m.sendAnswers = histogram(loop+"control_stream_duration_seconds", "How long it took to hand over what is no event.", .001, 14)
	m.sendProgress = histogram(loop+"progress_duration_seconds", "How long it took to hand over a notice of progress.", .001, 14)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), memberCollector{m},
	)
	return m
}

// handler serves them. A few at a time are enough for anybody.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: limits.MetricsReaders, ErrorHandling: promhttp.ContinueOnError})
}

// probe counts a check of /livez or /readyz.
func (m *metrics) probe(of, name string, well bool) {
	came := "error"
	if well {
		came = "success"
	}
	m.probes.WithLabelValues(of, name).Set(truth(well))
	m.probed.WithLabelValues(of, name, came).Inc()
}

// delivered counts what a stream of watches was handed.
func (m *metrics) delivered(n *notice, began time.Time) {
	took := since(began)
	switch {
	case n.answer != nil:
		m.sendAnswers.Observe(took)
	case n.Kind == kv.WatchProgressed:
		m.sendProgress.Observe(took)
	case n.Kind != kv.WatchEvents:
		m.sendAnswers.Observe(took)
	default:
		events := eventsIn(n.Events)
		m.events.Add(float64(events * len(n.IDs)))
		m.sendEvents.Observe(took)
		m.perEvent.Observe(took / float64(max(events, 1)))
	}
}

// eventsIn is how many events there are in a delivery, each a field of a WatchResponse.
func eventsIn(events []byte) (n int) {
	for len(events) > 0 {
		_, _, size := protowire.ConsumeField(events)
		if size < 0 {
			return n
		}
		events = events[size:]
		n++
	}
	return n
}

// rpcMeter counts one RPC.
type rpcMeter struct {
	m                *metrics
	started, in, out prometheus.Counter
	handled          [codes.Unauthenticated + 1]prometheus.Counter
	handling         prometheus.Observer
	duration         [2]prometheus.Observer // of those that failed, and of those that did not; nil where etcd has none
	ranges           [2]prometheus.Observer
	failures         [2]prometheus.Counter // of streams: to receive, to send
	kind             int                   // of clientVersions
}

// durationTypes are the requests of which etcd has the duration beside gRPC's, by their RPC.
var durationTypes = map[string]string{
	"Range": "Range", "Put": "Put", "DeleteRange": "DeleteRange", "Txn": "Txn", "Compact": "Compaction", "LeaseGrant": "LeaseGrant",
	"LeaseRevoke": "LeaseRevoke", "Alarm": "Alarm",
}

// of finds what counts an RPC.
func (m *metrics) of(service, name, kind string) *rpcMeter {
	r := &rpcMeter{
		m: m, started: m.started.WithLabelValues(kind, service, name), in: m.messagesIn.WithLabelValues(kind, service, name),
		out: m.messagesOut.WithLabelValues(kind, service, name), handling: m.handling.WithLabelValues(kind, service, name),
	}
	for code := range r.handled {
		r.handled[code] = m.handled.WithLabelValues(kind, service, name, codes.Code(code).String())
	}
	for i := range 2 {
		success := strconv.FormatBool(i == 1)
		if as := durationTypes[name]; as != "" {
			r.duration[i] = m.durations.WithLabelValues(as, success)
		}
		if name == "Range" || name == "RangeStream" {
			r.ranges[i] = m.rangeDurations.WithLabelValues(success)
		}
	}
	if kind != unaryKind {
		r.kind = 1
		api := strings.ToLower(name)
		if name == "LeaseKeepAlive" {
			api = "lease-keepalive"
		}
		for i, way := range []string{"receive", "send"} {
			r.failures[i] = m.streamFailures.WithLabelValues(way, api)
		}
	}
	return r
}

// What kinds of RPCs there are, in the words of gRPC's own metrics.
const (
	unaryKind  = "unary"
	clientKind = "client_stream"
	serverKind = "server_stream"
	bidiKind   = "bidi_stream"
)

func streamKind(s *grpc.StreamDesc) string {
	switch {
	case s.ClientStreams && s.ServerStreams:
		return bidiKind
	case s.ClientStreams:
		return clientKind
	default:
		return serverKind
	}
}

// countedStream counts the messages of a stream.
type countedStream struct {
	grpc.ServerStream
	r     *rpcMeter
	share *share
	taken atomic.Int64 // by RecvMsg
}

// end gives back what was taken: the stream is over.
func (s *countedStream) end() { s.share.takes(-s.taken.Swap(0)) }

// RecvMsg implements grpc.ServerStream.
func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	switch {
	case err == nil:
		s.r.in.Inc()
		if s.share != nil {
			n := sizeInStream(m)
			s.taken.Add(n)
			s.share.takes(n)
		}
	case !errors.Is(err, io.EOF) && codeOf(err) != codes.Canceled:
		s.r.failures[0].Inc()
	}
	return err
}

// SendMsg implements grpc.ServerStream.
func (s *countedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(counted(m, s.share))
	switch {
	case err == nil:
		s.r.out.Inc()
	case codeOf(err) != codes.Canceled:
		s.r.failures[1].Inc()
	}
	return err
}

// ended counts the end of an RPC that was begun at a time.
func (r *rpcMeter) ended(began time.Time, err error) {
	took := time.Since(began).Seconds()
	code := codeOf(err)
	if int(code) >= len(r.handled) {
		code = codes.Unknown
	}
	r.handled[code].Inc()
	r.handling.Observe(took)
	well := 0
	if err == nil {
		well = 1
	}
	if d := r.duration[well]; d != nil {
		d.Observe(took)
	}
	if d := r.ranges[well]; d != nil {
		d.Observe(took)
	}
}

// codeOf is the code that gRPC tells a client.
func codeOf(err error) codes.Code {
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// clientVersions counts requests by the version that the client's library says. It is a client's word: what is no version of etcd's
// API is none, and further ones than limits.EtcdClientVersions are counted together.
type clientVersions struct {
	all  atomic.Pointer[map[string]*[2]prometheus.Counter] // a map never changes, but is replaced
	none *[2]prometheus.Counter                            // of what is no version
	mu   sync.Mutex
}

// count counts a request by what its metadata says.
func (m *metrics) count(ctx context.Context, r *rpcMeter) {
	version := ""
	if said := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(said) > 0 {
		version = said[0]
	}
	one := (*m.versions.all.Load())[version]
	if one == nil {
		one = m.version(version)
	}
	one[r.kind].Inc()
}

func (m *metrics) version(version string) *[2]prometheus.Counter {
	if !isVersion(version) {
		return m.versions.none
	}
	m.versions.mu.Lock()
	defer m.versions.mu.Unlock()
	known := *m.versions.all.Load()
	if len(known) >= limits.EtcdClientVersions && known[version] == nil {
		version = "other"
	}
	if one := known[version]; one != nil {
		return one
	}
	next := make(map[string]*[2]prometheus.Counter, len(known)+1)
	for k, v := range known {
		next[k] = v
	}
	one := m.requestsOf(version)
	next[version] = one
	m.versions.all.Store(&next)
	return one
}

func (m *metrics) requestsOf(version string) *[2]prometheus.Counter {
	return &[2]prometheus.Counter{m.requests.WithLabelValues("unary", version), m.requests.WithLabelValues("stream", version)}
}

// isVersion says that a text is two or three numbers, as in 3.7.
func isVersion(text string) bool {
	if len(text) > len("999.999.999") {
		return false
	}
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if n, err := strconv.ParseUint(part, 10, 16); err != nil || n > 999 {
			return false
		}
	}
	return len(parts) == 2 || len(parts) == 3
}

// memberCollector tells what the member counts, when somebody looks.
type memberCollector struct{ m *metrics }

// Describe implements prometheus.Collector: with nothing, what comes is not checked before.
func (memberCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c memberCollector) Collect(to chan<- prometheus.Metric) {
	t := telling{to: to}
	own, v := c.m.s.config.Member.Metrics(), c.m.s.config.Member.View()
	own.WritesFailed += c.m.s.calls.writesFailed.Load()
	own.ReadsFailed += c.m.s.calls.readsFailed.Load()
	self := fmt.Sprintf("%016x", own.ID)
	learner, _ := c.m.s.learner()
	t.raft(&own, self, learner)
	t.peers(&own, self)

	t.histogram("etcd_disk_wal_fsync_duration_seconds", "How long it took to write to the log and make it durable: one sync for all that waited.", &own.Syncs)
	t.gauge("etcd_disk_wal_write_bytes_total", "Bytes of records that were made durable.", float64(own.SyncBytes))
	t.histogram("etcd_disk_backend_commit_duration_seconds", "How long it took to apply a batch of what was agreed on, until those who asked have their answers: what is written to the disk then is the log.", &own.Batches)
	t.histogram("etcd_server_apply_duration_seconds", "The same.", &own.Batches, "version", "v3", "op", "batch", "success", "true")
	t.histogram("etcd_snap_db_save_total_duration_seconds", "How long it took to save a snapshot, with rests for what is more urgent.", &own.Saves)

	counts := v.Counts()
	t.gauge("etcd_mvcc_db_total_size_in_bytes", "What keys, values, history and leases weigh, as the quota counts.", float64(max(own.UsedBytes, 1)))
	t.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "What of it is live.", float64(min(max(v.LiveUsedBytes(), 1), max(own.UsedBytes, 1))))
	t.gauge("etcd_server_quota_backend_bytes", "At what weight NOSPACE is raised; 0 is never.", float64(own.QuotaBytes))
	t.counter("etcd_mvcc_range_total", "Ranges of etcd's clients.", float64(c.m.ranges.Load()))
	t.counter("etcd_mvcc_put_total", "Keys that were put, those of transactions, too.", float64(counts.Puts))
	t.counter("etcd_mvcc_delete_total", "Deletes, those of transactions, too.", float64(counts.Deletes))
	t.counter("etcd_mvcc_txn_total", "Transactions.", float64(counts.Transactions+c.m.reads.Load()))
	t.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values that were put.", float64(counts.PutBytes))
	t.gauge("etcd_debugging_mvcc_keys_total", "Keys.", float64(own.Keys))
	t.gauge("etcd_debugging_mvcc_current_revision", "The newest revision.", float64(own.Revision))
	t.gauge("etcd_debugging_mvcc_compact_revision", "The compacted revision; -1 before any.", float64(compactedOf(v)))
	t.gauge("etcd_debugging_mvcc_watcher_total", "Watches, of all clients.", float64(own.Watches))
	t.gauge("etcd_debugging_mvcc_watch_stream_total", "Streams of watches of etcd's clients.", float64(c.m.streams.Load()))
	t.counter("etcd_debugging_lease_granted_total", "Leases that were granted.", float64(counts.Grants))
	t.counter("etcd_debugging_lease_revoked_total", "Leases that have ended.", float64(counts.Revokes))
	t.counter("etcd_debugging_lease_renewed_total", "Renewals by this member's clock, while it leads.", float64(own.Renewals))
	t.counter("etcd_debugging_server_lease_expired_total", "Leases that have ended because nobody renewed them.", float64(counts.Expiry))
	t.gauge("etcd_debugging_auth_revision", "The revision of users and roles: there are none.", 1)
	for _, alarm := range alarmsOf(v) {
		t.gauge("etcd_debugging_server_alarms", "Alarms of the replicated state that are raised.", 1,
			"alarm_type", alarm.Alarm.String(), "server_id", fmt.Sprintf("%016x", alarm.MemberID))
	}
	t.files()
	t.own(c.m.s, &own)
}

// raft tells where the member stands.
func (t telling) raft(own *Metrics, self string, learner bool) {
	t.gauge("etcd_server_has_leader", "Whether this member knows a leader.", truth(own.Leader != 0))
	t.gauge("etcd_server_is_leader", "Whether this member leads.", truth(own.Role == "leader"))
	t.gauge("etcd_server_is_learner", "Whether this member is a learner until somebody promotes it.", truth(learner))
	t.counter("etcd_server_leader_changes_seen_total", "How often another leader became known.", float64(own.LeaderChanges))
	t.gauge("etcd_server_id", "This member's id.", 1, "server_id", self)
	t.gauge("etcd_server_version", "The version of etcd whose API this is.", 1, "server_version", Version)
	t.gauge("etcd_server_go_version", "The version of Go.", 1, "server_go_version", runtime.Version())
	t.gauge("etcd_cluster_version", "The version of etcd whose features all members have.", 1, "cluster_version", minorOf(ClusterVersion))
	t.gauge("etcd_server_proposals_committed_total", "The newest entry of the log that a quorum has.", float64(own.Commit))
	t.gauge("etcd_server_proposals_applied_total", "The newest entry that was applied.", float64(own.Applied))
	t.gauge("etcd_server_proposals_pending", "Batches of writes that this member's clients wait for.", float64(own.WritesPending))
	t.counter("etcd_server_proposals_failed_total", "Writes that found no quorum in their time, or whose leader was replaced.", float64(own.WritesFailed))
	t.counter("etcd_server_read_indexes_failed_total", "Linearizable reads that nobody confirmed in their time.", float64(own.ReadsFailed))
	t.counter("etcd_server_slow_read_indexes_total", "Rounds for linearizable reads that took longer than an election timeout.", float64(own.ReadsSlow))
	t.counter("etcd_server_slow_apply_total", "Batches that took more than 100 ms to apply.", float64(own.BatchesSlow))
}

// peers tells of the other members, and of the snapshots that go between them.
func (t telling) peers(own *Metrics, self string) {
	t.counter("etcd_network_snapshot_send_success", "Snapshots that other members have installed.", float64(own.SnapshotsSent), "To", "all")
	t.counter("etcd_network_snapshot_send_failures", "Snapshots that other members have not installed.", float64(own.SendsFailed), "To", "all")
	t.counter("etcd_network_snapshot_receive_success", "Snapshots that this member has installed.", float64(own.SnapshotsInstalled), "From", "all")
	t.counter("etcd_network_snapshot_receive_failures", "Snapshots that this member could not receive.", float64(own.SnapshotsNotTaken), "From", "all")
	for i := range own.Peers {
		p := &own.Peers[i]
		to := fmt.Sprintf("%016x", p.ID)
		t.gauge("etcd_network_known_peers", "Other members that are known.", 1, "Local", self, "Remote", to)
		t.gauge("etcd_network_active_peers", "Whether another member is connected.", truth(p.Connected), "Local", self, "Remote", to)
		t.counter("etcd_network_peer_sent_bytes_total", "Bytes to another member.", float64(p.SentBytes), "To", to)
		t.counter("etcd_network_peer_received_bytes_total", "Bytes from another member.", float64(p.ReceivedBytes), "From", to)
		t.counter("etcd_network_peer_sent_failures_total", "Messages to another member that could not be sent: no connection, or no room.", float64(p.NotSent), "To", to)
		t.histogram("etcd_network_peer_round_trip_time_seconds", "The connection's round trip, looked at once a second.", &p.RoundTrips, "To", to)
		t.gauge("qkv_peer_queued_bytes", "Bytes that wait to be sent to another member.", float64(p.Queued), "to", to)
		t.counter("qkv_peer_sent_frames_total", "Frames to another member.", float64(p.SentFrames), "to", to)
		t.gauge("qkv_peer_packets_sent", "Packets of the present connection.", float64(p.PacketsSent), "to", to)
		t.gauge("qkv_peer_packets_lost", "Those of them that were lost.", float64(p.PacketsLost), "to", to)
	}
}

// files tells how many files are open.
func (t telling) files() {
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		t.gauge("os_fd_used", "Open files.", float64(len(open)-1)) // one is that of the folder
	}
	var most syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most) == nil {
		t.gauge("os_fd_limit", "How many may be open.", float64(most.Cur))
	}
}

// own tells what etcd has not.
func (t telling) own(s *Server, own *Metrics) {
	t.gauge("qkv_build_info", "The version of qkv, and the member's name.", 1, "version", own.Version, "name", own.Name)
	for _, role := range []string{"leader", "follower", "candidate", "learner", "refused"} {
		t.gauge("qkv_role", "What this member is in raft: one of them is 1.", truth(own.Role == role), "role", role)
	}
	t.gauge("qkv_term", "The term.", float64(own.Term))
	raised := map[[2]string]bool{}
	for _, a := range own.Alarms {
		one := [2]string{a.Name, fmt.Sprintf("%016x", a.Member)}
		if raised[one] { // with another text
			continue
		}
		raised[one] = true
		t.gauge("qkv_alarm", "What an operator must know of this member.", 1, "name", one[0], "member", one[1])
	}
	for i := range own.Stages {
		t.histogram("qkv_write_stage_seconds", "How long the parts of a write take, of some of those whose clients are connected here.", &own.Stages[i].Times, "stage", own.Stages[i].Name)
	}
	t.gauge("qkv_log_bytes", "Bytes of the log's files.", float64(own.LogBytes))
	t.gauge("qkv_snapshot_bytes", "Bytes of the newest snapshot.", float64(own.SnapshotBytes))
	t.gauge("qkv_history_bytes", "What versions weigh that were superseded.", float64(own.HistoryBytes))
	t.gauge("qkv_history_age_seconds", "Since the oldest revision that can be read was written.", own.HistoryAge.Seconds())
	t.gauge("qkv_leases", "Leases.", float64(own.Leases))
	t.gauge("qkv_sessions", "Sessions of clients whose writes are made once.", float64(own.Sessions))
	t.gauge("qkv_log_sync_p99_seconds", "What 99 of 100 syncs of the last minute did not exceed.", own.SyncP99.Seconds())
	t.gauge("qkv_certificate_not_after_seconds", "When this member's certificate ends, since 1970.", float64(own.CertificateEnds.Unix()))
	for name, n := range own.Mailboxes {
		t.gauge("qkv_mailbox_messages", "Messages that wait for an actor.", float64(n), "actor", name)
	}
	const connections, requests = "qkv_client_connections", "qkv_client_requests"
	t.gauge(connections, "Connections of clients.", float64(own.Native.Connections), "protocol", "qkv")
	t.gauge(connections, "Connections of clients.", float64(s.port.count()), "protocol", "etcd")
	t.gauge(requests, "Requests under way.", float64(own.Native.Requests), "protocol", "qkv")
	t.gauge(requests, "Requests under way.", float64(s.requests.Load()), "protocol", "etcd")
	t.gauge("qkv_client_handshakes", "Handshakes of qkv's clients under way.", float64(own.Native.Handshakes))
	t.gauge("qkv_client_memory_bytes", "Memory that qkv's clients use.", float64(own.Native.Bytes))
	t.counter("qkv_client_connections_total", "Connections of qkv's clients.", float64(own.Native.Accepted))
	t.counter("qkv_range_rows_total", "Keys that ranges of qkv's clients looked at, about.", float64(own.Native.RangeRows))
	t.gauge("qkv_client_message_bytes", "What requests of etcd's clients hold that are not whole, and answers that are not read.", float64(s.memory.total.Load()))
	t.gauge("qkv_watch_waiting_bytes", "Bytes of events that wait to be sent to etcd's clients.", float64(s.watchBytes.Load()))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// telling hands over numbers.
type telling struct{ to chan<- prometheus.Metric }

func (t telling) gauge(name, help string, value float64, labels ...string) {
	t.tell(prometheus.GaugeValue, name, help, value, labels)
}

func (t telling) counter(name, help string, value float64, labels ...string) {
	t.tell(prometheus.CounterValue, name, help, value, labels)
}

// tell takes labels as name, value, name, value.
func (t telling) tell(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	names, values := split(labels)
	t.to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

func (t telling) histogram(name, help string, times *meter.Times, labels ...string) {
	names, values := split(labels)
	buckets := make(map[float64]uint64, len(times.Ends))
	for i, end := range times.Ends {
		if end > 0 { // of one that counts nothing there are none
			buckets[end.Seconds()] = times.Through[i]
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

// since is for how long something has been going on, in seconds.
func since(began time.Time) float64 { return time.Since(began).Seconds() }
