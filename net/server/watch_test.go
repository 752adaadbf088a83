package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/server"
	"qkv/net/wire"
)

// delivered returns the next delivery of a stream of watches.
func (r *raw) delivered(kind kv.WatchDeliveryKind) wire.WatchFrame {
	r.t.Helper()
	_ = r.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		frame, err := r.frames.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		if frame != nil {
			f, err := wire.ReadWatchFrame(bytes.Clone(frame))
			if err != nil || f.Kind != kind {
				r.t.Fatalf("delivered %+v, wanted kind %d: %v", f, kind, err)
			}
			return f
		}
		if err := r.frames.Fill(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func watchOf(id uint64, key string) []byte {
	return wire.AppendWatch(nil, id, &kv.Watch{Key: []byte(key)})
}

// Equal watches of a stream share a frame, and each is told what concerns it.
func TestWatchStream(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for id := uint64(1); id <= 3; id++ {
		r.send(watchOf(id, "k"))
		if f := r.delivered(kv.WatchCreated); len(f.IDs) != 1 || f.IDs[0] != id || f.Revision != 1 {
			t.Fatalf("created %+v", f)
		}
	}
	r.send(watchOf(9, "other"))
	r.delivered(kv.WatchCreated)
	w := rawOf(t, r.conn)
	w.send(put(1, "k", "v"))
	w.want(1, kv.OK)
	if f := r.delivered(kv.WatchEvents); len(f.IDs) != 3 || len(f.Events) != 1 || string(f.Events[0].KV.Value) != "v" || f.Revision != 2 {
		t.Errorf("events %+v", f)
	}
	r.send(wire.AppendCancelWatch(nil, 2))
	if f := r.delivered(kv.WatchCanceled); f.IDs[0] != 2 || f.Err != nil {
		t.Errorf("canceled %+v", f)
	}
	r.send(wire.AppendCancelWatch(nil, 77)) // there is none
	w.send(put(2, "k", "w"))
	w.want(2, kv.OK)
	if f := r.delivered(kv.WatchEvents); len(f.IDs) != 2 {
		t.Errorf("events after one was canceled: %+v", f)
	}
	r.send(wire.AppendWatchProgress(nil))
	if f := r.delivered(kv.WatchProgressed); len(f.IDs) != 0 || f.Revision != 3 {
		t.Errorf("progress %+v", f)
	}
	for _, x := range []struct {
		asked []byte
		id    []uint64 // that is named: a watch that is there goes on, and so is not
	}{
		{watchOf(3, "k"), nil},
		{wire.AppendWatch(nil, 4, &kv.Watch{}), []uint64{4}},
		{wire.AppendWatch(nil, 4, &kv.Watch{Key: []byte("b"), End: []byte("a")}), []uint64{4}},
		{put(4, "k", "v"), []uint64{4}},
	} {
		r.send(x.asked)
		if f := r.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code == kv.Overloaded || !slices.Equal(f.IDs, x.id) {
			t.Errorf("refused %+v, watch %d is to be named", f, x.id)
		}
	}
	if n := e.member.Watches(); n != 3 {
		t.Errorf("%d watches, want 3", n)
	}
	w.send(watchOf(5, "k"))
	w.want(5, kv.BadRequest) // it is a stream of requests
	_ = r.stream.Close()
	for e.member.Watches() > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := r.stream.Read(make([]byte, 1)); err == nil {
		t.Error("the stream goes on")
	}
}

// A stream that is not read costs a bound of memory, and holds up neither other streams nor requests of its connection; when it
// is read, nothing is missing.
func TestWatchNotTaken(t *testing.T) {
	testlong.Skip(t)
	const n, size = 200, 100_000 // 20 MB, far more than all windows and queues
	e := newEndpoint(t, nil)
	idle := e.raw(t)
	busy, writer := rawOf(t, idle.conn), rawOf(t, idle.conn)
	for _, r := range []*raw{idle, busy} {
		r.send(watchOf(1, "k"))
		r.delivered(kv.WatchCreated)
	}
	value := strings.Repeat("x", size)
	most := int64(0)
	for i := range uint64(n) {
		writer.send(put(i, "k", fmt.Sprint(i, " ", value)))
		writer.want(i, kv.OK)
		if f := busy.delivered(kv.WatchEvents); len(f.Events) != 1 || !bytes.HasPrefix(f.Events[0].KV.Value, fmt.Append(nil, i, " ")) {
			t.Fatalf("event %d: %d events", i, len(f.Events))
		}
		most = max(most, e.server.Stats().Bytes)
	}
	if most > 3*limits.WatchBytesWaiting {
		t.Errorf("%d bytes were taken for a stream that is not read", most)
	}
	for i := 0; i < n; {
		for _, event := range idle.delivered(kv.WatchEvents).Events {
			if !bytes.HasPrefix(event.KV.Value, fmt.Append(nil, i, " ")) {
				t.Fatalf("event %d is %.10s", i, event.KV.Value)
			}
			i++
		}
	}
}

// A hundred thousand watches on a connection are refused by name, whatever streams they are on; memory is bounded, and the
// others go on.
func TestWatchFlood(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	const n = 100_000
	go func() {
		var b []byte
		for id := range uint64(n) {
			if b = append(b, watchOf(id, fmt.Sprint(id%1000))...); len(b) > 60_000 || id == n-1 {
				if _, err := r.stream.Write(b); err != nil {
					return
				}
				b = nil
			}
		}
	}()
	created, refused := 0, 0
	for created+refused < n {
		f := r.any(t)
		switch {
		case f.Kind == kv.WatchCreated:
			created++
		case f.Kind == kv.WatchCanceled && f.Err.Code == kv.Overloaded:
			if refused++; !strings.Contains(f.Err.Message, fmt.Sprint(limits.ClientWatches)) && !strings.Contains(f.Err.Message, "share") {
				t.Fatalf("refused: %v", f.Err)
			}
		default:
			t.Fatalf("delivered %+v", f)
		}
	}
	if created > limits.ClientWatches || created < limits.ClientWatches/2 {
		t.Errorf("%d watches were created", created)
	}
	w := e.raw(t)
	w.send(put(1, "7", "v"))
	w.want(1, kv.OK)
	if f := r.delivered(kv.WatchEvents); len(f.Events) != 1 {
		t.Errorf("events %+v", f)
	}
	if bytes := e.server.Stats().Bytes; bytes > limits.ClientWatches*(server.WatchOverhead+16)+1<<20 {
		t.Errorf("%d bytes are taken", bytes)
	}
}

// any returns the next delivery, whatever it is.
func (r *raw) any(t *testing.T) wire.WatchFrame {
	t.Helper()
	_ = r.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		frame, err := r.frames.Next()
		if err == nil && frame == nil {
			err = r.frames.Fill()
		}
		if err != nil {
			t.Fatal(err)
		}
		if frame != nil {
			f, err := wire.ReadWatchFrame(frame)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
}

// Who takes nothing is reset, and the member has nothing of it any more.
func TestWatchSlowIsReset(t *testing.T) { testretry.Longer(t, time.Second, watchSlowIsReset) } // on a busy host the others' puts take long

func watchSlowIsReset(t testing.TB, limit time.Duration) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.WriteTimeout = limit })
	r := e.raw(t)
	w := rawOf(t, r.conn)
	r.send(watchOf(1, "k"))
	r.delivered(kv.WatchCreated)
	value := strings.Repeat("x", 64<<10)
	for i := range uint64(50) { // more than the client's window and the stream's room hold
		w.send(put(i, "k", value))
		w.want(i, kv.OK)
	}
	e.until(t, "the watch goes on", func() bool { return e.member.Watches() == 0 })
	e.until(t, "what waits for it is kept", func() bool { return e.server.Stats().Bytes <= 4*server.ClientStreamBytes })
	_ = r.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		if _, err := r.stream.Read(make([]byte, 1<<20)); err != nil {
			if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != quic.StreamErrorCode(wire.StreamSlow) {
				t.Errorf("the stream ends with %v", err)
			}
			return
		}
	}
}

// A stream that keeps nothing, and gets nothing because others have all the memory that there is, gets it when there is some: nothing
// that it has written will tell it of that.
func TestWatchStarves(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(watchOf(1, "k"))
	r.delivered(kv.WatchCreated)
	end := e.server.Hunger()
	e.fill(1000, func(int) []byte { return []byte("k") })
	e.until(t, "nothing is refused", func() bool { return e.server.WatchesRefused() > 0 })
	time.Sleep(300 * time.Millisecond) // it asks several times, in vain
	end()
	for got := 0; got < 1000; {
		got += len(r.delivered(kv.WatchEvents).Events)
	}
}

// A watch that finds no room is refused, and does not count among those of its connection: else who asks again until there is room
// might have none any more.
func TestWatchWithoutRoom(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.Watches = 2 })
	r := e.raw(t)
	r.send(watchOf(1, "k"))
	r.delivered(kv.WatchCreated)
	end := e.server.Hunger()
	for range 3 {
		r.send(watchOf(2, "k"))
		if f := r.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.Overloaded || !strings.Contains(f.Err.Message, "no memory budget left for another watch") {
			t.Fatalf("refused with %v", f.Err)
		}
	}
	end()
	r.send(watchOf(2, "k"))
	r.delivered(kv.WatchCreated)
	r.send(watchOf(3, "k"))
	if f := r.delivered(kv.WatchCanceled); f.Err == nil || !strings.Contains(f.Err.Message, "too many watches") {
		t.Errorf("refused with %v", f.Err)
	}
}

// All that an ended stream of watches kept is given back, also what its client had not taken.
func TestEndedWatchesGiveBack(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.Watches = 2 }) // of a connection: fewer than there are in all
	first := e.raw(t)
	value := []byte(strings.Repeat("x", 100_000))
	for range 3 {
		r := rawOf(t, first.conn)
		r.send(watchOf(1, "k"))
		r.delivered(kv.WatchCreated)
		e.until(t, "nothing is refused", func() bool { // more waits than there is room for
			e.member.Propose(kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: value})}})
			return e.server.WatchesRefused() > 0
		})
		r.stream.CancelRead(0)
		r.stream.CancelWrite(0)
		e.until(t, "the watch goes on", func() bool { return e.member.Watches() == 0 })
	}
	_ = first.conn.CloseWithError(0, "")
	e.idle(t)
}

// A member that drains ends its streams of watches in good order.
func TestWatchDrain(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(watchOf(1, "k"))
	r.delivered(kv.WatchCreated)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go e.server.Drain(ctx)
	if err := r.frames.Fill(); err == nil || err.Error() != "EOF" {
		t.Errorf("the stream ends with %v", err)
	}
}
