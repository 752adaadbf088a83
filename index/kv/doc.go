// Package kv defines qkv's request and answer types: what a request asks for, what answers it, and what an error says
// about a write. The index, the wire format, the endpoints, the actors and the client library use these types and these
// checks, and no others. The package imports only the standard library, the table of limits and the msgpack writer:
// a program that links the client links nothing more through it. A transaction has the same bytes in a request and in
// the log (codec.go).
//
//	request   [Put], [Delete], [Range], [Txn] of [Compare] and [Op]    each with its Check, against a [Bounds]
//	answer    [Result] of a write, [RangeResult] of a read with its [KeyValue]s, [TxnResult]
//	refusal   [Error] with its [Code]
//
// # What an error says about a write
//
// A write that is answered with an error certainly did not happen and will not happen. There are two exceptions:
//
//   - AnswerTooLarge and AnswerGone: the write happened ([Error.Happened]);
//   - Unknown, Internal, and any code that this version does not know: the write may have happened, or may still happen.
//
// [Error.Certain] says whether the write certainly did not happen. [Error.Retryable] says whether a retry can succeed. A
// write that has a session ([SessionWrite]) is idempotent: the client may retry it after an uncertain error, and it is
// applied once. An error about one copy of such a write says nothing about copies that were sent before.
//
// # How requests travel through a member
//
// A stream of watches sends [WatchRequest]s and receives [WatchDelivery]s through its [WatchStream]. The client receives
// [WatchEvent]s.
//
// An endpoint collects the requests that arrive together into one [Proposal] of writes, or one batch of reads to confirm.
// Each request gets exactly one [Completion], through the [ReplyTo] that came with it.
package kv
