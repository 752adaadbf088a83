// Package kv defines qkv's types of requests, answers and errors, and their checks. The index, the wire format, the
// endpoints, the actors and the client library all use these types and checks. The package imports only the standard
// library, the tables of limits and figures and the msgpack writer, which keeps programs that link the client small. A transaction
// has the same bytes in a request and in the log (codec.go).
//
// Applications use the types that the methods of qkv/net/client take and return:
//
//	keys        [Range] with [SortTarget] and [SortOrder], [Put], [Delete], [KeyValue], [RangeResult]
//	txn         [Txn], [Compare] with [CompareTarget] and [CompareResult], [Op], [TxnResult], [Answer], [PutResult], [DeleteResult]
//	watch       [Watch], [WatchEvent], [Event], [Change]
//	errors      [Error], [Code] with its constants
//	users       [User], [UserRole], [Permission], [PermissionType], [AuthChange], [AuthStatus], [AuthCheck], [Grant], [Self], [Proof]
//	operators   [Member], [Role], [MemberChange], [Status], [Link], [ClientLoad], [Alarm], [AlarmChange], [Usage], [UsageResult],
//	            [BackupBase], [BackupHold], [LogPart], [Verified]
//
// All other names are for members alone, and may change in any version: the checks, the encoding, [Lease], [UserRecord], [WriteName],
// and the ways through a member, which the last section describes.
//
//	request   [Put], [Delete], [Range], [Usage], [Txn] of [Compare] and [Op]    each with its Check, against a [Bounds]
//	answer    [Result] of a write, [RangeResult] of a read with its [KeyValue]s, [UsageResult], [TxnResult]
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
// write that has a name ([WriteName]) is idempotent: the client may retry it after an uncertain error, and it is
// applied once. An error about one copy of such a write says nothing about copies that were sent before.
//
// # How requests travel through a member
//
// For watches, an endpoint sends [WatchRequest]s to the member, and receives [WatchDelivery]s through the [WatchStream]
// of the client's stream. The client library turns them into [WatchEvent]s.
//
// An endpoint collects the requests that arrive together into one [Proposal] of writes, or one batch of reads to confirm.
// Each request gets exactly one [Completion], through the [ReplyTo] that came with it.
package kv
