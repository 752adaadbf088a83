package node_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/wire"
)

// startReads is the clients of one member that starts again and again, by both protocols: root, bob who may read below app/, alice who could read
// the secret until a moment ago, and a client without a user.
type startReads struct {
	t      testing.TB
	c      *cluster
	conn   *grpc.ClientConn
	tokens map[string]string
	native map[string]*client.Client
	proof  *wire.Credentials

	least  int64  // the revision of the newest acknowledged write before the start
	newest string // the value of k then

	begun  atomic.Int64
	failed atomic.Int64
}

// ask is one request: it returns what is wrong, or an error to repeat it for.
type ask func(ctx context.Context, i int) (wrong string, err error)

// rpc is the context of a user's requests by gRPC.
func (s *startReads) rpc(ctx context.Context, user string) context.Context {
	if user == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", s.tokens[user])
}

// get is a read of a key by gRPC. An empty want stands for a refusal with this error, and only this.
func (s *startReads) get(user, key string, serializable bool, want func() string, refusal error) ask {
	return func(ctx context.Context, _ int) (string, error) {
		r, err := pb.NewKVClient(s.conn).Range(s.rpc(ctx, user), &pb.RangeRequest{Key: []byte(key), Serializable: serializable})
		switch {
		case refusal != nil && err == nil:
			return fmt.Sprintf("%q reads %s, %d keys, although it may not", user, key, r.Count), nil
		case refusal != nil && status.Convert(err).Message() == status.Convert(refusal).Message():
			return "", nil
		case err != nil:
			return "", err
		case len(r.Kvs) != 1 || string(r.Kvs[0].Value) != want() || r.Header.Revision < s.least:
			return fmt.Sprintf("%q reads %v, want %s of revision %d or later", user, r, want(), s.least), nil
		}
		return "", nil
	}
}

// take is get by qkv's own protocol.
func (s *startReads) take(user, key string, serializable bool, want func() string, refusal kv.Code) ask {
	return func(ctx context.Context, _ int) (string, error) {
		r, err := s.native[user].Range(ctx, kv.Range{Key: []byte(key), Serializable: serializable})
		var known *kv.Error
		switch {
		case refusal != 0 && err == nil:
			return fmt.Sprintf("%q takes %s, %d keys, although it may not", user, key, r.Count), nil
		case refusal != 0 && errors.As(err, &known) && known.Code == refusal:
			return "", nil
		case err != nil:
			return "", err
		case len(r.KVs) != 1 || string(r.KVs[0].Value) != want() || r.Revision < s.least:
			return fmt.Sprintf("%q takes %v, want %s of revision %d or later", user, r, want(), s.least), nil
		}
		return "", nil
	}
}

func (s *startReads) asks() []ask {
	newest, constant := func() string { return s.newest }, func() string { return "v" }
	return []ask{
		s.get("root", "k", true, newest, nil),
		s.get("root", "k", false, newest, nil),
		s.get("", "secret", true, nil, rpctypes.ErrGRPCUserEmpty),
		s.get("alice", "secret", true, nil, rpctypes.ErrGRPCPermissionDenied),
		s.get("bob", "app/1", true, constant, nil),
		s.json, s.status, s.watch, s.put,
		s.take("root", "k", true, newest, 0),
		s.take("root", "k", false, newest, 0),
		s.take("", "secret", true, nil, kv.NotAllowed),
		s.take("alice", "secret", true, nil, kv.NotAllowed),
		s.take("bob", "app/1", true, constant, 0),
		s.nativeWatch, s.nativePut,
	}
}

// json is a serializable read over HTTP.
func (s *startReads) json(ctx context.Context, _ int) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.c.configs[0].Listen+"/v3/kv/range", strings.NewReader(`{"key": "aw==", "serializable": true}`))
	if err != nil {
		return "", err
	}
	q.Header.Set("Authorization", s.tokens["root"])
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", status.Error(codes.Unavailable, err.Error())
	}
	defer r.Body.Close()
	var body struct{ Kvs []struct{ Value string } }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.StatusCode != http.StatusOK {
		return "", status.Error(codes.Unavailable, fmt.Sprint(r.Status, err))
	}
	if want := base64.StdEncoding.EncodeToString([]byte(s.newest)); len(body.Kvs) != 1 || body.Kvs[0].Value != want {
		return fmt.Sprintf("root reads %v as JSON, want %s", body, want), nil
	}
	return "", nil
}

// status asks for a status, which says that the member starts, or has every acknowledged write.
func (s *startReads) status(ctx context.Context, _ int) (string, error) {
	r, err := pb.NewMaintenanceClient(s.conn).Status(s.rpc(ctx, "root"), &pb.StatusRequest{})
	if err == nil && r.Header.Revision < s.least && !slices.Contains(r.Errors, "etcdserver: "+wire.Starting) {
		return fmt.Sprintf("a status without a mark is of revision %d, want %d or later", r.Header.Revision, s.least), nil
	}
	return "", err
}

// watch begins a watch from now on, of all keys, and takes its first event.
func (s *startReads) watch(ctx context.Context, _ int) (string, error) {
	w, err := pb.NewWatchClient(s.conn).Watch(s.rpc(ctx, "root"))
	if err != nil {
		return "", err
	}
	create := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return "", err
	}
	for {
		r, err := w.Recv()
		switch {
		case err != nil:
			return "", err
		case r.Canceled:
			return fmt.Sprintf("root's watch is refused: %s", r.CancelReason), nil
		case r.Header.Revision < s.least:
			return fmt.Sprintf("a watch from now on begins at revision %d, want %d or later", r.Header.Revision, s.least), nil
		case len(r.Events) > 0 && r.Events[0].Kv.ModRevision <= s.least:
			return fmt.Sprintf("a watch from now on has an event of revision %d, and %d was acknowledged before the start", r.Events[0].Kv.ModRevision, s.least), nil
		case len(r.Events) > 0:
			return "", nil
		}
	}
}

func (s *startReads) nativeWatch(ctx context.Context, _ int) (string, error) {
	w, err := s.native["root"].Watch(ctx, kv.Watch{Key: []byte{0}, End: []byte{0}})
	if err != nil {
		return "", err
	}
	defer w.Close()
	for {
		r, err := w.Next()
		switch {
		case err != nil:
			return "", err
		case len(r.Events) > 0 && r.Events[0].KV.ModRevision <= s.least:
			return fmt.Sprintf("a native watch from now on has an event of revision %d, and %d was acknowledged before the start", r.Events[0].KV.ModRevision, s.least), nil
		case len(r.Events) > 0:
			return "", nil
		}
	}
}

// put writes: a permitted user is never told that it has no user.
func (s *startReads) put(ctx context.Context, i int) (string, error) {
	_, err := pb.NewKVClient(s.conn).Put(s.rpc(ctx, "root"), &pb.PutRequest{Key: fmt.Appendf(nil, "own/%d", i)})
	return "", err
}

func (s *startReads) nativePut(ctx context.Context, i int) (string, error) {
	_, err := s.native["root"].Put(ctx, fmt.Appendf(nil, "own/%d", i), nil)
	return "", err
}

// passes reports whether an error says that the member could not be asked, or not yet: clients repeat such a request.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown)
}

// run begins n requests at once, and returns when all were begun; finished waits for their ends.
func (s *startReads) run(ctx context.Context, n int) (finished func()) {
	var running, begun sync.WaitGroup
	all := s.asks()
	for i := range n {
		begun.Add(1)
		running.Go(func() {
			s.begun.Add(1)
			begun.Done()
			for {
				wrong, err := all[i%len(all)](ctx, i)
				switch {
				case wrong != "":
				case err == nil:
					return
				case passes(err) && ctx.Err() == nil:
					time.Sleep(10 * time.Millisecond)
					continue
				default:
					wrong = fmt.Sprintf("request %d: %v", i%len(all), err)
				}
				if s.failed.Add(1) <= 20 {
					s.t.Error(wrong)
				}
				return
			}
		})
	}
	begun.Wait()
	return running.Wait
}

// startedReads fills a cluster with entries to replay, and with users.
func startedReads(t testing.TB, c *cluster, entries int) *startReads {
	for i := range c.configs {
		c.configs[i].BcryptCost = 4
		c.start(i)
	}
	s := &startReads{t: t, c: c, tokens: map[string]string{}, native: map[string]*client.Client{}}
	all, ctx := c.client(0, 1, 2), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var puts sync.WaitGroup
	room := make(chan struct{}, 256) // many entries, not few large ones
	for i := range entries {
		room <- struct{}{}
		puts.Add(1)
		all.PutAsync(fmt.Appendf(nil, "app/%d", i%1000), []byte("v"), func(_ client.Written, err error) {
			if err != nil {
				t.Error(err)
			}
			<-room
			puts.Done()
		})
	}
	puts.Wait()
	_, err := all.Put(ctx, []byte("secret"), []byte("hidden"))
	must(err)
	for user, key := range map[string]string{"root": "", "bob": "app/", "alice": "secret"} {
		must(all.Admin().AddUser(ctx, user, user))
		if key != "" {
			must(all.Admin().AddRole(ctx, user))
			must(all.Admin().GrantPermission(ctx, user, kv.Permission{Key: []byte(key), End: []byte(key + "\xff"), Type: kv.PermitRead}))
		} else {
			must(all.Admin().GrantRole(ctx, user, user))
		}
	}
	must(all.Admin().GrantRole(ctx, "bob", "bob"))
	s.conn, err = grpc.NewClient(c.configs[0].Listen, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	must(err)
	t.Cleanup(func() { _ = s.conn.Close() })
	_, err = pb.NewAuthClient(s.conn).AuthEnable(ctx, &pb.AuthEnableRequest{})
	must(err)
	s.proof, err = wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(c.home)
	must(err)
	for _, user := range []string{"root", "bob", "alice", ""} {
		config := client.Config{Endpoints: []string{c.configs[0].Listen}, Credentials: s.proof, Timeout: wait, User: user, Password: user}
		s.native[user], err = client.Open(ctx, config)
		must(err)
		t.Cleanup(func() { _ = s.native[user].Close() })
		if user != "" {
			answer, err := pb.NewAuthClient(s.conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: user, Password: user})
			must(err)
			s.tokens[user] = answer.Token
		}
	}
	return s
}

// round stops a member, changes roles and a key, stops the others, and starts that member alone: its disk has none of the changes. It begins
// requests while the member starts, starts the others, and begins more.
func (s *startReads) round(number, during, after int) {
	t, c := s.t, s.c
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	others, err := client.Open(ctx, client.Config{
		Endpoints: []string{c.configs[1].Listen, c.configs[2].Listen}, Credentials: s.proof, Timeout: wait, User: "root", Password: "root",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	if err := others.Admin().GrantRole(ctx, "alice", "alice"); err != nil {
		t.Fatal(err)
	}
	for { // on the first member's disk, too: what it has then is more than what is right
		if found, err := s.native["alice"].Range(ctx, kv.Range{Key: []byte("secret"), Serializable: true}); err == nil && len(found.KVs) == 1 {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	c.stop(0)
	if err := others.Admin().RevokeRole(ctx, "alice", "alice"); err != nil {
		t.Fatal(err)
	}
	s.newest = fmt.Sprint("newest", number)
	put, err := others.Put(ctx, []byte("k"), []byte(s.newest))
	if err != nil {
		t.Fatal(err)
	}
	s.least = put.Revision
	c.stop(1)
	c.stop(2)
	requests, end := context.WithTimeout(t.Context(), 2*wait)
	defer end()
	first := s.run(requests, during/2) // before its port answers
	c.start(0)
	second := s.run(requests, during-during/2)
	if stage := c.nodes[0].Status().Stage; stage != wire.Starting {
		t.Errorf("without a quorum, after the requests of a start, the member is %q", stage)
	}
	c.start(1)
	third := s.run(requests, after)
	c.start(2)
	ended := make(chan struct{})
	go func() { // until the last watch has an event
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = others.Put(requests, []byte("event"), fmt.Append(nil, i))
			}
		}
	}()
	first()
	second()
	third()
	close(ended)
	if err := c.nodes[0].Ready(requests); err != nil {
		t.Error(err)
	}
}

// TestReadsDuringAStart sends requests of both protocols to a member that starts, with entries to replay and without the newest writes on its
// disk. No answer is older than what was acknowledged before the start, or wider than the roles; no watch from now on has an older event; and
// no permitted user is refused. With QKV_FULL it is 64,000 requests during 20 starts.
func TestReadsDuringAStart(t *testing.T) {
	entries, rounds, during, after := 5_000, 2, 320, 160
	if os.Getenv("QKV_FULL") != "" {
		entries, rounds, during, after = 30_000, 20, 1_600, 1_600
	}
	s := startedReads(t, planCluster(t, 3, 500*time.Millisecond), entries)
	for i := range rounds {
		s.round(i, during, after)
	}
	if n := s.begun.Load(); n != int64(rounds*(during+after)) {
		t.Errorf("%d requests", n)
	}
	t.Logf("%d requests, %d of them during %d starts: %d wrong", s.begun.Load(), rounds*during, rounds, s.failed.Load())
}
