// Package wire is the protocol between qkv's own clients and a member: frames, messages, and the TLS and identities below them. The
// contents of the messages are the types of package kv. The package contains neither a server nor a client and starts no goroutine. The
// protocol between members needs raft's types and is therefore in package peerframe, a subpackage.
//
// # Connection
//
// QUIC version 1 or 2, TLS 1.3 with certificates on both sides, ALPN "qkv/2". The client opens bidirectional streams, at most
// [limits.ClientStreams], and keeps them open. Each stream carries any number of concurrent requests. The frames of one stream are
// in order. Answers come in the order in which they are ready; each names its request.
//
// The member pushes its status to the client when the members change, or when the clock of sessions has advanced by a quarter of their TTL.
// It opens a unidirectional stream for this and sends one frame: the answer to a status request, with the id 0. The push waits until the
// client's stream limit allows such a stream; a client with the limit 0 gets no pushes. The member opens no other kind of stream.
//
// Either side may end its direction of a stream. After the client has ended its direction, it sends no more requests; the member answers
// the requests that it has, then ends the other direction. A member that stops ends the stream after its last answer: a request without an
// answer was not carried out, and will not be. If a stream is reset, or the connection breaks, a write without an answer may have happened.
// A member resets a stream that is too slow, or that exceeds a limit, with a [StreamCode]; the connection and its other streams go on.
//
// The UDP sockets for clients and for peers are read through [Socket], with which the kernel coalesces consecutive packets. A
// packet is at most 1,452 bytes long, and the kernel's cost of a bulk transfer grows with the number of packets that it delivers.
//
// # Frame
//
//	+----------------+---------------------------+
//	| length uvarint | one msgpack array         |
//	+----------------+---------------------------+
//
// The length counts the array's bytes, is at least 1, and is encoded in as few bytes as possible. A request's frame has at most
// [limits.RequestBytes], a response's [limits.ResponseBytes]. A reader refuses a longer frame by its length alone, before it buffers any of
// it.
//
// All msgpack here has the forms that package pack defines: integers in the fewest bytes, keys and values as bin, text as str.
//
// # Request
//
//	[id, op, timeout_ms, body...]
//	[id, op, timeout_ms, session, sequence, window, opened, body...]    ops 1, 2, 9, 10, 30, 31 and 50
//
//	id          uint   chosen by the client, returned with the answer; concurrent requests on one stream have different ids
//	op          uint   the operation
//	timeout_ms  uint   for how long the member may try; 0 or more than limits.RequestTimeout: that limit
//
//	session     uint   the name of a write, for idempotent retries: the write is applied once however often it is sent. All four
//	sequence    uint   are as in [kv.WriteName]; 0 for a write without a name, or a read
//	window      uint
//	opened      int    the session clock, as a status reports it
//
//	op          body                                            answer when it is done
//	1 put       a put's fields                                  [id, 0, revision int, deleted int]  deleted is 0
//	2 delete    a delete's fields                               [id, 0, revision int, deleted int]
//	3 range     a range's fields                                [id, 0, revision int, count int, more bool, pairs]
//	                                                            pairs: [[key bin, value bin, create int, mod int,
//	                                                                     version int, lease int]...]
//	9 txn       a transaction                                   [id, 0, revision int, succeeded bool, answers]
//	13 pages    a range's fields, usage bool                    [id, 0, revision int, count int, more bool, pairs] ...
//	30 grant    lease int, ttl int                              [id, 0, revision int, lease int, ttl int]
//	31 revoke   lease int                                       [id, 0, revision int, deleted int]
//	32 keep     lease int                                       [id, 0, ttl int, granted int]
//	   alive
//	4, 70       nothing                                         [id, 0, answer]
//	all others  an Ask                                          [id, 0, answer]; of a change [id, 0, revision int, 0];
//	                                                            of the ops 5 and 8 [id, 0]
//
// Beside the number of each of these ops, ops.go has the fields of the Ask and the answer.
//
// An [Ask] is the body of a rare op, at most limits.AskBytes. It and the answers with a name are values of package codec: maps, in which
// a reader ignores the fields that it does not know.
//
// The fields of a put, a delete, a range and a transaction are defined in kv/codec.go: they have the same bytes in the log. The answer to a
// put or a delete that asks for the previous pairs has these pairs as one more field.
//
//	answers     [answer...], one for each operation that happened:
//	answer      [1, revision int, pairs]                                of a put; at most one pair, the key as it was before
//	            [2, revision int, deleted int, pairs]                   of a delete
//	            [3, revision int, count int, more bool, pairs]          of a range
//	            [4, succeeded bool, answers]                            of a transaction in it
//
// key and end name a range as in etcd. If end is empty, the range is the one key; if end is one zero byte, it is every key from key
// on; otherwise it is key <= k < end. A key is never empty. Revision 0 is the newest revision. The field local of an [Ask], and the
// serializable flag of a range, let the member answer from its own state.
//
// Pages are a streamed range: any number of answers, each with one page, all from one revision. Each carries the count of the first. The
// last page has more = false, or completes the range's limit. An error may take the place of any page, and is then the last answer. The
// request should have a stream of its own: later requests on the stream are answered after the last page. If the client stops reading, the
// stream is reset. The member holds the range's state in memory, which keeps compaction from overtaking it, for at most limits.PagesHeld.
//
// If usage is true, the value of each pair is a [kv.UsageRow] without its prefix, and the pair has no revisions. Its six integers are in
// the order of the struct: keys, bytes, versions, history, leased, changes. Deleted keys that the history still has are included. A key
// with many versions may come several times, and its pairs add up. count is the period of the changes, in nanoseconds. Only key, end and the
// serializable flag of the range may be set. If history is compacted after the member has released the range's state, the last answer is the
// error Compacted: the client then asks again.
//
// Op 11 (OpRevisionAt) returns the newest revision that was written at the time wall or before, by the clocks of the proposing members;
// wall is in nanoseconds since 1970. The time of a revision is 0 if the revision is compacted or does not exist yet. One request asks for
// at most limits.TimesAsked times.
//
// A change of users is a [kv.AuthChange] without its hash and secret: the member hashes the password, and draws the secret. With an empty
// name, users and roles are listed in pages, in the order of their names: if more is true, the client asks again from the last name. A role
// whose permissions do not fit is cut: the client skips as many permissions of that role as it has. If the revision differs from that of
// the first page, the client begins again. [Proof] lists the proofs.
//
// An author is the name of the user, or of the client's certificate, that made a change. The name is empty if no client did, or if the
// change is compacted.
//
// A login has either a user and password, or a token from an earlier login. From its answer on, the requests of the connection are by that
// user, until the user is deleted or gets another password: requests are then answered BadToken, until a new login. The token is empty if
// the cluster issues none. A login to a cluster without authentication is answered AuthNotEnabled. If authentication is enabled later,
// requests of that connection are answered BadToken, too.
//
// Op 60 (OpBackUpNow) asks the leader how far its backup is. It waits for half of the request's time until the backup has the entry; with 0,
// until it has all that the member has applied. A member that does not lead answers Unavailable.
//
// A write whose name was applied before is answered with the outcome of that write, including its errors. The rest of the answer is read
// from the history again; if that history is compacted, the answer is AnswerGone. A grant of the lease 0 gets the same id for the same
// name. NameEnded means that this copy of the write had no effect; the outcome of other copies is unknown. Overloaded means that the
// table of sessions, or of their outcomes, is full. [kv.Error] says which errors a client may report to its caller.
//
// Times of leases are in seconds. A grant with the lease 0 gets a random id greater than 0. A TTL below one and a half election timeouts is
// raised to that; the answer has the id and the TTL. A keep-alive of a missing lease is answered with ttl 0, a time to live with ttl -1.
// A time to live asks with keys for the lease's keys, starting at a key. If more is true, the client asks again from the last key
// with a zero byte appended. Leases are listed in ascending order of id, starting at an id, from this member's state. A keep-alive and a
// time to live wait for a round trip to the leader's clock, and for no write: send them on a stream without writes.
//
// A change of the members is a [kv.MemberChange]; the fields that a kind does not use are empty. The client chooses the id of an added
// member at random: if the client gets no answer, it looks for that id among the members. Op 8 moves the leadership to the named voter, or,
// if the id is 0, to the voter with the longest log; the answer comes when that voter leads.
//
// The ranges that a transaction compares and deletes, nested transactions included, may cover limits.TxnRows keys in all, or, if that is
// more, as many keys as exist. A key counts once for each range that covers it. A larger transaction is refused with TooManyOperations. A
// write whose ranges cover more than limits.LongWriteRows keys is refused with Overloaded while another such write is in progress at the
// member.
//
// A readmit lifts the suspension of the member that receives it. The request carries that member's id, which prevents a mistaken
// target. A suspended member answers only a readmit and a status.
//
// A range is answered in pages: the member may end a page after any pair, at limits.RangeRows or limits.RangePageBytes at the latest, and
// then sets more. For the next page the client asks again, at the revision of the first page, with the rest of the limit. It starts at the
// last key with a zero byte appended; if that key has the maximum length, at the next key that does not have it as a prefix. Count is the
// count of the whole range, whatever the limit, the page and the bounds of revisions are. A sorted range (in another order than key order)
// is one page, or is streamed from its beginning. The following are answered AnswerTooLarge if they exceed [limits.BodyBytes]: the one page
// of a sorted range, all reads of a transaction together, and previous values. A streamed sorted range is AnswerTooLarge if 16 bytes for
// each key exceed the client's share of memory. A write with too large an answer is applied nevertheless.
//
// Each op is declared once, in the table of ops.go: its name, its body, how a member carries it out ([Path]), whether a client may retry
// it, the access that it needs ([kv.Access]), and the keys that it touches ([Request.Touches]).
//
// # Users
//
// The user of a connection is the name in the client's certificate, or that of its login. A member's certificate is no user. While
// authentication is disabled, every connection may use every op. Once it is enabled, the table of ops says for each op what the user must
// be permitted; a request that is not permitted is answered NotAllowed, UserEmpty if the connection has no user, or AuthOld if users or
// roles changed while the request was under way: it may be sent again. The permissions of the present count, also for reads of the past.
//
// # Answers that are errors
//
//	[id, code uint, message str]
//
// The codes are defined at [kv.Code]. [kv.Error.Certain] says for each code whether a write certainly did not happen.
//
// # Watches
//
// A stream whose first request is one of these is a stream of watches, and carries nothing else. A connection may have several such
// streams, each with any number of watches, up to limits.ClientWatches for the connection. The requests have the same form as all
// others. The id is the watch's: the client chooses it, and it differs from every other watch that the stream has or had.
// timeout_ms is ignored.
//
//	op           body
//	20 watch     key bin, end bin, revision int, flags uint     key and end as a range's; revision is the first revision whose
//	                                                            changes are sent; 0: the one after the newest
//	21 cancel    nothing                                        of the watch with this id
//	22 progress  nothing                                        of the whole stream; its id is ignored
//
//	flags        bit 0  previous: events carry the previous version of the key
//	             bit 1  progress is reported after limits.WatchProgressInterval without an event
//	             bit 2  no puts
//	             bit 3  no deletes
//
// The member's frames are deliveries to watches, not answers to single requests:
//
//	0 created    [0, [id...], revision int]                                  the member's newest revision
//	1 events     [1, [id...], revision int, flags uint, [event...]]          flags bit 0: a fragment
//	2 progress   [2, [id...], revision int]                                  no ids: all watches of the stream
//	3 canceled   [3, [id...], revision int, code uint, message str, compacted int]
//	4 ended      [4, [], revision int, code uint, message str]               the stream's watches end; the client resumes them elsewhere
//
//	event        [0, key bin, value bin, create int, mod int, version int, lease int]              a put
//	             [1, key bin, mod int]                                                             a delete
//	             and in both, if requested and present, the previous version, or nil where other fields follow:
//	             [value bin, create int, mod int, version int, lease int]
//
// A watch is created first and canceled last. Between them events come in the order of revisions. The events of one revision keep their
// order and come in one delivery, unless that delivery is a fragment: the revision then goes on in the next delivery to the watch, which
// may have no event. After a delivery that is not a fragment, the watches have all events up to its revision: a client that resumes after
// that revision misses nothing. Watches of one stream with the same parameters share deliveries.
//
// A frame canceled with code 0 confirms a cancel. With the code Compacted it contains the oldest revision that can be watched. With any
// other code the watch, or a request, was refused. The frame has no ids if the refused request's id belongs to another watch. The member
// buffers at most limits.WatchBytesWaiting of unread events; later events come from the history once the buffer has space. Watches whose
// changes are compacted by then are canceled. A stream on which the client reads nothing for limits.ClientWriteTimeout is reset.
//
// # Growth
//
// An op, a code, a flag and a field keep their number and meaning for ever. A struct grows at its end: a reader skips unknown fields, and
// reads the fields that an older writer left out as zero ([pack.Reader.Struct]). Every appended field must therefore be safe to ignore. A
// change that a reader must not ignore is a new op, kind or flag: a member answers BadRequest to an unknown one, and the stream goes on.
// Any other change needs another ALPN, after "qkv/2".
//
// Bytes that are not a frame, and a frame without a readable id, cannot be answered: the member closes the connection with one of
// the codes at [CloseProtocol] and a reason in words.
package wire

import (
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

var (
	_ kv.Code // for the links above
	_ = limits.RequestBytes
	_ pack.Reader
)
