//go:build prometheus

package alerts

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// deploy is the folder of what qkv ships for Prometheus and Grafana.
const deploy = "../../../../deploy"

// ownRules are qkv's own alerts, in order, as Prometheus reads them.
func ownRules(t *testing.T) (all []rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(deploy, "prometheus", "rules.yml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			one := rule{Alert: r.Alert, Expr: r.Expr, For: r.For.String()}
			one.Labels.Severity = r.Labels["severity"]
			all = append(all, one)
		}
	}
	if len(all) < 15 {
		t.Fatalf("there are only %d rules", len(all))
	}
	return all
}

// shows waits until a member's page has a line that matches a pattern.
func (w *world) shows(at int, pattern string) {
	w.t.Helper()
	line := regexp.MustCompile("(?m)^" + pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if page, _, err := get("http://" + w.cluster.Members[at].Client + "/metrics"); err == nil && line.Match(page) {
			return
		}
	}
	w.t.Fatalf("%s never shows %s", w.cluster.Members[at].Name, pattern)
}

// TestOwnDashboards: each query of qkv's dashboards finds something on a cluster that is used. The table of alarms is empty while none
// is raised, so one is.
func TestOwnDashboards(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "grafana", "*.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the dashboards are %v, %v", files, err)
	}
	w := newWorld(t, 3, "--backup", tempFolder)
	w.raise()
	w.quietly(20)
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				count++
				expr := strings.NewReplacer("$job", job, "$instance", ".*", "$__rate_interval", "2m").Replace(target.Expr)
				if len(w.query(expr, w.now)) == 0 {
					t.Errorf("%s, %q finds nothing: %s", filepath.Base(file), p.Title, expr)
				}
			}
		}
	}
	t.Logf("%d queries of qkv's dashboards", count)
}
