package compat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// observer is the stream of each side that watches everything.
const observer = 1 << 20

// shortTTL is what a lease has that must not be used: it may end before the sequence does.
const shortTTL = 100

// run is one sequence on two fresh sides.
type run struct {
	etcd, qkv *side
	sides     [2]*side
	counts    *counts

	step      int
	op        op
	revision  int64
	compacted int64
	loose     bool // a compaction may still be removing
	hashes    bool // are equal: no key has a lease whose id the server chose
	history   []*mvccpb.Event

	compactions map[int64]bool // the revisions that were compacted up to
	streams     map[int][]*ordered
	controls    map[int]int // how many control answers a stream must have had
	renewed     map[int64]time.Time
	auth        *authModel // nil: the sequence has no users
}

// counts is what was asked, and what was answered.
type counts struct {
	mu     sync.Mutex
	kinds  map[string]int
	errors map[string]int
	shapes map[string]int
}

func newCounts() *counts {
	return &counts{kinds: map[string]int{}, errors: map[string]int{}, shapes: map[string]int{}}
}

func (c *counts) add(table map[string]int, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	table[name]++
}

func newRun(etcd, qkv *side, users bool, c *counts) (*run, error) {
	r := &run{
		etcd: etcd, qkv: qkv, sides: [2]*side{etcd, qkv}, counts: c, revision: 1, compacted: -1, compactions: map[int64]bool{}, hashes: true,
		streams: map[int][]*ordered{}, controls: map[int]int{}, renewed: map[int64]time.Time{},
	}
	if users {
		r.auth = newAuthModel()
		for _, s := range r.sides {
			s.users = true
		}
		for _, o := range r.auth.begin() {
			if err := r.take(o); err != nil {
				return nil, err
			}
		}
	}
	all := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true}
	return r, r.take(op{kind: kindWatch, stream: observer, request: createRequest(all)})
}

func createRequest(c *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}
}

// differs makes the difference of this step.
func (r *run) differs(what, etcd, qkv string) error {
	return &difference{at: r.step, op: r.op, what: what, etcd: etcd, qkv: qkv}
}

// take does one step on both sides and compares.
func (r *run) take(o op) error {
	r.op = o
	err := r.carryOut(o)
	r.step++
	if err != nil {
		return err
	}
	for i, s := range r.sides {
		s.mu.Lock()
		oddities := s.oddities
		s.oddities = nil
		s.mu.Unlock()
		if len(oddities) > 0 {
			said := [2]string{}
			said[i] = strings.Join(oddities, "\n\t")
			return r.differs("an answer is wrong by itself", said[0], said[1])
		}
	}
	return nil
}

func (r *run) carryOut(o op) error {
	switch o.kind {
	case kindWatch:
		return r.watch(o)
	case kindClose:
		return r.closeStream(o.stream)
	case kindCompact:
		// Watchers that are still behind would be ended by it on one side, and not on the other.
		if err := r.complete(); err != nil {
			return err
		}
		if err := r.progress(); err != nil {
			return err
		}
		if r.returned(o.request.(*pb.CompactionRequest).Revision) {
			return nil
		}
	}
	_, _, err := r.exchange(o)
	return err
}

// returned is whether a key was deleted and then put at one revision, which a delete to "\0" lets through. When such a
// revision is compacted, etcd 3.7.3 removes what was put from its file, not from its index, and dies when it is read.
func (r *run) returned(revision int64) bool {
	for i, e := range r.history {
		if e.Kv.ModRevision == revision && e.Type == mvccpb.Event_DELETE && superseded(r.history, i) {
			return true
		}
	}
	return false
}

// both does the same on both sides at once.
func both(do func(int)) {
	var done sync.WaitGroup
	for i := range 2 {
		done.Go(func() { do(i) })
	}
	done.Wait()
}

// exchange asks both sides, and compares the answers.
func (r *run) exchange(o op) (etcd, qkv answer, err error) {
	var a [2]answer
	begun := time.Now()
	both(func(i int) {
		a[i] = r.sides[i].ask(o)
		r.sides[i].checkAlone(o, a[i], r.renewed)
	})
	r.counts.add(r.counts.kinds, o.kind)
	if a[0].code != "OK" {
		r.counts.add(r.counts.errors, sentence(a[0].code, a[0].text))
	}
	r.countShape(o, a[0])
	if what := compare(o, a[0], a[1]); what != "" {
		return a[0], a[1], r.differs(what, a[0].String(), a[1].String())
	}
	return a[0], a[1], r.learn(o, a[0], begun)
}

// countShape counts what issue and page name beside kinds and texts.
func (r *run) countShape(o op, a answer) {
	if t, is := o.request.(*pb.TxnRequest); is && a.code == "OK" && twiceChanged(t, a.responses[0].(*pb.TxnResponse)) {
		r.counts.add(r.counts.shapes, "nested transactions that put and then delete one key")
	}
}

// twiceChanged is whether a nested transaction has put a key that a later one has deleted.
func twiceChanged(request *pb.TxnRequest, response *pb.TxnResponse) bool {
	var puts [][]byte
	found := false
	var walk func(request *pb.TxnRequest, response *pb.TxnResponse)
	walk = func(request *pb.TxnRequest, response *pb.TxnResponse) {
		branch := request.Failure
		if response.Succeeded {
			branch = request.Success
		}
		for i, one := range branch {
			if i >= len(response.Responses) {
				return
			}
			if p := one.GetRequestPut(); p != nil {
				puts = append(puts, p.Key)
			}
			if d := one.GetRequestDeleteRange(); d != nil && response.Responses[i].GetResponseDeleteRange().GetDeleted() > 0 {
				found = found || slices.ContainsFunc(puts, func(key []byte) bool { return bytes.Equal(key, d.Key) })
			}
			if t := one.GetRequestTxn(); t != nil && response.Responses[i].GetResponseTxn() != nil {
				walk(t, response.Responses[i].GetResponseTxn())
			}
		}
	}
	walk(request, response)
	return found
}

// learn keeps what later steps need of an answer that both have given.
func (r *run) learn(o op, a answer, begun time.Time) error {
	if a.code != "OK" || len(a.responses) == 0 {
		return nil
	}
	if h, has := a.responses[len(a.responses)-1].(interface{ GetHeader() *pb.ResponseHeader }); has {
		r.revision = max(r.revision, h.GetHeader().GetRevision())
	}
	switch response := a.responses[0].(type) {
	case *pb.CompactionResponse:
		request := o.request.(*pb.CompactionRequest)
		r.compacted, r.loose = request.Revision, !request.Physical
		r.compactions[r.compacted] = true
	case *pb.LeaseGrantResponse:
		r.renewed[response.ID] = begun
		if response.TTL < shortTTL {
			return r.endLease(response.ID)
		}
	case *pb.LeaseKeepAliveResponse:
		r.renewed[response.ID] = begun
	default:
		if r.auth != nil {
			r.auth.learn(o.request)
		}
	}
	return nil
}

// endLease revokes a lease that may end at any moment, and waits until it has.
func (r *run) endLease(id int64) error {
	var failed [2]string
	both(func(i int) {
		r.sides[i].ask(op{kind: kindRevoke, request: &pb.LeaseRevokeRequest{ID: id}})
		for deadline := time.Now().Add(timeout); ; {
			a := r.sides[i].ask(op{kind: kindTTL, request: &pb.LeaseTimeToLiveRequest{ID: id}})
			if len(a.responses) == 1 && a.responses[0].(*pb.LeaseTimeToLiveResponse).TTL == -1 {
				return
			}
			if time.Now().After(deadline) {
				failed[i] = a.String()
				return
			}
		}
	})
	if failed != [2]string{} {
		return r.differs("a lease that was revoked is still there", failed[0], failed[1])
	}
	return nil
}

// watch sends one message on a watch stream.
func (r *run) watch(o op) error {
	r.counts.add(r.counts.kinds, watchKind(o.request.(*pb.WatchRequest)))
	var failed [2]string
	request := o.request.(*pb.WatchRequest)
	if request.GetCancelRequest() != nil {
		if err := r.complete(); err != nil {
			return err
		}
	}
	both(func(i int) {
		s := r.sides[i]
		w, err := s.streams[o.stream], error(nil)
		if w == nil {
			w, err = s.openWatch(o.stream)
		}
		if err == nil {
			s.level(s.ctx, o, s.conns[o.stream%len(s.conns)])
			err = w.stream.SendMsg(request)
		}
		if err != nil {
			failed[i] = err.Error()
		}
	})
	if failed != [2]string{} {
		return r.differs("a watch stream fails", failed[0], failed[1])
	}
	switch one := request.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		return r.created(o.stream, one.CreateRequest)
	case *pb.WatchRequest_CancelRequest:
		for _, w := range r.streams[o.stream] {
			if w.id == one.CancelRequest.WatchId && !w.over {
				_, err := r.controlled(o.stream)
				w.over = true
				return err
			}
		}
	}
	return nil
}

func watchKind(r *pb.WatchRequest) string {
	switch r.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		return "watch create"
	case *pb.WatchRequest_CancelRequest:
		return "watch cancel"
	case *pb.WatchRequest_ProgressRequest:
		return "watch progress"
	}
	return "watch nothing"
}

// controlled waits for the next control answer of a stream on both sides, and compares.
func (r *run) controlled(stream int) (*pb.WatchResponse, error) {
	at := r.controls[stream]
	r.controls[stream]++
	var got [2]*pb.WatchResponse
	var said [2]string
	both(func(i int) {
		w := r.sides[i].streams[stream]
		if err := w.await(func() bool { return len(w.control) > at }); err != nil {
			said[i] = err.Error()
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		got[i] = w.control[at]
		said[i] = oneLine(got[i])
	})
	if got[0] == nil || got[1] == nil || !proto.Equal(got[0], got[1]) {
		return nil, r.differs("a watch's answer differs", said[0], said[1])
	}
	return got[0], nil
}

// created waits for a watcher's first answer, and orders what must follow.
func (r *run) created(stream int, request *pb.WatchCreateRequest) error {
	ack, err := r.controlled(stream)
	if err != nil {
		return err
	}
	if ack.Canceled {
		r.counts.add(r.counts.errors, "watch: "+ack.CancelReason)
		return nil
	}
	w := &ordered{id: ack.WatchId, request: request, from: request.StartRevision, compacted: r.compacted}
	for _, before := range r.streams[stream] {
		if before.id == w.id {
			before.over = true
		}
	}
	if w.from == 0 {
		w.from = ack.Header.Revision + 1
	}
	if request.StartRevision > 0 && request.StartRevision < r.compacted {
		w.over = true
		w.expected = append(w.expected, &pb.WatchResponse{WatchId: w.id, Canceled: true, CompactRevision: r.compacted})
		r.counts.add(r.counts.errors, "watch: compacted")
	}
	w.at = len(r.streams[stream])
	r.streams[stream] = append(r.streams[stream], w)
	if w.over {
		return r.acknowledged(stream, w)
	}
	return nil
}

// acknowledged cancels a watcher that compaction has ended, as clients do. Before, etcd tells no progress on its stream.
func (r *run) acknowledged(stream int, w *ordered) error {
	if err := r.completeWatcher(stream, w); err != nil {
		return err
	}
	cancel := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: w.id}}}
	for _, s := range r.sides {
		_ = s.streams[stream].stream.SendMsg(cancel) // if it failed, nothing comes
	}
	_, err := r.controlled(stream)
	return err
}

// complete waits until both sides have sent all that they must have sent, and compares it.
func (r *run) complete() error {
	first := r.etcd.streams[observer]
	if err := first.await(func() bool { return r.revision == 1 || first.watchers[0].last >= r.revision }); err != nil {
		return r.differs("the observer's events", err.Error(), "")
	}
	first.mu.Lock()
	for _, item := range first.watchers[0].items[len(r.history):] {
		if len(item.Events) == 0 {
			first.mu.Unlock()
			return r.differs("the observer ended", oneLine(item), "")
		}
		r.history = append(r.history, cloned(item).Events[0])
	}
	first.mu.Unlock()
	for stream, watchers := range r.streams {
		for _, w := range watchers {
			if err := r.completeWatcher(stream, w); err != nil {
				return err
			}
		}
		if err := r.nothingMore(stream); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) completeWatcher(stream int, w *ordered) error {
	if !w.over {
		for ; w.seen < len(r.history); w.seen++ {
			if w.wants(r.history, w.seen) {
				w.expected = append(w.expected, &pb.WatchResponse{WatchId: w.id, Events: []*mvccpb.Event{r.history[w.seen]}})
			}
		}
	}
	var items [2][]*pb.WatchResponse
	var said [2]string
	both(func(i int) {
		s := r.sides[i].streams[stream]
		var got *received
		err := s.await(func() bool {
			got = s.watchers[w.at]
			return len(got.items) >= len(w.expected)
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		items[i] = slices.Clone(got.items)
		if err != nil {
			said[i] = fmt.Sprintf("%v: %d of %d; last came %v", err, len(got.items), len(w.expected), oneLine(got.latest()))
		}
	})
	if said != [2]string{} {
		return r.differs(fmt.Sprintf("watcher %d of stream %d (%v) gets too little", w.id, stream, oneLine(w.request)), said[0], said[1])
	}
	for ; w.checked < len(w.expected); w.checked++ {
		a, b, want := items[0][w.checked], items[1][w.checked], w.expected[w.checked]
		if !proto.Equal(a, b) || !sameEvent(a, want) || !sameEvent(b, want) {
			return r.differs(fmt.Sprintf("event %d of watcher %d of stream %d (%v) where %v was expected", w.checked, w.id, stream, oneLine(w.request), oneLine(want)),
				oneLine(a), oneLine(b))
		}
	}
	if len(items[0]) > len(w.expected) || len(items[1]) > len(w.expected) {
		more := [2]string{}
		for i := range items {
			if len(items[i]) > len(w.expected) {
				more[i] = oneLine(items[i][len(w.expected)])
			}
		}
		return r.differs(fmt.Sprintf("watcher %d of stream %d (%v) gets more than %d", w.id, stream, oneLine(w.request), len(w.expected)), more[0], more[1])
	}
	return nil
}

// nothingMore checks that no control answer came that nobody expects.
func (r *run) nothingMore(stream int) error {
	for i, s := range r.sides {
		w := s.streams[stream]
		w.mu.Lock()
		control := w.control
		w.mu.Unlock()
		if len(control) > r.controls[stream] {
			said := [2]string{}
			said[i] = oneLine(control[r.controls[stream]])
			return r.differs("an answer to no request on a watch stream", said[0], said[1])
		}
	}
	return nil
}

// closeStream ends a watch stream, after all has come.
func (r *run) closeStream(stream int) error {
	if r.streams[stream] == nil {
		return nil
	}
	if err := r.complete(); err != nil {
		return err
	}
	for _, s := range r.sides {
		w := s.streams[stream]
		w.cancel()
		<-w.ended
		delete(s.streams, stream)
	}
	delete(r.streams, stream)
	delete(r.controls, stream)
	return nil
}

// progress asks each stream that can tell for its progress until both sides have told it: all watchers are level then.
func (r *run) progress() error {
	for stream, watchers := range r.streams {
		// Etcd keeps it back while one waits for a revision that it named itself, the next one among them.
		future := func(w *ordered) bool {
			return !w.over && (w.from > r.revision+1 || w.request.StartRevision > r.revision)
		}
		if slices.ContainsFunc(watchers, future) || !slices.ContainsFunc(watchers, func(w *ordered) bool { return !w.over }) {
			continue
		}
		var said [2]string
		both(func(i int) { said[i] = r.sides[i].streams[stream].progressed() })
		if said != [2]string{} {
			return r.differs(fmt.Sprintf("progress of stream %d was asked for", stream), said[0], said[1])
		}
	}
	return nil
}

// finish is what every sequence ends with.
func (r *run) finish() error {
	r.op = op{kind: "finish"}
	if r.auth != nil && r.auth.enabled {
		if err := r.take(r.auth.login(rootUser)); err != nil {
			return err
		}
	}
	if err := r.complete(); err != nil {
		return err
	}
	if err := r.progress(); err != nil {
		return err
	}
	if !r.hashes {
		return nil
	}
	return r.take(op{kind: kindHashKV, user: rootUser, request: new(pb.HashKVRequest)})
}

// asDifference is the difference that an error is, if it is one.
func asDifference(err error) *difference {
	var d *difference
	if errors.As(err, &d) {
		return d
	}
	return nil
}
