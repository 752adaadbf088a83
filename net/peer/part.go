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

// PartFile is an open file with a part of a member's snapshots.
type PartFile interface {
	io.ReaderAt
	Size() (int64, error)
	Close() error
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
		n, err := file.ReadAt(piece[:min(int64(len(piece)), size-offset)], offset)
		if n == 0 {
			return err
		}
		_ = stream.SetWriteDeadline(time.Now().Add(partStall)) // cannot fail
		if _, err := stream.Write(piece[:n]); err != nil {
			return err
		}
		offset += int64(n)
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

// FetchPart gets a part from another member. It asks the members at the addresses one after the other, and goes on at the offset reached.
// A member whose bytes are not the part's is not asked again. If a member only sent the rest, it sends all bytes once more before it is
// judged: an earlier one may have sent the wrong bytes. FetchPart gives up after c.Timeout without a further piece, and after
// joinRefusedTimeout if all members refuse.
func FetchPart(ctx context.Context, c PartConfig, to PartSink) error {
	if len(c.Addresses) == 0 {
		return errors.New("no address of another member is known")
	}
	a, err := newDialer(c.Trust, c.Name, c.Addresses, c.Logger)
	if err != nil {
		return err
	}
	defer a.close()
	f := fetcher{dialer: a, config: c, progressed: time.Now(), piece: make([]byte, partPieceBytes)}
	return f.fetch(ctx, to)
}

// fetcher is one call of FetchPart.
type fetcher struct {
	*dialer
	config     PartConfig
	furthest   int64     // the largest offset reached
	progressed time.Time // when it was reached
	piece      []byte
}

func (f *fetcher) fetch(ctx context.Context, to PartSink) error {
	left := slices.Clone(f.addresses)
	for round := 0; ; round++ {
		for _, address := range slices.Clone(left) {
			from := to.Offset()
			err := f.fetchFrom(ctx, address, round, to)
			if from > 0 && errors.Is(err, damage.ErrOtherBytes) {
				err = f.fetchFrom(ctx, address, round, to)
			}
			switch failed, local := errors.AsType[*sinkError](err); {
			case err == nil:
				return nil
			case ctx.Err() != nil:
				return f.noAnswer(ctx)
			case local && !errors.Is(err, damage.ErrOtherBytes):
				return failed.err
			case local:
				left = slices.DeleteFunc(left, func(other string) bool { return other == address })
			}
			f.failed[address] = err
			f.log.Warn("part from "+address, "a part of a snapshot could not be fetched", "address", address, "part", to.Name(), "has", to.Offset(), "error", err)
		}
		idle := time.Since(f.progressed)
		refused := !slices.ContainsFunc(left, func(address string) bool { return !final(f.failed[address]) })
		if len(left) == 0 || idle >= f.config.Timeout || refused && idle >= joinRefusedTimeout {
			return fmt.Errorf("no member gave it (%s)", f.failures())
		}
		sleep(ctx, min(peerDialPause<<min(round, 10), peerDialPauseMost))
	}
}

// sinkError is an error of the PartSink, and not of a connection.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// fetchFrom gets the rest of a part from the member at one address.
func (f *fetcher) fetchFrom(ctx context.Context, address string, round int, to PartSink) error {
	q, err := f.dial(ctx, wire.ProtocolPart, address, round)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { closeQUIC(q, closeStopping, "the asking member stops") })
	defer stop()
	if err := f.receive(q, to); err != nil {
		closeQUIC(q, closeStopping, err.Error())
		return answered(err)
	}
	closeQUIC(q, closeStopping, "the part is received")
	return nil
}

// receive asks on a connection, and hands the bytes to the sink. Each piece has a time limit.
func (f *fetcher) receive(q *quic.Conn, to PartSink) error {
	stream, err := q.OpenStream()
	if err != nil {
		return err
	}
	_ = stream.SetDeadline(time.Now().Add(partStall)) // cannot fail
	request := peerframe.PartRequest{Cluster: f.config.Cluster, From: f.config.Member, Name: f.config.Name, Part: to.Name(), Offset: to.Offset()}
	if err := writeFrame(stream, peerframe.AppendFirst(make([]byte, headerBytes, limits.PartRequestBytes), &request)); err != nil {
		return err
	}
	_ = stream.Close() // an error appears when the answer is read
	b, err := readFrame(stream, limits.PartAnswerBytes)
	if err != nil {
		return err
	}
	answer, err := peerframe.ReadPartAnswer(b)
	if err == nil && answer.Size != to.Size() {
		err = &sinkError{fmt.Errorf("%w: its file has %d bytes instead of %d", damage.ErrOtherBytes, answer.Size, to.Size())}
	}
	for err == nil && to.Offset() < to.Size() {
		_ = stream.SetReadDeadline(time.Now().Add(partStall)) // cannot fail
		var n int
		n, err = io.ReadFull(stream, f.piece[:min(int64(len(f.piece)), to.Size()-to.Offset())])
		if n > 0 {
			if refused := to.Write(f.piece[:n]); refused != nil {
				return &sinkError{refused}
			}
		}
		if err == nil && to.Offset() > f.furthest {
			f.furthest, f.progressed = to.Offset(), time.Now()
		}
	}
	return cut(err)
}
