package kv

// Watch asks for the changes of a key, or of a range of keys, from a revision on. Only Key must be set.
type Watch struct {
	Key, End []byte // a Range's
	// Revision is the first one whose changes are wanted; 0: the one behind the newest. It may be one that is not there
	// yet: nothing older is told of then.
	Revision       int64
	PrevKV         bool // events come with what was there before
	ProgressNotify bool // when there is no event for a while, the revision up to which there is none is told
	NoPut          bool // events of this kind are left out
	NoDelete       bool
}

// Check says why the request is refused, or nil.
func (w *Watch) Check(b Bounds) *Error {
	if err := b.checkRange(w.Key, w.End); err != nil {
		return err
	}
	if open := len(w.End) == 1 && w.End[0] == 0; len(w.End) > 0 && !open && string(w.Key) >= string(w.End) {
		return Errorf(BadRequest, "the range that is to be watched is empty: its end %q is not behind its key %q", w.End, w.Key)
	}
	if w.Revision < 0 {
		return Errorf(BadRequest, "revision %d is negative", w.Revision)
	}
	return nil
}

// WatchRequest is what the stream of a client's watches asks of a member.
type WatchRequest struct {
	Kind  WatchRequestKind
	ID    uint64 // the watch's, of WatchCreate and WatchCancel: chosen by the client, one of its stream's
	Watch Watch  // of WatchCreate; its bytes belong to the one that gets the request
}

// WatchRequestKind says what is asked for.
type WatchRequestKind uint8

const (
	// WatchCreate begins a watch. The answer is WatchCreated, or WatchCanceled with the reason.
	WatchCreate WatchRequestKind = iota + 1
	// WatchCancel ends one. The answer is WatchCanceled; for one that is not there, there is none.
	WatchCancel
	// WatchProgress asks for one WatchProgressed of the whole stream, once all of its watches are level.
	WatchProgress
	// WatchRoom says that the stream takes events again, after it refused some. There is one for each time.
	WatchRoom
	// WatchEnd says that the stream is gone. It is the last.
	WatchEnd
)

// WatchDelivery is what a member delivers to a stream of watches. It is read only, since streams share it.
type WatchDelivery struct {
	Kind WatchDeliveryKind
	// IDs are the watches that it is for: equal watches of one stream share a delivery. Of WatchProgressed none means all of
	// the stream's.
	IDs []uint64
	// Revision is the newest one of the member when the watch was created; in all others the one up to which the watches
	// have been told of everything.
	Revision int64
	Events   []byte // as the stream's format has them, one after the other
	Count    int    // of the events
	Fragment bool   // the last event's revision goes on in the next delivery to these watches
	Err      *Error // why watches were canceled, or the stream has to end; nil: the client asked for it
	// Compacted is, when Err has that code, the oldest revision that there is.
	Compacted int64
}

// WatchDeliveryKind says what is delivered.
type WatchDeliveryKind uint8

const (
	// WatchCreated is the first delivery to a watch.
	WatchCreated WatchDeliveryKind = iota
	// WatchEvents are events, in order. All of one revision come together, but for those in which Fragment is set.
	WatchEvents
	// WatchProgressed says that nothing at or below Revision will follow.
	WatchProgressed
	// WatchCanceled is the last delivery to a watch.
	WatchCanceled
	// WatchEnded is the last delivery to a stream: the member serves no watches, Err says why.
	WatchEnded
)

// WatchStream is where deliveries go: one for each stream of a client that has watches.
type WatchStream interface {
	// Deliver takes a delivery, and must not block. It may refuse events and notices of progress that nobody asked for:
	// they are delivered again, or newer ones in their place, after the stream has sent a WatchRoom.
	Deliver(d *WatchDelivery) bool
	// Format is how the stream's events are encoded. Streams with one format have equal pointers, and share the bytes.
	Format() *WatchFormat
}

// WatchFormat is how events are encoded.
type WatchFormat struct {
	// Append appends an event; before is the key as it was before, nil where it was not there, or is not wanted.
	Append func(dst []byte, e *Event, before *KeyValue) []byte
}

// WatchEvent is an event as a client's watch gets it. Sub is 0: events of one revision are in order.
type WatchEvent struct {
	Event
	// Before is the key as it was before the revision; nil where it was not there, is compacted, or is not wanted.
	Before *KeyValue
}
