package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// The ops of a stream of watches; doc.go draws their bodies.
const (
	OpWatch         Op = 20
	OpCancelWatch   Op = 21
	OpWatchProgress Op = 22
)

// The flags of a watch.
const (
	flagPrevKV = 1 << iota
	flagProgressNotify
	flagNoPut
	flagNoDelete
	knownWatchFlags = 1<<iota - 1
)

// IsWatch tells whether the frame of a request is one of a stream of watches.
func IsWatch(frame []byte) bool {
	r := pack.NewReader(frame)
	r.Array()
	r.Uint()
	op := r.Uint()
	return r.Err() == nil && op >= uint64(OpWatch) && op <= uint64(OpWatchProgress)
}

// AppendWatch appends the frame that begins a watch.
func AppendWatch(dst []byte, id uint64, w *kv.Watch) []byte {
	flags := uint64(0)
	for i, on := range []bool{w.PrevKV, w.ProgressNotify, w.NoPut, w.NoDelete} {
		if on {
			flags |= 1 << i
		}
	}
	guess := 24 + len(w.Key) + len(w.End)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 7), id), uint64(OpWatch)), 0)
	dst = pack.AppendBytes(pack.AppendBytes(dst, w.Key), w.End)
	return endFrame(pack.AppendUint(pack.AppendInt(dst, w.Revision), flags), start, guess)
}

// AppendCancelWatch appends the frame that ends a watch.
func AppendCancelWatch(dst []byte, id uint64) []byte { return appendBare(dst, id, OpCancelWatch) }

// AppendWatchProgress appends the frame that asks how far a stream's watches are.
func AppendWatchProgress(dst []byte) []byte { return appendBare(dst, 0, OpWatchProgress) }

func appendBare(dst []byte, id uint64, op Op) []byte {
	const guess = 8
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(op))
	return endFrame(pack.AppendUint(dst, 0), start, guess)
}

// ReadWatchRequest reads the frame of a request on a stream of watches. A [*kv.Error] is the reason why the watch that q.ID
// names is canceled. Any other error wraps ErrFrame. The watch's bytes are parts of the frame.
func ReadWatchRequest(frame []byte, q *kv.WatchRequest) error {
	r := pack.NewReader(frame)
	*q = kv.WatchRequest{}
	fields := r.Array()
	q.ID = r.Uint()
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	op := r.Uint()
	r.Uint()
	if err := r.Err(); err != nil {
		return kv.Errorf(kv.BadRequest, "a request without op and timeout: %v", err)
	}
	want := 3
	switch op {
	case uint64(OpWatch):
		q.Kind, want = kv.WatchCreate, 7
	case uint64(OpCancelWatch):
		q.Kind = kv.WatchCancel
	case uint64(OpWatchProgress):
		q.Kind = kv.WatchProgress
	default:
		return kv.Errorf(kv.BadRequest, "op %d on a stream of watches, which knows %d to %d", op, OpWatch, OpWatchProgress)
	}
	if fields != want {
		return kv.Errorf(kv.BadRequest, "a watch request of %d fields: this member knows %d", fields, want)
	}
	if q.Kind == kv.WatchCreate {
		q.Watch = kv.Watch{Key: r.Bytes(), End: r.Bytes(), Revision: r.Int()}
		flags := readFlags(&r, knownWatchFlags)
		q.Watch.PrevKV, q.Watch.ProgressNotify = flags&flagPrevKV != 0, flags&flagProgressNotify != 0
		q.Watch.NoPut, q.Watch.NoDelete = flags&flagNoPut != 0, flags&flagNoDelete != 0
	}
	if err := r.Done(); err != nil {
		return kv.Errorf(kv.BadRequest, "a watch request that cannot be read: %v", err)
	}
	return nil
}

// The kinds of an event.
const (
	eventPut    = 0
	eventDelete = 1
)

// WatchFormat is how events are encoded.
var WatchFormat = &kv.WatchFormat{Append: appendEvent}

func appendEvent(dst []byte, e *kv.Event, before *kv.KeyValue) []byte {
	fields, kind := 7, uint64(eventPut)
	if e.Deleted {
		fields, kind = 3, eventDelete
	}
	if before != nil {
		fields++
	}
	if dst == nil {
		size := 64 + len(e.KV.Key) + len(e.KV.Value)
		if before != nil {
			size += 48 + len(before.Value)
		}
		dst = make([]byte, 0, size)
	}
	dst = pack.AppendBytes(pack.AppendUint(pack.AppendArray(dst, fields), kind), e.KV.Key)
	if e.Deleted {
		dst = pack.AppendInt(dst, e.KV.ModRevision)
	} else {
		dst = appendVersion(dst, &e.KV)
	}
	if before != nil {
		dst = appendVersion(pack.AppendArray(dst, 5), before)
	}
	return dst
}

func appendVersion(dst []byte, pair *kv.KeyValue) []byte {
	dst = pack.AppendInt(pack.AppendBytes(dst, pair.Value), pair.CreateRevision)
	return pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, pair.ModRevision), pair.Version), pair.Lease)
}

// AppendWatchDelivery appends the frame of a delivery, but for its events, which follow it.
func AppendWatchDelivery(dst []byte, d *kv.WatchDelivery) []byte {
	var few [256]byte
	head := few[:0]
	fields := 3
	switch d.Kind {
	case kv.WatchEvents:
		fields = 5
	case kv.WatchCanceled:
		fields = 6
	case kv.WatchEnded:
		fields = 5
	}
	head = pack.AppendArray(pack.AppendUint(pack.AppendArray(head, fields), uint64(d.Kind)), len(d.IDs))
	for _, id := range d.IDs {
		head = pack.AppendUint(head, id)
	}
	head = pack.AppendInt(head, d.Revision)
	switch d.Kind {
	case kv.WatchEvents:
		flags := uint64(0)
		if d.Fragment {
			flags = flagFragment
		}
		head = pack.AppendArray(pack.AppendUint(head, flags), d.Count)
	case kv.WatchCanceled, kv.WatchEnded:
		code, message := kv.OK, ""
		if d.Err != nil {
			code, message = d.Err.Code, d.Err.Message
		}
		head = pack.AppendString(pack.AppendUint(head, uint64(code)), message)
		if d.Kind == kv.WatchCanceled {
			head = pack.AppendInt(head, d.Compacted)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(head)+len(d.Events))), head...)
}

// flagFragment is the flag of events whose last revision goes on in the next frame.
const flagFragment = 1

// WatchDeliveryBytes is about what AppendWatchDelivery appends, without the events.
func WatchDeliveryBytes(d *kv.WatchDelivery) int {
	n := 32 + 5*len(d.IDs)
	if d.Err != nil {
		n += len(d.Err.Message)
	}
	return n
}

// WatchFrame is a delivery that was read. The slices of its events are parts of the frame.
type WatchFrame struct {
	kv.WatchDelivery
	Events []kv.WatchEvent
}

// ReadWatchFrame reads a frame that a member sends on a stream of watches. An error wraps ErrFrame.
func ReadWatchFrame(frame []byte) (f WatchFrame, err error) {
	r := pack.NewReader(frame)
	fields := r.Array()
	f.Kind = kv.WatchDeliveryKind(min(r.Uint(), math.MaxUint8))
	f.IDs = readArray(&r, (*pack.Reader).Uint)
	f.Revision = r.Int()
	known := 3
	switch f.Kind {
	case kv.WatchCreated, kv.WatchProgressed:
	case kv.WatchEvents:
		known = 5
		f.Fragment = r.Uint()&flagFragment != 0
		f.Events = readArray(&r, readEvent)
		f.Count = len(f.Events)
	case kv.WatchCanceled, kv.WatchEnded:
		known = 5
		code := kv.Code(min(r.Uint(), math.MaxUint8))
		if message := r.String(); code != kv.OK {
			f.Err = &kv.Error{Code: code, Message: message}
		}
		if f.Kind == kv.WatchCanceled {
			known = 6
			f.Compacted = r.Int()
		}
	default:
		return f, fmt.Errorf("%w: a delivery of kind %d", ErrFrame, f.Kind)
	}
	for i := known; i < fields && r.Err() == nil; i++ {
		r.Skip()
	}
	if fields < known {
		r.Fail(fmt.Sprintf("%d fields, of %d", fields, known))
	}
	if err := r.Done(); err != nil {
		return f, fmt.Errorf("%w: a delivery of watches that cannot be read: %w", ErrFrame, err)
	}
	return f, nil
}

func readEvent(r *pack.Reader) (e kv.WatchEvent) {
	fields := r.Array()
	known := 7
	kind := r.Uint()
	e.KV.Key = r.Bytes()
	switch kind {
	case eventPut:
		readVersion(r, &e.KV)
	case eventDelete:
		known, e.Deleted = 3, true
		e.KV.ModRevision = r.Int()
	default:
		r.Fail(fmt.Sprintf("an event of kind %d", kind))
	}
	if fields < known {
		r.Fail(fmt.Sprintf("an event of %d fields, of %d", fields, known))
	}
	if fields > known && r.Err() == nil {
		known++
		more := r.Array() - 5
		e.Before = &kv.KeyValue{Key: e.KV.Key}
		readVersion(r, e.Before)
		for ; more > 0 && r.Err() == nil; more-- {
			r.Skip()
		}
	}
	for ; known < fields && r.Err() == nil; known++ {
		r.Skip()
	}
	return e
}

func readVersion(r *pack.Reader, pair *kv.KeyValue) {
	pair.Value, pair.CreateRevision = r.Bytes(), r.Int()
	pair.ModRevision, pair.Version, pair.Lease = r.Int(), r.Int(), r.Int()
}
