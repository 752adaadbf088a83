package backup

import (
	"errors"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"filippo.io/age"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// written is a history whose backup was made with interruptions: the process is killed, the power fails, bases and log are
// made in pieces of random size.
func interrupted(t *testing.T, seed uint64, to ...age.Recipient) (*history, disk.FS) {
	r := rand.New(rand.NewPCG(seed, 1))
	h, on := newHistory(t, seed), newFolder(t)
	h.grow(5 + r.IntN(20))
	again := func(w *Writer) *Writer {
		if w != nil {
			must(t, w.Close())
			if r.IntN(2) == 0 {
				on.Crash(simdisk.Variant(r.IntN(int(simdisk.Variants))))
			}
		}
		return open(t, on, to...)
	}
	w := again(nil)
	must(t, h.base(w))
	for range 4 + r.IntN(4) {
		h.grow(r.IntN(12))
		at, _ := w.Last()
		if at == 0 {
			at = w.Bases()[0].Index
		}
		for at < uint64(len(h.entries)) {
			n := min(uint64(1+r.IntN(9)), uint64(len(h.entries))-at)
			must(t, w.Append(background, h.entries[at:at+n]))
			if at += n; r.IntN(4) == 0 {
				w = again(w)
			}
		}
		if r.IntN(3) == 0 {
			if err := h.base(w); err != nil && !errors.Is(err, iofs.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	must(t, w.Close())
	return h, on
}

// The last command of an entry is a resent write, whose outcome has an older revision. The restore goes by the state's revision, and
// applies nothing behind the one that was asked for.
func TestRevisionBeforeAResentWrite(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	at := uint64(len(h.entries))
	put := func(key string, once kv.WriteName) []byte {
		head := &index.Head{Once: once}
		return head.AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte("value")}).Bytes
	}
	once := kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: h.state.View().SessionClock()}
	h.add(false, put("a", once))
	h.add(false, put("b", kv.WriteName{}), put("a", once))
	wanted := h.state.View().Revision()
	h.add(false, put("c", kv.WriteName{}))
	must(t, w.Append(background, h.from(at)))
	must(t, w.Close())
	for _, moment := range []At{{Revision: wanted}, {Wall: h.moments[at+2].wall}} {
		got, err := restore(on, moment)
		must(t, err)
		if digest := got.State.View().Digest(); got.Revision != wanted || got.Index != at+2 || digest != h.cut(wanted) && moment.Wall == 0 {
			t.Errorf("%+v: revision %d of entry %d, want %d of entry %d", moment, got.Revision, got.Index, wanted, at+2)
		}
	}
}

// A base has the wanted revision, and a lease that was granted behind it. The restore begins with an earlier base, and stops before that.
func TestRevisionBeforeALease(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	at := uint64(len(h.entries))
	h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("a"), Value: []byte("value")}).Bytes)
	wanted := h.state.View().Revision()
	h.add(false, new(index.Head).AppendGrant(nil, kv.Lease{ID: 77, TTL: 100}).Bytes)
	must(t, w.Append(background, h.from(at)))
	must(t, h.base(w))
	must(t, w.Close())
	got, err := restore(on, At{Revision: wanted})
	must(t, err)
	if _, ok := got.State.View().Lease(77); ok || got.Revision != wanted || got.State.View().Digest() != h.cut(wanted) {
		t.Errorf("revision %d of entry %d, with the lease: %v; want revision %d of entry %d", got.Revision, got.Index, ok, wanted, at+1)
	}
}

// A leader's clock is an hour ahead, and its successor's is right. The state's clock stays at the newest time: a time of the hour between
// is before all of the successor's changes, which only a revision tells apart.
func TestClockAnHourOff(t *testing.T) {
	h, on := newHistory(t, 6), newFolder(t)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	begin := uint64(len(h.entries))
	put := func(value string) (entry uint64, revision int64) {
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: []byte(value)}).Bytes)
		return uint64(len(h.entries)), h.state.View().Revision()
	}
	right, _ := put("before")
	h.clock += int64(time.Hour)
	fast, _ := put("by the leader whose clock is fast")
	ahead := h.wall
	h.clock -= int64(time.Hour)
	_, between := put("by its successor")
	last, _ := put("the newest one")
	must(t, w.Append(background, h.from(begin)))
	must(t, w.Close())
	for what, one := range map[string]struct {
		at   At
		want uint64
	}{
		"a time before":                   {At{Wall: h.moments[right].wall}, right},
		"a time in the hour between":      {At{Wall: ahead - int64(time.Minute)}, right},
		"the time of the fast clock":      {At{Wall: ahead}, last},
		"a time behind it":                {At{Wall: ahead + int64(time.Hour)}, last},
		"the revision of the successor's": {At{Revision: between}, fast + 1},
	} {
		got, err := restore(on, one.at)
		must(t, err)
		if m := h.moments[one.want]; got.Index != one.want || got.Revision != m.revision || got.Wall != m.wall {
			t.Errorf("%s: entry %d, revision %d, time %d; want entry %d, %+v", what, got.Index, got.Revision, got.Wall, one.want, m)
		}
	}
}

// An encrypted backup is restored with its key, and with no other one.
func TestEncrypted(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	other, err := age.GenerateX25519Identity()
	must(t, err)
	h, on := interrupted(t, 3, key.Recipient())
	for name, keys := range map[string][]age.Identity{"right": {other, key}, "another": {other}, "none": nil} {
		rd := reading(t, on, keys...)
		got, err := rd.Restore(At{}, testLimits(), nil)
		if name == "right" {
			must(t, err)
			h.same(got, uint64(len(h.entries)))
		} else if !errors.Is(err, ErrKey) {
			t.Errorf("with %s: %v", name, err)
		}
		if err := rd.Dump(io.Discard, DumpOptions{}); err != nil {
			t.Errorf("its damage cannot be looked for with %s key: %v", name, err)
		}
	}
}
