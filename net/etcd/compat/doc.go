// Package compat is the differential test of qkv and etcd 3.7.3. It is a separate module: qkv's own module links neither etcd's server nor
// its client, except generated messages.
//
//	go test . -requests 12000              sends a random sequence to both; differences are printed with the seed
//	go test . -seed N -at-once 1           the same sequence again
//	go test . -against etcd                compares etcd with itself: any difference is a bug of the test
//
// Other packages of the module:
//
//	alerts    etcd's Prometheus rules and dashboard
//	clients   etcd's Go client and its packages, in two versions
//	ctl       scripts of etcdctl, with its complete output
//	kube      what kube-apiserver relies on, and kube-apiserver itself
//	robustness
//	          etcd's robustness test, which judges histories with faults
//	speed     measurements of both sides
//	member    runs the processes of either side
//
// The rest of this page describes the random sequences.
//
// A sequence is a list of steps (op_test.go) that a generator makes from its seed and from earlier answers (generate_test.go). Each side
// (side_test.go) is a cluster of real processes (package member) with new folders. Before answers are compared, terms and the ids of
// clusters, members and leases are mapped. The events of watches (stream_test.go) are compared with those of the other side, and with the
// history that a watcher of all keys has received (run_test.go).
//
// # Known differences
//
//	keys over 32 KiB                   qkv refuses them: limits.KeyBytes; none is sent
//	ties of a sort                     etcd's sort is not stable: only the sort's values are compared
//	a stream with a sort target and no order
//	                                   etcd sorts each chunk by itself, and continues after the chunk's last key, so that keys
//	                                   come twice or never; not sent
//	lease of a range with keys_only    etcd 3.7.3 loses it
//	the first Compact(0) of a store    etcd accepts it once; qkv answers compacted, as etcd does later; not sent
//	other errors of a request that is too large
//	                                   qkv answers that it is too large
//	HashKV of the compacted revision   etcd answers with the hash that it stored at the compaction, until its next start; not sent
//	a delete to "\0" and then a put of a key that it deleted, in one transaction, at a revision that is compacted:
//	                                   etcd crashes when the key is read; such a compaction is not sent
//	a put that ignores value or lease, of a key that its transaction has deleted
//	                                   etcd crashes; qkv answers that there is no such key; not sent
//
// With users and roles (users_test.go):
//
//	login of a user without a password etcd says that there is such a user; qkv answers as to a wrong password
//	a password that cannot be hashed, in a request that is not permitted
//	                                   etcd hashes first; qkv answers that it is not permitted
//	an empty transaction without a user
//	                                   etcd answers with the revision; qkv wants a user
//	a range whose end is not after its key
//	                                   etcd's verdict depends on the shape of its tree of permissions; not sent
//	a permission whose key another permission of the role has, with another end
//	                                   etcd may list it twice; not sent
//	a watch whose user loses the permission, or without a user when authentication is enabled
//	                                   goes on in etcd, and ends in qkv: only watches that the administrator creates while
//	                                   authentication is on stay open
package compat
