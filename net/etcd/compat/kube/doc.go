// Package kube asks a cluster for what kube-apiserver asks of its store, in the apiserver's own requests (clientv3's package
// kubernetes is their reference), and with QKV_FULL runs kube-apiserver 1.36.3 itself.
//
//	go test ./kube                                               the demands, with clientv3 3.7.3
//	go test -modfile=clients/v3.6.8.mod -tags client36 ./kube    with 3.6.8, which the apiserver has
//	QKV_FULL=1 go test ./kube                                    with the apiserver: make kube
//	go test ./kube -args -against etcd                           what a test asks is what etcd does
//
// What the apiserver relies on, and where it is tried:
//
//	the four shapes of transactions, their answers           TestShapes
//	count at the pinned revision of a list's pages, the      TestPages
//	  newest revision in each header
//	errors by their identity: compacted, future              TestErrors
//	header, more and count on the last chunk of a stream     TestStream
//	the value before each event that is no creation          TestPrevious
//	progress is never ahead of events                        TestProgress
//	its compactor, several of them, for some intervals       TestCompactor
//	all of it                                                TestAPIServer
package kube
