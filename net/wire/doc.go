// Package wire is what the two ends of a native connection agree on: frames, messages, and the TLS and identities below
// them. What the messages say are the types of package kv. It knows no server and no client, starts no goroutine, and
// imports neither the index nor the log, so that a client library made of it stays small. What members say to each
// other needs raft's types, and stands in the package peerframe below this one for the same reason.
//
// # Connection
//
// QUIC version 1 or 2, TLS 1.3 with certificates on both sides, ALPN "qkv/1". The client opens bidirectional
// streams, as many as [limits.ClientStreams], and keeps them; each carries any number of requests at once. Frames of one
// stream are in order; answers come in the order in which they are ready, and name the request they belong to.
//
// When the members have changed, or the clock of sessions has gone on by a quarter of their TTL, the member opens a stream in
// one direction and sends one frame on it, unasked: the answer to a status, with the id 0. It does so as soon as the client
// allows such a stream; one that allows none is told nothing. No other kind of stream is opened.
//
// Either side may end its direction of a stream. A client that does sends no more requests; the member answers those
// that it has, and ends the other direction. A member that stops ends it behind the last answer that it will give: a
// request without an answer was not carried out, and will not be. In all other ways in which a stream or the connection
// is over, a write without an answer may have happened. A member resets a stream that is too slow, or one too many, with
// a [StreamCode]; the connection and its other streams go on.
//
// The sockets that carry requests and peers' frames are read by way of [ReceiveOffload]: a packet is at most 1,452 bytes long, and what a
// bulk costs the kernel is by the packet, unless it is told to leave those together that came in a row.
//
// # Frame
//
//	+----------------+---------------------------+
//	| length uvarint | one msgpack array         |
//	+----------------+---------------------------+
//
// The length counts the array's bytes, is at least 1, and is written in the fewest bytes that hold it. A request's
// frame is at most [limits.RequestBytes] long, a response's [limits.ResponseBytes]: a reader refuses a longer one by its
// length alone, before it keeps any of it.
//
// All msgpack here is of the forms that package pack draws: integers in the fewest bytes, keys and values as bin,
// text as str.
//
// # Request
//
//	[id, op, timeout_ms, body...]
//	[id, op, timeout_ms, session, sequence, window, opened, body...]    ops 1, 2, 9, 10, 30 and 31
//
//	id          uint   chosen by the client, returned with the answer; two requests that are under way on one stream
//	                   have different ones
//	op          uint   what is asked for
//	timeout_ms  uint   for how long the member may try; 0 or more than limits.RequestTimeout: that limit
//
//	session     uint   the name of a write, which is applied once however often it is sent: all four as in [kv.SessionWrite],
//	sequence    uint   or 0 where it has none, or is a read
//	window      uint
//	opened      int    a status has the clock
//
//	op          body                                            answer when it is done
//	1 put       a put's fields                                  [id, 0, revision int, deleted int]  deleted is 0
//	2 delete    a delete's fields                               [id, 0, revision int, deleted int]
//	3 range     a range's fields                                [id, 0, revision int, count int, more bool, pairs]
//	                                                            pairs: [[key bin, value bin, create int, mod int,
//	                                                                     version int, lease int]...]
//	4 status    nothing                                         [id, 0, status]  drawn at [Status]
//	5 unban     member uint                                     [id, 0]
//	6 members   flags uint                                      [id, 0, members]  drawn at [AppendMembersAnswer]
//	7 change    kind uint, member uint, name str, peers [str...],  [id, 0, revision int, deleted int]  deleted is 0
//	  members   manual bool, instead uint
//	8 move      member uint                                     [id, 0]
//	  leader
//	9 txn       a transaction                                   [id, 0, revision int, succeeded bool, answers]
//	10 compact  revision int                                    [id, 0, revision int, deleted int]  deleted is 0
//	11 revision wall int, flags uint                            [id, 0, revision int, deleted int]  deleted is 0
//	   at a time
//	12 times of revisions [int...], flags uint                  [id, 0, [wall int...]]
//	   revisions
//	13 pages    a range's fields                                [id, 0, revision int, count int, more bool, pairs] ...
//	30 grant    lease int, ttl int                              [id, 0, revision int, lease int, ttl int]
//	31 revoke   lease int                                       [id, 0, revision int, deleted int]
//	32 keep     lease int                                       [id, 0, ttl int, granted int, more bool, keys]  no keys
//	   alive
//	33 time to  lease int, flags uint, from bin                 [id, 0, ttl int, granted int, more bool, keys]
//	   live                                                     keys: [key bin...]
//	34 leases   from int                                        [id, 0, more bool, [lease int...]]
//	40 alarms   flags uint                                      [id, 0, [[member uint, kind uint]...]]
//	41 change   raise bool, member uint, kind uint              [id, 0, revision int, deleted int]  deleted is 0
//	   alarm
//
// The fields of a put, a delete and a range, and a transaction, are drawn in kv/codec.go: they have the same bytes in the log.
// A put or a delete that asks for the keys as they were before is answered with one field more, their pairs.
//
//	answers     [answer...], one for each operation that happened:
//	answer      [1, revision int, pairs]                                of a put; at most one pair, the key as it was before
//	            [2, revision int, deleted int, pairs]                   of a delete
//	            [3, revision int, count int, more bool, pairs]          of a range
//	            [4, succeeded bool, answers]                            of a transaction in it
//
// key and end name a range as in etcd: end empty is the one key; end one zero byte is everything from key on;
// otherwise key <= k < end. A key is never empty. Revision 0 is the newest one.
//
// Of members, of alarms and of a question for a revision or for times, flags are 1 where the member may answer from its state
// as it is, without asking the others.
//
// Pages are a range that is streamed: as many answers as it takes, each of a page, all from one revision; count is that of the
// first. The last one has no more, or as many pairs as the limit left. An error may come in place of any, and is the last. It should
// have a stream of its own: what is asked for behind it is answered when it is over, and where its client takes nothing the stream
// is reset. The member holds what it reads in memory, so that no compaction overtakes it, for limits.PagesHeld at most.
//
// The revision at a time is the newest that was written then or before, by the clocks of the members that proposed; wall is
// in nanoseconds since 1970. The time of a revision is when that was, and 0 where it is compacted or not there yet; one request
// asks for limits.TimesAsked at most.
//
// A change of an alarm is a [kv.AlarmChange]: not raised, the alarm is disarmed, where the member or kind 0 is all of them.
//
// A write whose name came before is answered as that was, its errors too, and what else its answer has is read from the history
// once more: where that is compacted, it is AnswerGone. A grant of the lease 0 gets the same id for the same name. SessionEnded says
// that this copy of the write did nothing, and that nobody knows of others; Overloaded that there is no room for another
// session, or for the outcome. [kv.Error] says when a client may report what to its caller.
//
// Times of leases are in seconds. A grant with the lease 0 gets an id at random, more than 0, and one of a shorter TTL than one
// and a half election timeouts that one: the answer says both. A keep-alive of a lease that is not there is answered with the
// ttl 0, a time to live with -1. Bit 0 of its flags asks for the keys of the lease, from a key on; more says that there are more,
// which are asked for likewise, with the last one and a zero byte behind it. Leases come by rising id, from an id on, as this
// member has them. A keep-alive, and a time to live, waits for a round among the members, but for no write: it should have a
// stream that has no writes on it.
//
// A change of the members is a [kv.MemberChange]: which of its fields a kind has stands there, the others are empty. The
// id of a member that is added is the client's choice, at random, so that a client that was left without an answer can
// ask whether it is there. A leader is moved to the voter named, or, where that is 0, to the one that has most of the
// log; the answer comes when it leads.
//
// The ranges that a transaction compares and deletes, those of the transactions in it among them, may have limits.TxnRows keys, or
// as many as there are, counted as often as it names them: beyond that it is TooManyOperations. A write of ranges of more than
// limits.LongWriteRows keys is Overloaded while another one is under way at the member.
//
// An unban lifts the quarantine of the member that is asked, whose id it names, so that nobody else is meant by mistake.
// That one and status are all that a quarantined member answers.
//
// A range is answered in pages: the member ends one where it likes, at limits.RangeRows or limits.RangePageBytes at the
// latest, and says more. Who wants the rest asks again, from the key that follows the last one (that one with a zero
// byte behind it; when it is as long as a key may be, the next that does not begin with it), at the revision of the
// first page, with what is left of the limit. Count is that of the whole range, whatever the limit, the page, and the
// bounds of revisions. A range that is not in the order of its keys is one page, or is streamed from its beginning. One page, all
// that a transaction reads, and previous values are AnswerTooLarge beyond [limits.BodyBytes], and a stream where the client has no
// room left for 16 bytes of each key; what was written with it was written all the same.
//
// # Answers that are errors
//
//	[id, code uint, message str]
//
// The codes stand at [kv.Code]. [kv.Error.Certain] says for each whether a write certainly did not happen.
//
// # Watches
//
// A stream whose first request is one of these is a stream of watches, and carries nothing else. A connection may have
// several of them, and each any number of watches, up to limits.ClientWatches for the connection. The requests have the
// form of all others; id is the watch's, chosen by the client, different from that of any other watch that the stream has or
// had; timeout_ms says nothing.
//
//	op           body
//	20 watch     key bin, end bin, revision int, flags uint     key and end as a range's; revision is the first one whose changes
//	                                                            are told; 0: the one behind the newest
//	21 cancel    nothing                                        of the watch with this id
//	22 progress  nothing                                        of the whole stream; its id says nothing
//
//	flags        bit 0  previous: events come with the key as it was before
//	             bit 1  progress is told after limits.WatchProgressInterval without an event
//	             bit 2  no puts
//	             bit 3  no deletes
//
// What the member sends is no answer to one request, but a delivery to watches:
//
//	0 created    [0, [id...], revision int]                                  the member's newest one
//	1 events     [1, [id...], revision int, flags uint, [event...]]          flags bit 0: a fragment
//	2 progress   [2, [id...], revision int]                                  no ids: all watches of the stream
//	3 canceled   [3, [id...], revision int, code uint, message str, compacted int]
//	4 ended      [4, [], revision int, code uint, message str]               the stream's watches are over, and resume elsewhere
//
//	event        [0, key bin, value bin, create int, mod int, version int, lease int]              a put
//	             [1, key bin, mod int]                                                             a delete
//	             and in both, when it is wanted and there, the key before:
//	             [value bin, create int, mod int, version int, lease int]
//
// A watch is created first and canceled last. Between them events come by revision, those of one revision in their order and
// in one delivery, unless that is a fragment: then the revision goes on in the next delivery to the watch, which may have no
// event. Revision is the one up to which the watches have been told of everything when the delivery is no fragment; who begins
// again behind it misses nothing. Watches of one stream that ask for the same share deliveries.
//
// Canceled with code 0 was asked for; with Compacted it says the oldest revision that can be watched; with any other
// code the watch, or a request, was refused. It has no ids when a request was refused whose id another watch has. What
// the client does not read does not wait for it in the member beyond limits.WatchBytesWaiting: it comes from the history
// when there is room, and watches whose changes are compacted by then are canceled. Who reads nothing for
// limits.ClientWriteTimeout is reset.
//
// # Growth
//
// An op, a code and a field once given keep their number and meaning for ever. A member answers BadRequest to an op
// or flag it does not know and to a request with more or fewer fields than it knows, and the stream goes on. A
// client skips fields behind those it knows. What cannot be said in this way is another ALPN, "qkv/2".
//
// What is no frame, and a frame without a readable id, cannot be answered: the member closes the connection with one
// of the codes at [CloseProtocol] and a reason in words.
package wire

import (
	"qkv/index/kv"
	"qkv/internal/limits"
)

var (
	_ kv.Code // for the links above
	_ = limits.RequestBytes
)
