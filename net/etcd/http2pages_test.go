package etcd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/net/etcd"
	"qkv/net/etcd/front"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// browser returns a client that offers HTTP/2 before HTTP/1.1, as most do.
func browser(t *testing.T, config *tls.Config) *http.Client {
	config.NextProtos = []string{"h2", "http/1.1"}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: wait}
}

// TestPagesOverHTTP2 asks for pages and for JSON over TLS, with a client that prefers HTTP/2: all are served, small and large. gRPC's
// requests on the same address go on, and a client of HTTP/1.1 alone is served, too.
func TestPagesOverHTTP2(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Listeners[0].TLS, c.Listeners[0].Plain = wire.EtcdTLS(trust.Member), false
	})
	at := "https://" + s.Addr().String()
	old := tlsOf(trust, true)
	old.NextProtos = []string{"http/1.1"}
	for _, x := range []struct {
		client *http.Client
		major  int
	}{
		{browser(t, tlsOf(trust, true)), 2},
		{&http.Client{Timeout: wait, Transport: &http.Transport{TLSClientConfig: old, DisableKeepAlives: true}}, 1},
	} {
		ask := func(verb, path, body string) (*http.Response, string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), verb, at+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := x.client.Do(r)
			if err != nil {
				t.Fatalf("%s %s: %v", verb, path, err)
			}
			defer answer.Body.Close()
			all, err := io.ReadAll(answer.Body)
			if err != nil || answer.ProtoMajor != x.major {
				t.Fatalf("%s %s: HTTP/%d after %d bytes, want HTTP/%d: %v", verb, path, answer.ProtoMajor, len(all), x.major, err)
			}
			return answer, string(all)
		}
		large := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 1<<20)) // more than the windows of a stream and of a connection
		for _, one := range []struct {
			verb, path, body string
			status           int
			contains         string
		}{
			{"GET", "/health", "", 200, `{"health":"true","reason":""}`},
			{"HEAD", "/health", "", 200, ""},
			{"GET", "/version", "", 200, `"etcdserver":"3.7.3"`},
			{"GET", "/metrics", "", 200, "etcd_server_has_leader 1"},
			{"GET", "/readyz?verbose", "", 200, "ok"},
			{"GET", "/none", "", 404, "not found"},
			{"POST", "/etcdserverpb.KV/Put", "", 404, "not found"},
			{"POST", "/v3/kv/put", `{"key":"YQ==","value":"` + large + `"}`, 200, `"revision":`},
			{"POST", "/v3/kv/range", `{"key":"YQ=="}`, 200, large},
			{"POST", "/v3/kv/range", `{`, 400, "unexpected"},
			{"DELETE", "/v3/kv/range", ``, 501, ""},
		} {
			r, body := ask(one.verb, one.path, one.body)
			if r.StatusCode != one.status || !strings.Contains(body, one.contains) || r.Header.Get("Content-Type") == "" || r.Header.Get("Connection") != "" && x.major == 2 {
				t.Errorf("HTTP/%d: %s %s: %d %.200s, %v", x.major, one.verb, one.path, r.StatusCode, body, r.Header)
			}
		}
	}
	if err := dialTLS(t, s, trust); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
}

// dialTLS makes a request of gRPC.
func dialTLS(t *testing.T, s *etcd.Server, trust servertest.Trust) error {
	_, err := pb.NewKVClient(dialAs(t, s, trust.Client)).Range(t.Context(), &pb.RangeRequest{Key: []byte("b")})
	return err
}

// TestMetricsPreferHTTP1: an address for HTTP/1.1 alone prefers it, although its TLS is that of the clients' address.
func TestMetricsPreferHTTP1(t *testing.T) {
	trust := servertest.NewTrust(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, newMember(), func(c *etcd.Config) {
		c.Metrics = []front.Listener{{Listener: l, TLS: wire.EtcdTLS(trust.Member)}}
	})
	r, err := browser(t, tlsOf(trust, true)).Get("https://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.ProtoMajor != 1 || r.StatusCode != 200 {
		t.Errorf("HTTP/%d, %d", r.ProtoMajor, r.StatusCode)
	}
}

// TestWatchAsJSONOverHTTP2 sends requests of a stream one after the other, and reads each answer before the next: the watch that is created,
// and a change. Then the client leaves, and nothing stays.
func TestWatchAsJSONOverHTTP2(t *testing.T) {
	m := newMember()
	trust := servertest.NewTrust(t)
	s := start(t, m, func(c *etcd.Config) { c.Listeners[0].TLS = wire.EtcdTLS(trust.Member) })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	body, requests := io.Pipe()
	defer requests.Close()
	go fmt.Fprint(requests, `{"create_request":{"key":"YQ=="}}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.Addr().String()+"/v3/watch", body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := browser(t, tlsOf(trust, true)).Do(r)
	if err != nil || answer.ProtoMajor != 2 || answer.StatusCode != 200 || answer.Header.Get("Transfer-Encoding") != "" {
		t.Fatalf("%v: %v", answer, err)
	}
	defer answer.Body.Close()
	lines := make([]byte, 1<<10)
	until := func(word string) {
		t.Helper()
		for all := ""; !strings.Contains(all, word); {
			n, err := answer.Body.Read(lines)
			if all += string(lines[:n]); err != nil {
				t.Fatalf("%s, without %s: %v", all, word, err)
			}
		}
	}
	until(`"created":`)
	if _, err := pb.NewKVClient(dial(t, s)).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	until(`"events":`)
	if m.Watches() != 1 {
		t.Errorf("%d watches", m.Watches())
	}
	_ = answer.Body.Close()
	eventually(t, func() bool { return m.Watches() == 0 && s.Stats().MessageBytes == 0 })
}

// TestH2Pages sends requests that are not gRPC's in clear text, by their frames.
func TestH2Pages(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	page := func(verb, path string, more ...field) []field {
		return append([]field{{":method", verb}, {":scheme", "http"}, {":path", path}, {":authority", s.Addr().String()}}, more...)
	}
	for _, row := range []struct {
		name   string
		fields []field
		data   string
		want   string
		bytes  string
	}{
		{"GET", page("GET", "/version"), "", "200", "etcdserver"},
		{"HEAD", page("HEAD", "/version"), "", "200", ""},
		{"with a deadline of gRPC's", page("GET", "/version", field{"grpc-timeout", "1n"}, field{"grpc-encoding", "x"}), "", "200", "etcdserver"},
		{"path *", page("OPTIONS", "*"), "", "400", ""},
		{"no path", page("GET", "version"), "", "400", ""},
		{"another host", append([]field{{":method", "GET"}, {":scheme", "http"}, {":path", "/v3/kv/range"}, {":authority", "elsewhere.example"}}, field{"origin", "http://elsewhere.example"}), "", "421", ""},
		{"JSON", page("POST", "/v3/kv/put", field{"content-type", "application/json"}), `{"key":"YQ=="}`, "200", `"revision"`},
		{"a method of gRPC's as a page", replaced(0, "GET"), "", "404", "not found"},
		{"PRI", replaced(0, "PRI"), "", "404", "not found"},
		{"content type in capitals", replaced(4, "Application/GRPC"), string(onePut), "404", "not found"},
		{"content type of gRPC-Web", replaced(4, "application/grpc-web"), string(onePut), "404", "not found"},
		{"no content type", slices.Delete(fields(putPath), 4, 5), string(onePut), "404", "not found"},
	} {
		c := openH2(t, s)
		id := c.stream()
		c.headers(id, row.data == "", row.fields...)
		if row.data != "" {
			c.data(id, true, []byte(row.data))
		}
		c.result(id)
		a := c.of(id)
		if got := value(a.header, ":status"); got != row.want || !a.ended || !strings.Contains(string(a.data), row.bytes) || row.bytes == "" && row.want == "200" && len(a.data) > 0 || value(a.header, "grpc-status") != "" {
			t.Errorf("%s: %s, %q, %v", row.name, c.words(id), a.data, a.header)
		}
		c.alive()
	}
}

// TestUnreadPagesAreCharged asks for many pages and reads none: their memory is charged to the connection, until the client resets them.
func TestUnreadPagesAreCharged(t *testing.T) {
	const pages = 50
	s := start(t, newMember(), nil)
	c := openH2(t, s, initialWindowOf(0))
	c.manual = true
	var ids []uint32
	for range pages {
		id := c.stream()
		c.headers(id, true, []field{{":method", "GET"}, {":scheme", "http"}, {":path", "/metrics"}, {":authority", s.Addr().String()}}...)
		ids = append(ids, id)
	}
	c.flush()
	eventually(t, func() bool { return s.Stats().MessageBytes >= pages*128<<10 })
	for _, id := range ids {
		_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	c.flush()
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
}

// TestDashboardOverHTTP2 asks for pages of the dashboard by both protocols: the rules for browsers are those of HTTP/1.1.
func TestDashboardOverHTTP2(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	s := start(t, newMember(), func(c *etcd.Config) {
		withDashboard(c)
		c.Listeners[0].TLS = wire.EtcdTLS(trust.Member)
	})
	old := tlsOf(trust, true)
	old.NextProtos = []string{"http/1.1"}
	for major, client := range map[int]*http.Client{
		1: {Timeout: wait, Transport: &http.Transport{TLSClientConfig: old, DisableKeepAlives: true}},
		2: browser(t, tlsOf(trust, true)),
	} {
		for _, row := range []struct {
			verb, path    string
			header, value string
			status        int
		}{
			{"GET", "/ui/", "", "", 200},
			{"GET", "/ui/api/times", "X-Qkv-Dashboard", "1", 200}, // over loopback, while authentication is off
			{"GET", "/ui/api/times", "X-Forwarded-For", "10.0.0.1", 403},
			{"GET", "/ui/api/times", "", "", 403},
			{"GET", "/ui/api/times", "Origin", "https://evil.example.com", 403},
			{"POST", "/v3/kv/range", "Sec-Fetch-Site", "same-origin", 403},
		} {
			r, err := http.NewRequestWithContext(t.Context(), row.verb, "https://"+s.Addr().String()+row.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.header != "" {
				r.Header.Set(row.header, row.value)
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			said, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.ProtoMajor != major || answer.StatusCode != row.status {
				t.Errorf("%s %s, %s %s: HTTP/%d %d, want HTTP/%d %d: %.200s", row.verb, row.path, row.header, row.value, answer.ProtoMajor, answer.StatusCode, major, row.status, said)
			}
		}
	}
}

// TestDashboardTokenOverHTTP2 sends a token as gRPC's metadata: over HTTP the header Authorization alone has one.
func TestDashboardTokenOverHTTP2(t *testing.T) {
	t.Parallel()
	u := newUsers(t, withDashboard)
	for name, want := range map[string]string{"authorization": "200", "token": "401"} {
		c := openH2(t, u.server)
		id := c.stream()
		c.headers(id, true, []field{
			{":method", "GET"},
			{":scheme", "http"},
			{":path", "/ui/api/times"},
			{":authority", u.server.Addr().String()},
			{"x-qkv-dashboard", "1"},
			{name, u.tokens["alice"]},
		}...)
		c.result(id)
		if got := value(c.of(id).header, ":status"); got != want {
			t.Errorf("the token in %s: %s, want %s: %.200s", name, got, want, c.of(id).data)
		}
	}
}
