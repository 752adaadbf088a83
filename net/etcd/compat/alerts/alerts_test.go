//go:build prometheus

package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-jsonnet"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/teststorage"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qkv/net/etcd/compat/member"
)

func TestMain(m *testing.M) {
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

const (
	// round is the time between two scrapes, as Prometheus sees it: etcd's rules suppose 30 s. What it is by the wall's clock
	// is another matter.
	round = 30 * time.Second
	// job has "etcd" in it: the rules' selector.
	job = "qkv-etcd"
)

// rule is one alert of etcd's mixin.
type rule struct {
	Alert, Expr, For string
	Labels           struct{ Severity string }
}

func (r rule) String() string { return r.Alert + " (" + r.Labels.Severity + ")" }

// rounds is how many scrapes in a row must give a result before the alert fires.
func (r rule) rounds(t *testing.T) int {
	d, err := model.ParseDuration(r.For)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return int(time.Duration(d) / round)
}

// mixin is the folder of etcd's mixin.
func mixin(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-modfile=alerts/prometheus.mod", "-json", "go.etcd.io/etcd/v3")
	cmd.Dir = ".."
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err = errors.Join(err, json.Unmarshal(out, &module)); err != nil {
		t.Fatalf("where etcd's module is: %v\n%s", err, out)
	}
	return filepath.Join(module.Dir, "contrib", "mixin")
}

// evaluate makes JSON of jsonnet.
func evaluate(t *testing.T, importer jsonnet.Importer, program string, to any) {
	t.Helper()
	vm := jsonnet.MakeVM()
	vm.Importer(importer)
	text, err := vm.EvaluateAnonymousSnippet("test", program)
	if err = errors.Join(err, json.Unmarshal([]byte(text), to)); err != nil {
		t.Fatal(err)
	}
}

// rules are the alerts, in order.
func rules(t *testing.T) []rule {
	t.Helper()
	var groups []struct{ Rules []rule }
	evaluate(t, &jsonnet.FileImporter{JPaths: []string{mixin(t)}},
		"((import 'config.libsonnet') + (import 'alerts/alerts.libsonnet')).prometheusAlerts.groups", &groups)
	if len(groups) != 1 || len(groups[0].Rules) < 13 {
		t.Fatalf("etcd's mixin has other rules than it had: %+v", groups)
	}
	return groups[0].Rules
}

// prometheusServer is a Prometheus whose clock goes on by a round at each scrape.
type prometheusServer struct {
	t       *testing.T
	storage *teststorage.TestStorage
	engine  *promql.Engine
	cluster *member.Cluster
	now     time.Time
	// change, where it is set, replaces what a member said.
	change func(l labels.Labels, v float64) float64
}

func newPrometheus(t *testing.T, c *member.Cluster) *prometheusServer {
	return &prometheusServer{
		t: t, storage: teststorage.New(t), cluster: c, now: time.Unix(1_700_000_000, 0),
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
			NoStepSubqueryIntervalFn: func(int64) int64 { return round.Milliseconds() },
		}),
	}
}

// scrape asks every member once.
func (p *prometheusServer) scrape() {
	p.t.Helper()
	p.now = p.now.Add(round)
	a := p.storage.Appender(p.t.Context())
	add := func(l labels.Labels, v float64) {
		if _, err := a.Append(0, l, p.now.UnixMilli(), v); err != nil {
			p.t.Fatalf("%v: %v", l, err)
		}
	}
	for _, m := range p.cluster.Members {
		text, contentType, err := get("http://" + m.Client + "/metrics")
		up := 1.0
		if err != nil {
			up = 0
		}
		add(labels.FromStrings(labels.MetricName, "up", "job", job, "instance", m.Name), up)
		if err == nil {
			p.samples(text, contentType, m.Name, add)
		}
	}
	if err := a.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// samples reads a member's page.
func (p *prometheusServer) samples(text []byte, contentType, instance string, add func(labels.Labels, float64)) {
	p.t.Helper()
	page, err := textparse.New(text, contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	for {
		entry, err := page.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.t.Fatalf("%s: %v", instance, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		page.Labels(&l)
		_, _, v := page.Series()
		b := labels.NewBuilder(l)
		b.Set("job", job)
		b.Set("instance", instance)
		l = b.Labels()
		if p.change != nil {
			v = p.change(l, v)
		}
		add(l, v)
	}
}

func get(url string) (text []byte, contentType string, err error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, "", errors.New(response.Status)
	}
	text, err = io.ReadAll(response.Body)
	return text, response.Header.Get("Content-Type"), err
}

// query is what an expression gives at a time.
func (p *prometheusServer) query(expr string, at time.Time) promql.Vector {
	p.t.Helper()
	q, err := p.engine.NewInstantQuery(p.t.Context(), p.storage, nil, expr, at)
	if err != nil {
		p.t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	vector, err := q.Exec(p.t.Context()).Vector()
	if err != nil {
		p.t.Fatalf("%s: %v", expr, err)
	}
	return vector
}

// fires tells whether a rule does after the last scrape: its expression gave something at each for as long as it says.
func (p *prometheusServer) fires(r rule) bool {
	for i := range r.rounds(p.t) + 1 {
		if len(p.query(r.Expr, p.now.Add(-time.Duration(i)*round))) == 0 {
			return false
		}
	}
	return true
}

// usual is the rule for what is usual: of times the median, where it looks at the slowest in a hundred. A host that is busy with
// something else is slow now and then, and then a rule is right to fire; one that is slow most of the time is not.
func (r rule) usual() rule {
	r.Expr = strings.ReplaceAll(r.Expr, "histogram_quantile(0.99,", "histogram_quantile(0.5,")
	return r
}

// tempFolder stands in a story's flags for a folder of its own.
const tempFolder = "TEMP-FOLDER"

// story is what happens to a cluster, and what fires at its end.
type story struct {
	name    string
	members int
	flags   []string
	// happens ends with the last scrape.
	happens func(w *world)
	fire    []string
}

// world is a cluster with its clients and its Prometheus.
type world struct {
	*prometheusServer
	connections []*grpc.ClientConn
	failed      atomic.Int64
	folder      string // in flags: tempFolder
}

func newWorld(t *testing.T, members int, flags ...string) *world {
	t.Helper()
	folder := t.TempDir()
	given := make([]string, len(flags))
	for i, flag := range flags {
		given[i] = strings.ReplaceAll(flag, tempFolder, folder)
	}
	c := member.Start(t, member.QKV, members, given...)
	w := &world{prometheusServer: newPrometheus(t, c), folder: folder}
	for _, m := range c.Members {
		connection, err := grpc.NewClient(m.Client, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		w.connections = append(w.connections, connection)
	}
	return w
}

// put writes at a member.
func (w *world) put(at int, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	_, err := pb.NewKVClient(w.connections[at]).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: value})
	return err
}

// mustPut is put where nothing is wrong.
func (w *world) mustPut(key string, value []byte) {
	w.t.Helper()
	if err := w.put(0, key, value); err != nil {
		w.t.Fatal(err)
	}
}

// quietly writes now and then while that many scrapes are made.
func (w *world) quietly(scrapes int) {
	w.t.Helper()
	for i := range scrapes {
		w.mustPut(fmt.Sprint("quiet/", i%10), []byte("value"))
		w.scrape()
	}
}

// failing makes writes at a member, which find no quorum, until the story's end. They have all failed by then.
func (w *world) failing(at int) (end func()) {
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				for range 12 {
					all.Go(func() {
						if w.put(at, "failing", []byte("value")) != nil {
							w.failed.Add(1)
						}
					})
				}
			}
		}
	})
	return func() {
		close(stop)
		all.Wait()
	}
}

// leader is the place of the leader among the members.
func (w *world) leader() (at int, id uint64) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for i, c := range w.connections {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
			status, err := pb.NewMaintenanceClient(c).Status(ctx, &pb.StatusRequest{})
			cancel()
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				return i, status.Leader
			}
		}
	}
	w.t.Fatal("nobody leads")
	return 0, 0
}

// raise raises an alarm at the first member.
func (w *world) raise() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	status, err := pb.NewMaintenanceClient(w.connections[0]).Status(ctx, &pb.StatusRequest{})
	if err == nil {
		_, err = pb.NewMaintenanceClient(w.connections[0]).Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: status.Header.MemberId, Alarm: pb.AlarmType_CORRUPT})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// moveLeader gives leadership to somebody else. On a busy host it may have moved by itself in between.
func (w *world) moveLeader() {
	w.t.Helper()
	for range 10 {
		at, id := w.leader()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		err := moveLeader(ctx, w.connections[at], id)
		cancel()
		if err == nil {
			return
		}
		w.t.Log(err)
	}
	w.t.Fatal("leadership does not move")
}

func moveLeader(ctx context.Context, leader *grpc.ClientConn, id uint64) error {
	list, err := pb.NewClusterClient(leader).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list.Members, func(m *pb.Member) bool { return m.ID != id })
	_, err = pb.NewMaintenanceClient(leader).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: list.Members[at].ID})
	return err
}

// slow makes everything that a histogram has seen slower than its buckets below two seconds.
func slow(names ...string) func(l labels.Labels, v float64) float64 {
	return func(l labels.Labels, v float64) float64 {
		var le float64
		if !slices.Contains(names, strings.TrimSuffix(l.Get(labels.MetricName), "_bucket")) || l.Get("le") == "+Inf" {
			return v
		}
		if _, err := fmt.Sscan(l.Get("le"), &le); err == nil && le < 2 {
			return 0
		}
		return v
	}
}

var stories = []story{
	{"nothing is wrong", 3, nil, func(w *world) { w.quietly(60) }, nil},
	{"a member is dead", 3, nil, func(w *world) {
		w.quietly(10)
		at, _ := w.leader()
		w.cluster.Members[2].Kill()
		if at == 2 {
			w.leader()
		}
		for at := range 2 {
			w.shows(at, `etcd_network_active_peers\{[^}]*\} 0`)
		}
		w.quietly(42)
	}, []string{"etcdMembersDown (warning)", "QkvMemberDown (warning)", "QkvPeerUnreachable (warning)"}},
	{"the quorum is lost", 3, nil, func(w *world) {
		w.quietly(10)
		w.cluster.Members[1].Kill()
		w.cluster.Members[2].Kill()
		end := w.failing(0)
		for range 52 { // 300 failures each are 10 a second, as Prometheus sees it
			for before := w.failed.Load(); w.failed.Load() < before+300; {
				time.Sleep(10 * time.Millisecond)
			}
			w.scrape()
		}
		end()
	}, []string{
		"etcdMembersDown (warning)", "etcdInsufficientMembers (critical)", "etcdNoLeader (critical)",
		"etcdHighNumberOfFailedGRPCRequests (warning)", "etcdHighNumberOfFailedGRPCRequests (critical)",
		"etcdGRPCRequestsSlow (critical)", "etcdHighNumberOfFailedProposals (warning)",
		"QkvMemberDown (warning)", "QkvNoQuorum (critical)", "QkvNoLeader (critical)", "QkvPeerUnreachable (warning)", "QkvWritesFail (warning)",
	}},
	{"leadership moves", 3, nil, func(w *world) {
		w.quietly(10)
		for range 20 {
			w.moveLeader()
			w.leader()
			w.scrape()
		}
	}, []string{"etcdHighNumberOfLeaderChanges (warning)", "QkvLeaderChanges (warning)"}},
	{"the quota is near", 1, []string{"--quota-bytes", "16777216"}, func(w *world) {
		w.quietly(5)
		value := bytes.Repeat([]byte("v"), 512<<10)
		for i := range 31 { // and a key more is past it
			w.mustPut(fmt.Sprint("full/", i), value)
			w.scrape()
		}
		w.quietly(22)
	}, []string{"etcdDatabaseQuotaLowSpace (critical)", "etcdExcessiveDatabaseGrowth (warning)", "QkvQuotaLow (warning)"}},
	{"the quota is reached", 1, []string{"--quota-bytes", "16777216"}, func(w *world) {
		value := bytes.Repeat([]byte("v"), 512<<10)
		for i := range 40 {
			if err := w.put(0, fmt.Sprint("full/", i), value); err != nil {
				break
			}
		}
		for range 25 {
			w.scrape()
		}
	}, []string{"etcdDatabaseQuotaLowSpace (critical)", "etcdExcessiveDatabaseGrowth (warning)", "QkvQuotaLow (warning)", "QkvAlarm (critical)"}},
	{"a founder waits for another", 2, []string{"--initial-cluster-token", "lonely"}, func(w *world) {
		w.quietly(5)
		for _, m := range w.cluster.Members {
			m.Kill()
		}
		if err := os.RemoveAll(w.cluster.Members[0].Dir); err != nil {
			w.t.Fatal(err)
		}
		w.cluster.Members[0].Start()
		w.shows(0, `qkv_alarm\{`)
		for range 45 {
			w.scrape()
		}
	}, []string{
		"etcdMembersDown (warning)", "etcdInsufficientMembers (critical)", "etcdNoLeader (critical)",
		"QkvMemberDown (warning)", "QkvNoQuorum (critical)", "QkvNoLeader (critical)", "QkvNotice (info)", "QkvPeerUnreachable (warning)",
	}},
	// A backup is old after minutes of the wall's clock: here the age is changed, on its way.
	{"the backup's folder vanishes", 1, []string{"--backup", tempFolder}, func(w *world) {
		w.quietly(10)
		if err := os.Rename(w.folder, w.folder+".away"); err != nil { // at once: the member writes to it
			w.t.Fatal(err)
		}
		w.shows(0, `qkv_alarm\{[^}]*name="BACKUP"`)
		w.change = func(l labels.Labels, v float64) float64 {
			if l.Get(labels.MetricName) == "qkv_backup_age_seconds" && v > 0 {
				return 301
			}
			return v
		}
		w.quietly(5)
	}, []string{"QkvAlarm (critical)", "QkvBackupOld (warning)"}},
	{"the leader has no folder for a backup, and another member has", 1, nil, func(w *world) {
		w.change = func(l labels.Labels, v float64) float64 {
			if l.Get(labels.MetricName) == "qkv_backup_configured" {
				return 1
			}
			return v
		}
		w.quietly(12)
	}, []string{"QkvNoBackup (warning)"}},
	{"most of it is history", 1, nil, func(w *world) {
		value := bytes.Repeat([]byte("v"), 1<<20)
		for range 3 {
			for i := range 110 {
				w.mustPut(fmt.Sprint("overwritten/", i), value)
			}
		}
		w.quietly(30)
	}, []string{"etcdDatabaseHighFragmentationRatio (warning)"}},
	// Disks and networks cannot be made slow everywhere: here the pages are changed, on their way.
	{"disks and networks are slow", 3, nil, func(w *world) {
		w.change = slow("etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds", "etcd_network_peer_round_trip_time_seconds")
		for range 40 {
			time.Sleep(250 * time.Millisecond) // round trips are looked at once a second, and a rate is of ten rounds
			w.quietly(1)
		}
	}, []string{
		"etcdMemberCommunicationSlow (warning)", "etcdHighFsyncDurations (warning)", "etcdHighFsyncDurations (critical)",
		"etcdHighCommitDurations (warning)", "QkvSlowDisk (warning)", "QkvSlowNetwork (warning)",
	}},
	{"a certificate expires, a peer is faulty, files and entries run away", 1, nil, func(w *world) {
		scrapes := 0.0
		w.change = func(l labels.Labels, v float64) float64 {
			switch l.Get(labels.MetricName) {
			case "qkv_certificate_not_after_seconds":
				return float64(w.now.Add(10 * 24 * time.Hour).Unix())
			case "qkv_false_claims_total":
				scrapes++
				return scrapes
			case "os_fd_used":
				return 900
			case "os_fd_limit":
				return 1000
			case "etcd_server_proposals_applied_total":
				return max(v-20_000, 0)
			case "etcd_server_proposals_committed_total":
				return v + 20_000
			}
			return v
		}
		w.quietly(130)
	}, []string{"QkvCertificateEnds (warning)", "QkvFaultyMember (critical)", "QkvOpenFiles (warning)", "QkvMemberLags (warning)"}},
}

// TestAlerts: each alert of etcd's and of qkv's fires when its cause has happened, and none of the others does.
func TestAlerts(t *testing.T) {
	all := append(rules(t), ownRules(t)...)
	for _, r := range all {
		if !slices.ContainsFunc(stories, func(s story) bool { return slices.Contains(s.fire, r.String()) }) {
			t.Errorf("%v fires in no story", r)
		}
	}
	t.Logf("%d rules of etcd's and of qkv's, %d stories", len(all), len(stories))
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s.members, s.flags...)
			s.happens(w)
			for _, r := range all {
				got, wanted := w.fires(r), slices.Contains(s.fire, r.String())
				if got && !wanted && !w.fires(r.usual()) {
					t.Logf("%v fires, since this host is slow now and then", r)
					continue
				}
				if got != wanted {
					t.Errorf("%v fires: %v\n%s\nnow: %v", r, got, r.Expr, w.query(r.Expr, w.now))
				}
			}
		})
	}
}

// TestDashboard: each query of etcd's dashboard finds something.
func TestDashboard(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(mixin(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	importer := &jsonnet.MemoryImporter{Data: map[string]jsonnet.Contents{
		"config.libsonnet":  jsonnet.MakeContents(read("config.libsonnet")),
		"targets.libsonnet": jsonnet.MakeContents(read("dashboards/targets.libsonnet")),
		// What draws the queries is another project's, and not needed.
		"./g.libsonnet": jsonnet.MakeContents("{ query: { prometheus: { new(source, expr):: { expr: expr }, withLegendFormat(format):: {} } } }"),
	}}
	var targets map[string]struct{ Expr string }
	evaluate(t, importer, "(import 'targets.libsonnet')({ datasource: { name: 'prometheus' } }, (import 'config.libsonnet')._config)", &targets)
	if len(targets) < 16 {
		t.Fatalf("etcd's dashboard has other queries than it had: %v", targets)
	}
	w := newWorld(t, 3)
	w.quietly(20)
	for name, target := range targets {
		expr := strings.NewReplacer("$cluster", job, "$__rate_interval", "2m").Replace(target.Expr)
		if len(w.query(expr, w.now)) == 0 {
			t.Errorf("%s finds nothing: %s", name, expr)
		}
	}
	t.Logf("%d queries of etcd's dashboard", len(targets))
}
