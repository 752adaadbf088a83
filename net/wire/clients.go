package wire

// Clients answers a question for the connected clients.
type Clients struct {
	Clients []ClientLoad `msgpack:"c"`
}

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
type ClientLoad struct {
	Name        string `msgpack:"n"` // in its certificate, or its address
	API         string `msgpack:"a"` // qkv or etcd
	Connections int64  `msgpack:"c"`
	Requests    int64  `msgpack:"r"` // under way
	Watches     int64  `msgpack:"w"`
	Bytes       int64  `msgpack:"b"` // of requests and of answers that the client has not read
}
