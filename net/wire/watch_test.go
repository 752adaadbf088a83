package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/index/kv"
)

func TestWatchRequestsReadBack(t *testing.T) {
	for flags := range 16 {
		w := kv.Watch{
			Key: []byte("k"), End: []byte("l"), Revision: -1,
			PrevKV: flags&1 != 0, ProgressNotify: flags&2 != 0, NoPut: flags&4 != 0, NoDelete: flags&8 != 0,
		}
		readBack(t, AppendWatch(nil, 1<<40, &w), kv.WatchRequest{Kind: kv.WatchCreate, ID: 1 << 40, Watch: w})
	}
	readBack(t, AppendCancelWatch(nil, 7), kv.WatchRequest{Kind: kv.WatchCancel, ID: 7})
	readBack(t, AppendWatchProgress(nil), kv.WatchRequest{Kind: kv.WatchProgress})
	if IsWatch(frameOf(t, AppendRequest(nil, 20, OpStatus, 20, nil))) || IsWatch([]byte{0x93, 1}) {
		t.Error("a request is taken for one of watches")
	}
}

func readBack(t *testing.T, b []byte, want kv.WatchRequest) {
	t.Helper()
	var q kv.WatchRequest
	frame := frameOf(t, b)
	if err := ReadWatchRequest(frame, &q); err != nil || !reflect.DeepEqual(q, want) || !IsWatch(frame) {
		t.Errorf("read %+v, %v, wrote %+v", q, err, want)
	}
}

func encoded(t *testing.T, fields ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	if err := e.Encode(fields); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWatchRequestsRefused(t *testing.T) {
	for want, frame := range map[string][]byte{
		"op 3 is not allowed on a watch stream": encoded(t, 5, 3, 0),
		"flags 0x10, of which 0xf":              encoded(t, 5, 20, 0, []byte("k"), []byte{}, 0, 16),
		"without op and timeout":                encoded(t, 5),
		"a watch request that cannot b":         encoded(t, 5, 20, 0, "k", []byte{}, 0, 0),
	} {
		var q kv.WatchRequest
		var answer *kv.Error
		if err := ReadWatchRequest(frame, &q); !errors.As(err, &answer) || answer.Code != kv.BadRequest || q.ID != 5 || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, wanted %s", err, want)
		}
	}
	var q kv.WatchRequest
	if err := ReadWatchRequest([]byte{0x90}, &q); !errors.Is(err, ErrFrame) {
		t.Errorf("no id: %v", err)
	}
}

func TestDeliveriesReadBack(t *testing.T) {
	f, err := ReadWatchFrame(frameOf(t, appendDelivery(exampleEvents)))
	want := []kv.WatchEvent{
		{Event: kv.Event{KV: examplePairs[0]}},
		{Event: kv.Event{Deleted: true, KV: kv.KeyValue{Key: []byte("greeting"), ModRevision: 9}}, Before: &kv.KeyValue{}},
	}
	*want[1].Before = examplePairs[1]
	want[1].Before.Key = []byte("greeting")
	if err != nil || !f.Fragment || f.Revision != 9 || !reflect.DeepEqual(f.IDs, exampleEvents.IDs) || !reflect.DeepEqual(f.Events, want) {
		t.Errorf("events: %+v, %v", f, err)
	}
	f, err = ReadWatchFrame(frameOf(t, appendDelivery(exampleCanceled)))
	if err != nil || f.Compacted != 70000 || f.Err.Message != "gone" {
		t.Errorf("canceled: %+v, %v", f, err)
	}
	f, err = ReadWatchFrame(frameOf(t, appendDelivery(kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{3}})))
	if err != nil || f.Err != nil {
		t.Errorf("canceled as asked for: %+v, %v", f, err)
	}
}

// Room for events is made at once, and not for more than arrayAhead of those that a frame only claims to have.
func TestEventsTakeOnePlace(t *testing.T) {
	all := array{}
	for range 100 {
		all = append(all, array{0, []byte("k"), []byte("v"), 1, 2, 3, 4})
	}
	if f, err := ReadWatchFrame(encoded(t, 1, array{1}, 5, 0, all)); err != nil || len(f.Events) != 100 || cap(f.Events) != 100 {
		t.Errorf("room for %d events, of %d: %v", cap(f.Events), len(f.Events), err)
	}
	claimed := encoded(t, 1, array{1}, 5, 0)
	claimed = append(append(claimed, 0xdd, 0, 1, 0, 0), make([]byte, 1<<16)...)
	claimed[0]++ // has one field more
	if f, err := ReadWatchFrame(claimed); !errors.Is(err, ErrFrame) || cap(f.Events) > arrayAhead {
		t.Errorf("room for %d events, of none: %v", cap(f.Events), err)
	}
}

func TestUnknownDeliveries(t *testing.T) {
	f, err := ReadWatchFrame(encoded(t, 3, array{1}, 5, 200, "of the future", 0))
	if err != nil || f.Err.Code.String() != "code 200" {
		t.Errorf("canceled: %+v, %v", f, err)
	}
	noneBefore := array{0, []byte("k"), []byte("v"), 1, 2, 3, 4, nil, "later"}
	if f, err := ReadWatchFrame(encoded(t, 1, array{1}, 5, 0, array{noneBefore})); err != nil || f.Events[0].Before != nil || f.Events[0].KV.Lease != 4 {
		t.Errorf("an event with a later field, and none before: %+v, %v", f, err)
	}
	for name, frame := range map[string][]byte{
		"unknown event kind 2":    encoded(t, 1, array{1}, 5, 0, array{array{2, []byte("k")}}),
		"unknown delivery kind 9": encoded(t, 9, array{1}, 5),
		"nothing":                 {},
	} {
		if _, err := ReadWatchFrame(frame); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
