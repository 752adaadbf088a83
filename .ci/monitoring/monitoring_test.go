package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the repository's.
const root = "../.."

// TestFilesAreNew: the files in the repository are what the tables and a member give.
func TestFilesAreNew(t *testing.T) {
	generated, err := files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range generated {
		there, err := os.ReadFile(filepath.Join(root, f.name))
		if err != nil || !bytes.Equal(there, f.text) {
			t.Errorf("%s is old, or was edited: run `make monitoring` (%v)", f.name, err)
		}
	}
}

// TestMetricsExist: each metric of a rule or a dashboard is one of a member's, and stands on the page. `up` is Prometheus' own.
func TestMetricsExist(t *testing.T) {
	families, err := scrape()
	if err != nil {
		t.Fatal(err)
	}
	page := string(metricsPage(families))
	used := usedMetrics()
	for _, name := range used {
		if name == "up" {
			continue
		}
		f := families[name]
		for _, part := range []string{"_bucket", "_count", "_sum"} {
			if whole, ok := strings.CutSuffix(name, part); ok && f == nil {
				f = families[whole]
			}
		}
		if f == nil || !strings.Contains(page, "| `"+f.name+"` | "+f.kind+" |") {
			t.Errorf("%s is no metric of a member, or is not on the page", name)
		}
	}
	if len(used) < 40 || len(families) < 100 {
		t.Errorf("%d metrics are used of %d", len(used), len(families))
	}
	for name, f := range families {
		if !slices.ContainsFunc(sections, func(s struct {
			prefix, title, text string
			used                bool
		},
		) bool {
			return strings.HasPrefix(name, s.prefix)
		}) && name != "promhttp_metric_handler_errors_total" {
			t.Errorf("%s is in no section of the page", f.name)
		}
	}
}

// slugs are the names of the sections of a page.
func slugs(t *testing.T, page string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	dropped := regexp.MustCompile(`[^a-z0-9 -]`)
	for line := range strings.Lines(string(text)) {
		if title := strings.TrimLeft(line, "#"); title != line {
			all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-"))
		}
	}
	return all
}

// TestRules: the rules are YAML, each has a name of its own, and leads to a section that says what to do.
func TestRules(t *testing.T) {
	var parsed struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(rules(alerts), &parsed); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, r := range parsed.Groups[0].Rules {
		a := alerts[i]
		if r.Alert != a.name || r.Expr != a.expr || r.For != a.duration || r.Labels["severity"] != a.severity || r.Annotations["summary"] != a.summary || r.Annotations["runbook"] != "docs/"+a.section {
			t.Errorf("%+v becomes %+v", a, r)
		}
		if names[a.name] || !slices.Contains([]string{"critical", "warning", "info"}, a.severity) {
			t.Errorf("%s is there twice, or has the severity %s", a.name, a.severity)
		}
		names[a.name] = true
		page, section, _ := strings.Cut(a.section, "#")
		if !slices.Contains(slugs(t, page), section) {
			t.Errorf("%s leads to docs/%s, and there is no such section", a.name, a.section)
		}
	}
	if len(names) != len(alerts) {
		t.Errorf("%d of %d rules", len(names), len(alerts))
	}
}

// TestPageNamesAlerts: the page about monitoring has each alert.
func TestPageNamesAlerts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		if !strings.Contains(string(text), a.name) {
			t.Errorf("docs/monitoring.md does not name %s", a.name)
		}
	}
}

// TestDashboardsFit: panels have ids of their own and do not overlap.
func TestDashboardsFit(t *testing.T) {
	type place struct{ X, Y, W, H int }
	for _, d := range dashboards {
		text, err := d.json()
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				ID      int
				Title   string
				GridPos place
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for i, p := range board.Panels {
			if seen[p.ID] || p.GridPos.X+p.GridPos.W > columns {
				t.Errorf("%s: the panel %q has the id %d and the place %+v", d.title, p.Title, p.ID, p.GridPos)
			}
			seen[p.ID] = true
			for _, q := range board.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %q lies on %q", d.title, p.Title, q.Title)
				}
			}
		}
		if len(board.Panels) < 20 {
			t.Errorf("%s has %d panels", d.title, len(board.Panels))
		}
	}
}
