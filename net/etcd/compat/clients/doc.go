// Package clients uses members through etcd's Go client as its programs do: each package of it that programs import, with one
// member and with three. The same tests run with clientv3 3.7.3, of this module, and with 3.6.8, which Kubernetes 1.36 has:
//
//	go test ./clients                                               3.7.3
//	go test -modfile=clients/v3.6.8.mod -tags client36 ./clients    3.6.8; QKV_COMPAT_BIN must name a folder with programs
//	go test ./clients -args -against etcd                           what a test asks is what etcd does
package clients
