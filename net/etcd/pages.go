package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/web"
	"qkv/net/wire"
)

// pages are the conditions that the pages over HTTP report, in etcd's words.
type pages struct{ *core }

// server builds the server. The gateway is nil at addresses for metrics or the dashboard alone, and page is nil where there is no
// dashboard. Requests over HTTP/2 get its handler alone: its timeouts are of connections. Messages of net/http about clients are dropped.
func (s pages) server(gateway *gateway, page web.Endpoint) *http.Server {
	var json http.Handler // nil without a gateway
	if gateway != nil && !s.config.NoGateway {
		json = gateway
	}
	all := web.New(web.Config{
		Names: s.config.Names, Hosts: s.config.Hosts, Secure: front.Secure, Health: s.health, Probed: s.metrics.probe, Metrics: s.metrics.handler(), Gateway: json, Dashboard: page,
		Version: s.version, Profiles: gateway != nil && s.config.Profiles, Administrator: s.administrator,
		Probes: []web.Probe{
			{Name: "livez", Checks: []web.Check{probed("serializable_read", s.readable)}},
			{Name: "readyz", Checks: []web.Check{
				probed("data_corruption", s.sound),
				probed("serializable_read", s.readable),
				probed("linearizable_read", s.agrees), // and the start is over
				probed("non_learner", s.votes),
				probed("certificate", s.trusted),
			}},
		},
	})
	return &http.Server{
		Handler: s.marked(underWay(older(all))), ConnContext: front.ConnContext, ReadTimeout: s.config.Limits.Handshake, WriteTimeout: s.config.Limits.Web, IdleTimeout: s.config.Limits.Web,
		MaxHeaderBytes: limits.EtcdHeaderBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// probed is a check of the table of checks: its failure says what to do.
func probed(name string, pass func(context.Context) error) web.Check {
	row := checks.ProbeNamed(name)
	return web.Check{Name: row.Name, Pass: func(ctx context.Context) error {
		if err := pass(ctx); err != nil {
			return fmt.Errorf("%w; %s", err, row.Do)
		}
		return nil
	}}
}

// administrator refuses a request over HTTP whose token is not that of an administrator, while authentication is enabled.
func (s pages) administrator(r *http.Request) error {
	if err := s.started(r.Context(), wire.NeedCurrent); err != nil {
		return errors.New(status.Convert(err).Message())
	}
	md := metadata.Pairs(gatewayHeader, "")
	if token := r.Header.Get("Authorization"); token != "" {
		md.Set(rpctypes.TokenFieldNameSwagger, token)
	}
	if err := s.permits(metadata.NewIncomingContext(r.Context(), md), s.config.Member.View(), kv.AccessAdmin, nil); err != nil {
		return errors.New(status.Convert(err).Message())
	}
	return nil
}

func (s pages) version() any {
	own := s.config.Member.Status()
	return struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
		Own     string `json:"qkv"`
		// towards the other members, and its MTU in bytes: over TCP it passes a small MTU
		Interface string `json:"interface"`
		MTU       int64  `json:"mtu"`
	}{Version, clusterVersion, clusterVersion, own.Version, own.Interface, own.Get(figures.MTU)}
}

// health counts and returns the answer to /health.
func (s pages) health(ctx context.Context, excluded []string, serializable bool) (fault string) {
	if fault = s.unhealthy(ctx, excluded, serializable); fault == "" {
		s.metrics.healthy.Inc()
	} else {
		s.metrics.unhealthy.Inc()
	}
	return fault
}

// marked marks the answers of a member that has not started yet.
func (s pages) marked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if word := s.config.Start.Word(); word != "" {
			w.Header().Set(stateHeader, word)
		}
		h.ServeHTTP(w, r)
	})
}

// underWay counts requests in service: a full port evicts connections without any first.
func underWay(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := front.AccountOf(r.Context())
		own.CountHTTP(1)
		defer own.CountHTTP(-1)
		if strings.HasPrefix(r.URL.Path, "/ui/") {
			w = charged{w, own}
		}
		h.ServeHTTP(w, r)
	})
}

// charged counts an answer of the dashboard that a client has not read to the client's connection, as answers over gRPC are. The gateway
// counts its own.
type charged struct {
	http.ResponseWriter
	own *front.Account
}

// Write implements http.ResponseWriter.
func (c charged) Write(b []byte) (int, error) {
	c.own.Charge(int64(len(b)))
	defer c.own.Charge(-int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// Unwrap is called by http.ResponseController.
func (c charged) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// unhealthy returns the member's fault, in etcd's words; empty if it is healthy.
func (s pages) unhealthy(ctx context.Context, exclude []string, serializable bool) string {
	for _, alarm := range alarmsOf(s.config.Member.View()) {
		if name := alarm.Alarm.String(); !slices.Contains(exclude, name) {
			return "ALARM " + name
		}
	}
	if s.config.Member.RaftStatus().Leader == 0 && !serializable {
		return "RAFT NO LEADER"
	}
	if !serializable && !s.config.Start.Reached(wire.StageListed) {
		return "STARTING"
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.mayRead(ctx, serializable); err != nil {
		return "RANGE ERROR:" + err.Error()
	}
	return ""
}

// readable returns the reason why this member's own state cannot be read.
func (s pages) readable(context.Context) error {
	return refused(s.config.Member.Refuse())
}

// agrees returns the reason why the members do not confirm reads of this member.
func (s pages) agrees(ctx context.Context) error {
	if s.config.Member.RaftStatus().Leader == 0 {
		return errors.New("etcdserver: no leader")
	}
	if !s.config.Start.Reached(wire.StageListed) {
		return errStarting
	}
	return s.calls.confirm(ctx)
}

// sound returns an error if this member's state is corrupt. Another member's corrupt state does not make this one unready: the other
// member takes no part.
func (s pages) sound(context.Context) error {
	for _, a := range alarmsOf(s.config.Member.View()) {
		if a.Alarm == pb.AlarmType_CORRUPT && a.MemberID == s.config.ID {
			return fmt.Errorf("alarm activated: %v", a.Alarm)
		}
	}
	return nil
}

// trusted is the check of the member's certificate.
func (s pages) trusted(context.Context) error {
	if s.config.Trusted == nil {
		return nil
	}
	return s.config.Trusted()
}

func (s pages) votes(context.Context) error {
	if learner, _ := s.learner(); learner {
		return errors.New("not supported for learner")
	}
	return nil
}
