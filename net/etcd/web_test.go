package etcd_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

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
