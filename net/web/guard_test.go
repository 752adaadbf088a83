package web

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHostFits asks a member by names of its own, names that a page may have, and names that no page can have.
func TestHostFits(t *testing.T) {
	const loopback, network = "127.0.0.1", "192.0.2.1"
	for _, c := range []struct {
		host, local, agent string
		path               string
		secure             bool
		whitelist          []string
		want               bool
	}{
		{host: "127.0.0.1:2379", local: loopback, want: true},
		{host: "[::1]:2379", local: "::1", want: true},
		{host: "[::1]", local: "::1", want: true},
		{host: "localhost:2379", local: loopback, want: true},
		{host: "", local: loopback, want: true}, // HTTP/1.0
		{host: "etcd:2379", local: loopback, want: true},
		{host: "etcd.kube-system.svc:2381", local: loopback, want: true},
		{host: "etcd.kube-system.svc.cluster.local.:2381", local: loopback, want: true},
		{host: "N1.example.com:2379", local: loopback, want: true},
		{host: "n2.example.com:2379", local: loopback},
		{host: "n2.example.com", local: "::1"},
		{host: "n2.example.com:2379", local: loopback, secure: true, want: true},
		{host: "n2.example.com:2379", local: network, want: true},
		{host: "n2.example.com:2379", local: network, agent: "Prometheus/3.0", want: true},
		{host: "n2.example.com:2379", local: network, agent: "Mozilla/5.0 (X11)"},
		{host: "n2.example.com:2379", local: network, agent: "curl/8.0", path: "/ui/api/tree"}, // a page's script may say so
		{host: "n1.example.com:2379", local: network, agent: "curl/8.0", path: "/ui/api/tree", want: true},
		{host: "n2.example.com:2379", local: network, agent: "curl/8.0", path: "/ui/api/tree", secure: true, want: true},
		{host: "n2.example.com:2379", local: loopback, whitelist: []string{"n2.example.com"}, want: true},
		{host: "n3.example.com:2379", local: network, whitelist: []string{"n2.example.com"}},
		{host: "127.0.0.1:2379", local: loopback, whitelist: []string{"n2.example.com"}},
		{host: "n3.example.com:2379", local: loopback, agent: "Mozilla/5.0", whitelist: []string{"*"}, want: true},
	} {
		pages := Config{Names: []string{"n1.example.com"}, Hosts: c.whitelist, Secure: func(context.Context) bool { return c.secure }}
		r := httptest.NewRequest(http.MethodGet, cmp.Or(c.path, "/metrics"), nil)
		r.Host = c.host
		r.Header.Set("User-Agent", c.agent)
		ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(c.local)})
		if got := pages.hostFits(r.WithContext(ctx)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
