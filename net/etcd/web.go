package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/wire"
)

// profiles serves Go's profiles of this process.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// web serves HTTP/1.1 at the port and at the metrics-only addresses.
type web struct{ *core }

// server builds the server; the gateway is nil at metrics-only addresses. Messages of net/http about clients are dropped.
func (s web) server(gateway http.Handler) *http.Server {
	mux := http.NewServeMux()
	if gateway != nil {
		mux.Handle("/v3/", gateway)
		if s.config.Profiles {
			profiles(mux)
		}
	}
	mux.HandleFunc("GET /version", s.webVersion)
	mux.HandleFunc("GET /health", s.webHealth)
	mux.Handle("GET /metrics", s.metrics.handler())
	s.probe(mux, "/livez", check{"serializable_read", s.readable})
	s.probe(mux, "/readyz", check{"data_corruption", s.sound}, check{"serializable_read", s.readable}, check{"linearizable_read", s.agrees},
		check{"non_learner", s.votes})
	return &http.Server{
		Handler: underWay(older(s.guard(mux))), ConnContext: front.ConnContext, ReadTimeout: s.config.Limits.Handshake, WriteTimeout: s.config.Limits.Web, IdleTimeout: s.config.Limits.Web,
		MaxHeaderBytes: limits.EtcdHeaderBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// underWay counts requests in service: a full port evicts connections without any first.
func underWay(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := front.AccountOf(r.Context())
		own.CountHTTP(1)
		defer own.CountHTTP(-1)
		h.ServeHTTP(w, r)
	})
}

func (s web) webVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
		Own     string `json:"qkv"`
	}{Version, ClusterVersion, ClusterVersion, s.config.Member.Status().Version})
}

func (s web) webHealth(w http.ResponseWriter, r *http.Request) {
	why := s.unhealthy(r.Context(), r.URL.Query()["exclude"], r.URL.Query().Get("serializable") == "true")
	health, code, count := "true", http.StatusOK, s.metrics.healthy
	if why != "" {
		health, code, count = "false", http.StatusServiceUnavailable, s.metrics.unhealthy
	}
	count.Inc()
	writeJSON(w, code, struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{health, why})
}

// unhealthy returns the member's fault, in etcd's words; empty if it is healthy.
func (s web) unhealthy(ctx context.Context, exclude []string, serializable bool) string {
	for _, alarm := range alarmsOf(s.config.Member.View()) {
		if name := alarm.Alarm.String(); !slices.Contains(exclude, name) {
			return "ALARM " + name
		}
	}
	if s.config.Member.RaftStatus().Leader == 0 && !serializable {
		return "RAFT NO LEADER"
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.mayRead(ctx, serializable); err != nil {
		return "RANGE ERROR:" + err.Error()
	}
	return ""
}

// check is one condition of a probe.
type check struct {
	name string
	fine func(context.Context) error
}

// probe serves all checks at a path, except those that a request excludes, and each check below the path.
func (s web) probe(mux *http.ServeMux, path string, checks ...check) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"]
		s.answerProbe(w, r, path[1:], slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return slices.Contains(excluded, c.name) }))
	})
	for _, c := range checks {
		mux.HandleFunc("GET "+path+"/"+c.name, func(w http.ResponseWriter, r *http.Request) { s.answerProbe(w, r, path[1:], []check{c}) })
	}
}

func (s web) answerProbe(w http.ResponseWriter, r *http.Request, of string, checks []check) {
	ctx, cancel := context.WithTimeout(r.Context(), limits.EtcdProbeTimeout)
	defer cancel()
	var said strings.Builder
	failed := false
	for _, c := range checks {
		err := c.fine(ctx)
		s.metrics.probe(of, c.name, err == nil)
		if err != nil {
			failed = true
			fmt.Fprintf(&said, "[-]%s failed: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(&said, "[+]%s ok\n", c.name)
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

// readable returns the reason why this member's own state cannot be read.
func (s web) readable(context.Context) error {
	return refused(s.config.Member.Refuse(wire.PathLocal))
}

// agrees returns the reason why the members do not confirm reads of this member.
func (s web) agrees(ctx context.Context) error {
	if s.config.Member.RaftStatus().Leader == 0 {
		return errors.New("etcdserver: no leader")
	}
	return s.calls.confirm(ctx)
}

// sound returns an error if this member's state is corrupt. Another member's corrupt state does not make this one unready: the other
// member takes no part.
func (s web) sound(context.Context) error {
	for _, a := range alarmsOf(s.config.Member.View()) {
		if a.Alarm == pb.AlarmType_CORRUPT && a.MemberID == s.config.ID {
			return fmt.Errorf("alarm activated: %v", a.Alarm)
		}
	}
	return nil
}

func (s web) votes(context.Context) error {
	if learner, _ := s.learner(); learner {
		return errors.New("not supported for learner")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(what)
}
