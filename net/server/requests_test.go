package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

func TestOneBatch(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	var all []byte
	for i := range uint64(100) {
		all = append(all, put(i, "k", fmt.Sprint(i))...)
	}
	r.send(append(all, get(100, "k")...))
	for i := range uint64(100) {
		p := r.want(i, kv.OK)
		if revision, _, _, err := p.Written(); err != nil || revision != int64(i)+2 {
			t.Fatalf("put %d: revision %d, %v", i, revision, err)
		}
	}
	p := r.want(100, kv.OK)
	var page kv.RangeResult
	if err := p.Range(&page); err != nil || page.Revision != 101 || string(page.KVs[0].Value) != "99" {
		t.Fatalf("%+v, %v", page, err)
	}
	if n := e.member.Proposals.Load(); n > 10 {
		t.Errorf("%d proposals for a hundred puts that came together", n)
	}
	e.idle(t)
}

// Reads that came together are each answered with their own key, of both kinds, whether it is there or not, and however
// many there are of them.
func TestReadsTogether(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	const keys = 3 * index.PrefetchKeys
	for i := range uint64(keys) {
		if i%5 > 0 {
			r.send(put(i, fmt.Sprint("key-", i), fmt.Sprint("value ", i)))
			r.want(i, kv.OK)
		}
	}
	var all []byte
	for id := range uint64(2 * keys) {
		all = append(all, getWith(id, kv.Range{Key: fmt.Append(nil, "key-", id/2), Serializable: id%2 > 0, KeysOnly: id%7 == 0})...)
	}
	r.send(all)
	answered := map[uint64]bool{}
	for range 2 * keys { // in any order
		p, err := r.next()
		if err != nil || p.Code != kv.OK || answered[p.ID] {
			t.Fatalf("%+v, %v", p, err)
		}
		answered[p.ID] = true
		var page kv.RangeResult
		if err := p.Range(&page); err != nil {
			t.Fatal(err)
		}
		want := ""
		if i := p.ID / 2; i%5 > 0 && p.ID%7 == 0 {
			want = fmt.Sprintf("key-%d: ", i)
		} else if i%5 > 0 {
			want = fmt.Sprintf("key-%d: value %d", i, i)
		}
		got := ""
		for _, pair := range page.KVs {
			got += fmt.Sprintf("%s: %s", pair.Key, pair.Value)
		}
		if got != want {
			t.Errorf("request %d is answered %q, not %q", p.ID, got, want)
		}
	}
	e.idle(t)
}

// What cannot be understood is answered, and the stream goes on.
func TestStreamGoesOn(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.MaxRequestBytes = 40 })
	r := e.raw(t)
	r.send(servertest.Frame([]byte{0x93, 7, 99, 1})) // op 99
	p := r.want(7, kv.BadRequest)
	if err := p.Failed(); !strings.Contains(err.Message, "op 99 is not known here") {
		t.Error(err)
	}
	r.send(servertest.Frame([]byte{0x94, 8, 1, 1, 1})) // a put of too little
	r.want(8, kv.BadRequest)
	r.send(put(9, "", ""))
	r.want(9, kv.EmptyKey)
	r.send(put(10, "k", "longer than forty bytes with all that is around it"))
	r.want(10, kv.ValueTooLarge)
	r.send(put(11, "k", "v"))
	r.want(11, kv.OK)
	r.send(put(12, "k", "1"))
	r.send(put(12, "k", "2")) // the same id twice: two answers, and nobody else is troubled
	r.want(12, kv.OK)
	r.want(12, kv.OK)
	r.send(getSerializable(13, "k"))
	r.want(13, kv.OK)
	e.idle(t)
}

// A client that does not take its answers is read from all the same, and what is encoded for it is no more for that: what
// was not answered at once waits, and is answered when there is room.
func TestAnswersNotTaken(t *testing.T) {
	const reads = 8000
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(put(1, "k", strings.Repeat("v", 2<<10)))
	r.want(1, kv.OK)
	r.send(getSerializable(2, "k"))
	r.want(2, kv.OK)
	var all []byte
	for id := range uint64(reads) {
		all = append(all, getSerializable(id, "k")...)
	}
	r.send(all)
	for begun := time.Now(); e.server.Stats().Requests < reads/2; time.Sleep(time.Millisecond) {
		if time.Since(begun) > wait {
			t.Fatalf("%+v", e.server.Stats())
		}
	}
	if s := e.server.Stats(); s.Bytes-s.Requests*(limits.RequestOverhead+64) > 1<<20 {
		t.Errorf("%+v", s)
	}
	for range reads { // in any order
		if p, err := r.next(); err != nil || p.Code != kv.OK {
			t.Fatal(p.Code, err)
		}
	}
	_ = r.conn.CloseWithError(0, "")
	e.idle(t)
}

// Of an answer that stands still for a while, what its client has taken is not written once more.
func TestAnswerGoesOnBehindAStall(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	value := make([]byte, limits.ClientStreamWindow) // with what is around it more than the client takes unread
	for i := range value {
		value[i] = byte(i >> 8)
	}
	r.send(append(put(1, "k", string(value)), put(2, "l", string(value[:64<<10]))...))
	r.want(1, kv.OK)
	r.want(2, kv.OK)
	r.send(getSerializable(3, "l")) // so that there is room for a part of what is written at once
	r.want(3, kv.OK)
	r.send(append(getSerializable(4, "k"), getSerializable(5, "k")...))
	time.Sleep(limits.ClientStall * 3 / 2)
	for range 2 {
		var page kv.RangeResult
		if p, err := r.next(); err != nil || p.Range(&page) != nil || len(page.KVs) != 1 || !bytes.Equal(page.KVs[0].Value, value) {
			t.Fatalf("an answer with %d keys: %v", len(page.KVs), err)
		}
	}
}

func TestRequestLimit(t *testing.T) {
	config := server.Config{
		Address: "127.0.0.1:0", Credentials: servertest.NewTrust(t).Member, Member: servertest.NewMember(), MaxRequestBytes: limits.RequestBytes + 1,
	}
	servertest.Proofs(t, &config)
	_, err := server.Start(config)
	if err == nil || !strings.Contains(err.Error(), "between 1 and 16777216") {
		t.Error(err)
	}
}

func TestAddress(t *testing.T) {
	e := newEndpoint(t, nil)
	config := server.Config{Address: servertest.Endpoint(e.server), Credentials: e.trust.Member, Member: e.member, MaxRequestBytes: limits.RequestBytes, Limits: limits.Defaults().Clients}
	servertest.Proofs(t, &config)
	if _, err := server.Start(config); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("an address in use: %v", err)
	}
	config.Address = "nowhere"
	if _, err := server.Start(config); err == nil || !strings.Contains(err.Error(), `"nowhere" to listen on is not valid`) {
		t.Errorf("no address: %v", err)
	}
}

// What is no frame ends the connection, with the reason in words; nobody else notices.
func TestNoFrames(t *testing.T) {
	e := newEndpoint(t, nil)
	good := e.raw(t)
	for name, x := range map[string]struct {
		bytes []byte
		want  string
	}{
		"a huge length":      {binary.AppendUvarint(nil, 1<<40), "its length of 1099511627776 bytes is over the limit"},
		"a length of 0":      {[]byte{0}, "its length is 0"},
		"an endless length":  {[]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "its length field is not terminated"},
		"no array":           {servertest.Frame([]byte{0xc0}), "a request without an id"},
		"a hostile array":    {servertest.Frame([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}), "a request without an id"},
		"HTTP":               {[]byte("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nUser-Agent: a browser that lost its way, and more\r\n"), "a request without an id"},
		"a good one, before": {append(put(1, "k", "v"), 0), "its length is 0"},
	} {
		r := e.raw(t)
		r.send(x.bytes)
		if reason := r.closed(wire.CloseProtocol); !strings.Contains(reason, x.want) {
			t.Errorf("%s: %s", name, reason)
		}
	}
	good.send(put(1, "k", "v"))
	good.want(1, kv.OK)
	e.idle(t)
}

// TestNoFramesLogged: each stream of a connection can break the protocol, and anyone who has a certificate can come again: the log is not
// longer for it.
func TestNoFramesLogged(t *testing.T) {
	var logged syncBuffer
	e := newEndpoint(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	for range 4 {
		conn, err := e.dial(t)
		if err != nil {
			t.Fatal(err)
		}
		for range limits.ClientStreams {
			if stream, err := conn.OpenStream(); err == nil {
				_, _ = stream.Write([]byte{0})
			}
		}
		<-conn.Context().Done()
	}
	e.idle(t)
	if n, most := strings.Count(logged.String(), "closed a client's connection"), logRepeats; n == 0 || n > most {
		t.Errorf("%d lines in the log, and not 1 to %d:\n%.2000s", n, most, logged.String())
	}
}

// Random bytes, pieces of frames and resets from many clients at once: the others are served, and nothing is left.
func TestGarbageFlood(t *testing.T) {
	e := newEndpoint(t, nil)
	good := e.raw(t)
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			rng := mrand.New(mrand.NewPCG(seed, 1))
			for range 10 {
				conn, err := e.dial(t)
				if err != nil {
					continue
				}
				for range 4 {
					stream, err := conn.OpenStream()
					if err != nil {
						break
					}
					_, _ = stream.Write(garbage(rng))
					switch rng.IntN(3) {
					case 0:
						_ = stream.Close()
					case 1:
						stream.CancelWrite(1)
						stream.CancelRead(1)
					}
				}
				time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
				_ = conn.CloseWithError(0, "")
			}
		})
	}
	for i := range uint64(200) {
		good.send(put(i, "good", "v"))
		good.want(i, kv.OK)
	}
	wg.Wait()
	// Packets that are no QUIC at all.
	socket, err := net.Dial("udp", servertest.Endpoint(e.server))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	junk := make([]byte, 1400)
	for range 1000 {
		_, _ = rand.Read(junk)
		_, _ = socket.Write(junk[:1+mrand.IntN(1400)])
	}
	good.send(put(1000, "good", "v"))
	good.want(1000, kv.OK)
	e.idle(t)
}

// garbage is a few frames of which some are cut, turned, or no frames.
func garbage(rng *mrand.Rand) []byte {
	var b []byte
	for range rng.IntN(20) {
		frame := put(rng.Uint64N(1000), "garbage", strings.Repeat("x", rng.IntN(2000)))
		if rng.IntN(2) == 0 {
			bits := rng.IntN(16)
			frame = getWith(rng.Uint64N(1000), kv.Range{
				Key: []byte("good"), Serializable: bits&1 != 0, KeysOnly: bits&2 != 0, CountOnly: bits&4 != 0, Continued: bits&8 != 0,
			})
		}
		switch rng.IntN(6) {
		case 0:
			frame = frame[:rng.IntN(len(frame))]
		case 1:
			frame[rng.IntN(len(frame))] ^= byte(1 << rng.IntN(8))
		case 2:
			for i := range frame {
				frame[i] = byte(rng.Uint32())
			}
		}
		b = append(b, frame...)
	}
	return b
}

// A stream whose client has no more requests gets all answers, and then its end.
func TestHalfClose(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for i := range uint64(10) {
		r.send(put(i, "k", "v"))
	}
	_ = r.stream.Close()
	for i := range uint64(10) {
		r.want(i, kv.OK)
	}
	if p, err := r.next(); err != io.EOF {
		t.Errorf("after the last: %v %v", p, err)
	}
	silent := rawOf(t, r.conn) // asks nothing, and ends
	_ = silent.stream.Close()
	if p, err := silent.next(); err != io.EOF {
		t.Errorf("of a stream without requests: %v %v", p, err)
	}
	cut := rawOf(t, r.conn)
	cut.send(put(1, "k", "v")[:5])
	_ = cut.stream.Close()
	if reason := cut.closed(wire.CloseProtocol); !strings.Contains(reason, "the stream ended within it") {
		t.Error(reason)
	}
	e.idle(t)
}
