package etcd_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// TestMetricsListeners asks the addresses for metrics alone: health is there and the profiles are not; one of https wants a
// client's certificate, also where the port takes connections without TLS.
func TestMetricsListeners(t *testing.T) {
	trust := servertest.NewTrust(t)
	var listeners []etcd.Listener
	for _, secure := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		one := etcd.Listener{Listener: l, Plain: !secure}
		if secure {
			one.TLS = wire.EtcdTLS(trust.Member)
		}
		listeners = append(listeners, one)
	}
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Metrics, c.Profiles = listeners, true
	})
	if code, _ := get(t, s, "/debug/pprof/cmdline"); code != http.StatusOK {
		t.Errorf("a profile at the port: %d", code)
	}
	ask := func(c *http.Client, url string) int {
		r, err := c.Get(url)
		if err != nil {
			return 0
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	plain := "http://" + listeners[0].Addr().String()
	secure := "https://" + listeners[1].Addr().String()
	config := wire.ClientTLS(trust.Client, "http/1.1", wire.Identity{Class: wire.ClassMember})
	known := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	stranger := config.Clone()
	stranger.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	for _, c := range []struct {
		client *http.Client
		url    string
		want   int
	}{
		{http.DefaultClient, plain + "/health", http.StatusOK},
		{http.DefaultClient, plain + "/readyz", http.StatusOK},
		{http.DefaultClient, plain + "/version", http.StatusOK},
		{http.DefaultClient, plain + "/debug/pprof/cmdline", http.StatusNotFound},
		{known, secure + "/livez", http.StatusOK},
		{&http.Client{Transport: &http.Transport{TLSClientConfig: stranger}}, secure + "/livez", 0},
	} {
		if got := ask(c.client, c.url); got != c.want {
			t.Errorf("%s: %d, want %d", c.url, got, c.want)
		}
	}
}

// TestNoGateway: without the JSON gateway its paths do not exist, and the other pages do.
func TestNoGateway(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.NoGateway, c.Profiles = true, true })
	if code, body := post(t, s, "/v3/kv/range", `{"key":"YQ=="}`); code != http.StatusNotFound {
		t.Errorf("a range by JSON: %d %s", code, body)
	}
	for _, path := range []string{"/health", "/version", "/debug/pprof/cmdline"} {
		if code, body := get(t, s, path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// TestReadyzOfAnotherMember: a state that is not what it should be makes its member unready, and no other one; nor does a request
// that leaves out what fails.
func TestReadyzOfAnotherMember(t *testing.T) {
	m := newMember()
	s, other := start(t, m, nil), start(t, m, func(c *etcd.Config) { c.ID = 2 })
	raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_CORRUPT}
	if _, err := pb.NewMaintenanceClient(dial(t, s)).Alarm(t.Context(), raise); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, other, "/readyz"); code != http.StatusOK {
		t.Errorf("where another one is corrupt: %d %s", code, body)
	}
	want := "[-]data_corruption failed: alarm activated: CORRUPT; " + checks.ProbeNamed("data_corruption").Do + "\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n[+]certificate ok"
	if code, body := get(t, s, "/readyz"); code != http.StatusServiceUnavailable || body != want {
		t.Errorf("where it is: %d %s", code, body)
	}
	m.set(etcd.RaftStatus{Term: 7})
	for query, want := range map[string]int{
		"exclude=data_corruption": http.StatusServiceUnavailable, "exclude=linearizable_read": http.StatusServiceUnavailable,
		"exclude=data_corruption&exclude=linearizable_read": http.StatusOK,
	} {
		if code, body := get(t, s, "/readyz?"+query); code != want {
			t.Errorf("without a leader, %s: %d %s, want %d", query, code, body, want)
		}
	}
}

// refused is the status of an answer that is not 200.
type refused string

func (r refused) Error() string { return string(r) }

// TestProbesAmongIdle opens 70, and then 1000, connections to an address for metrics that ask once and stay open, and then 70 from
// as many addresses: each probe beside them gets its answer, and so does a request that was under way before them.
func TestProbesAmongIdle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.Metrics = []etcd.Listener{{Listener: l, Plain: true}} })
	at := l.Addr().String()
	probe := func(path string) error {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wait}
		r, err := c.Get("http://" + at + path)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return refused(r.Status)
		}
		return nil
	}
	for _, many := range []struct{ connections, addresses int }{{70, 1}, {1000, 1}, {70, 70}} {
		asked, goOn := make(chan struct{}), make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		t.Cleanup(release) // before the server ends, which waits for the request
		m.SetBefore(func(_, reads int) *kv.Error {
			if reads > 0 {
				m.SetBefore(nil)
				close(asked)
				<-goOn
			}
			return nil
		})
		answered := make(chan error, 1)
		go func() { answered <- probe("/readyz") }()
		<-asked
		for i := range many.connections {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%many.addresses))}}
			c, err := d.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(wait))
			_, _ = io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: "+at+"\r\n\r\n")
			if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("%v %v", r, err)
			}
		}
		for i := range 20 {
			if err := probe("/livez"); err != nil {
				t.Errorf("probe %d beside %+v idle: %v", i, many, err)
			}
		}
		release()
		var late refused // the probe's own bound has passed: on a slow host, the dials take longer
		if err := <-answered; err != nil && !errors.As(err, &late) {
			t.Errorf("a request that was under way when %+v came: %v", many, err)
		}
	}
	if n := s.Stats().Connections; n != 0 {
		t.Errorf("%d connections for metrics count as clients'", n)
	}
}

// TestNoGRPCForMetrics dials an address for metrics as a client of gRPC does.
func TestNoGRPCForMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, newMember(), func(c *etcd.Config) { c.Metrics = []etcd.Listener{{Listener: l, Plain: true}} })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	_, _ = io.WriteString(c, http2.ClientPreface)
	if said := ends(t, c); !strings.Contains(said, "gRPC is served at the clients' address") {
		t.Errorf("gRPC is told %q", said)
	}
}

// TestPagesAreRefusedForMetrics: an address for metrics alone answers pages in a browser as little as the port for clients does.
func TestPagesAreRefusedForMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, newMember(), func(c *etcd.Config) { c.Metrics = []etcd.Listener{{Listener: l, Plain: true}} })
	for _, c := range []struct {
		host, site, origin string
		want               int
	}{
		{"", "", "", http.StatusOK},
		{"page.example.com:2381", "", "", http.StatusMisdirectedRequest},
		{"", "cross-site", "", http.StatusForbidden},
		{"", "", "http://page.example.com", http.StatusForbidden},
	} {
		q, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = c.host
		if c.site != "" {
			q.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			q.Header.Set("Origin", c.origin)
		}
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != c.want {
			t.Errorf("%+v: %d", c, r.StatusCode)
		}
	}
}

// TestPagesAreRefused asks at all paths as pages in a browser do, and as programs do. CVE-2018-1098: a page makes requests. CVE-2018-1099: it
// gets there by DNS rebinding.
func TestPagesAreRefused(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Profiles = true })
	at := s.Addr().String()
	ask := func(path string, headers ...string) int {
		t.Helper()
		method := http.MethodGet
		if strings.HasPrefix(path, "/v3") {
			method = http.MethodPost
		}
		q, err := http.NewRequest(method, "http://"+at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			if headers[i] == "Host" {
				q.Host = headers[i+1]
			}
			q.Header.Set(headers[i], headers[i+1])
		}
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: any page may read the answer", path)
		}
		return r.StatusCode
	}
	for _, path := range []string{"/metrics", "/health", "/version", "/livez", "/debug/pprof/cmdline", "/v3/maintenance/status", "/v3beta/maintenance/status"} {
		ofPages := http.StatusOK
		if strings.HasPrefix(path, "/v3") {
			ofPages = http.StatusForbidden
		}
		for _, c := range []struct {
			headers []string
			want    int
		}{
			{nil, http.StatusOK},
			{[]string{"Host", "etcd.kube-system.svc:2381"}, http.StatusOK},
			{[]string{"Host", "page.example.com:2379"}, http.StatusMisdirectedRequest},
			{[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
			{[]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
			{[]string{"Origin", "http://page.example.com"}, http.StatusForbidden},
			{[]string{"Origin", "null"}, http.StatusForbidden},
			{[]string{"Sec-Fetch-Site", "none"}, ofPages}, // typed in
			{[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + at}, ofPages},
		} {
			if got := ask(path, c.headers...); got != c.want {
				t.Errorf("%s with %v: %d, want %d", path, c.headers, got, c.want)
			}
		}
	}
}

// TestPagesKnowTheMembersNames: the guard of the pages gets the member's names, the operator's list, and whether a request came over TLS.
func TestPagesKnowTheMembersNames(t *testing.T) {
	trust := servertest.NewTrust(t)
	ask := func(s *etcd.Server, scheme, host string) int {
		q, err := http.NewRequest(http.MethodGet, scheme+"://"+s.Addr().String()+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		config := wire.ClientTLS(trust.Client, "http/1.1", wire.Identity{Class: wire.ClassMember})
		r, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	named := start(t, newMember(), func(c *etcd.Config) { c.Names = []string{"n1.example.com"} })
	listed := start(t, newMember(), func(c *etcd.Config) { c.Hosts = []string{"n2.example.com"} })
	secure := start(t, newMember(), func(c *etcd.Config) {
		c.Listeners[0].Plain, c.Listeners[0].TLS = false, wire.EtcdTLS(trust.Member)
	})
	for _, c := range []struct {
		what         string
		s            *etcd.Server
		scheme, host string
		want         int
	}{
		{"a name of the member", named, "http", "n1.example.com", http.StatusOK},
		{"another name", named, "http", "n2.example.com", http.StatusMisdirectedRequest},
		{"a name of the list", listed, "http", "n2.example.com", http.StatusOK},
		{"a name that is not in the list", listed, "http", "localhost", http.StatusMisdirectedRequest},
		{"any name over TLS", secure, "https", "n3.example.com", http.StatusOK},
	} {
		if got := ask(c.s, c.scheme, c.host); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}
