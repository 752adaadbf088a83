package web

import (
	"context"
	"net/http"
	"time"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/meter"
)

// Cluster is the state of all members, as one member sees it.
type Cluster struct {
	Self    string // the name of this member
	Members []checks.Member
	Recent  func(after time.Time) []meter.Point // of this member's clients
}

type memberDocument struct {
	Name    string         `json:"name"`
	Address string         `json:"address"`
	Role    string         `json:"role"`
	Error   string         `json:"error"`
	Version string         `json:"version"`
	Lag     uint64         `json:"lag"` // in entries
	Figures map[string]any `json:"figures"`
	Links   []checks.Link  `json:"links"`
}

type alarmDocument struct {
	checks.Raised
	Do     string `json:"do"`
	Notice bool   `json:"notice"`
}

type verdictDocument struct {
	Word string `json:"word"`
	Why  string `json:"why"`
	Next string `json:"next"`
}

type pointDocument struct {
	End   int64     `json:"end"`
	Rates []float64 `json:"rates"`
	P99   []float64 `json:"p99_ms"`
}

// overview answers with the verdict, the members, the alarms, the checks that found something, and the operations of the last minutes. It
// reads no keys, so that it works without a leader as well.
func (d *dashboard) overview(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if err := d.Endpoint.Permits(ctx, nil, kv.AccessNone, nothing{}); err != nil {
		return err
	}
	all := d.Cluster(ctx)
	newest := uint64(0)
	for i := range all.Members {
		newest = max(newest, all.Members[i].Count(figures.Applied))
	}
	verdict := checks.Judge(all.Members)
	answer := struct {
		Self string `json:"self"`
		// authentication is enabled: a change makes an open page ask again who its user is
		Auth     bool             `json:"auth"`
		Now      int64            `json:"now"`
		Verdict  verdictDocument  `json:"verdict"`
		Members  []memberDocument `json:"members"`
		Alarms   []alarmDocument  `json:"alarms"`
		Findings []checks.Result  `json:"findings"`
		Points   []pointDocument  `json:"points"`
	}{Self: all.Self, Auth: d.User(ctx).Auth, Now: time.Now().UnixMilli(), Verdict: verdictDocument{verdict.Word, verdict.Why, verdict.Next}, Members: []memberDocument{}, Alarms: []alarmDocument{}, Findings: []checks.Result{}, Points: []pointDocument{}}
	for i := range all.Members {
		answer.Members = append(answer.Members, documentOf(&all.Members[i], newest))
	}
	for _, a := range checks.RaisedBy(all.Members) {
		answer.Alarms = append(answer.Alarms, alarmDocument{a, a.Do(), a.Name.Severity() != "alarm"})
	}
	for _, one := range checks.Run(&checks.Facts{Members: all.Members}) {
		if one.Level == checks.Warning || one.Level == checks.Failure {
			answer.Findings = append(answer.Findings, one)
		}
	}
	for _, p := range all.Recent(time.UnixMilli(number(r.URL.Query(), "after", 0))) {
		answer.Points = append(answer.Points, pointDocument{p.End.UnixMilli(), p.Rates[:], inMilliseconds(p.P99[:])})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func documentOf(m *checks.Member, newest uint64) memberDocument {
	d := memberDocument{Name: m.Name, Role: m.State, Error: m.Error, Version: m.Version, Figures: map[string]any{}, Links: append([]checks.Link{}, m.Links...)}
	if len(m.Clients) > 0 {
		d.Address = m.Clients[0]
	}
	for _, f := range figures.Table() {
		if f.Kind != figures.Internal {
			d.Figures[f.Field()] = f.Shown(m.Get(f.ID))
		}
	}
	if m.Answers {
		d.Lag = newest - m.Count(figures.Applied)
	}
	return d
}

func inMilliseconds(all []time.Duration) []float64 {
	found := make([]float64, len(all))
	for i, one := range all {
		found[i] = figures.InMilliseconds(one)
	}
	return found
}
