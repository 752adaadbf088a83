// Package speed measures qkv beside etcd 3.7.3 with etcd's client: one member of each, in turns within one run, so that both
// have the same host; medians of the rounds' ratios. Twice: with clients and members on the same processors, where the clients' own
// work is a part of what is compared, and most of it with watches; and with the members on a quarter of them and clients on the others.
//
//	go test -v ./speed                       a small share, which judges nothing
//	QKV_FULL=1 go test -v -timeout 60m ./speed
package speed
