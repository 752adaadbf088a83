package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard refuses requests over HTTP that a web page sends from its user's browser. Programs send neither Origin nor Sec-Fetch-Site, and are
// served as by etcd.
//
//  1. Without TLS, Host must be a name of this member (hostFits). A site can make its own name resolve to this member's address (DNS
//     rebinding); the browser then treats both as the same origin. With TLS the certificate does not match such a name.
//  2. A page of another origin is refused at all paths, and any page at /v3/: a form on any page can send JSON to a port of
//     loopback. There are no CORS headers.
func (c *Config) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
		switch {
		case !c.hostFits(r):
			http.Error(w, fmt.Sprintf("%q is not known as a name of this member, and may be a page's (DNS rebinding): ask by address or by localhost, use TLS, or give the name in etcd's flag --host-whitelist", r.Host), http.StatusMisdirectedRequest)
		case strings.HasPrefix(r.URL.Path, "/v3/") && (site != "" || origin != ""):
			http.Error(w, "a page in a browser cannot use this path: ask it from a program", http.StatusForbidden)
		case site != "" && site != "none" && site != "same-origin" || origin != "" && hostOf(origin) != r.Host:
			http.Error(w, "a page of another site cannot use this port: open this address by itself", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// hostOf returns the host and port of an origin; "" if the origin is no URL, such as "null".
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Host
}

// hostFits tells whether the name in a request's Host header is allowed. With TLS every name is.
//
//  1. With --host-whitelist the names in it are allowed, and no others, as in etcd.
//  2. Without it, addresses are allowed, the names that this member advertises, and names that no page of the public Internet can have
//     (private).
//  3. Other names are allowed for programs on other hosts, such as a Prometheus with a DNS name of its own for this member. On loopback
//     they are refused: DNS rebinding attacks services that only this machine reaches. They are refused at the dashboard, too: only
//     browsers use it, and a page's script can replace the User-Agent that tells browsers from programs.
func (c *Config) hostFits(r *http.Request) bool {
	if c.Secure(r.Context()) {
		return true
	}
	name := nameIn(r.Host)
	if c.Hosts != nil {
		return slices.Contains(c.Hosts, "*") || slices.Contains(c.Hosts, name)
	}
	if _, err := netip.ParseAddr(name); err == nil || private(name) || slices.Contains(c.Names, name) {
		return true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local != nil && !local.IP.IsLoopback() && !strings.HasPrefix(r.UserAgent(), "Mozilla/") && !strings.HasPrefix(r.URL.Path, "/ui")
}

// nameIn returns the name or address in a Host header, in lower case and without port and final dot.
func nameIn(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// private tells whether a name cannot be registered in the public DNS. It has one label, or a top-level domain for private use (RFC 6761,
// RFC 6762, ICANN's decision of 2024 on .internal) or of Kubernetes. A hostile DNS or mDNS server of the local network can own such a
// name, except under localhost. They are allowed even on loopback, because probes and containers use them. On a hostile local network the
// operator needs TLS or --host-whitelist.
func private(name string) bool {
	at := strings.LastIndexByte(name, '.')
	return at < 0 || slices.Contains([]string{"localhost", "local", "internal", "svc"}, name[at+1:])
}
