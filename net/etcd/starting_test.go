package etcd_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/internal/testlong"
	"qkv/net/etcd"
	"qkv/net/wire"
)

// isStarting is in each refusal of a member that starts.
const isStarting = "this member is starting"

// TestEveryRPCWaitsForTheStart calls each RPC at a member in each stage of its start, over HTTP, and by gRPC once a connection is admitted:
// all but short lists are refused as Unavailable when their time is over.
func TestEveryRPCWaitsForTheStart(t *testing.T) {
	t.Parallel()
	anytime := []string{"Maintenance.Status"}
	replayed := append([]string{"Cluster.MemberList"}, anytime...)
	keys := append([]string{"Auth.Authenticate", "KV.Range", "KV.RangeStream"}, replayed...)
	for _, c := range []struct {
		stale, grpc bool
		stage       wire.Stage
		want        []string
	}{
		{false, false, wire.StageReplaying, anytime},
		{true, false, wire.StageReplaying, anytime},
		{false, false, wire.StageReplayed, replayed},
		{true, false, wire.StageReplayed, keys},
		{true, true, wire.StageReplayed, append([]string{"Health.Check", "Health.List", "Health.Watch"}, keys...)},
	} {
		its := &wire.Start{Stale: c.stale}
		its.Raise(c.stage)
		u := startingUsers(t, its)
		if !c.grpc {
			u.conn = u.server.InProcess()
		}
		var mu sync.Mutex
		var got []string
		var calls sync.WaitGroup
		for service, info := range u.server.Registered() {
			for _, m := range info.Methods {
				rpc := service[strings.LastIndexByte(service, '.')+1:] + "." + m.Name
				if !c.grpc && strings.HasPrefix(rpc, "Health.") { // by gRPC alone
					continue
				}
				calls.Go(func() {
					answer := u.outcome("", rpc, m)
					mu.Lock()
					defer mu.Unlock()
					switch refused := strings.Contains(answer, isStarting); {
					case refused && !strings.Contains(answer, codes.Unavailable.String()):
						t.Errorf("%s: %s: a client does not retry it", rpc, answer)
					case !refused:
						got = append(got, rpc)
					}
				})
			}
		}
		calls.Wait()
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("--serve-stale %v, at stage %d: it serves %v, want %v", c.stale, c.stage, got, c.want)
		}
	}
}

// startingUsers is an endpoint without users whose member starts, and where requests wait for a short time.
func startingUsers(t *testing.T, its *wire.Start) *users {
	m := newMember()
	u := &users{member: m, t: t, server: startWith(t, m, its)}
	u.conn = dial(t, u.server)
	return u
}

func startWith(t *testing.T, m *member, its *wire.Start) *etcd.Server {
	return start(t, m, func(c *etcd.Config) {
		withDashboard(c)
		c.Start, c.Timeout, c.Profiles = its, 300*time.Millisecond, true
	})
}

// TestPagesOfAStart asks a member that starts for its pages over HTTP, from stage to stage.
func TestPagesOfAStart(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	its := &wire.Start{}
	u := startingUsers(t, its)
	const refused, fine = http.StatusServiceUnavailable, http.StatusOK
	for _, c := range []struct {
		stage                                   wire.Stage
		live, ready, health, local, page, value int
		starts                                  string
	}{
		{wire.StageReplaying, fine, refused, refused, fine, refused, refused, "qkv_starting 1"},
		{wire.StageReplayed, fine, refused, refused, fine, fine, refused, "qkv_starting 1"},
		{wire.StageCurrent, fine, refused, refused, fine, fine, fine, "qkv_starting 0"},
		{wire.StageListed, fine, fine, fine, fine, fine, fine, "qkv_starting 0"},
	} {
		its.Raise(c.stage)
		for path, want := range map[string]int{
			"/livez": c.live, "/readyz": c.ready, "/readyz/linearizable_read": c.ready, "/health": c.health, "/health?serializable=true": c.local, "/metrics": fine, "/version": fine,
		} {
			code, body := get(t, u.server, path)
			if code != want {
				t.Errorf("at stage %d, %s: %d %s, want %d", c.stage, path, code, body, want)
			}
			if path == "/metrics" && !strings.Contains(body, c.starts) {
				t.Errorf("at stage %d, /metrics has no line %s", c.stage, c.starts)
			}
		}
		if code, body := get(t, u.server, "/debug/pprof/cmdline"); (code == fine) != (c.value == fine) {
			t.Errorf("at stage %d, a profile: %d %s", c.stage, code, body)
		}
		for path, want := range map[string]int{"overview": c.page, "user": c.page, "times": c.value, "clients": c.value} {
			if code, body := page(t, u.server, http.MethodGet, path, ""); code != want || code == refused && !strings.Contains(body, isStarting) {
				t.Errorf("at stage %d, the dashboard's %s: %d %s, want %d", c.stage, path, code, body, want)
			}
		}
		if code, body := page(t, u.server, http.MethodPost, "login", `{"user": "root", "password": "x"}`); strings.Contains(body, isStarting) != (c.value != fine) {
			t.Errorf("at stage %d, a login at the dashboard: %d %s", c.stage, code, body)
		}
		r, err := http.Post("http://"+u.server.Addr().String()+"/v3/kv/range", "application/json", strings.NewReader(`{"key": "eA=="}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if word := r.Header.Get("Qkv-Member-State"); r.StatusCode != c.value || word != its.Word() {
			t.Errorf("at stage %d, the gateway: %d, %q", c.stage, r.StatusCode, word)
		}
	}
}

// TestStaleAnswersAreMarked: the answers of a member that starts name its state in their metadata, and the status names it, too.
func TestStaleAnswersAreMarked(t *testing.T) {
	t.Parallel()
	its := &wire.Start{Stale: true}
	u := startingUsers(t, its)
	for _, c := range []struct {
		stage wire.Stage
		word  string
	}{{wire.StageReplayed, wire.Stale}, {wire.StageCurrent, ""}} {
		its.Raise(c.stage)
		marked := func(md metadata.MD) string { return strings.Join(md.Get("qkv-member-state"), ",") }
		var of, read metadata.MD
		answer, err := pb.NewMaintenanceClient(u.conn).Status(t.Context(), &pb.StatusRequest{}, grpc.Header(&of))
		if err != nil {
			t.Fatal(err)
		}
		if named := slices.Contains(answer.Errors, "etcdserver: "+c.word); named != (c.word != "") || marked(of) != c.word {
			t.Errorf("at stage %d: status %v, %q, want %q", c.stage, answer.Errors, marked(of), c.word)
		}
		_, err = pb.NewKVClient(u.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k"), Serializable: true}, grpc.Header(&read))
		if err != nil || marked(read) != c.word {
			t.Errorf("at stage %d: a read ends with %v, %q, want %q", c.stage, err, marked(read), c.word)
		}
	}
}

// TestRequestsWaitForTheStart begins a put, a watch and a watch of the health at a member with --serve-stale before the start is over: all
// are answered when it is. A request that requires a leader hears that there is none, as in etcd, if its time is over before.
func TestRequestsWaitForTheStart(t *testing.T) {
	t.Parallel()
	its, m := &wire.Start{Stale: true}, newMember()
	its.Raise(wire.StageReplayed)
	s := start(t, m, func(c *etcd.Config) { c.Start = its })
	conn := dial(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	watch, err := pb.NewWatchClient(conn).Watch(ctx)
	if err == nil {
		err = watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	health, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := health.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("the health during the start: %v, %v", answer, err)
	}
	put := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k")})
		put <- err
	}()
	begun := func(rpc string) bool {
		_, body := get(t, s, "/metrics")
		return strings.Contains(body, `grpc_server_started_total{grpc_method="`+rpc+`"`)
	}
	for deadline := time.Now().Add(wait); !begun("Put") || !begun("Watch"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the requests do not arrive")
		}
	}
	if n := m.Watches(); n != 0 || m.Proposals.Load() != 0 {
		t.Fatalf("%d watches and %d proposals before the start is over", n, m.Proposals.Load())
	}
	its.Raise(wire.StageCurrent)
	if err := <-put; err != nil {
		t.Errorf("the put: %v", err)
	}
	if answer, err := watch.Recv(); err != nil || !answer.Created {
		t.Errorf("the watch: %v, %v", answer, err)
	}
	if answer, err := health.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("the health after the start: %v, %v", answer, err)
	}

	alone := newMember()
	alone.set(etcd.RaftStatus{Term: 7})
	stale := &wire.Start{Stale: true}
	stale.Raise(wire.StageReplayed)
	_, err = pb.NewKVClient(dial(t, startWith(t, alone, stale))).Put(metadata.AppendToOutgoingContext(ctx, "hasleader", "true"), &pb.PutRequest{Key: []byte("k")})
	if status.Convert(err).Message() != "etcdserver: no leader" {
		t.Errorf("a put that requires a leader: %v", err)
	}
}
