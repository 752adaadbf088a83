// Package speed measures qkv beside etcd 3.7.3 with etcd's client: one member of each, in turns within one run, so that both
// have the same host; medians of the rounds' ratios.
//
//	go test -v ./speed                       a small share, which judges nothing
//	QKV_FULL=1 go test -v -timeout 60m ./speed
package speed
