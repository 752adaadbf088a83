// Package web serves a member's pages over HTTP/1.1: /health, /livez, /readyz, /version, /metrics and Go's profiles, in the format of
// etcd's. It also guards etcd's JSON gateway, which is served beside them at /v3/. The package knows nothing of the member: [Config] has
// the conditions and the answers as functions. Package net/etcd provides them, and the port.
//
// # Users
//
// Health, probes, metrics and the version need no user, as in etcd. Profiles are served only if the operator asked for them, and while users
// are authenticated, only to an administrator: they show internals of the process, and cost its time. The gateway checks its requests by
// itself.
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
// name is allowed, as in etcd, except on loopback, where no such name belongs, and from browsers, recognized by their User-Agent. A proxy
// on the member's own machine that keeps the Host of its clients needs the flag. If the local network's DNS or mDNS is hostile, it can give
// a page a name without a dot or a private name. The flag, with the names in use, or TLS is needed there.
package web
