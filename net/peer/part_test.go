package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/damage"
	"qkv/internal/testlong"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// memoryPart is a part of a test's own, and counts how often it is closed.
type memoryPart struct {
	*bytes.Reader
	closed *atomic.Int64
}

func (m memoryPart) Size() (int64, error) { return m.Reader.Size(), nil }

func (memoryPart) Sent(int) time.Duration { return 0 }

func (m memoryPart) Close() error {
	m.closed.Add(1)
	return nil
}

// memorySink takes bytes that must be these ones.
type memorySink struct {
	want, has []byte
	wrote     func() // after each piece
}

func (m *memorySink) Name() string  { return "the part" }
func (m *memorySink) Size() int64   { return int64(len(m.want)) }
func (m *memorySink) Offset() int64 { return int64(len(m.has)) }

func (m *memorySink) Write(piece []byte) error {
	m.has = append(m.has, piece...)
	if !bytes.HasPrefix(m.want, m.has) {
		m.has = nil
		return fmt.Errorf("%w: wrong", damage.ErrOtherBytes)
	}
	if m.wrote != nil {
		m.wrote()
	}
	return nil
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// giver starts a member of three that gives a part with this content.
func giver(t *testing.T, content []byte) (m *member, closed, asked *atomic.Int64) {
	m = newMembers(t, 3)[0]
	closed, asked = m.gives(content)
	m.start()
	return m, closed, asked
}

func (m *member) gives(content []byte) (closed, asked *atomic.Int64) {
	closed, asked = &atomic.Int64{}, &atomic.Int64{}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part = func(r peerframe.PartRequest) (PartFile, *peerframe.Refusal) {
		asked.Add(1)
		if r.Part != "the part" {
			return nil, &peerframe.Refusal{Code: peerframe.Refused, Text: "no such part"}
		}
		return memoryPart{bytes.NewReader(content), closed}, nil
	}
	return closed, asked
}

func fetchWith(t testing.TB, addresses ...string) PartConfig {
	return PartConfig{
		Trust: credentials(t, authority(), "n3"), Addresses: addresses, Cluster: 0xc1, Member: 3, Name: "n3",
		Timeout: wait, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// inTime ends with a test, or when a fetch takes far too long.
func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*partStall)
	t.Cleanup(cancel)
	return ctx
}

// The first addresses lead nowhere, and the member behind the last one sends the part, from any offset.
func TestFetchPart(t *testing.T) {
	t.Parallel()
	content := someBytes(3*partPieceBytes + 77)
	m, closed, _ := giver(t, content)
	for i, has := range []int{0, 1, partPieceBytes, len(content) - 1} {
		sink := &memorySink{want: content, has: bytes.Clone(content[:has])}
		if err := FetchPart(inTime(t), fetchWith(t, "nowhere", m.address()), sink); err != nil || !bytes.Equal(sink.has, content) {
			t.Errorf("from %d: %d bytes, %v", has, len(sink.has), err)
		}
		await(t, "the file is closed", wait, func() bool { return closed.Load() == int64(i+1) })
	}
	m.idle()
	if m.history(3) != "" || len(m.parts) != 0 {
		t.Error("the asking member is taken for a peer, or a transfer has no end")
	}
	await(t, "the member logs it", wait, func() bool {
		return strings.Contains(m.logged.String(), "sent a part of a snapshot that a member has lost")
	})
}

// A break in the middle: what has arrived stays, and the other member goes on there.
func TestFetchPartGoesOn(t *testing.T) {
	t.Parallel()
	content := someBytes(20 * partPieceBytes)
	all := newMembers(t, 3)
	for _, m := range all[:2] {
		m.gives(content)
		m.start()
	}
	pieces := 0
	sink := &memorySink{want: content}
	sink.wrote = func() {
		if pieces++; pieces == 3 {
			all[0].stop()
		}
	}
	offset := int64(-1)
	all[1].mu.Lock()
	give := all[1].part
	all[1].part = func(r peerframe.PartRequest) (PartFile, *peerframe.Refusal) {
		offset = r.Offset
		return give(r)
	}
	all[1].mu.Unlock()
	if err := FetchPart(inTime(t), fetchWith(t, all[0].address(), all[1].address()), sink); err != nil || !bytes.Equal(sink.has, content) {
		t.Errorf("%d bytes, %v", len(sink.has), err)
	}
	if offset < 3*partPieceBytes || offset >= int64(len(content)) {
		t.Errorf("the other member was asked from %d on", offset)
	}
}

// lateSink finds wrong bytes only when it has them all, as in a block of a real part.
type lateSink struct{ memorySink }

func (l *lateSink) Write(piece []byte) error {
	if l.has = append(l.has, piece...); len(l.has) < len(l.want) || bytes.Equal(l.has, l.want) {
		l.wrote()
		return nil
	}
	l.has = nil
	return fmt.Errorf("%w: wrong", damage.ErrOtherBytes)
}

// breakingPart gives bytes up to an offset, and then an error of its disk, once the reader has them all.
type breakingPart struct {
	memoryPart
	end    int64
	passed chan struct{}
}

func (b breakingPart) ReadAt(p []byte, off int64) (int, error) {
	if off < b.end {
		return b.memoryPart.ReadAt(p[:min(int64(len(p)), b.end-off)], off)
	}
	<-b.passed
	return 0, errors.New("input/output error")
}

// A member sends wrong bytes, and fails before they are found. The member that goes on there is not blamed for them.
func TestFetchPartBlamesTheRightOne(t *testing.T) {
	t.Parallel()
	content := someBytes(4 * partPieceBytes)
	rotten, end := bytes.Clone(content), int64(2*partPieceBytes)
	rotten[0] ^= 1
	for name, sound := range map[string]bool{"sound": true, "rotten too": false} {
		t.Run(name, func(t *testing.T) {
			all, passed := newMembers(t, 3), make(chan struct{})
			all[0].gives(rotten)
			give := all[0].part
			all[0].part = func(r peerframe.PartRequest) (PartFile, *peerframe.Refusal) {
				file, no := give(r)
				return breakingPart{file.(memoryPart), end, passed}, no
			}
			all[0].start()
			second := content
			if !sound {
				second = rotten
			}
			_, asked := all[1].gives(second)
			all[1].start()
			sink := &lateSink{memorySink{want: content}}
			sink.wrote = func() {
				if sink.Offset() == end && asked.Load() == 0 {
					close(passed)
				}
			}
			config := fetchWith(t, all[0].address(), all[1].address())
			if !sound {
				config.Timeout = time.Second // the first member is asked again and again
			}
			err := FetchPart(inTime(t), config, sink)
			if got := err == nil && bytes.Equal(sink.has, content); sound && (!got || asked.Load() != 2) {
				t.Errorf("the second member was asked %d times: %v", asked.Load(), err)
			}
			if !sound && (err == nil || asked.Load() != 2) {
				t.Errorf("wrong bytes were taken, or the second member was asked %d times: %v", asked.Load(), err)
			}
		})
	}
}

// A member that sends other bytes, or a file of another size, is not asked again.
func TestFetchPartOfOtherBytes(t *testing.T) {
	t.Parallel()
	content := someBytes(3 * partPieceBytes)
	rotten := bytes.Clone(content)
	rotten[2*partPieceBytes] ^= 1
	for name, sent := range map[string][]byte{"rotten": rotten, "short": content[:100], "long": append(bytes.Clone(content), 0)} {
		t.Run(name, func(t *testing.T) {
			all := newMembers(t, 3)
			_, asked := all[0].gives(sent)
			all[0].start()
			sink := &memorySink{want: content}
			err := FetchPart(inTime(t), fetchWith(t, all[0].address()), sink)
			if err == nil || !strings.Contains(err.Error(), damage.ErrOtherBytes.Error()) || asked.Load() != 1 {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
			all[1].gives(content)
			all[1].start()
			if err := FetchPart(inTime(t), fetchWith(t, all[0].address(), all[1].address()), sink); err != nil || !bytes.Equal(sink.has, content) {
				t.Errorf("with another member: %d bytes, %v", len(sink.has), err)
			}
		})
	}
}

// Before it is started, a Transport gives parts to its peers; other connections wait until it is.
func TestPartsBeforeStart(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	content, all := someBytes(3*partPieceBytes), newMembers(t, 3)
	m := all[0]
	m.gives(content)
	transport, err := New(m.config)
	if err != nil {
		t.Fatal(err)
	}
	m.Transport = transport
	m.SetPeers(m.peers)
	if err := m.ServeParts(m); err != nil {
		t.Fatal(err)
	}
	all[1].start()
	await(t, "a peer has called", wait, func() bool { return m.handshakes.Count() == 1 })
	sink := &memorySink{want: content}
	if err := FetchPart(inTime(t), fetchWith(t, m.address()), sink); err != nil || !bytes.Equal(sink.has, content) {
		t.Errorf("%d bytes, %v", len(sink.has), err)
	}
	config := fetchWith(t, m.address())
	config.Member = 77
	if err := FetchPart(inTime(t), config, &memorySink{want: content}); err == nil || !strings.Contains(err.Error(), "is not in the member list") {
		t.Errorf("a stranger: %v", err)
	}
	if m.history(2) != "" || all[1].connectedTo(1) {
		t.Error("a connection of a peer came into use")
	}
	if err := m.Start(m); err != nil {
		t.Fatal(err)
	}
	await(t, "the peer is connected", wait, func() bool { return m.connectedTo(2) && all[1].connectedTo(1) })
}

// A Transport that only gave parts can be closed, and so can one that has done nothing.
func TestCloseBeforeStart(t *testing.T) {
	t.Parallel()
	for i, m := range newMembers(t, 2) {
		transport, err := New(m.config)
		if err == nil && i == 0 {
			err = transport.ServeParts(m)
		}
		if err == nil {
			err = transport.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// Who may not have a part, or asks for none, is refused, and the file is not opened.
func TestPartIsRefused(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, closed, asked := giver(t, someBytes(10))
	for name, x := range map[string]struct {
		change func(*PartConfig)
		says   string
	}{
		"wrong cluster":    {func(c *PartConfig) { c.Cluster++ }, "cluster ID mismatch"},
		"no member":        {func(c *PartConfig) { c.Member = 77 }, "is not in the member list"},
		"id of another":    {func(c *PartConfig) { c.Member = 2 }, "is not in the member list"},
		"the giver's own":  {func(c *PartConfig) { c.Member = 1 }, "is not in the member list"},
		"no addresses":     {func(c *PartConfig) { c.Addresses = nil }, "no address of another member"},
		"name of no trust": {func(c *PartConfig) { c.Name = "n2" }, `this is the member "n2"`},
	} {
		config := fetchWith(t, m.address())
		x.change(&config)
		if err := FetchPart(inTime(t), config, &memorySink{want: someBytes(10)}); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	q := askingForPart(t, m, "n2")
	if err := askPart(t, q, peerframe.PartRequest{Cluster: 0xc1, From: 3, Name: "n3", Part: "the part"}); !strings.Contains(err.Error(), `of member "n3", but the certificate is for "n2"`) {
		t.Errorf("the name of another: %v", err)
	}
	if asked.Load() != 0 {
		t.Error("the member was asked")
	}
	if err := askPart(t, askingForPart(t, m, "n3"), peerframe.PartRequest{Cluster: 0xc1, From: 3, Name: "n3", Part: "../identity"}); !strings.Contains(err.Error(), "no such part") {
		t.Errorf("a bad name: %v", err)
	}
	if closed.Load() != 0 || asked.Load() != 1 {
		t.Errorf("asked %d times, and a file was opened %d times", asked.Load(), closed.Load())
	}
	m.idle()
}

func askingForPart(t *testing.T, m *member, name string) *quic.Conn {
	t.Helper()
	q, err := dialAs(t, m.address(), wire.ClientTLS(credentials(t, authority(), name), wire.ProtocolPart, wire.Identity{Class: wire.ClassMember}))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// askPart sends a request, and returns why the connection ended.
func askPart(t *testing.T, q *quic.Conn, request peerframe.PartRequest) error {
	t.Helper()
	stream, err := q.OpenStream()
	if err == nil {
		err = writeFrame(stream, peerframe.AppendFirst(make([]byte, headerBytes), &request))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Close()
	return answered(whyEnded(t, q, nil))
}

// A reader that takes nothing holds its slot for a short time only, and more transfers than there are slots have to wait.
func TestStuckReaderOfAPart(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	content := someBytes(16 << 20)
	m, closed, asked := giver(t, content)
	request := peerframe.PartRequest{Cluster: 0xc1, From: 3, Name: "n3", Part: "the part"}
	for range partTransfers {
		stream, err := askingForPart(t, m, "n3").OpenStream()
		if err == nil {
			err = writeFrame(stream, peerframe.AppendFirst(make([]byte, headerBytes), &request))
		}
		if err == nil {
			_, err = io.ReadFull(stream, make([]byte, 100))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := m.handshakes.Count(); n != 0 {
		t.Errorf("%d transfers count as handshakes", n)
	}
	err := askPart(t, askingForPart(t, m, "n3"), request)
	if no, ok := errors.AsType[*peerframe.Refusal](err); !ok || no.Code != peerframe.Behind || asked.Load() != partTransfers {
		t.Errorf("a further transfer: %v", err)
	}
	await(t, "the stuck transfers end", partStall+wait, func() bool { return closed.Load() == partTransfers && len(m.parts) == 0 })
	sink := &memorySink{want: content}
	if err := FetchPart(inTime(t), fetchWith(t, m.address()), sink); err != nil || len(sink.has) != len(content) {
		t.Errorf("afterwards: %d bytes, %v", len(sink.has), err)
	}
}

// A member that sends a byte a second, or nothing, is given up.
func TestSlowGiverOfAPart(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for name, send := range map[string]func(*quic.Stream){
		"nothing": func(*quic.Stream) {},
		"a byte a second": func(s *quic.Stream) {
			answer := peerframe.PartAnswer{Size: 1000}
			_ = writeFrame(s, peerframe.AppendFirst(make([]byte, headerBytes), &answer))
			for range 1000 {
				if _, err := s.Write([]byte{0}); err != nil {
					return
				}
				select {
				case <-s.Context().Done():
				case <-time.After(time.Second):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow, err := quic.ListenAddr("127.0.0.1:0", wire.PeersTLS(credentials(t, authority(), "n1")), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer slow.Close()
			go func() {
				for {
					q, err := slow.Accept(t.Context())
					if err != nil {
						return
					}
					go func() {
						if s, err := q.AcceptStream(t.Context()); err == nil {
							send(s)
						}
					}()
				}
			}()
			config := fetchWith(t, slow.Addr().String())
			config.Timeout = partStall + time.Second
			began, sink := time.Now(), &memorySink{want: make([]byte, 1000)}
			err = FetchPart(inTime(t), config, sink)
			if err == nil || !strings.Contains(err.Error(), "no member gave it ("+slow.Addr().String()) {
				t.Errorf("after %v and %d bytes: %v", time.Since(began), len(sink.has), err)
			}
		})
	}
}

// slowPart wants a pause after each piece.
type slowPart struct {
	memoryPart
	pause time.Duration
}

func (s slowPart) Sent(int) time.Duration { return s.pause }

// A Puller returns a file piece by piece with one request, asks again from another offset, and goes on after an error. The sender pauses
// between pieces as the file wants.
func TestPuller(t *testing.T) {
	t.Parallel()
	content := someBytes(4*partPieceBytes + 77)
	m, closed, asked := giver(t, content)
	p := NewPuller(fetchWith(t))
	defer p.Close()
	size, at := int64(len(content)), m.address()
	pull := func(offset int64) (got []byte) {
		t.Helper()
		for offset < size {
			piece, err := p.Next(inTime(t), at, "the part", size, offset)
			if err != nil || len(piece) == 0 {
				t.Fatalf("at %d: %d bytes, %v", offset, len(piece), err)
			}
			got, offset = append(got, piece...), offset+int64(len(piece))
		}
		return got
	}
	if got := pull(0); !bytes.Equal(got, content) || asked.Load() != 1 {
		t.Errorf("%d bytes with %d requests", len(got), asked.Load())
	}
	if piece, err := p.Next(inTime(t), at, "the part", size, 100); err != nil || !bytes.HasPrefix(content[100:], piece) {
		t.Errorf("from 100 on: %d bytes, %v", len(piece), err)
	}
	if got := pull(500); !bytes.Equal(got, content[500:]) || asked.Load() != 3 {
		t.Errorf("from 500 on: %d bytes, %d requests", len(got), asked.Load())
	}
	for name, wrong := range map[string]int64{"another part": size, "the part": size + 1} {
		if piece, err := p.Next(inTime(t), at, name, wrong, 0); err == nil {
			t.Errorf("%s of %d bytes gives %d", name, wrong, len(piece))
		}
	}
	if _, err := p.Next(inTime(t), "", "the part", size, 0); err == nil {
		t.Error("a member without an address answers")
	}
	const pause = 100 * time.Millisecond
	m.mu.Lock()
	give := m.part
	m.part = func(r peerframe.PartRequest) (PartFile, *peerframe.Refusal) {
		file, no := give(r)
		if no != nil {
			return nil, no
		}
		return slowPart{file.(memoryPart), pause}, nil
	}
	m.mu.Unlock()
	begun := time.Now()
	if got := pull(0); !bytes.Equal(got, content) || time.Since(begun) < 4*pause {
		t.Errorf("%d bytes after %v, with a pause of %v after each of five pieces", len(got), time.Since(begun), pause)
	}
	await(t, "all files are closed", wait, func() bool { return closed.Load() == asked.Load()-1 })
}
