// Package robustness lets etcd's own judge decide: traffic, model and validation of etcd's robustness tests (3.7.3). The cluster is three
// members of qkv as processes. The tests kill them with kill -9, stop them for a while, and cut them off from each other, in one or both
// directions.
//
//	go test -v ./robustness -args -runs 50
//	go test -v ./robustness -args -against etcd
//
// Etcd's judge reads the persisted requests from etcd's log. Here they are the history of a watch of all keys, read at the end, with one
// transaction for each revision. The judge holds answers and watches against it, and learns from it the outcome of requests without an
// answer. The runs have no compaction, and no leases: the end of a lease is not a request in that history.
package robustness
