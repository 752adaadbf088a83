package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qkv/internal/testport"
	"qkv/log/disk"
	"qkv/node"
	"qkv/snapshot/backup/store"
)

// family is a metric as a member's page describes it.
type family struct {
	name, help, kind string
	labels           map[string]bool
}

// startTime limits the start of the two members.
const startTime = time.Minute

// scrape returns every metric that members have. It starts two members and reads the first one's page twice: while it waits for the second
// one, under the notice FOUNDING, and after both have met.
func scrape() (families map[string]*family, err error) {
	dir, err := os.MkdirTemp("", "qkv-monitoring-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, end := context.WithTimeout(context.Background(), startTime)
	defer end()
	configs, err := pair(dir)
	if err != nil {
		return nil, err
	}
	families = map[string]*family{}
	for _, c := range configs {
		n, err := node.Start(ctx, c)
		if err != nil {
			return nil, err
		}
		defer func() { _ = n.Stop(ctx) }()
		if c.Name == configs[0].Name {
			err = read(configs[0].Listen, families, "qkv_alarm")
		} else if err = n.Ready(ctx); err == nil {
			err = raiseAlarm(ctx, configs[0].Listen)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := read(configs[0].Listen, families, "etcd_network_peer_round_trip_time_seconds", "etcd_debugging_server_alarms", "qkv_peer_packets_sent", "qkv_mtu"); err != nil || families[ofLeader] != nil {
		return families, err
	}
	return families, read(configs[1].Listen, families, ofLeader)
}

// ofLeader is a metric that the leader alone has.
const ofLeader = "qkv_backup_age_seconds"

// pair returns the configurations of two members of a new cluster.
func pair(dir string) (configs []node.Config, err error) {
	addresses, err := testport.Unused(4)
	if err != nil {
		return nil, err
	}
	cluster := []node.Founder{{Name: "n1", Address: addresses[1]}, {Name: "n2", Address: addresses[3]}}
	for i, m := range cluster {
		configs = append(configs, node.Config{
			Name: m.Name, DataDir: filepath.Join(dir, m.Name), Home: filepath.Join(dir, "home"), Listen: addresses[2*i], ListenPeer: m.Address,
			InitialCluster: cluster, InitialClusterToken: "monitoring", HeartbeatInterval: 100 * time.Millisecond, ElectionTimeout: time.Second,
			WatchProgress: time.Minute, MaxRequestBytes: 1 << 20, SegmentBytes: 8 << 20, HistoryBytes: node.HistoryAuto, Version: "monitoring",
			Backup: node.BackupTarget{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour, Keep: time.Hour},
		})
	}
	return configs, nil
}

// raiseAlarm raises an alarm of etcd's API: its metric exists only then.
func raiseAlarm(ctx context.Context, at string) error {
	c, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := pb.NewClusterClient(c).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return err
	}
	_, err = pb.NewMaintenanceClient(c).Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: list.Members[0].ID, Alarm: pb.AlarmType_CORRUPT})
	return err
}

// read adds the metrics of a member's page, and waits for some of them.
func read(at string, families map[string]*family, wanted ...string) (err error) {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = add("http://"+at+"/metrics", families); err != nil {
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return families[name] != nil })
		if len(missing) == 0 {
			return nil
		}
		err = fmt.Errorf("the member has no metric %s", strings.Join(missing, ", "))
	}
	return err
}

// add adds the metrics of a page.
func add(url string, families map[string]*family) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(response.Body)
	for name, one := range all {
		f := families[name]
		if f == nil {
			f = &family{name: name, help: one.GetHelp(), kind: strings.ToLower(one.GetType().String()), labels: map[string]bool{}}
			families[name] = f
		}
		for _, sample := range one.GetMetric() {
			for _, label := range sample.GetLabel() {
				f.labels[label.GetName()] = true
			}
		}
	}
	return err
}

// sections are the tables of the page: metrics by the beginning of their name.
var sections = []struct {
	prefix, title, text string
	used                bool // the section has only metrics that a rule or a dashboard uses
}{
	{"qkv_", "qkv's own", "", false},
	{"etcd_", "With etcd's names", "These have etcd's names, so that its dashboards and rules work. [Monitoring](monitoring.md#what-etcds-metrics-measure-in-qkv) explains the\ndifferences.", false},
	{"grpc_", "gRPC", "Requests of etcd's clients. qkv's own clients are in `qkv_client_*`.", false},
	{"os_", "Open files", "", false},
	{"process_", "The process", "Prometheus' library for Go adds these and more: which ones depends on its version and on the kernel.", true},
	{"go_", "The runtime of Go", "The same library adds these and more.", true},
}

// metricsPage returns the page of all metrics.
func metricsPage(families map[string]*family) []byte {
	var b strings.Builder
	b.WriteString("# Metrics\n\nEvery metric of a member's page `/metrics`. [Monitoring](monitoring.md) says how to scrape it, and which alerts and\ndashboards use the metrics. A histogram `NAME` has the series `NAME_bucket`, `NAME_sum` and `NAME_count`.\n\nThis page is generated from a running member by `make monitoring`.\n")
	used := usedMetrics()
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		if s.text != "" {
			fmt.Fprintf(&b, "%s\n\n", s.text)
		}
		b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if f := families[name]; strings.HasPrefix(name, s.prefix) && (!s.used || slices.Contains(used, name)) {
				labels := strings.Join(slices.Sorted(maps.Keys(f.labels)), ", ")
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, f.kind, labels, strings.TrimSuffix(f.help, "."))
			}
		}
	}
	return []byte(b.String())
}
