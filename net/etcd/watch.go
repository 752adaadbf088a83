package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// watchStream is a stream of watches. It implements kv.WatchStream for the member.
//
//	client ──► receive ──► Member.Watch ──► watch hub
//	   ▲                                        │ Deliver
//	   └─── send ◄── out: one queue ◄───────────┘
//
// Rules:
//
//  1. Answers are sent in the order in which they were added to out: created, events, progress and canceled share one queue.
//  2. If out is full, events are refused, and the member is notified once when there is space again: a client that does not read costs
//     limits.WatchBytesWaiting, and blocks no other stream.
//  3. A watch id of etcd stays in use until the client has canceled its watch, even if compaction has ended the watch.
//  4. Events of one revision are one message, unless the client accepts fragments: parts wait until the revision is complete. Waiting
//     events of one watch are joined to messages of limits.WatchFrameBytes, unless another kind of answer lies between: clientv3 spends
//     as long on a message as on some 20 events in it. An event that finds out empty is sent at once.
//  5. Requests are answered in order, as in etcd. A refusal does not come from the hub, but must follow the hub's answers to earlier
//     requests. It waits in local until the hub has echoed a marker sent after them.
//  6. All answers in out except events are charged to the connection's account. If there are more than etcdWatchAnswers bytes of
//     them, requests are no longer read: this is the backpressure on a client that sends requests and reads no answers. The keys of watches
//     are charged to the account, too.
type watchStream struct {
	// Constant.
	s       *core
	stream  grpc.ServerStream
	account *front.Account

	wake chan struct{} // has a token if out has something to send

	hub   sync.Mutex // held during calls to the hub: the end is the hub's last call
	known bool       // the hub knows the stream; streams that are reset immediately never reach it
	ended bool

	mu          sync.Mutex
	answersSent sync.Cond // answers were sent, or the stream is over
	out         []notice
	local       []notice // answers not made by the hub, each waiting for the hub's echo
	waiting     int64    // bytes of events in out
	events      int64    // of these, one for each watch
	keyBytes    int64    // bytes of the watched keys in byID, charged to the account
	answers     int64    // bytes of other answers in out, charged to the account
	refused     bool     // events were refused: the member waits for space
	slow        int      // watches whose events were refused, and not delivered since
	over        bool     // nothing more is accepted
	byHub       map[uint64]*watched
	byID        map[int64]*watched
	lastHub     uint64
	nextID      int64 // next candidate for a watch without an id
}

// notice is an item to send: a delivery of the hub, or an answer that the hub did not make.
type notice struct {
	kv.WatchDelivery
	answer *pb.WatchResponse
	joined bool // the events belong to this stream alone
}

// watched is one watch.
type watched struct {
	id       int64 // etcd's id
	hub      uint64
	fragment bool
	ended    bool // ended by the hub, for example by compaction
	key, end []byte

	// Guarded by the stream's mu: since when events are refused, and the first refused revision.
	refusedAt time.Time
	refused   int64

	// Owned by the sender.
	created bool    // the client knows that the hub has created it
	pieces  message // of an incomplete revision
	size    int64   // of pieces
}

// invalidID is the id of answers for no watch, or for all.
const invalidID = -1

// Field numbers of a WatchResponse.
const (
	watchHeader, watchID, watchCreated, watchCanceled, watchCompact, watchReason, watchFragment, watchEvents = 1, 2, 3, 4, 5, 6, 7, 11
)

// watchFormat encodes an event as a field of a WatchResponse.
var watchFormat = &kv.WatchFormat{Append: appendEvent}

func appendEvent(dst []byte, e *kv.Event, before *kv.KeyValue) []byte {
	pair := e.KV
	kind := int64(0)
	if e.Deleted {
		kind, pair = 1, kv.KeyValue{Key: e.KV.Key, ModRevision: e.KV.ModRevision}
	}
	inner := sizePair(&pair)
	size := sizeInt(kind) + 1 + protowire.SizeBytes(inner)
	if before != nil {
		size += 1 + protowire.SizeBytes(sizePair(before))
	}
	if dst == nil {
		dst = make([]byte, 0, 1+protowire.SizeBytes(size))
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, watchEvents, protowire.BytesType), uint64(size))
	dst = appendPair(appendInt(dst, eventType, kind), eventKV, &pair)
	if before != nil {
		dst = appendPair(dst, eventPrev, before)
	}
	return dst
}

// watchService is etcdserverpb.Watch.
type watchService struct{ *core }

// watch serves a stream.
func (s watchService) watch(stream grpc.ServerStream) error {
	w := &watchStream{
		s: s.core, stream: stream, account: front.AccountOf(stream.Context()), wake: make(chan struct{}, 1), byHub: map[uint64]*watched{}, byID: map[int64]*watched{},
	}
	w.answersSent.L = &w.mu
	s.metrics.streams.Add(1)
	defer s.metrics.streams.Add(-1)
	s.watching.add(w)
	defer s.watching.remove(w)
	failed := make(chan error, 1)
	go func() { // ends with the stream, after this function has returned
		if err := s.contain("/etcdserverpb.Watch/Watch", w.receive); err != nil {
			failed <- err
		}
	}()
	err := w.send(failed)
	w.end()
	if errors.Is(err, context.Canceled) {
		return rpctypes.ErrGRPCWatchCanceled
	}
	return err
}

// receive reads requests until the client ends its side.
func (w *watchStream) receive() error {
	for {
		q := &pb.WatchRequest{}
		err := w.stream.RecvMsg(q)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch {
		case q.GetCreateRequest() != nil:
			w.create(q.GetCreateRequest())
		case q.GetCancelRequest() != nil:
			w.cancel(q.GetCancelRequest().WatchId)
		case q.GetProgressRequest() != nil:
			w.requestHub(kv.WatchRequest{Kind: kv.WatchProgress})
		}
		if !w.awaitAnswersSent() {
			return nil
		}
	}
}

const (
	// etcdWatchBytes bounds the waiting events of all watches of etcd clients: beyond it each stream has one delivery.
	etcdWatchBytes = 192 << 20
	// etcdWatchAnswers bounds the bytes of answers other than events that wait on a stream of watches. Beyond it, the stream's requests are
	// no longer read. It is a thousand answers, which a reading client takes in a moment. A client that never read made a member keep 200
	// MiB more each second.
	etcdWatchAnswers = 1024 * limits.RequestOverhead
)

// awaitAnswersSent waits until the client has taken enough of its answers. It returns false when the stream is over.
func (w *watchStream) awaitAnswersSent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.answers > etcdWatchAnswers && !w.over {
		w.answersSent.Wait()
	}
	return !w.over
}

func (w *watchStream) create(q *pb.WatchCreateRequest) {
	one := kv.Watch{Key: q.Key, End: q.RangeEnd, Revision: q.StartRevision, PrevKV: q.PrevKv, ProgressNotify: q.ProgressNotify}
	if len(one.Key) == 0 {
		one.Key = []byte{0}
	}
	for _, filter := range q.Filters {
		one.NoPut = one.NoPut || filter == pb.WatchCreateRequest_NOPUT
		one.NoDelete = one.NoDelete || filter == pb.WatchCreateRequest_NODELETE
	}
	open := len(one.End) == 1 && one.End[0] == 0
	if q.StartRevision < 0 {
		w.refuse(rpctypes.ErrCompacted.Error())
		return
	}
	by, err := w.permits(&one)
	if err != nil {
		w.refuse(w.s.audited(w.stream.Context(), "Watch", q, err).Error())
		return
	}
	if len(one.End) > 0 && !open && string(one.Key) >= string(one.End) {
		w.refuse("mvcc: watcher range is empty")
		return
	}
	if err := one.Check(w.s.bounds()); err != nil {
		w.refuse(err.Message)
		return
	}
	hub, why := w.register(q)
	if why != "" {
		w.refuse(why)
		return
	}
	w.requestHub(kv.WatchRequest{Kind: kv.WatchCreate, ID: hub, Watch: one, By: by})
}

// permits returns the author of a new watch if the author may read its range in the newest View. The hub checks it again, with each change
// of roles.
func (w *watchStream) permits(q *kv.Watch) (kv.Principal, error) {
	by, v, err := w.s.watcher(w.stream.Context())
	if err != nil {
		return by, err
	}
	return by, refused(v.Permits(by, kv.AccessRead, q))
}

// register assigns an id to a new watch, or returns the reason for a refusal.
func (w *watchStream) register(q *pb.WatchCreateRequest) (hub uint64, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return 0, "etcdserver: the stream has ended"
	}
	id := q.WatchId
	if id == 0 {
		for w.byID[w.nextID] != nil {
			w.nextID++
		}
		id = w.nextID
	}
	if w.byID[id] != nil {
		return 0, "mvcc: duplicate watch ID provided on the WatchStream"
	}
	if len(w.byID) >= limits.ClientWatches {
		return 0, fmt.Sprintf("etcdserver: this stream has %d watches, the limit of one", limits.ClientWatches)
	}
	if n := w.s.watches.Add(1); n > int64(w.s.config.Limits.Watches) {
		w.s.watches.Add(-1)
		return 0, fmt.Sprintf("etcdserver: this member has %d watches of etcd's clients, its limit", n-1)
	}
	if q.WatchId == 0 {
		w.nextID++
	}
	w.lastHub++
	one := &watched{id: id, hub: w.lastHub, fragment: q.Fragment, key: q.Key, end: q.RangeEnd}
	w.byID[id], w.byHub[one.hub] = one, one
	w.chargeKeysLocked(one.keyBytes())
	return one.hub, ""
}

// forgetLocked releases a watch's id.
func (w *watchStream) forgetLocked(one *watched) {
	delete(w.byID, one.id)
	w.s.watches.Add(-1)
	w.chargeKeysLocked(-one.keyBytes())
}

// keyBytes returns the bytes of a watch's key and end.
func (one *watched) keyBytes() int64 { return int64(len(one.key) + len(one.end)) }

// chargeKeysLocked charges the bytes of watched keys to the account; negative when a watch ends. A key has at most limits.KeyBytes, but a
// stream may have many watches.
func (w *watchStream) chargeKeysLocked(bytes int64) {
	w.keyBytes += bytes
	w.account.Charge(bytes)
}

func (w *watchStream) cancel(id int64) {
	w.mu.Lock()
	one := w.byID[id]
	if one == nil {
		w.mu.Unlock()
		return
	}
	w.forgetLocked(one)
	ended := one.ended
	w.mu.Unlock()
	if !ended {
		w.requestHub(kv.WatchRequest{Kind: kv.WatchCancel, ID: one.hub})
		return
	}
	w.answer(&pb.WatchResponse{Header: w.s.header(w.s.config.Member.View().Revision()), WatchId: id, Canceled: true})
}

// refuse answers the request for a watch that is not created.
func (w *watchStream) refuse(why string) {
	w.answer(&pb.WatchResponse{
		Header: w.s.header(w.s.config.Member.View().Revision()), WatchId: invalidID, Created: true, Canceled: true, CancelReason: why,
	})
}

// answer sends an answer that the hub does not make, after the hub's answers to all earlier requests.
func (w *watchStream) answer(answer *pb.WatchResponse) {
	w.mu.Lock()
	over := w.over
	if !over {
		w.local = append(w.local, notice{answer: answer})
	}
	w.mu.Unlock()
	if !over {
		w.requestHub(kv.WatchRequest{Kind: kv.WatchEcho})
	}
}

// addAnswerLocked adds an answer, which is never refused.
func (w *watchStream) addAnswerLocked(n notice) {
	size := int64(limits.RequestOverhead * max(1, len(n.IDs)))
	w.answers += size
	w.account.Charge(size)
	w.addLocked(n)
}

func (w *watchStream) addLocked(n notice) {
	w.out = append(w.out, n)
	signal(w.wake)
}

// Format implements kv.WatchStream.
func (w *watchStream) Format() *kv.WatchFormat { return watchFormat }

// Deliver implements kv.WatchStream.
func (w *watchStream) Deliver(d *kv.WatchDelivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return true
	}
	if d.Kind == kv.WatchEvents || d.Kind == kv.WatchProgressed && len(d.IDs) > 0 {
		size := int64(limits.RequestOverhead*len(d.IDs) + len(d.Events))
		if w.waiting > 0 && (w.waiting+size > limits.WatchBytesWaiting || w.s.watchBytes.Load() > etcdWatchBytes) {
			w.slowLocked(d.IDs, d.Revision, true)
			w.refused = true
			return false
		}
		if w.slow > 0 {
			w.slowLocked(d.IDs, d.Revision, false)
		}
		w.waiting, w.events = w.waiting+size, w.events+int64(d.Count*len(d.IDs))
		w.s.watchBytes.Add(size)
		w.addLocked(notice{WatchDelivery: *d})
		return true
	}
	if d.Kind == kv.WatchEchoed {
		w.addAnswerLocked(w.local[0])
		w.local = w.local[1:]
		return true
	}
	if d.Kind == kv.WatchCanceled && d.Err != nil {
		_ = w.s.audited(w.stream.Context(), "Watch", nil, refused(d.Err))
		for _, hub := range d.IDs {
			if one := w.byHub[hub]; one != nil {
				one.ended = true // no further request for it goes to the hub
			}
		}
	}
	w.addAnswerLocked(notice{WatchDelivery: *d})
	return true
}

// send sends the items of out, until the stream is over.
func (w *watchStream) send(failed <-chan error) error {
	var taken []notice
	last := map[watchGroup]int{}
	for {
		select {
		case <-w.wake:
		case err := <-failed:
			return err
		case <-w.stream.Context().Done():
			return w.stream.Context().Err()
		case <-w.s.alive.Done():
			return errStopped
		}
		w.mu.Lock()
		taken, w.out = w.out, taken[:0]
		bytes, answers, events := w.waiting, w.answers, w.events
		w.mu.Unlock()
		taken = join(taken, last)
		for i := range taken {
			began := time.Now()
			if err := w.sendOne(&taken[i]); err != nil {
				return err
			}
			w.s.metrics.delivered(&taken[i], began)
		}
		clear(taken)
		w.sent(bytes, answers, events)
	}
}

// watchGroup identifies the group of watches of a delivery: it is a prefix of the hub's list of watches, which only grows.
type watchGroup struct {
	first *uint64
	count int
}

// join merges consecutive events of the same watches, and returns the rest. last maps each group of watches to its index.
func join(taken []notice, last map[watchGroup]int) []notice {
	if len(taken) == 1 {
		return taken
	}
	clear(last)
	left := taken[:0]
	for _, n := range taken {
		if n.answer != nil || n.Kind != kv.WatchEvents || n.Fragment {
			clear(last) // no item overtakes it
			left = append(left, n)
			continue
		}
		who := watchGroup{&n.IDs[0], len(n.IDs)}
		at, ok := last[who]
		if !ok || len(left[at].Events)+len(n.Events) > limits.WatchFrameBytes {
			last[who] = len(left)
			left = append(left, n)
			continue
		}
		to := &left[at]
		if !to.joined {
			to.Events, to.joined = slices.Clip(to.Events), true // the bytes are shared with other streams
		}
		to.Events, to.Count, to.Revision = append(to.Events, n.Events...), to.Count+n.Count, n.Revision
	}
	clear(taken[len(left):])
	clear(last)
	return left
}

// sent releases the space of sent items, and notifies the member if it waits for space.
func (w *watchStream) sent(bytes, answers, events int64) {
	w.mu.Lock()
	w.waiting, w.events = w.waiting-bytes, w.events-events
	w.answers -= answers
	w.account.Charge(-answers)
	w.answersSent.Signal()
	w.s.watchBytes.Add(-bytes)
	again := w.refused && w.waiting <= limits.WatchBytesWaiting/2
	if again {
		w.refused = false
	}
	w.mu.Unlock()
	if again {
		w.requestHub(kv.WatchRequest{Kind: kv.WatchRoom})
	}
}

func (w *watchStream) sendOne(n *notice) error {
	if n.answer != nil {
		return w.stream.SendMsg(n.answer)
	}
	d := &n.WatchDelivery
	switch {
	case d.Kind == kv.WatchEnded:
		if w.s.config.Member.RaftStatus().Leader == 0 {
			return rpctypes.ErrGRPCNoLeader
		}
		return errStopped
	case d.Kind == kv.WatchProgressed && len(d.IDs) == 0:
		return w.stream.SendMsg(&pb.WatchResponse{Header: w.s.header(d.Revision), WatchId: invalidID})
	}
	for _, hub := range d.IDs {
		w.mu.Lock()
		one := w.byHub[hub]
		w.mu.Unlock()
		if one == nil {
			continue
		}
		if err := w.sendTo(one, d); err != nil {
			return err
		}
	}
	return nil
}

func (w *watchStream) sendTo(one *watched, d *kv.WatchDelivery) error {
	switch d.Kind {
	case kv.WatchCreated:
		one.created = true
		return w.stream.SendMsg(&pb.WatchResponse{Header: w.s.header(d.Revision), WatchId: one.id, Created: true})
	case kv.WatchProgressed:
		return w.stream.SendMsg(&pb.WatchResponse{Header: w.s.header(d.Revision), WatchId: one.id})
	case kv.WatchCanceled:
		return w.stream.SendMsg(w.canceled(one, d))
	}
	revision := d.Revision
	if d.Fragment {
		if !one.fragment {
			if one.size += int64(len(d.Events)); one.size > etcdAnswerBytes {
				return status.Errorf(codes.ResourceExhausted, "etcdserver: revision %d has more than %d bytes of events, the limit of one message: watch with fragments", revision+1, etcdAnswerBytes)
			}
			one.pieces = append(one.pieces, d.Events)
			return nil
		}
		revision++ // the revision of the events
	}
	pieces := one.pieces
	one.pieces, one.size = nil, 0
	if len(d.Events) > 0 {
		pieces = append(pieces, d.Events)
	}
	if len(pieces) == 0 && !one.fragment {
		return nil
	}
	head := appendInt(appendHeader(make([]byte, 0, 64), watchHeader, w.s.header(revision)), watchID, one.id)
	if d.Fragment {
		head = appendInt(head, watchFragment, 1)
	}
	return w.stream.SendMsg(append(message{head}, pieces...))
}

// canceled is the last answer to a watch. As in etcd, the answer after a compaction has no revision.
func (w *watchStream) canceled(one *watched, d *kv.WatchDelivery) *pb.WatchResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowLocked([]uint64{one.hub}, 0, false)
	delete(w.byHub, one.hub)
	answer := &pb.WatchResponse{Header: w.s.header(w.s.config.Member.View().Revision()), WatchId: one.id, Canceled: true}
	switch {
	case d.Err == nil:
	case d.Err.Code == kv.Compacted:
		answer.Header.Revision, answer.CompactRevision = 0, d.Compacted
	default:
		answer.CancelReason = statusOf(d.Err).Error()
		if !one.created {
			answer.WatchId, answer.Created = invalidID, true
		}
		if w.byID[one.id] == one {
			w.forgetLocked(one)
		}
	}
	return answer
}

// end reports the end of the stream to the member.
func (w *watchStream) end() {
	w.mu.Lock()
	w.over = true
	w.s.watches.Add(-int64(len(w.byID)))
	w.s.watchBytes.Add(-w.waiting)
	w.account.Charge(-w.answers)
	w.chargeKeysLocked(-w.keyBytes)
	w.out, w.local, w.waiting, w.answers, w.byID = nil, nil, 0, 0, map[int64]*watched{}
	w.answersSent.Signal()
	w.mu.Unlock()
	w.hub.Lock()
	defer w.hub.Unlock()
	w.ended = true
	if w.known {
		w.callHub(kv.WatchRequest{Kind: kv.WatchEnd})
	}
}

// requestHub sends a request to the member's hub. After the end of the stream requests are dropped.
func (w *watchStream) requestHub(r kv.WatchRequest) {
	w.hub.Lock()
	defer w.hub.Unlock()
	if !w.ended {
		w.known = true
		w.callHub(r)
	}
}

// callHub sends a request to the hub, and waits until the hub's mailbox has space. Only a few goroutines wait there at a time, because each
// release wakes all of them.
func (w *watchStream) callHub(r kv.WatchRequest) {
	w.s.admission.toHub <- struct{}{}
	defer w.s.admission.toHub.Release()
	w.s.config.Member.Watch(w, r)
}
