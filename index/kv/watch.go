package kv

// Watch is a subscription to the changes of a key, or of a range of keys, from a revision on. Only Key must be set.
type Watch struct {
	Key, End []byte // as in a Range; an empty range is refused
	// Revision is the first revision whose changes are wanted; 0 means the one after the newest. If it is in the future,
	// earlier changes are not delivered.
	Revision       int64
	PrevKV         bool // events have the key's previous version, except at the compacted revision
	ProgressNotify bool // after 10 minutes without events, report the revision up to which there are none
	NoPut          bool // leave out puts
	NoDelete       bool // leave out deletions
}

// Check returns why the request is refused, or nil.
func (w *Watch) Check(b Bounds) *Error {
	if err := b.checkRange(w.Key, w.End); err != nil {
		return err
	}
	if open := len(w.End) == 1 && w.End[0] == 0; len(w.End) > 0 && !open && string(w.Key) >= string(w.End) {
		return Errorf(BadRequest, "the range to watch is empty: its end %q is not after its key %q", w.End, w.Key)
	}
	if w.Revision < 0 {
		return Errorf(BadRequest, "revision %d is negative", w.Revision)
	}
	return nil
}

// WatchRequest is a request to a member's watch hub: create, cancel, or progress of watches.
type WatchRequest struct {
	Kind  WatchRequestKind
	ID    uint64    // the watch, for WatchCreate and WatchCancel; chosen by the client, unique in its stream
	Watch Watch     // for WatchCreate; the receiver of the request owns its bytes
	By    Principal // the user who creates the watch: it needs the permission to read as long as the watch lives
}

// WatchRequestKind is the kind of a WatchRequest.
type WatchRequestKind uint8

const (
	// WatchCreate begins a watch. The answer is WatchCreated, or WatchCanceled with the reason.
	WatchCreate WatchRequestKind = iota + 1
	// WatchCancel ends a watch. The answer is WatchCanceled. For an unknown watch there is no answer.
	WatchCancel
	// WatchProgress asks for one WatchProgressed of the whole stream, once all its watches have caught up.
	WatchProgress
	// WatchRoom says that the stream accepts events again after it refused some. The stream sends one for each such time.
	WatchRoom
	// WatchEnd says that the stream has ended. It is the stream's last request.
	WatchEnd
	// WatchEcho asks for a WatchEchoed after the answers to all earlier requests. Native clients do not send it.
	WatchEcho
)

// WatchDelivery is a message from a member to a stream of watches. It is read-only because streams share it.
type WatchDelivery struct {
	Kind WatchDeliveryKind
	// IDs are the watches that the delivery is for: equal watches of one stream share a delivery. In a WatchProgressed an
	// empty list means all watches of the stream.
	IDs []uint64
	// Revision is, in a WatchCreated, the member's newest revision. In all other deliveries, the watches have received
	// all events up to Revision.
	Revision int64
	Events   []byte // encoded in the stream's format, one after the other
	Count    int    // number of events
	Fragment bool   // the last event's revision continues in the next delivery to these watches
	Err      *Error // why the watches were canceled or the stream must end; nil: the client canceled
	// Compacted is, if Err has that code, the oldest revision that can be watched.
	Compacted int64
}

// WatchDeliveryKind is the kind of a WatchDelivery.
type WatchDeliveryKind uint8

const (
	// WatchCreated is the first delivery to a watch.
	WatchCreated WatchDeliveryKind = iota
	// WatchEvents are events, in order. All events of one revision come together unless Fragment is set.
	WatchEvents
	// WatchProgressed says that nothing at or below Revision will follow.
	WatchProgressed
	// WatchCanceled is the last delivery to a watch.
	WatchCanceled
	// WatchEnded is the last delivery to a stream: the member no longer serves watches, and Err says why.
	WatchEnded
	// WatchEchoed answers a WatchEcho.
	WatchEchoed
)

// WatchStream receives deliveries; each client stream that has watches has one.
type WatchStream interface {
	// Deliver takes a delivery and must not block. It may refuse events, and progress notices that the client did not ask
	// for. After the stream has sent a WatchRoom, refused events are delivered again, and newer notices replace the
	// refused ones.
	Deliver(d *WatchDelivery) bool
	// Format is the encoding of the stream's events. Streams with the same format return equal pointers and share encoded
	// bytes.
	Format() *WatchFormat
}

// WatchFormat is an encoding of events.
type WatchFormat struct {
	// Append appends an event. before is the previous version of the key: nil if the key did not exist, or if the watch
	// does not want it.
	Append func(dst []byte, e *Event, before *KeyValue) []byte
}

// WatchEvent is an event as a client's watch receives it. Sub is 0: events of one revision come in order.
type WatchEvent struct {
	Event
	// Before is the key as it was before the revision; nil if it did not exist, is compacted, or is not wanted.
	Before *KeyValue
}

// Change identifies a change of a key by its revision.
type Change struct {
	Key      []byte `msgpack:"k"`
	Revision int64  `msgpack:"r"`
}
