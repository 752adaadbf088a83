package etcd_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/meter"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/web"
	"qkv/net/wire"
)

// withDashboard serves the dashboard at the clients' port.
func withDashboard(c *etcd.Config) {
	c.Dashboard = etcd.Dashboard{
		AtClients: true, Clients: func() []kv.ClientLoad { return nil },
		Cluster: func(context.Context) *web.Cluster {
			return &web.Cluster{Self: "n1", Recent: func(time.Time) []meter.Point { return nil }}
		},
	}
}

// page sends a request of the dashboard's script, and returns the code and the answer.
func page(t *testing.T, s *etcd.Server, method, path, body string, header ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr().String()+"/ui/api/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Qkv-Dashboard", "1")
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// TestDashboardUsers asks for all data of the dashboard without a user, with a wrong token, as a user of app/ alone, and as an
// administrator. The user of app/ never sees that there is a key elsewhere.
func TestDashboardUsers(t *testing.T) {
	u := newUsers(t, withDashboard)
	u.must("root", "KV.Put", `key: "app/1" value: "mine"`)
	u.must("root", "KV.Put", `key: "app/1" value: "mine again"`)
	u.must("root", "KV.Put", `key: "other/hidden" value: "hidden"`)
	u.must("root", "KV.Put", `key: "other/hidden" value: "hidden again"`)
	u.must("root", "Lease.LeaseGrant", "ID: 4660 TTL: 60") // 1234 in hexadecimal digits
	u.withReader()
	hidden := base64.StdEncoding.EncodeToString([]byte("other/hidden"))
	first := u.View().Revision() - 3
	if _, text := page(t, u.server, http.MethodGet, "overview", "", "Authorization", u.tokens["root"]); !strings.Contains(text, `"auth":true`) {
		t.Errorf("the overview while authentication is enabled: %s", text)
	}
	for _, c := range []struct {
		path        string
		alice, root int // the codes
	}{
		{"user", 200, 200},
		{"overview", 200, 200},
		{"times", 200, 200},
		{"holders", 200, 200},
		{"clients", 403, 200},
		{"tree", 403, 200},
		{"tree?prefix=app/", 200, 200},
		{"tree?prefix=other/", 403, 200},
		{"tree?prefix=app/&from=other/", 200, 200}, // nothing is behind the prefix
		{"search?text=i", 403, 200},
		{"search?prefix=app/&text=1", 200, 200},
		{"search?prefix=app/&text=i&from=other/", 200, 200},
		{"usage?prefix=app/", 200, 200},
		{"usage", 403, 200},
		{"history?key=app/1", 200, 200},
		{"history?key=other/hidden", 403, 200},
		{"value?key=app/1", 200, 200},
		{"value?key=other/hidden", 403, 200},
		{fmt.Sprintf("changes?prefix=app/&since=%d", first), 200, 200},
		{fmt.Sprintf("changes?since=%d", first), 403, 200},
		{fmt.Sprintf("changes?key=other/hidden&since=%d", first), 403, 200},
		{"live?prefix=other/", 403, 0},
		{"live", 403, 0},
	} {
		for user, want := range map[string]int{"": 401, "rubbish": 401, "alice": c.alice, "carol": c.alice, "root": c.root} {
			token := u.tokens[user]
			if user == "rubbish" {
				token = user
			}
			if want == 0 {
				continue
			}
			code, body := page(t, u.server, http.MethodGet, c.path, "", "Authorization", token)
			if code != want {
				t.Errorf("%s as %q: %d, want %d: %s", c.path, user, code, want, body)
			}
			if user != "root" && (strings.Contains(body, hidden) || strings.Contains(body, "hidden again") || strings.Contains(body, `"1234"`)) {
				t.Errorf("%s tells %q of a key that it may not read: %s", c.path, user, body)
			}
		}
	}
	for _, c := range []struct {
		user, key string
		want      int
	}{{"", "app/1", 401}, {"bob", "app/1", 403}, {"carol", "app/1", 403}, {"alice", "other/hidden", 403}, {"alice", "app/1", 200}, {"root", "other/hidden", 200}} {
		body := fmt.Sprintf(`{"Key":%q,"To":%d,"Seen":%d}`, base64.StdEncoding.EncodeToString([]byte(c.key)), u.View().Revision()-1, u.View().Revision())
		if c.key == "app/1" {
			body = fmt.Sprintf(`{"Key":%q,"To":%d,"Seen":%d}`, base64.StdEncoding.EncodeToString([]byte(c.key)), first, u.View().Revision())
		}
		if code, text := page(t, u.server, http.MethodPost, "revert", body, "Authorization", u.tokens[c.user]); code != c.want {
			t.Errorf("%q reverts %s: %d, want %d: %s", c.user, c.key, code, c.want, text)
		}
	}
	pair, _, err := u.View().Get([]byte("app/1"), 0)
	if err != nil || string(pair.Value) != "mine" {
		t.Errorf("after alice's revert: %q %v", pair.Value, err)
	}
	if got := u.View().AuthorOf([]byte("app/1"), pair.ModRevision); got != "alice" {
		t.Errorf("the author of the revert is %q", got)
	}
}

// TestDashboardReadLosesItsPermission: each step of a long read has the permission of its own time.
func TestDashboardReadLosesItsPermission(t *testing.T) {
	for _, change := range []string{
		`UserRevokeRole name: "alice" role: "app"`, `RoleRevokePermission role: "app" key: "app/" range_end: "app0"`, `RoleDelete role: "app"`, `UserDelete name: "alice"`,
		`UserChangePassword name: "alice" password: "other"`,
	} {
		u := newUsers(t, withDashboard)
		steps := 0
		err := u.server.DashboardRead(t.Context(), u.tokens["alice"], &kv.Range{Key: []byte("app/"), End: []byte("app0")}, func(*index.View) (bool, error) {
			if steps++; steps == 2 {
				rpc, input, _ := strings.Cut(change, " ")
				u.must("root", "Auth."+rpc, input)
			}
			return steps == 4, nil
		})
		if refusal, _ := errors.AsType[*kv.Error](err); refusal == nil || refusal.Code != kv.NotAllowed && refusal.Code != kv.BadToken || steps != 2 {
			t.Errorf("%s: %d steps, %v", change, steps, err)
		}
	}
}

// TestDashboardRevertOfLeases: a key that has a lease, or had one at the moment to restore, is left as it is.
func TestDashboardRevertOfLeases(t *testing.T) {
	m := newMember()
	s := start(t, m, withDashboard)
	c := dial(t, s)
	for _, q := range []string{
		"Lease LeaseGrant ID: 7 TTL: 600", `KV Put key: "was" value: "1" lease: 7`, `KV Put key: "is" value: "1"`, `KV Put key: "both" value: "1" lease: 7`, `KV Put key: "none" value: "1"`,
		`KV Put key: "was" value: "2"`, `KV Put key: "is" value: "2" lease: 7`, `KV Put key: "both" value: "2" lease: 7`, `KV Put key: "none" value: "2"`, `KV Put key: "new" value: "2" lease: 7`,
	} {
		words := strings.SplitN(q, " ", 3)
		call(t.Context(), t, c, words[0], words[1], words[2])
	}
	seen := m.View().Revision()
	code, text := page(t, s, http.MethodPost, "revert", fmt.Sprintf(`{"To":%d,"Seen":%d}`, seen-5, seen))
	if code != http.StatusOK || !strings.Contains(text, `"put":1,"deleted":0,"leased":4,"written":0`) {
		t.Errorf("%d %s", code, text)
	}
	for key, want := range map[string]kv.KeyValue{"was": {Value: []byte("2")}, "is": {Value: []byte("2"), Lease: 7}, "both": {Value: []byte("2"), Lease: 7}, "none": {Value: []byte("1")}, "new": {Value: []byte("2"), Lease: 7}} {
		if pair, _, err := m.View().Get([]byte(key), 0); err != nil || string(pair.Value) != string(want.Value) || pair.Lease != want.Lease {
			t.Errorf("%s is %q of lease %d (%v)", key, pair.Value, pair.Lease, err)
		}
	}
}

// TestDashboardRevertLeavesNewer previews a revert, then writes one of the keys: that key stays, and the other one is reverted.
func TestDashboardRevertLeavesNewer(t *testing.T) {
	m := newMember()
	s := start(t, m, withDashboard)
	c := dial(t, s)
	for _, put := range []string{`key: "a" value: "1"`, `key: "b" value: "1"`, `key: "a" value: "2"`, `key: "b" value: "2"`} {
		call(t.Context(), t, c, "KV", "Put", put)
	}
	seen := m.View().Revision()
	call(t.Context(), t, c, "KV", "Put", `key: "b" value: "3"`)
	code, text := page(t, s, http.MethodPost, "revert", fmt.Sprintf(`{"To":%d,"Seen":%d}`, seen-2, seen))
	if code != http.StatusOK || !strings.Contains(text, `"put":1,"deleted":0,"leased":0,"written":1`) {
		t.Errorf("%d %s", code, text)
	}
	for key, want := range map[string]string{"a": "1", "b": "3"} {
		if pair, _, err := m.View().Get([]byte(key), 0); err != nil || string(pair.Value) != want {
			t.Errorf("%s is %q, want %q (%v)", key, pair.Value, want, err)
		}
	}
}

// TestDashboardRefusesOtherPages sends requests without the script's header, and from other origins. There is no dashboard where none is
// configured.
func TestDashboardRefusesOtherPages(t *testing.T) {
	s := start(t, newMember(), withDashboard)
	for _, header := range [][]string{{"X-Qkv-Dashboard", ""}, {"Origin", "http://evil.example.com"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "null"}} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			path := map[string]string{http.MethodGet: "tree", http.MethodPost: "revert"}[method]
			if code, text := page(t, s, method, path, `{"To":1,"Seen":1}`, header...); code != http.StatusForbidden {
				t.Errorf("%s with %q: %d %s", method, header, code, text)
			}
		}
	}
	if code, text := page(t, s, http.MethodGet, "tree", ""); code != http.StatusOK {
		t.Errorf("the page's own request: %d %s", code, text)
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "Via"} { // a proxy on this host serves others
		if code, text := page(t, s, http.MethodGet, "tree", "", header, "for=192.0.2.7"); code != http.StatusForbidden || !strings.Contains(text, "without a proxy") {
			t.Errorf("through a proxy with %s, without authentication: %d %s", header, code, text)
		}
	}
	if code, _ := page(t, start(t, newMember(), nil), http.MethodGet, "tree", ""); code != http.StatusNotFound {
		t.Errorf("without a dashboard: %d", code)
	}
}

// TestDashboardCertificates: the name in a browser's certificate is its user, except behind a proxy. While authentication is off, a browser
// on another host needs a certificate, and one on this host, too, if clients here show certificates.
func TestDashboardCertificates(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, func(c *etcd.Config) {
		withDashboard(c)
		c.Listeners[0].TLS, c.Listeners[0].User, c.CertificateUsers = wire.WebTLS(trust.Member), etcd.UserByIdentity, true
	})
	u.must("root", "Auth.UserAdd", `name: "test" options: { no_password: true }`)
	ask := func(with *wire.Credentials, header ...string) int {
		t.Helper()
		config := wire.ClientTLS(trust.Client, "http/1.1", wire.Identity{Class: wire.ClassMember})
		if with == nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+u.server.Addr().String()+"/ui/api/times", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Qkv-Dashboard", "1")
		for i := 0; i+1 < len(header); i += 2 {
			q.Header.Set(header[i], header[i+1])
		}
		r, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	for _, c := range []struct {
		what   string
		with   *wire.Credentials
		header []string
		want   int
	}{
		{"a certificate", trust.Client, nil, http.StatusOK},
		{"no certificate", nil, nil, http.StatusUnauthorized},
		{"no certificate, with a token", nil, []string{"Authorization", "Bearer " + u.tokens["alice"]}, http.StatusOK},
		{"a proxy's certificate", trust.Client, []string{"X-Forwarded-For", "192.0.2.7"}, http.StatusUnauthorized},
		{"a proxy's certificate and a token", trust.Client, []string{"Via", "1.1 proxy", "Authorization", "Bearer " + u.tokens["alice"]}, http.StatusOK},
	} {
		if got := ask(c.with, c.header...); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestDashboardOnLoopback: while authentication is off, a browser on loopback is served without a certificate only if other clients are.
func TestDashboardOnLoopback(t *testing.T) {
	for _, certified := range []bool{false, true} {
		s := start(t, newMember(), func(c *etcd.Config) {
			withDashboard(c)
			c.Dashboard.Certified = certified
		})
		code, text := page(t, s, http.MethodGet, "times", "")
		if want := map[bool]int{false: http.StatusOK, true: http.StatusForbidden}[certified]; code != want {
			t.Errorf("clients show certificates: %v; the page gets %d, want %d: %s", certified, code, want, text)
		}
	}
}

// TestDashboardChargesAnswers asks for large values, and reads none of the answers: they are counted as memory of the connection, and with
// a smaller budget the connection is closed.
func TestDashboardChargesAnswers(t *testing.T) {
	const size = 1 << 20
	m := newMember()
	call(t.Context(), t, dial(t, start(t, m, nil)), "KV", "Put", fmt.Sprintf(`key: "k" value: %q`, strings.Repeat("v", size)))
	for _, budget := range []int64{64 * size, size / 2} {
		s := start(t, m, func(c *etcd.Config) {
			withDashboard(c)
			c.Limits.Bytes = budget
		})
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ask := "GET /ui/api/value?key=k HTTP/1.1\r\nHost: localhost\r\nX-Qkv-Dashboard: 1\r\n\r\n"
		if _, err := io.WriteString(c, strings.Repeat(ask, 32)); err != nil { // more than the buffers of the sockets
			t.Fatal(err)
		}
		if budget > size {
			eventually(t, func() bool { return s.Stats().MessageBytes >= size })
			_ = c.Close()
		}
		eventually(t, func() bool { return s.Stats().Connections == 0 && s.Stats().MessageBytes == 0 })
	}
}

// TestDashboardSlowWatches has a client with two watches that reads none of its events: only the one that has events is slow. It is no
// longer listed when the client has read them.
func TestDashboardSlowWatches(t *testing.T) {
	s := start(t, newMember(), withDashboard)
	c := dial(t, s)
	list := func() (slow []struct {
		Key    []byte
		Unread int64
		Behind int64
	}, watches int64,
	) {
		t.Helper()
		code, text := page(t, s, http.MethodGet, "clients", "")
		var found struct {
			Slow []struct {
				Key    []byte
				Unread int64
				Behind int64
			}
		}
		if err := json.Unmarshal([]byte(text), &found); code != http.StatusOK || err != nil {
			t.Fatalf("%d %v %s", code, err, text)
		}
		for _, one := range s.Clients() {
			watches += one.Watches
		}
		return found.Slow, watches
	}
	w, err := pb.NewWatchClient(c).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"busy", "quiet"} {
		if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte(key)}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if slow, watches := list(); len(slow) != 0 || watches != 2 {
		t.Errorf("before: %d watches, slow are %v", watches, slow)
	}
	eventually(t, func() bool { // the stream itself is nothing that is unread; the keys of its watches are counted
		return !slices.ContainsFunc(s.Clients(), func(one kv.ClientLoad) bool { return one.Bytes > int64(len("busy")+len("quiet")) })
	})
	const puts = 60
	for range puts {
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("busy"), Value: make([]byte, 100<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	slow, _ := list()
	if all := s.Clients(); !slices.ContainsFunc(all, func(one kv.ClientLoad) bool { return one.Bytes >= 100<<10 }) {
		t.Errorf("clients with unread events: %+v", all)
	}
	if len(slow) != 1 || string(slow[0].Key) != "busy" || slow[0].Unread < 100<<10 || slow[0].Behind < 2 || slow[0].Behind > puts {
		t.Fatalf("slow are %v", slow)
	}
	for read := 0; read < puts; {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		read += len(r.Events)
	}
	if slow, _ := list(); len(slow) != 0 {
		t.Errorf("after all events were read: %v", slow)
	}
}

// TestDashboardWithoutQuorum reads and reverts while no quorum answers: a refused read says why, and a revert without an answer says that it
// may have been made.
func TestDashboardWithoutQuorum(t *testing.T) {
	m := newMember()
	s := start(t, m, withDashboard)
	for _, value := range []string{"one", "two"} {
		if _, err := pb.NewKVClient(dial(t, s)).Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	newest := m.View().Revision()
	m.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			return kv.Errorf(kv.Unknown, "the leader is gone")
		}
		return nil
	})
	body := fmt.Sprintf(`{"Key":%q,"To":%d,"Seen":%d}`, base64.StdEncoding.EncodeToString([]byte("k")), newest-1, newest)
	if code, text := page(t, s, http.MethodPost, "revert", body); code != http.StatusServiceUnavailable || !strings.Contains(text, "a transaction of 1 of the keys may have been made, or not") {
		t.Errorf("a revert without an answer: %d %s", code, text)
	}
	m.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unknown, "no leader") })
	for _, path := range []string{"tree", "value?key=k", "holders", "times", "live"} {
		if code, text := page(t, s, http.MethodGet, path, ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "no quorum") || !strings.Contains(text, "--serializable") {
			t.Errorf("%s without a quorum: %d %s", path, code, text)
		}
	}
}
