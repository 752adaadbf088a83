package etcd

import (
	"bytes"
	"context"
	"math"
	"runtime"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// kvService is etcdserverpb.KV.
type kvService struct{ *core }

// commandOver is the size of a put's command in addition to its key, its value and its author's name.
const commandOver = 64

func (s kvService) put(ctx context.Context, q *putRequest) (answer, error) {
	p, err := s.putOf(&q.PutRequest)
	if err == nil {
		err = s.checkSize(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	var command kv.Command
	out, err := s.propose(ctx, proposal{body: p.PrevKV}, func(h index.Head) kv.Command {
		command = h.AppendPut(buffers.Get(commandOver+len(p.Key)+len(p.Value)+len(h.By.Name)), &p)
		return command
	})
	if err != nil {
		return nil, err // the member may still use the command, and the audit log may take the key of a refusal
	}
	defer buffers.Put(q.from) // the command and the answer are copies
	buffers.Put(command.Bytes)
	if !p.PrevKV {
		return message{appendHeader(make([]byte, 0, headerBytes), putHeader, s.header(out.Result.Revision))}, nil
	}
	reader := func() *index.AnswerReader { return index.NewPutReader(&p, &out.Result, etcdAnswerBytes) }
	all, err := s.answerWrite(ctx, out.view, reader, false, func(found *kv.TxnResult) proto.Message {
		result := &pb.PutResponse{Header: s.header(out.Result.Revision)}
		if prev := found.Answers[0].Put.Prev; prev != nil {
			result.PrevKv = pairOf(prev)
		}
		return result
	})
	return all, doneAt(out.Result.Revision, err)
}

func (s kvService) deleteRange(ctx context.Context, q *pb.DeleteRangeRequest) (answer, error) {
	d, out, err := s.deleteKeys(ctx, q)
	if err != nil {
		return nil, err
	}
	deleted := &pb.DeleteRangeResponse{Header: s.header(out.Result.Revision), Deleted: out.Result.Deleted}
	if !d.PrevKV {
		return libraryMessage{deleted}, nil
	}
	reader := func() *index.AnswerReader { return index.NewDeleteReader(&d, &out.Result, s.config.Limits.BuiltBytes) }
	all, err := s.answerWrite(ctx, out.view, reader, len(d.End) > 0, func(found *kv.TxnResult) proto.Message {
		deleted.PrevKvs = pairsOf(found.Answers[0].Delete.Prev)
		return deleted
	})
	return all, doneAt(out.Result.Revision, err)
}

// deleteKeys proposes a deletion.
func (s kvService) deleteKeys(ctx context.Context, q *pb.DeleteRangeRequest) (d kv.Delete, out outcome, err error) {
	if d, err = s.deleteOf(q); err == nil {
		err = s.checkSize(ctx, q)
	}
	if err == nil {
		rows := s.config.Member.View().RowsOf(d.Key, d.End)
		out, err = s.propose(ctx, proposal{body: d.PrevKV, rows: rows}, func(h index.Head) kv.Command { return h.AppendDelete(nil, &d) })
	}
	return d, out, err
}

func (s kvService) txn(ctx context.Context, q *pb.TxnRequest) (answer, error) {
	t, err := s.txnOf(q)
	if err != nil {
		return nil, err
	}
	var rows int64
	if t.Ranges() {
		var refusal *kv.Error
		if rows, refusal = s.config.Member.View().RowsOfTxn(t); refusal != nil {
			return nil, statusOf(refusal)
		}
	}
	var out outcome
	if t.ReadOnly() {
		out, err = s.evaluate(ctx, t, rows)
	} else {
		if err = s.checkSize(ctx, q); err == nil {
			out, err = s.propose(ctx, proposal{body: true, rows: rows}, func(h index.Head) kv.Command { return h.AppendTxn(nil, t) })
		}
	}
	if err != nil {
		return nil, err
	}
	return s.answerTxn(ctx, q, t, &out)
}

// answerTxn returns the answer to a transaction that is done.
func (s kvService) answerTxn(ctx context.Context, q *pb.TxnRequest, t *kv.Txn, out *outcome) (answer, error) {
	reader := func() *index.AnswerReader { return index.NewAnswerReader(t, &out.Result, s.config.Limits.BuiltBytes) }
	all, err := s.answerWrite(ctx, out.view, reader, t.Ranges(), func(found *kv.TxnResult) proto.Message {
		result := txnAnswerOf(q, found)
		result.Header = s.header(out.Result.Revision)
		return result
	})
	if !t.ReadOnly() {
		err = doneAt(out.Result.Revision, err)
	}
	return all, err
}

// answerWrite reads the answer to a write or a transaction from the View that has it, and encodes what convert makes of it.
func (s kvService) answerWrite(ctx context.Context, v *index.View, reader func() *index.AnswerReader, long bool,
	convert func(*kv.TxnResult) proto.Message,
) (answer, error) {
	defer runtime.KeepAlive(v)
	wide := s.bufferedRead(ctx)
	defer wide.end()
	found, reserved, err := wide.readAnswer(reader, v, long)
	if err != nil {
		return nil, err
	}
	return s.encodeBuilt(ctx, convert(found), reserved)
}

// doneAt adds to an error that the write was applied and only its answer is missing. A client that sees only the lack of memory would write
// again.
func doneAt(revision int64, err error) error {
	why, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	return status.Errorf(why.Code(), "etcdserver: it was done at revision %d, but its answer was not read: %s", revision, strings.TrimPrefix(why.Message(), "etcdserver: "))
}

// evaluate executes a read-only transaction. A transaction that compares many keys waits for the previous one, like a long write.
func (s kvService) evaluate(ctx context.Context, t *kv.Txn, rows int64) (outcome, error) {
	var newest int64
	for _, ops := range [][]kv.Op{t.Success, t.Failure} {
		for i := range ops {
			newest = max(newest, ops[i].Range.Revision) // in a read-only transaction all operations are ranges
		}
	}
	if err := s.mayReadAt(ctx, t.Serializable(), newest); err != nil {
		return outcome{}, err
	}
	s.metrics.reads.Add(1)
	if rows > limits.LongWriteRows {
		if err := s.admission.evaluating.Take(ctx); err != nil {
			return outcome{}, err
		}
		defer s.admission.evaluating.Release()
	}
	v := s.config.Member.View()
	if err := s.permits(ctx, v, kv.AccessRead, t); err != nil {
		return outcome{}, err
	}
	result, err := v.Evaluate(t)
	if err != nil {
		return outcome{}, statusOf(err)
	}
	out := outcome{view: v}
	out.Result = result
	return out, nil
}

// readAnswer reads the answer to a write or a transaction from the View that includes it. A read that may visit many keys takes turns.
func (w *bufferedRead) readAnswer(reader func() *index.AnswerReader, v *index.View, long bool,
) (found *kv.TxnResult, own *admit.Reservation, err error) {
	return readMeasured(w, v, reader, long, func(*kv.TxnResult) bool { return false })
}

func readAnswer(a *index.AnswerReader, v *index.View) (*kv.TxnResult, error) {
	for {
		found, done, err := a.Step(v, limits.RangeRows)
		if err != nil {
			return nil, statusOf(err)
		}
		if done {
			return found, nil
		}
	}
}

func (s kvService) compact(ctx context.Context, q *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	out, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendCompact(nil, q.Revision) })
	if err != nil {
		return nil, err
	}
	if q.Physical {
		// If ctx ends first, the compaction has happened all the same, and is recorded.
		for v := s.config.Member.View(); v.Compacted() <= q.Revision && !v.Dropped() && ctx.Err() == nil; v = s.config.Member.View() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return &pb.CompactionResponse{Header: s.header(max(out.Result.Revision, s.config.Member.View().Revision()))}, nil
}

func (s kvService) rangeKeys(ctx context.Context, q *pb.RangeRequest) (answer, error) {
	r, err := s.rangeOf(q, false)
	if err != nil {
		return nil, err
	}
	s.metrics.ranges.Add(1)
	if err := s.mayReadAt(ctx, q.Serializable, q.Revision); err != nil {
		return nil, err
	}
	single := len(q.RangeEnd) == 0 && !sortsPage(q)
	if !single && r.Limit == 0 && !r.Sorted() && !r.Filtered() && !r.CountOnly {
		return s.rangeAll(ctx, r, true)
	}
	v := s.config.Member.View()
	defer runtime.KeepAlive(v)
	if err := s.permitsRange(ctx, v, &r); err != nil {
		return nil, err
	}
	if single {
		reads := index.NewRangeReader(r, 0)
		reads.Measure()
		found, _, err := reads.Step(v, 1)
		if err != nil {
			return nil, statusOf(err)
		}
		if most := s.wholeMost(ctx); len(found.KVs) > 0 && len(found.KVs[0].Value) > most {
			a := rangeAnswer{most: most}
			a.add(&found.KVs[0])
			return s.rangeLater(ctx, &a, r, v, s.header(found.Revision), found.More, found.Count), nil
		}
		if reads.Unread() > 0 {
			if found, err = v.Range(r, 0); err != nil {
				return nil, statusOf(err)
			}
		}
		return s.pointMessage(&found), nil
	}
	var a rangeAnswer
	if r.Sorted() && !r.CountOnly {
		return s.rangeSorted(ctx, &a, r, v)
	}
	most := answerMost(ctx)
	if sortsPage(q) || r.Filtered() {
		most = s.builtMost(ctx)
	}
	built := sortsPage(q) || r.Filtered()
	wide := s.bufferedRead(ctx)
	defer wide.end()
	begin := func() *index.UnpagedReader { return index.NewUnpagedReader(r, int64(most)) }
	// a large answer is read while it is written
	found, own, err := readMeasured(wide, v, begin, true, func(found kv.RangeResult) bool {
		a = rangeAnswer{most: s.wholeMost(ctx), measured: true}
		for i := range found.KVs {
			a.add(&found.KVs[i])
		}
		return !built && a.large()
	})
	if err != nil {
		return nil, err
	}
	if built {
		sortPage(q, &found)
		return s.builtMessage(ctx, &found, own)
	}
	if !a.large() {
		a = rangeAnswer{most: s.wholeMost(ctx)}
		for i := range found.KVs {
			a.add(&found.KVs[i])
		}
	}
	own.Release()
	return s.rangeLater(ctx, &a, r, v, s.header(found.Revision), found.More, found.Count), nil
}

// mayRead waits until the View may be read.
func (s *core) mayRead(ctx context.Context, serializable bool) error {
	if serializable {
		return nil
	}
	return s.calls.confirm(ctx)
}

// mayReadAt is mayRead for a request that names a revision. The client may know a revision above this member's from another member's
// answer. If there is a leader, mayReadAt confirms with it first, and the read refuses the revision as a future one only after that.
func (s *core) mayReadAt(ctx context.Context, serializable bool, revision int64) error {
	if !serializable || revision <= s.config.Member.View().Revision() {
		return s.mayRead(ctx, serializable)
	}
	if learner, _ := s.learner(); !learner && s.config.Member.RaftStatus().Leader != 0 {
		_ = s.calls.confirm(ctx) // if this fails, the answer is read from this member's state
	}
	return ctx.Err()
}

// pointMessage encodes the result at one key, in one piece.
func (s kvService) pointMessage(found *kv.RangeResult) message {
	size := headerBytes + countBytes
	for i := range found.KVs {
		size += sizeField(&found.KVs[i])
	}
	b := appendHeader(make([]byte, 0, size), rangeHeader, s.header(found.Revision))
	for i := range found.KVs {
		b = appendPair(b, rangeKVs, &found.KVs[i])
	}
	return message{appendCount(b, found.More, found.Count)}
}

func (s kvService) rangeMessage(a *rangeAnswer, found *kv.RangeResult) message {
	for i := range found.KVs {
		a.add(&found.KVs[i])
	}
	return a.finish(s.header(found.Revision), found.More, found.Count)
}

// builtMessage encodes a result at once. own is its reservation, if it has one.
func (s kvService) builtMessage(ctx context.Context, found *kv.RangeResult, own *admit.Reservation) (_ answer, err error) {
	size := 0
	for i := range found.KVs {
		size += sizeField(&found.KVs[i])
	}
	if own, err = s.build(ctx, own, size); err != nil {
		return nil, err
	}
	var a rangeAnswer
	all := s.rangeMessage(&a, found)
	own.Shrink(int64(size))
	return reserving(all, own), nil
}

// rangeLater returns the answer collected in a. It is already encoded, or, if it was too large, a deferredAnswer.
func (s kvService) rangeLater(ctx context.Context, a *rangeAnswer, r kv.Range, v *index.View, h *pb.ResponseHeader, more bool, count int64) answer {
	if !a.large() {
		return a.finish(h, more, count)
	}
	if r.Revision <= 0 {
		r.Revision = v.Revision()
	}
	r.Continued = true
	head, tail := a.around(h, more, count)
	ctx = context.WithoutCancel(ctx)
	return &deferredAnswer{
		s: s.core, head: head, tail: tail, cuts: a.cuts, total: a.size + len(head) + len(tail), ctx: ctx, left: r, pinned: s.pin(v),
		permission: rangePermission{s: s.core, ctx: ctx, r: r, seen: v.Auth()},
	}
}

// rangeAll answers with all keys of a range. It reads page by page, from the View of the first turn, and from newer
// Views once that View has been held for too long. If it measures, it reads no values from files: it begins again to
// read them if the answer is small, and a large answer reads them while it is written.
func (s kvService) rangeAll(ctx context.Context, r kv.Range, measures bool) (answer, error) {
	a := &rangeAnswer{most: s.wholeMost(ctx)}
	all := r
	begin := func() (reads index.RangeReader) {
		if reads = index.NewRangeReader(r, 0); measures {
			reads.Measure()
		}
		return reads
	}
	reads := begin()
	permission := rangePermission{s: s.core, ctx: ctx, r: r}
	var v *index.View
	var begun time.Time
	var newest, count int64
	first := true
	own, size := front.AccountOf(ctx), 0
	defer func() { own.Charge(-int64(size)) }() // from here on charged to the answer
	err := s.read(ctx, func() (done bool, err error) {
		if v == nil || !first && s.heldTooLong(begun) {
			v, begun = s.config.Member.View(), time.Now()
			if err := permission.in(v); err != nil {
				return false, err
			}
		}
		defer runtime.KeepAlive(v)
		if newest == 0 {
			newest = v.Revision()
		}
		page, paged, err := reads.Step(v, limits.RangeRows)
		if err != nil || !paged {
			return false, err
		}
		if first {
			count, first = page.Count, false
		}
		a.measured = a.measured || measures && reads.Unread() > 0
		for i := range page.KVs {
			a.add(&page.KVs[i])
		}
		now := a.holds()
		own.Charge(int64(now - size))
		if size = now; a.size > answerMost(ctx) {
			return false, s.errAnswerTooLarge(ctx)
		}
		if !page.More {
			return true, nil
		}
		if r.Revision == 0 {
			r.Revision = newest
		}
		r.Key, r.Continued = append(bytes.Clone(page.KVs[len(page.KVs)-1].Key), 0), true
		reads = begin()
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if all.Revision <= 0 {
		all.Revision = newest
	}
	if a.measured && !a.large() {
		return s.rangeAll(ctx, all, false)
	}
	return s.rangeLater(ctx, a, all, v, s.header(newest), false, count), nil
}

// rangeSorted encodes a range in another order than key order, page by page.
func (s kvService) rangeSorted(ctx context.Context, a *rangeAnswer, r kv.Range, v *index.View) (answer, error) {
	// bounds the bytes encoded without a reservation, whatever the size of values
	reads := index.NewSortedReader(r, limits.PageBytes)
	var page kv.RangeResult
	own, size := front.AccountOf(ctx), 0
	defer func() { own.Charge(-int64(size)) }() // from here on charged to the answer
	var reserved *admit.Reservation
	small, last := s.wholeMost(ctx), false
	if overHTTP(ctx) { // it has its own memory budget
		small = math.MaxInt
	}
	wide := s.bufferedRead(ctx)
	defer wide.end()
	begin := func() { // no reservation yet: it needs a slot of longReads first
		own.Charge(-int64(size))
		*a, size, reads = rangeAnswer{}, 0, index.NewSortedReader(r, limits.PageBytes)
	}
	for !last {
		err := wide.read(begin, func() (bool, error) {
			var done bool
			var err error
			page, done, last, err = reads.Step(v, limits.RangeRows)
			if err != nil || !done {
				return false, err
			}
			for i := range page.KVs {
				a.add(&page.KVs[i])
			}
			if reserved == nil {
				own.Charge(int64(a.size - size))
				size = a.size
			}
			if a.size > s.builtMost(ctx) {
				return false, s.errAnswerTooLarge(ctx)
			}
			return last || a.size > small && reserved == nil || a.size > pieceBytes && !wide.hasSlot, nil
		})
		anew := false
		if err == nil && a.size > pieceBytes {
			if anew, err = wide.takeSlot(begin); err == nil && anew {
				last = false
				continue
			}
		}
		// reserve the whole budget: the final size is not known yet
		if err == nil && a.size > small && reserved == nil {
			if reserved, err = s.build(ctx, nil, int(s.config.Limits.BuiltBytes)); err == nil {
				own.Charge(-int64(size))
				size = 0
			}
		}
		if err != nil {
			reserved.Release()
			return nil, err
		}
	}
	reserved.Shrink(int64(a.size))
	return reserving(a.finish(s.header(page.Revision), page.More, page.Count), reserved), nil
}

// answerMost is the size limit of a range's answer.
func answerMost(ctx context.Context) int {
	if overHTTP(ctx) {
		return limits.EtcdGatewayBytes
	}
	return etcdAnswerBytes
}

// builtMost is the size limit of an answer that is held in memory as a whole.
func (s *core) builtMost(ctx context.Context) int {
	return min(answerMost(ctx), int(s.config.Limits.BuiltBytes))
}

// errAnswerTooLarge refuses a range that exceeds the size of one message.
func (s *core) errAnswerTooLarge(ctx context.Context) error {
	if overHTTP(ctx) {
		return status.Errorf(codes.ResourceExhausted, "etcdserver: the answer has more than %d bytes, the limit of one as JSON: ask for pages, or by gRPC", limits.EtcdGatewayBytes)
	}
	return status.Errorf(codes.ResourceExhausted, "etcdserver: the answer has more than %d bytes, the limit of one, or %d of one that is sorted or filtered: ask for pages, or a stream", etcdAnswerBytes, s.config.Limits.BuiltBytes)
}

// rangeStream sends a range in chunks.
func (s kvService) rangeStream(stream grpc.ServerStream) error {
	q := &pb.RangeRequest{}
	if err := stream.RecvMsg(q); err != nil {
		return err
	}
	r, err := s.rangeOf(q, false)
	switch {
	case err != nil:
		return err
	case q.SortOrder != pb.RangeRequest_NONE && (q.SortTarget != pb.RangeRequest_KEY || q.SortOrder != pb.RangeRequest_ASCEND):
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	case r.Filtered():
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	if err := s.mayReadAt(stream.Context(), q.Serializable, q.Revision); err != nil {
		return err
	}
	return newChunks(stream.Context(), s.core, q, func(m message) error { return stream.SendMsg(m) }).run()
}
