package etcd

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
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
	"qkv/internal/meter"
	"qkv/net/etcd/front"
)

// Metrics holds the member's metrics, in addition to its status and its View.
type Metrics struct {
	kv.Status

	WritesFailed, ReadsFailed, ReadsSlow  uint64
	WritesPending                         int64 // batches
	Renewals, LateBeats                   uint64
	BatchesSlow                           uint64
	Batches, Applies                      meter.Times
	Syncs, Saves, SaveSyncs               meter.Times
	Installing                            bool
	Stages                                []StageMetrics
	SyncBytes                             int64
	SnapshotsSent, SendsFailed            uint64
	SnapshotsInstalled, SnapshotsNotTaken uint64
	SendErrors                            map[syscall.Errno]uint64
	CertificateEnds                       time.Time
	Peers                                 []PeerMetrics
	Native                                NativeMetrics
	Mailboxes                             map[string]int // waiting messages, by actor
}

// StageMetrics holds the metrics of one stage of a write.
type StageMetrics struct {
	Name  string
	Times meter.Times
}

// PeerMetrics holds the metrics of the connection to another member.
type PeerMetrics struct {
	ID                                            uint64
	Connected                                     bool
	SentBytes, ReceivedBytes, SentFrames, NotSent uint64
	Queued                                        int64 // bytes
	RoundTrips                                    meter.Times
	PacketsSent, PacketsLost                      uint64 // of this connection
}

// NativeMetrics holds the metrics of the endpoint of qkv's own clients.
type NativeMetrics struct {
	Connections, Handshakes, Requests, Bytes, RangeRows int64
	Accepted                                            uint64
}

// metrics is the content of /metrics. The endpoint counts its own events in counters whose labels are resolved once; the member is queried
// at each scrape. Clients choose no label values, except their library's version, of which at most etcdClientVersions are kept.
type metrics struct {
	s        *core
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
	reads                                           atomic.Uint64 // transactions without changes
}

func newMetrics(s *core) *metrics {
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
	m.started = counters("grpc_server_started_total", "RPCs that have begun.", rpc...)
	m.handled = counters("grpc_server_handled_total", "RPCs that have ended, by status code.", append(rpc, "grpc_code")...)
	m.messagesIn = counters("grpc_server_msg_received_total", "Messages from clients.", rpc...)
	m.messagesOut = counters("grpc_server_msg_sent_total", "Messages to clients.", rpc...)
	m.handling = histograms("grpc_server_handling_seconds", "Duration of RPCs.", prometheus.DefBuckets, rpc...)
	m.durations = histograms("etcd_server_request_duration_seconds", "Duration of requests of etcd's clients.", prometheus.ExponentialBuckets(0.000125, 2, 17), "type", "success")
	m.rangeDurations = histograms("etcd_server_range_duration_seconds", "Duration of ranges of etcd's clients.", prometheus.ExponentialBuckets(0.0001, 2, 20), "success")
	m.streamFailures = counters("etcd_network_server_stream_failures_total", "Streams that have ended with an error.", "Type", "API")
	m.requests = counters("etcd_server_client_requests_total", "Requests by the version of the client's library.", "type", "client_api_version")
	m.versions.none = m.requestsOf("unknown")
	m.versions.all.Store(&map[string]*[2]prometheus.Counter{})
	m.healthy = counter("etcd_server_health_success", "Times that /health answered 200.")
	m.unhealthy = counter("etcd_server_health_failures", "Times that /health answered 503.")
	m.probed = counters("etcd_server_healthchecks_total", "Checks of /livez and /readyz, by result.", "type", "name", "status")
	m.probes = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_server_healthcheck", Help: "Result of the last check: 1 is success."}, []string{"type", "name"})
	m.registry.MustRegister(m.probes)
	m.promoted = counter("etcd_server_learner_promote_successes", "Learners that this member has promoted.")
	promote := counters("etcd_server_learner_promote_failures", "Promotions of learners that failed at this member.", "Reason")
	m.notPromoted = promote.WithLabelValues("refused")
	m.hash = histogram("etcd_mvcc_hash_duration_seconds", "Duration of a hash of the whole state.", .01, 15)
	m.hashRevision = histogram("etcd_mvcc_hash_rev_duration_seconds", "Duration of a hash of the state up to a revision.", .01, 15)
	m.defragment = histogram("etcd_disk_backend_defrag_duration_seconds", "Duration of Defragment, which returns memory to the system.", .1, 13)
	m.copies = histogram("etcd_disk_backend_snapshot_duration_seconds", "Duration of sending a snapshot in etcd's format.", .01, 17)
	m.defragmenting = gauge("etcd_disk_defrag_inflight", "1 while a Defragment is running.")
	m.leaseTTL = histogram("etcd_debugging_lease_ttl_total", "TTLs in seconds of the leases that this member granted.", 1, 24)
	m.events = counter("etcd_debugging_mvcc_events_total", "Events that were sent to etcd's clients.")
	const loop = "etcd_debugging_server_watch_send_loop_"
	m.sendEvents = histogram(loop+"watch_stream_duration_seconds", "Duration of handing one batch of events to gRPC.", .001, 14)
	m.perEvent = histogram(loop+"watch_stream_duration_per_event_seconds", "The same for one event, as the average of a batch.", .001, 14)
	m.sendAnswers = histogram(loop+"control_stream_duration_seconds", "Duration of handing an answer without events to gRPC.", .001, 14)
	m.sendProgress = histogram(loop+"progress_duration_seconds", "Duration of handing a progress notification to gRPC.", .001, 14)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), memberCollector{m},
	)
	return m
}

const (
	// metricsReaders bounds the concurrent scrapes of the metrics. etcdClientVersions bounds the library versions by which clients are
	// counted, because the clients themselves send them.
	metricsReaders     = 4
	etcdClientVersions = 16
)

// handler serves the metrics, to a few readers at a time.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsReaders, ErrorHandling: promhttp.ContinueOnError})
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

// delivered counts the deliveries to a stream of watches.
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
		m.s.config.Operations.Count(meter.Events, events*len(n.IDs))
		m.s.config.Operations.Observe(meter.Events, time.Since(began))
		m.sendEvents.Observe(took)
		m.perEvent.Observe(took / float64(max(events, 1)))
	}
}

// eventsIn counts the events in a delivery, each a field of a WatchResponse.
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
	operation        int  // its kind, for Config.Operations
	counted          bool // it has a kind
	m                *metrics
	started, in, out prometheus.Counter
	handled          [codes.Unauthenticated + 1]prometheus.Counter
	handling         prometheus.Observer
	duration         [2]prometheus.Observer // of failed and of successful ones; nil if etcd has none
	ranges           [2]prometheus.Observer
	failures         [2]prometheus.Counter // of streams: receive, send
	kind             int                   // of clientVersions
}

// durationTypes are the RPCs for which etcd measures the duration in addition to gRPC's.
var durationTypes = map[string]string{
	"Range": "Range", "Put": "Put", "DeleteRange": "DeleteRange", "Txn": "Txn", "Compact": "Compaction", "LeaseGrant": "LeaseGrant",
	"LeaseRevoke": "LeaseRevoke", "Alarm": "Alarm",
}

// of returns the meter of an RPC.
func (m *metrics) of(service, name, kind string) *rpcMeter {
	r := &rpcMeter{
		m: m, started: m.started.WithLabelValues(kind, service, name), in: m.messagesIn.WithLabelValues(kind, service, name),
		out: m.messagesOut.WithLabelValues(kind, service, name), handling: m.handling.WithLabelValues(kind, service, name),
	}
	r.operation, r.counted = operationKinds[name]
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

// Kinds of RPCs, as gRPC's own metrics name them.
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
	r       *rpcMeter
	account *front.Account
}

// RecvMsg implements grpc.ServerStream.
func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	switch {
	case err == nil:
		s.r.in.Inc()
	case !errors.Is(err, io.EOF) && codeOf(err) != codes.Canceled:
		s.r.failures[0].Inc()
	}
	return err
}

// SendMsg implements grpc.ServerStream.
func (s *countedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(answerOf(m).charge(s.account))
	switch {
	case err == nil:
		s.r.out.Inc()
	case codeOf(err) != codes.Canceled:
		s.r.failures[1].Inc()
	}
	return err
}

// ended counts the end of an RPC that began at a given time.
func (r *rpcMeter) ended(began time.Time, err error) {
	since := time.Since(began)
	took := since.Seconds()
	if r.counted {
		operations := r.m.s.config.Operations
		operations.Count(r.operation, 1)
		operations.Observe(r.operation, since)
	}
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

// codeOf is the code that gRPC sends to a client.
func codeOf(err error) codes.Code {
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// clientVersions counts requests by the version of the client's library. The version is not verified: a text that is not a version counts
// as no version, and versions beyond etcdClientVersions are counted together.
type clientVersions struct {
	all  atomic.Pointer[map[string]*[2]prometheus.Counter] // copy on write
	none *[2]prometheus.Counter                            // for texts that are not versions
	mu   sync.Mutex
}

// count counts a request by the version in its metadata.
func (m *metrics) count(ctx context.Context, r *rpcMeter) {
	version := ""
	if said := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(said) > 0 {
		version = said[0]
	}
	one := (*m.versions.all.Load())[version]
	switch {
	case version == "":
		one = m.versions.none
	case one == nil:
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
	if len(known) >= etcdClientVersions && known[version] == nil {
		version = "other"
	}
	if one := known[version]; one != nil {
		return one
	}
	next := make(map[string]*[2]prometheus.Counter, len(known)+1)
	maps.Copy(next, known)
	one := m.requestsOf(version)
	next[version] = one
	m.versions.all.Store(&next)
	return one
}

func (m *metrics) requestsOf(version string) *[2]prometheus.Counter {
	return &[2]prometheus.Counter{m.requests.WithLabelValues("unary", version), m.requests.WithLabelValues("stream", version)}
}

// isVersion tells whether a text is two or three numbers, as in 3.7.
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

// operationKinds are the kinds of operations of clients.
var operationKinds = map[string]int{"Put": meter.Puts, "DeleteRange": meter.Puts, "Txn": meter.Puts, "Range": meter.Gets}
