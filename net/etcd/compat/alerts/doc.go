// Package alerts evaluates Prometheus rules, and the queries of Grafana dashboards, on the /metrics of running members, with Prometheus'
// engine: qkv's own from deploy/, and etcd's. etcd's are read out of its module (contrib/mixin of go.etcd.io/etcd/v3 v3.6.8, the
// newest release that has its repository's root as a module), so that nothing here repeats them.
//
// It has a module file of its own, since Prometheus wants other versions of what etcd's clients are compared with:
//
//	go test -modfile=alerts/prometheus.mod -tags=prometheus ./alerts
//
// As etcd's judge's, that file is not to be tidied: it has what the tests import, and etcd's root for its mixin.
package alerts
