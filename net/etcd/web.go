package etcd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"

	"qkv/internal/limits"
)

// newWeb is what the port answers over HTTP/1.1. What net/http has to say of its clients is not worth a line.
func (s *Server) newWeb() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", s.webVersion)
	mux.HandleFunc("GET /health", s.webHealth)
	return &http.Server{
		Handler: mux, ReadTimeout: s.config.Limits.Handshake, WriteTimeout: limits.EtcdWebTimeout, IdleTimeout: limits.EtcdWebTimeout,
		MaxHeaderBytes: limits.EtcdHeaderBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

func (s *Server) webVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
		Own     string `json:"qkv"`
	}{Version, ClusterVersion, ClusterVersion, s.config.Member.Status().Version})
}

func (s *Server) webHealth(w http.ResponseWriter, r *http.Request) {
	why := s.unhealthy(r.Context(), r.URL.Query()["exclude"], r.URL.Query().Get("serializable") == "true")
	health, code := "true", http.StatusOK
	if why != "" {
		health, code = "false", http.StatusServiceUnavailable
	}
	writeJSON(w, code, struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{health, why})
}

// unhealthy says what is wrong with the member, in etcd's words; nothing when it is well.
func (s *Server) unhealthy(ctx context.Context, exclude []string, serializable bool) string {
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

func writeJSON(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(what)
}
