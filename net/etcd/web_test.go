package etcd_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

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
	want := "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok"
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
