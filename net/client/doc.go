// Package client is qkv's client library for Go: one [Client] for a whole cluster, over QUIC, always encrypted.
//
//	c, err := client.Open(ctx, client.Config{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379"}, Credentials: credentials})
//	defer c.Close()
//	_, err = c.Put(ctx, []byte("greeting"), []byte("hello"))
//	kv, found, err := c.Get(ctx, []byte("greeting"))
//
// Credentials come from a folder of certificates ([wire.LoadClient]) or, on one's own host, from the local CA
// ([wire.Maker.LocalClient]).
//
// # Concurrency
//
// A Client is safe for any number of goroutines, and one is enough for a program: thousands of callers share one
// connection, and their requests leave together. No call has a goroutine of its own inside the client. Programs that
// keep many requests under way from few goroutines use [Client.PutAsync] and its like.
//
// Calls that are under way at the same time have no order between them. A call that begins after another one has
// returned sees its effect, unless it is serializable.
//
// # Members come and go
//
// A client begins with one of its endpoints at random, so that many spread over the members, or with the first
// (Config.InOrder). Endpoints are dialled 200 ms apart, or as soon as those before have failed, and the first that
// answers is used; the others, and those that it tells of, are kept for the day when it is gone: those first that are a
// member's as far as is known. Half a minute or more
// after that the client returns to the one that it began with, if that serves again. Rounds that fail are followed by
// pauses of 0.1 to 1 s; while all members refuse the client's certificate, it asks them once in 1 to 15 s, and calls fail
// at once in between. The client turns to another member
// when the connection breaks, when the member says that it cannot serve, or when its host is silent for half a
// second (or four round trips, where that is more) while calls are under way: a member that says nothing is asked
// something, and its host whether anybody listens there any more. Each connection has a UDP port of its own.
//
// Who the members are may change while the client runs: it asks with each new connection, and is told by its member at
// once when they change. So it finds members that were added, and forgets those that were removed, also when it has
// nothing to ask. The endpoints that it was given stay, since it may need one of them to find the others again.
// Config.NoDiscovery keeps it to those.
//
// # What a call does when something fails
//
//	what happened                                           read             write
//	no connection, or it broke before the request was sent  tried again      tried again
//	the member ended the stream in place of an answer       tried again      tried again
//	the connection broke after the request was sent         tried again      tried again, in doubt
//	the member reset the stream after that                  tried again      tried again, in doubt
//	the member does not answer in its part of the time      tried again      tried again, in doubt
//	the member is late, and says that it has no leader or
//	does not apply what is committed                        -                tried again, in doubt
//	the member: unavailable, overloaded, amnesia,
//	corrupt, removed                                        tried again      tried again
//	the member: outcome unknown                             tried again      tried again, in doubt
//	the member: internal error                              Error            tried again, in doubt
//	the member: answer too large, or gone                   Error            Error, certainly happened
//	the member: session ended                               -                tried again under another name,
//	                                                                         or OutcomeUnknownError when in doubt
//	the member: anything else                               Error            Error, certainly not happened; in doubt, and for
//	                                                                         what this member is, tried again
//	the deadline passed                                     UnavailableError UnavailableError, certainly not happened,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//	the context was canceled                                context.Canceled context.Canceled, certainly not happened,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//	the client was closed                                   ErrClosed        ErrClosed,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//
// A write is in doubt when an attempt of it may have happened. It is tried again all the same, since it has a name by which the
// members know it ([kv.SessionWrite]): it is made once, and answered with what became of it then, errors too. So an outcome is
// unknown only when nobody could be reached who knows it, until the deadline. What a transaction has read, or a key as it was
// before, is read once more from the history; when that is compacted, it is an Error with the code AnswerGone, of a write that was
// made. Changes of the members, of the leader and of alarms have no name, and no write has one with Config.NoSessions: where it is in
// doubt it ends with an OutcomeUnknownError.
//
// So a write has happened when the error is nil, or has the code AnswerTooLarge or AnswerGone; it may have happened when
// errors.Is(err, [ErrOutcomeUnknown]); it has certainly not happened and will not in all other cases. Trying again waits 5 to 250
// ms, longer each time.
//
// [UnavailableError] lists why each endpoint did not serve. Errors that come from a context are found by errors.Is:
// context.DeadlineExceeded, context.Canceled, or the cause. [Error] has the member's code.
//
// # Contexts
//
// A call ends by its context's deadline, or after Config.Timeout (5 s) when that has none, and at once when it is
// canceled. A member is told how much time there is, less a margin. When there are several endpoints it gets half of it, so
// that there is time left to ask another one; a read of one key gets a second, until every endpoint was asked. A write that has a
// name may take its member all of the time; it is sent elsewhere, too, when half of it has passed, or when the member says that it
// is not well, which it is asked from the second second on, once in a second: on slow disks, what is sent again elsewhere makes
// all of them slower still.
// A call that ends is not taken back: what was sent may still happen. What was not sent is forgotten, with its key and
// value.
//
// # Ranges
//
// [Client.Range] brings all of a range, however large, from one revision; [Client.Pages] brings it in pages of up to
// 2 MiB, for what should not be in memory at once. What is behind the first page comes on a stream of its own, which waits while
// it is not read: after 30 s the member ends it, and the rest is asked for again. No compaction overtakes it for a minute;
// behind that, or when it goes on at another member, the next page may be an Error with the code Compacted.
//
// # Watches
//
//	w, err := c.Watch(ctx, client.Watch{Key: []byte("config/"), End: client.Prefix([]byte("config/"))})
//	for response, err := range w.All() { ... }
//
// [Client.Watch] returns when a member has the watch: what is written from then on is told, each event once, in order, and all
// of one revision together. It ends with its context, not with Config.Timeout. When the connection is lost, or the member
// knows of no leader, all watches are resumed at another member, each behind what it was told last; a silent member is asked
// after two seconds whether it lives. [WatchResponse.Revision] is where a later process resumes behind, with Watch.Revision.
//
// All watches of a client share one stream. One whose events are not read does not hold up the others: beyond 1 MiB it ends at the
// member, and is resumed when they are. Whoever is behind for so long that its changes are compacted gets a
// [CompactedError]. A watch that a member refuses ends with that [Error].
//
// # Transactions
//
// [Client.Txn] makes a transaction, all of it or nothing: comparisons of the state before it say which of two lists of
// operations happens. What it changes has one revision. One that only reads is a read in the table above, others are writes.
//
//	outcome, err := c.Txn(ctx, client.Txn{
//		Compares: []client.Compare{{Key: key, Target: kv.CompareMod, Number: seen.ModRevision}},
//		Success:  []client.Op{{Put: &client.Put{Key: key, Value: value}}},
//		Failure:  []client.Op{{Range: &client.Range{Key: key}}},
//	})
//
// # Members
//
// [Client.Members] lists the members. [Client.AddMember], [Client.PromoteMember], [Client.RemoveMember] and
// [Client.UpdateMember] change them, and [Client.MoveLeader] the leader: to the table above these are writes.
//
// # Leases
//
// [Client.Grant] makes a lease, and a put with it lives as long as that: until [Client.Revoke], or until its TTL has passed since
// [Client.Grant] or the last [Client.Renew] was called. [Client.KeepAlive] renews one in the background, and says when it is lost.
// Keep-alives are sent again like reads, and wait for no write.
//
// # UDP buffers
//
// quic-go asks the system for UDP buffers of 7 MiB and says so on standard error, once, when it gets less (on Linux:
// sysctl net.core.rmem_max and wmem_max). QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true in the environment silences it.
package client
