// Package kv defines qkv's types of requests, answers and errors, and their checks. The index, the wire format, the endpoints, the actors
// and the client library all use them. The package imports only the standard library, the tables of limits and figures and the msgpack
// writer, which keeps programs that link the client small. A transaction has the same bytes in a request and in the log (codec.go).
//
// Applications use the types that the methods of qkv/net/client take and return:
//
//	keys        [Range] with [SortTarget] and [SortOrder], [Put], [Delete], [KeyValue], [RangeResult]
//	txn         [Txn], [Compare] with [CompareTarget] and [CompareResult], [Op], [TxnResult], [Answer], [PutResult], [DeleteResult]
//	watch       [Watch], [WatchEvent], [Event], [Change]
//	errors      [Error], [Code]
//	users       [User], [UserRole], [Root], [Permission], [PermissionType], [AuthChange] with [AuthChangeKind], [AuthStatus], [AuthCheck],
//	            [Grant], [Self], [Proof]
//	operators   [Member], [Role], [Status], [Link], [ClientLoad], [Alarm] with [AlarmName], [AlarmChange], [Usage], [UsageResult] of
//	            [UsageRow], [BackedUp]
//
// Those names and their constants are stable, except the types of the calls that package client calls experimental. All other names are
// for members alone, and may change in any version: the checks, the encoding, [Lease], [UserRecord], [WriteName], and the types of the last
// section. So are the methods Check and Touches, and the fields [Range.Continued] and [Range.Usage].
//
// # Keys and ranges
//
// A key is 1 byte to 32 KiB long, and keys are ordered by their bytes. A key with its End is a range, in every type that has both:
//
//	Key        End                      range
//	"a"        nil                      the key "a" alone
//	"a"        "b"                      all keys from "a" on, below "b"; none if the End is not above the Key
//	"a/"       client.Prefix("a/")      all keys that begin with "a/"
//	"a"        client.From, a zero byte all keys from "a" on
//	"\x00"     client.From              all keys
//
// Revisions count the changes of the whole store. An empty store has revision 1, and each write that changes a key makes the next one.
// Numbers of bytes, keys and revisions are never negative. Leases and members are identified by numbers, which are not 0.
//
// # What an error says about a write
//
// A write that is answered with an error certainly did not happen and will not happen. There are two exceptions:
//
//   - AnswerTooLarge and AnswerGone: the write happened ([Error.Happened]);
//   - Unknown, Internal, and any code that this version does not know: the write may have happened, or may still happen.
//
// [Error.Certain] says whether the write certainly did not happen. [Error.Retryable] says whether a retry can succeed. Both speak of one
// answer of a member. The client library retries what can be retried, and a program asks its errors as package client's page says. A
// write that has a name ([WriteName]) is idempotent: the client may retry it after an uncertain error, and it is
// applied once. An error about one copy of such a write says nothing about copies that were sent before.
//
// # How requests travel through a member
//
//	request   [Put], [Delete], [Range], [Usage], [Txn] of [Compare] and [Op]    each with its Check, against a [Bounds]
//	answer    [Result] of a write, [RangeResult] of a read with its [KeyValue]s, [UsageResult], [TxnResult]
//	refusal   [Error] with its [Code]
//
// For watches, an endpoint sends [WatchRequest]s to the member, and receives [WatchDelivery]s through the [WatchStream]
// of the client's stream. The client library turns them into [WatchEvent]s.
//
// An endpoint collects the requests that arrive together into one [Proposal] of writes, or one batch of reads to confirm.
// Each request gets exactly one [Completion], through the [ReplyTo] that came with it.
package kv
