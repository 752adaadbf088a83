// Package web serves a member's pages over HTTP: /health, /livez, /readyz, /version, /metrics and Go's profiles, in the format of etcd's,
// and the dashboard at /ui/. It also guards etcd's JSON gateway, which is served beside them at /v3/. The package knows nothing of the
// member: [Config] has the conditions and the answers as functions. Package net/etcd provides them, and the port.
//
// # Users
//
// Health, probes, metrics and the version need no user, as in etcd. Profiles are served only if the operator asked for them, and while users
// are authenticated, only to an administrator: they show internals of the process, and cost its time. The gateway checks its requests by
// itself.
//
// # Dashboard
//
//	dashboard.go   the table of pages, the headers that protect them, the login
//	overview.go    the verdict, the members, the checks and the last minutes
//	keys.go        the tree, the search, values, histories, sizes
//	past.go        moments, changes between two of them, and reverts
//	live.go        changes as they happen, leases, locks and clients
//	assets         the page: one HTML file, one style sheet and one script of several files, without a build step
//
// The dashboard reads and writes through [Endpoint], which is the endpoint of etcd's clients: the same users, proposals, watches and turns
// of long reads. A request for data is an ask with the keys that it touches. The table asks has the access of each, and nothing is served
// without a row. A read keeps no View between two steps. A revision that a request does not name is that of its first View.
//
// A viewer costs one state of all members per second, shared by all viewers. Without a viewer, only the ring of package meter
// is kept.
//
// Browsers keep other pages away by the rules below, and by three more. There is no cookie: the script sends the token of a login in a
// header. Each request for data must have the header pageHeader, which forms and links cannot send. The content security policy forbids
// frames, other hosts, inline scripts, and HTML from text (Trusted Types); the script shows text by textContent alone.
//
// # Pages in browsers
//
// A page of any site can send requests to this port, if its browser runs on a machine that reaches the port (guard.go). Requests over HTTP
// are therefore refused if their Origin or Sec-Fetch-Site names another site, and at /v3/ if they have either header. --cors has no effect.
// Only browsers send these headers: etcdctl, curl, Prometheus and probes are not affected.
//
// Without TLS, the name in the Host header is checked, as a protection from DNS rebinding. etcd's flag for this is --host-whitelist, which
// by default allows any name. If the flag is given, it means the same here. Without the flag, these hosts are always allowed: addresses,
// names without a dot, the private top-level domains (localhost, local, internal, svc) and the names that the member advertises. Any other
// name is allowed, as in etcd, except on loopback, where no such name belongs, at the dashboard, and from browsers, recognized by their
// User-Agent. A script can replace that header in some browsers, so the dashboard does not rely on it. A proxy
// on the member's own machine that keeps the Host of its clients needs the flag. If the local network's DNS or mDNS is hostile, it can give
// a page a name without a dot or a private name. The flag, with the names in use, or TLS is needed there.
package web
