package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// PartFile is an open file of a member's snapshots.
type PartFile interface {
	io.ReaderAt
	Size() (int64, error)
	Close() error
	// Sent notes that a piece was sent, and returns how long after its begin the next one may follow.
	Sent(bytes int) time.Duration
}

// PartSink takes a part's bytes in order.
type PartSink interface {
	Name() string  // of the part's file
	Size() int64   // of the part's file
	Offset() int64 // of the next byte
	// Write takes the next bytes. damage.ErrOtherBytes means that they are not the part's, and that Offset is 0 again; any other error is final.
	Write(piece []byte) error
}

const (
	// partPieceBytes is how much of a part is in memory on each side of a transfer. Each piece must pass within partStall: at less than 26
	// KB/s a transfer would hold its slot for more than ten minutes.
	partPieceBytes = 256 << 10
	partStall      = 10 * time.Second
)

// answerPart sends a part to a member that has lost it. The connection counts as a handshake until the request is judged.
func (t *Transport) answerPart(name string, q *quic.Conn) error {
	ctx, cancel := context.WithTimeout(q.Context(), peerHandshakeTimeout)
	defer cancel()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return fmt.Errorf("no request for a part was received: %w", err)
	}
	until, _ := ctx.Deadline()
	_ = stream.SetDeadline(until) // cannot fail
	request, err := t.readPartRequest(name, q, stream)
	if err != nil {
		return err
	}
	select {
	case t.parts <- struct{}{}:
		defer func() { <-t.parts }()
	default:
		return &peerframe.Refusal{Code: peerframe.Behind, Text: fmt.Sprintf("%q sends %d parts of snapshots already, as many as it may at a time; the request is retried", t.config.Name, cap(t.parts))}
	}
	file, no := t.handler.Part(request)
	if no != nil {
		return no
	}
	defer file.Close()
	q.Context().Value(ticketKey{}).(*ticket).release()
	size, err := file.Size()
	if err == nil {
		err = sendPart(stream, file, size, request.Offset)
	}
	if err != nil {
		return fmt.Errorf("the part %s was not sent: %w", request.Part, err)
	}
	_ = stream.Close() // an error is the connection's
	select {
	case <-q.Context().Done(): // the asking member closes the connection when it has the part
	case <-time.After(partStall):
	}
	t.log.Info("part to "+request.Name, "sent a part of a snapshot that a member has lost", "peer", request.Name, "part", request.Part, "from", request.Offset, "bytes", size)
	closeQUIC(q, closeStopping, "the part is sent")
	return nil
}

// readPartRequest reads a request, and refuses it unless it is from a member of this cluster.
func (t *Transport) readPartRequest(name string, q *quic.Conn, stream *quic.Stream) (peerframe.PartRequest, error) {
	b, err := readFrame(stream, limits.PartRequestBytes)
	if err != nil {
		return peerframe.PartRequest{}, fmt.Errorf("the request for a part cannot be read: %w", err)
	}
	request, err := peerframe.ReadPartRequest(b)
	if err == nil {
		err = request.CheckCluster(t.config.Cluster)
	}
	if err == nil && name != "" && request.Name != name {
		err = fmt.Errorf("the request for a part is of member %q, but the certificate is for %q", request.Name, name)
	}
	if err == nil {
		if _, err = t.linkOf(request.From, name, q); err == errOther {
			return request, t.stranger(request.Name, request.From)
		}
	}
	return request, asRefusal(err)
}

// sendPart writes the answer, and the file from an offset on. Each piece has a time limit.
func sendPart(stream *quic.Stream, file PartFile, size, offset int64) error {
	answer := peerframe.PartAnswer{Size: size}
	if err := writeFrame(stream, peerframe.AppendFirst(make([]byte, headerBytes, headerBytes+limits.PartAnswerBytes), &answer)); err != nil {
		return err
	}
	piece := make([]byte, partPieceBytes)
	for offset < size {
		begun := time.Now()
		n, err := file.ReadAt(piece[:min(int64(len(piece)), size-offset)], offset)
		if n == 0 {
			return err
		}
		_ = stream.SetWriteDeadline(time.Now().Add(partStall)) // cannot fail
		if _, err := stream.Write(piece[:n]); err != nil {
			return err
		}
		offset += int64(n)
		select {
		case <-stream.Context().Done():
		case <-time.After(file.Sent(n) - time.Since(begun)):
		}
	}
	return nil
}

// PartConfig is the configuration of FetchPart, at a member that has lost a part.
type PartConfig struct {
	Trust           Trust
	Addresses       []string // of the other members: host:port, UDP
	Cluster, Member uint64
	Name            string        // the asking member's, as in its certificate
	Timeout         time.Duration // for a further piece
	Logger          *slog.Logger
}

// FetchPart gets a file from another member. It asks the members at the addresses one after the other, and goes on at the offset reached.
// A member whose bytes are not the file's is not asked again. If a member only sent the rest, it sends all bytes once more before it is
// judged: an earlier one may have sent the wrong bytes. FetchPart gives up after c.Timeout without a further piece, and after
// joinRefusedTimeout if all members refuse.
func FetchPart(ctx context.Context, c PartConfig, to PartSink) error {
	if len(c.Addresses) == 0 {
		return errors.New("no address of another member is known")
	}
	p := NewPuller(c)
	defer p.Close()
	if err := p.begin(); err != nil {
		return err
	}
	p.progressed = time.Now()
	left, d := slices.Clone(c.Addresses), p.dialer
	for round := 0; ; round++ {
		for _, address := range slices.Clone(left) {
			from := to.Offset()
			err := p.rest(ctx, address, to)
			if from > 0 && errors.Is(err, damage.ErrOtherBytes) {
				err = p.rest(ctx, address, to)
			}
			switch failed, local := errors.AsType[*sinkError](err); {
			case err == nil:
				return nil
			case ctx.Err() != nil:
				return d.noAnswer(ctx)
			case local && !errors.Is(err, damage.ErrOtherBytes):
				return failed.error
			case local:
				left = slices.DeleteFunc(left, func(other string) bool { return other == address })
			}
			d.failed[address] = err
			d.log.Warn("part from "+address, "a part of a snapshot could not be fetched", "address", address,
				"part", to.Name(), "has", to.Offset(), "error", err)
		}
		idle := time.Since(p.progressed)
		refused := !slices.ContainsFunc(left, func(address string) bool { return !final(d.failed[address]) })
		if len(left) == 0 || idle >= c.Timeout || refused && idle >= joinRefusedTimeout {
			return fmt.Errorf("no member gave it (%s)", d.failures())
		}
		sleep(ctx, min(peerDialPause<<min(round, 10), peerDialPauseMost))
	}
}

// sinkError is an error of the file, and not of a connection.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// Puller gets files piece by piece from one member after another. It has a connection of its own: a member that starts has no other. One goroutine uses it.
type Puller struct {
	config     PartConfig
	dialer     *dialer
	buffer     []byte
	rounds     int       // of attempts that failed
	furthest   int64     // the largest offset reached by FetchPart
	progressed time.Time // when it was reached

	q            *quic.Conn // nil: no file comes
	stream       *quic.Stream
	stop         func() bool
	from, name   string // an address, and the file
	size, offset int64  // offset is that of the next byte
}

// NewPuller returns a Puller that asks as a FetchPart with this configuration would; its addresses do not count.
func NewPuller(c PartConfig) *Puller { return &Puller{config: c, buffer: make([]byte, partPieceBytes)} }

func (p *Puller) begin() (err error) {
	if p.dialer == nil {
		p.dialer, err = newDialer(p.config.Trust, p.config.Name, p.config.Addresses, p.config.Logger)
	}
	return err
}

// rest gets the rest of a file from the member at one address.
func (p *Puller) rest(ctx context.Context, address string, to PartSink) error {
	for to.Offset() < to.Size() {
		piece, err := p.Next(ctx, address, to.Name(), to.Size(), to.Offset())
		if len(piece) > 0 {
			if refused := to.Write(piece); refused != nil {
				p.Stop()
				return &sinkError{refused}
			}
		}
		if err != nil { // a piece that is cut short is no progress: a member may send a byte a second
			return err
		}
		if to.Offset() > p.furthest {
			p.furthest, p.progressed = to.Offset(), time.Now()
		}
	}
	return nil
}

// Next returns the next piece of a file of the member at an address, from an offset on: the rest of a request, or a new one. It waits
// for partStall at most, and for a connection. With an error the piece may be shorter. It is valid until the next call.
func (p *Puller) Next(ctx context.Context, from, name string, size, offset int64) ([]byte, error) {
	if p.q != nil && (p.from != from || p.name != name || p.offset != offset) {
		p.Stop()
	}
	if p.q == nil {
		p.from, p.name, p.size, p.offset = from, name, size, offset
		if err := p.dial(ctx); err != nil {
			p.rounds++
			return nil, err
		}
	}
	_ = p.stream.SetReadDeadline(time.Now().Add(partStall)) // cannot fail
	n, err := io.ReadFull(p.stream, p.buffer[:min(partPieceBytes, size-offset)])
	if p.offset += int64(n); err != nil {
		err = answered(cut(err))
	}
	if err != nil || p.offset == size {
		p.Stop()
	}
	return p.buffer[:n], err
}

// dial asks for the file. A member whose file has another size is refused.
func (p *Puller) dial(ctx context.Context) error {
	err := p.begin()
	if err == nil {
		p.q, err = p.dialer.dial(ctx, wire.ProtocolPart, p.from, p.rounds)
	}
	if err != nil {
		return err
	}
	q := p.q
	p.stop = context.AfterFunc(ctx, func() { closeQUIC(q, closeStopping, "the asking member stops") })
	if err = p.ask(); err != nil {
		p.Stop()
		if _, local := errors.AsType[*sinkError](err); !local {
			err = answered(err)
		}
	}
	return err
}

func (p *Puller) ask() (err error) {
	if p.stream, err = p.q.OpenStream(); err != nil {
		return err
	}
	_ = p.stream.SetDeadline(time.Now().Add(partStall)) // cannot fail
	c := &p.config
	request := peerframe.PartRequest{Cluster: c.Cluster, From: c.Member, Name: c.Name, Part: p.name, Offset: p.offset}
	if err := writeFrame(p.stream, peerframe.AppendFirst(make([]byte, headerBytes, limits.PartRequestBytes), &request)); err != nil {
		return err
	}
	_ = p.stream.Close() // an error appears when the answer is read
	b, err := readFrame(p.stream, limits.PartAnswerBytes)
	if err != nil {
		return err
	}
	answer, err := peerframe.ReadPartAnswer(b)
	if err == nil && answer.Size != p.size {
		err = &sinkError{fmt.Errorf("%w: its file has %d bytes instead of %d", damage.ErrOtherBytes, answer.Size, p.size)}
	}
	return err
}

// Stop ends the request, if there is one. Another one may follow.
func (p *Puller) Stop() {
	if p.q == nil {
		return
	}
	why := "another file is wanted"
	if p.stop(); p.offset == p.size {
		why = "the part is received"
	}
	closeQUIC(p.q, closeStopping, why)
	p.q = nil
}

// Close ends it.
func (p *Puller) Close() {
	if p.Stop(); p.dialer != nil {
		p.dialer.close()
	}
}
