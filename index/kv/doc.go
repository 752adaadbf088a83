// Package kv is qkv's vocabulary: what a request asks for, what answers it, and what an error says of a write. The
// index, the wire, the endpoint, the actors and the client library use these types and these checks, and have no others;
// a program that links the client gets nothing else by it, for it imports the standard library only, the table of bounds,
// and what writes msgpack: a transaction has the same bytes in a request and in the log (codec.go).
//
//	request   [Put], [Delete], [Range], [Txn] of [Compare] and [Op]    each with its Check, against a [Bounds]
//	answer    [Result] of a write, [RangeResult] of a read with its [KeyValue]s, [TxnResult]
//	refusal   [Error] with its [Code]
//
// # What an error says of a write
//
// A write that is answered with an error certainly did not happen and will not. With AnswerTooLarge and AnswerGone it did
// ([Error.Happened]); with Unknown, Internal, and a code that this version does not know it may have happened, or may happen
// yet. [Error.Certain] is that
// question; [Error.Retryable] is whether asking again can help. A write that has a session ([SessionWrite]) may be sent again
// when it may have happened: it is applied once. What is said of one copy of it says nothing of those that were sent before.
//
// # On the way through a member
//
// A stream of watches asks by [WatchRequest]s and is told by [WatchDelivery]s, through its [WatchStream]; what a client gets
// are [WatchEvent]s.
//
// An endpoint collects what came together into one [Proposal] of writes, or one batch of reads to confirm. Each
// request gets exactly one [Completion], through the [ReplyTo] that came with it.
package kv
