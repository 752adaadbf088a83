// Package alerts evaluates etcd's own Prometheus rules, and the queries of its Grafana dashboard, on what members say at
// /metrics, with Prometheus' engine. The rules are read out of etcd's module (contrib/mixin of go.etcd.io/etcd/v3 v3.6.8, the
// newest release that has its repository's root as a module), so that nothing here repeats them.
//
// It has a module file of its own, since Prometheus wants other versions of what etcd's clients are compared with:
//
//	go test -modfile=alerts/prometheus.mod -tags=prometheus ./alerts
//
// As etcd's judge's, that file is not to be tidied: it has what the tests import, and etcd's root for its mixin.
package alerts
