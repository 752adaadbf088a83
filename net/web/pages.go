package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"qkv/internal/limits"
)

// Config is what the pages show, and to whom. Only Gateway, Profiles, Names and Hosts may be zero.
type Config struct {
	Names  []string                   // host names, in lower case, that this member advertises to clients
	Hosts  []string                   // host names that requests without TLS may use, "*" for any; nil: as hostFits says
	Secure func(context.Context) bool // whether a request came over TLS

	Version func() any                                                                     // answered to /version, as JSON
	Health  func(ctx context.Context, excluded []string, serializable bool) (fault string) // of /health, without the excluded alarms; "" if healthy
	Probes  []Probe
	Probed  func(probe, check string, passed bool) // called for each check of a probe

	Metrics  http.Handler
	Gateway  http.Handler // of /v3/; nil: that path does not exist
	Profiles bool         // serve Go's profiles of this process
}

// Probe is the page /NAME, which answers 200 if all of its checks pass, and 503 otherwise. Each check has a page of its own, /NAME/CHECK.
type Probe struct {
	Name   string
	Checks []Check
}

// Check is one condition of a probe. Pass returns the reason why it does not hold.
type Check struct {
	Name string
	Pass func(context.Context) error
}

// New returns the handler of all pages.
func New(c Config) http.Handler {
	mux := http.NewServeMux()
	if c.Gateway != nil {
		mux.Handle("/v3/", c.Gateway)
	}
	if c.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Version()) })
	mux.HandleFunc("GET /health", c.health)
	mux.Handle("GET /metrics", c.Metrics)
	for _, p := range c.Probes {
		c.probe(mux, p)
	}
	return c.guard(mux)
}

func (c *Config) health(w http.ResponseWriter, r *http.Request) {
	why := c.Health(r.Context(), r.URL.Query()["exclude"], r.URL.Query().Get("serializable") == "true")
	health, code := "true", http.StatusOK
	if why != "" {
		health, code = "false", http.StatusServiceUnavailable
	}
	writeJSON(w, code, struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{health, why})
}

// probe serves a probe, without the checks that a request excludes, and each of its checks.
func (c *Config) probe(mux *http.ServeMux, p Probe) {
	mux.HandleFunc("GET /"+p.Name, func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"]
		c.answerProbe(w, r, p.Name, slices.DeleteFunc(slices.Clone(p.Checks), func(one Check) bool { return slices.Contains(excluded, one.Name) }))
	})
	for _, one := range p.Checks {
		mux.HandleFunc("GET /"+p.Name+"/"+one.Name, func(w http.ResponseWriter, r *http.Request) { c.answerProbe(w, r, p.Name, []Check{one}) })
	}
}

func (c *Config) answerProbe(w http.ResponseWriter, r *http.Request, probe string, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), limits.EtcdProbeTimeout)
	defer cancel()
	var said strings.Builder
	failed := false
	for _, one := range checks {
		err := one.Pass(ctx)
		c.Probed(probe, one.Name, err == nil)
		if err != nil {
			failed = true
			fmt.Fprintf(&said, "[-]%s failed: %v\n", one.Name, err)
			continue
		}
		fmt.Fprintf(&said, "[+]%s ok\n", one.Name)
	}
	if failed {
		http.Error(w, said.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, verbose := r.URL.Query()["verbose"]; verbose {
		fmt.Fprint(w, said.String())
	}
	fmt.Fprint(w, "ok\n")
}

func writeJSON(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(what)
}
