// Package h2 serves gRPC's methods over HTTP/2 (RFC 9113), in place of grpc-go's server. Package http2 of golang.org/x/net parses frames,
// and its package hpack parses header blocks; streams, windows, scheduling and gRPC's messages are here.
//
// # A connection
//
// A [Server] gets connections that are known to speak HTTP/2, without TLS or behind it. Each has two goroutines:
//
//   - The reader takes all frames that a read of the socket brings, and acts on each. It begins streams, collects messages, keeps the windows,
//     and answers settings and pings.
//   - The writer takes encoded frames (conn.out) first, then header blocks, then one frame of data of each stream in turns, as far as the
//     windows go. One write of the socket carries up to outBytes.
//
// Without TLS, a small answer does not wait for the writer: the reader and a [Batch] write as much as the socket takes, without waiting
// (conn.flush). With TLS, flush only wakes the writer. A writing goroutine holds conn.writing, so that frames leave in the order in which
// they were encoded. A header block is encoded when it is written: a change of the client's header table may come while it is queued.
//
// # A request
//
// The method of a stream decides who serves it:
//
//   - A function in [Config].Batched serves a unary method's request in the reader, and returns at once. It answers then or later, in a
//     [Batch] with other answers. A request whose deadline passes meanwhile is answered when it does.
//   - Every other unary request runs its handler of [grpc.ServiceDesc] in a goroutine once its message is complete.
//   - A streaming method runs its handler from the header block on.
//   - A request that is not gRPC's (another content type, or not POST) runs [Config].Pages in a handler, over the same streams (pages.go).
//
// A handler that panics costs its request alone, and a fault of the reader its connection. A request that its client resets ends its context; a connection with Config.Streams
// handlers of such requests is not read until some have returned.
//
// # Header blocks
//
// A client's requests mostly have equal header blocks, which refer to its header table. A block of references alone is decoded once, and
// its meaning is kept with its bytes. Any other block may change the table, and drops all that is kept. The result of Config.Prepare for the
// metadata is kept with it: it may hold no identity, which is resolved for each request. A block is bounded before it is decoded. Answers
// use no header table.
//
// # The ledger
//
// A connection may bring a [Ledger]. It counts each stream when it begins, when data come, when the request is complete (half closed),
// when the answer begins, and at its end; also resets, and frames without a request. What costs as much as many such frames counts as so
// many: large header blocks, entries of settings, windows that change, data of streams that are over (conn.go, heads.go). Package front
// bounds clients by it.
//
// # Bounds
//
//	open streams of a connection                 Config.Streams, others are refused
//	running handlers of a connection             twice Config.Streams, the connection is not read
//	encoded frames that the client does not read 2 * outBytes, the connection is not read
//	data of a stream's answer                    streamQueue, SendMsg waits; a unary answer is one message
//	data of a stream's request                   streamWindow, and messages of streamWindow that the handler has not taken
//	data of all requests                         connWindow on the way; those that are taken are bounded by the caller (package front)
//	a header block                               blockMost; a request with more than Config.HeaderBytes of fields is reset
//	pings                                        as grpc-go's policy: the third that comes too early ends the connection
//
// # Differences from grpc-go
//
// Where RFC 9113 requires an error for a malformed request, there is one: grpc-go serves some of them (a length that does not match the
// data, fields of HTTP/1.1). The first message of a unary request is the request; later ones are dropped. There is no compression: a
// compressed message is refused in grpc-go's words. Spaces at the edges of a field's value are taken, as by grpc-go.
//
// # Invariants
//
//  1. The lock of a connection is never held while a socket, a handler or an encoder is waited for.
//  2. A stream is in conn.streams until its last frame is encoded, its client has reset it, or the connection has ended. Nothing is encoded
//     for it later.
//  3. Each buffer of an answer is freed exactly once: when it is written, or when its stream is dropped.
//  4. A stream is in conn.ready or conn.ends at most once, and only if its first piece may be written.
package h2
