// Package robustness lets etcd's own judge decide: traffic, model and validation of etcd's robustness tests (3.7.3), with three
// members of qkv as processes, which are killed with kill -9, stopped for a while, and cut off from each other, in one
// direction or in both.
//
//	go test -v ./robustness -args -runs 50
//	go test -v ./robustness -args -against etcd
//
// Etcd's judge reads what was persisted from etcd's log. Here that is the history that a watch of everything tells at the end,
// one transaction for each revision: so that judges the answers and watches, and what a watch of all says of requests that got
// no answer. There is no compaction meanwhile, and there are no leases, whose ends are not requests in that history.
package robustness
