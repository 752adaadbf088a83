// Package front is the TCP port of etcd's API. It detects the protocol of each connection and hands the connection to gRPC or HTTP. Below
// both, it limits the memory, the requests in service and the rate of stream resets of clients.
//
//	port.go        connections: detection, limit, eviction
//	account.go     memory of each connection and client: streams, partial requests, unread answers
//	throttle.go    requests in service
//	resetlimit.go  stream resets, and failed connections
package front
