package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// The flags of a watch.
const (
	flagPrevKV = 1 << iota
	flagProgressNotify
	flagNoPut
	flagNoDelete
	knownWatchFlags = 1<<iota - 1
)

// IsWatch reports whether the frame is a request on a stream of watches.
func IsWatch(frame []byte) bool {
	r := pack.NewReader(frame)
	r.Array()
	r.Uint()
	op := r.Uint()
	return r.Err() == nil && declared(op) && ops[op].path == pathWatch
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

// AppendWatchProgress appends the frame that requests the progress of a stream's watches.
func AppendWatchProgress(dst []byte) []byte { return appendBare(dst, 0, OpWatchProgress) }

func appendBare(dst []byte, id uint64, op Op) []byte {
	const guess = 8
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(op))
	return endFrame(pack.AppendUint(dst, 0), start, guess)
}

// ReadWatchRequest reads the frame of a request on a stream of watches. If the error is a [*kv.Error], it is the reason to cancel
// the watch q.ID. Any other error wraps ErrFrame. The watch's bytes are parts of the frame.
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
	switch op {
	case uint64(OpWatch):
		q.Kind = kv.WatchCreate
	case uint64(OpCancelWatch):
		q.Kind = kv.WatchCancel
	case uint64(OpWatchProgress):
		q.Kind = kv.WatchProgress
	default:
		return kv.Errorf(kv.BadRequest, "op %d is not allowed on a watch stream: its ops are %d to %d", op, OpWatch, OpWatchProgress)
	}
	s := r.Fields(fields-3, ops[op].fields)
	if q.Kind == kv.WatchCreate {
		q.Watch = kv.Watch{Key: r.Bytes(), End: r.Bytes(), Revision: r.Int()}
		flags := readFlags(&r, knownWatchFlags)
		q.Watch.PrevKV, q.Watch.ProgressNotify = flags&flagPrevKV != 0, flags&flagProgressNotify != 0
		q.Watch.NoPut, q.Watch.NoDelete = flags&flagNoPut != 0, flags&flagNoDelete != 0
	}
	r.End(s)
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

const versionFields = 5

// eventFields is the number of fields of an event, by kind; the previous version may follow.
var eventFields = [...]int{eventPut: 2 + versionFields, eventDelete: 3}

// WatchFormat is the encoding of events.
var WatchFormat = &kv.WatchFormat{Append: appendEvent}

func appendEvent(dst []byte, e *kv.Event, before *kv.KeyValue) []byte {
	kind := uint64(eventPut)
	if e.Deleted {
		kind = eventDelete
	}
	fields := eventFields[kind]
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
		dst = appendVersion(pack.AppendArray(dst, versionFields), before)
	}
	return dst
}

func appendVersion(dst []byte, pair *kv.KeyValue) []byte {
	dst = pack.AppendInt(pack.AppendBytes(dst, pair.Value), pair.CreateRevision)
	return pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, pair.ModRevision), pair.Version), pair.Lease)
}

// deliveryFields is the number of fields of a delivery, by kind.
var deliveryFields = [...]int{kv.WatchCreated: 3, kv.WatchEvents: 5, kv.WatchProgressed: 3, kv.WatchCanceled: 6, kv.WatchEnded: 5}

// AppendWatchDelivery appends the frame of a delivery without its events; the events follow it.
func AppendWatchDelivery(dst []byte, d *kv.WatchDelivery) []byte {
	var few [256]byte
	head := few[:0]
	head = pack.AppendArray(pack.AppendUint(pack.AppendArray(head, deliveryFields[d.Kind]), uint64(d.Kind)), len(d.IDs))
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

// flagFragment marks events whose last revision goes on in the next frame.
const flagFragment = 1

// WatchDeliveryBytes estimates the bytes that AppendWatchDelivery appends, without the events.
func WatchDeliveryBytes(d *kv.WatchDelivery) int {
	n := 32 + 5*len(d.IDs)
	if d.Err != nil {
		n += len(d.Err.Message)
	}
	return n
}

// WatchFrame is a decoded delivery. The slices of its events are parts of the frame.
type WatchFrame struct {
	kv.WatchDelivery
	Events []kv.WatchEvent
}

// ReadWatchFrame reads a member's frame on a stream of watches. An error wraps ErrFrame.
func ReadWatchFrame(frame []byte) (f WatchFrame, err error) {
	r := pack.NewReader(frame)
	fields := r.Array()
	f.Kind = kv.WatchDeliveryKind(min(r.Uint(), math.MaxUint8))
	if f.Kind > kv.WatchEnded {
		return f, fmt.Errorf("%w: unknown delivery kind %d", ErrFrame, f.Kind)
	}
	s := r.Fields(fields-1, deliveryFields[f.Kind]-1)
	f.IDs, f.Revision = readArray(&r, (*pack.Reader).Uint), r.Int()
	switch f.Kind {
	case kv.WatchEvents:
		f.Fragment = r.Uint()&flagFragment != 0
		f.Events = readArray(&r, readEvent)
		f.Count = len(f.Events)
	case kv.WatchCanceled, kv.WatchEnded:
		code := kv.Code(min(r.Uint(), math.MaxUint8))
		if message := r.String(); code != kv.OK {
			f.Err = &kv.Error{Code: code, Message: message}
		}
		if f.Kind == kv.WatchCanceled {
			f.Compacted = r.Int()
		}
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return f, fmt.Errorf("%w: a delivery of watches that cannot be read: %w", ErrFrame, err)
	}
	return f, nil
}

func readEvent(r *pack.Reader) (e kv.WatchEvent) {
	fields, kind := r.Array(), r.Uint()
	if kind > eventDelete {
		r.Fail(fmt.Sprintf("unknown event kind %d", kind))
		return e
	}
	known := eventFields[kind] - 1
	if fields > eventFields[kind] {
		known++
	}
	s := r.Fields(fields-1, known)
	e.KV.Key, e.Deleted = r.Bytes(), kind == eventDelete
	if e.Deleted {
		e.KV.ModRevision = r.Int()
	} else {
		readVersion(r, &e.KV)
	}
	if fields > eventFields[kind] && !r.Nil() {
		e.Before = &kv.KeyValue{Key: e.KV.Key}
		before := r.Struct(versionFields)
		readVersion(r, e.Before)
		r.End(before)
	}
	r.End(s)
	return e
}

func readVersion(r *pack.Reader, pair *kv.KeyValue) {
	pair.Value, pair.CreateRevision = r.Bytes(), r.Int()
	pair.ModRevision, pair.Version, pair.Lease = r.Int(), r.Int(), r.Int()
}
