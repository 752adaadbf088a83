// Package front is the TCP port of etcd's API: it detects the protocol of each connection, hands it to gRPC or to HTTP, and bounds what
// clients may hold and do there, beneath both.
//
//	port.go        connections: detection, limit, eviction
//	account.go     memory of each connection: streams, partial requests, unread answers
//	throttle.go    requests in service
//	resetlimit.go  stream resets, and failed connections
package front
