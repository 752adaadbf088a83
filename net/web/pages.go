package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"
)

// Config configures the pages. Only Gateway, Profiles, Names and Hosts may be zero, and Administrator without Profiles.
type Config struct {
	Names []string // host names, in lower case, that this member advertises to clients
	// host names that requests without TLS may use, "*" for any; nil: as hostFits says
	Hosts  []string
	Secure func(context.Context) bool // whether a request came over TLS

	// answered to /version, as JSON
	Version func() any
	// of /health, without the excluded alarms; "" if healthy
	Health func(ctx context.Context, excluded []string, serializable bool) (fault string)
	Probes []Probe
	Probed func(probe, check string, passed bool) // called for each check of a probe

	Metrics  http.Handler
	Gateway  http.Handler // of /v3/; nil: that path does not exist
	Profiles bool         // serve Go's profiles of this process
	// Dashboard carries out the requests of the dashboard; nil: there is none.
	Dashboard Endpoint
	// Administrator refuses a request whose user is no administrator. It is called for profiles.
	Administrator func(*http.Request) error
}

// access is the class of a page: the user that it needs while authentication is enabled.
type access uint8

const (
	open          access = iota + 1 // no user, as in etcd
	administrator                   // Config.Administrator
	itself                          // the handler checks each request
)

// site is the pages, each with its access: there is no page without.
type site struct {
	*Config
	mux    *http.ServeMux
	access map[string]access // by pattern
}

// handle adds a page.
func (s *site) handle(pattern string, of access, h http.Handler) {
	s.access[pattern] = of
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if of == administrator {
			if err := s.Administrator(r); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

func (s *site) handleFunc(pattern string, of access, f http.HandlerFunc) { s.handle(pattern, of, f) }

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
func New(c Config) http.Handler { return c.guard(newSite(&c).mux) }

func newSite(c *Config) *site {
	s := &site{Config: c, mux: http.NewServeMux(), access: map[string]access{}}
	if c.Gateway != nil {
		s.handle("/v3/", itself, c.Gateway)
	}
	if c.Profiles {
		s.handleFunc("GET /debug/pprof/", administrator, pprof.Index)
		s.handleFunc("GET /debug/pprof/cmdline", administrator, pprof.Cmdline)
		s.handleFunc("GET /debug/pprof/profile", administrator, pprof.Profile)
		s.handleFunc("GET /debug/pprof/symbol", administrator, pprof.Symbol)
		s.handleFunc("GET /debug/pprof/trace", administrator, pprof.Trace)
	}
	s.handleFunc("GET /version", open, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Version()) })
	s.handleFunc("GET /health", open, c.health)
	s.handle("GET /metrics", open, c.Metrics)
	if c.Dashboard != nil {
		s.dashboard(c.Dashboard)
	}
	for _, p := range c.Probes {
		s.probe(p)
	}
	return s
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
func (s *site) probe(p Probe) {
	s.handleFunc("GET /"+p.Name, open, func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"]
		s.answerProbe(w, r, p.Name, slices.DeleteFunc(slices.Clone(p.Checks), func(one Check) bool { return slices.Contains(excluded, one.Name) }))
	})
	for _, one := range p.Checks {
		s.handleFunc("GET /"+p.Name+"/"+one.Name, open, func(w http.ResponseWriter, r *http.Request) { s.answerProbe(w, r, p.Name, []Check{one}) })
	}
}

// etcdProbeTimeout bounds /livez and /readyz: a member without a quorum answers within three seconds.
const etcdProbeTimeout = 2 * time.Second

func (c *Config) answerProbe(w http.ResponseWriter, r *http.Request, probe string, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), etcdProbeTimeout)
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
