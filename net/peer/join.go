package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/logx"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

const (
	// joinRequestBytes and joinAnswerBytes bound a joiner's request and its answer: all members with all their addresses fit.
	joinRequestBytes = 1 << 10
	joinAnswerBytes  = 256 << 10
	// joinRefusedTimeout is how long a refused joiner retries: the member that refused it may lag.
	joinRefusedTimeout = 5 * time.Second
)

// answerJoin tells a joining member its identity, if it may join. One time limit covers the whole exchange, including the delivery
// of the answer.
func (t *Transport) answerJoin(name string, q *quic.Conn) error {
	ctx, cancel := context.WithTimeout(q.Context(), peerHandshakeTimeout)
	defer cancel()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return fmt.Errorf("no join request was received: %w", err)
	}
	until, _ := ctx.Deadline()
	_ = stream.SetDeadline(until) // cannot fail
	answer, err := t.judgeJoin(name, q, stream)
	if err != nil {
		return err
	}
	if err := writeFrame(stream, answer); err != nil {
		return fmt.Errorf("the answer to the join request was not read: %w", err)
	}
	_ = stream.Close() // an error is the connection's
	<-ctx.Done()       // the joining member closes the connection when it has the answer
	t.log.Info("joins "+name, "a member is joining: sent its member ID and the member list", "peer", name, "address", q.RemoteAddr().String())
	closeQUIC(q, closeStopping, "the join request is answered")
	return nil
}

// judgeJoin reads a request and returns the frame of the answer with reserved space for its length, or a refusal.
func (t *Transport) judgeJoin(name string, q *quic.Conn, stream *quic.Stream) ([]byte, error) {
	b, err := readFrame(stream, joinRequestBytes)
	if err != nil {
		return nil, fmt.Errorf("the join request cannot be read: %w", err)
	}
	request, err := peerframe.ReadJoinRequest(b)
	if err != nil {
		return nil, asRefusal(err)
	}
	if name != "" && request.Name != name {
		return nil, asRefusal(fmt.Errorf("the join request is for member %q, but the certificate is for %q", request.Name, name))
	}
	if request.Folder == [16]byte{} {
		return nil, asRefusal(errors.New("the join request names no data folder: update the joining member"))
	}
	welcome, no := t.handler.Join(request)
	if no != nil {
		return nil, no
	}
	if name == "" {
		if err := t.config.Trust.Vouches(q.ConnectionState().TLS, welcome.Own().Peers); err != nil {
			return nil, asRefusal(err)
		}
	}
	answer := peerframe.AppendFirst(make([]byte, headerBytes, 4<<10), &welcome)
	if size := len(answer) - headerBytes; size > joinAnswerBytes {
		return nil, asRefusal(fmt.Errorf("the member list has %d bytes, over the limit of %d for a joining member: remove members that are not needed", size, joinAnswerBytes))
	}
	return answer, nil
}

// AskConfig is the configuration of Ask, at a joining member.
type AskConfig struct {
	Trust     Trust
	Addresses []string // of members that may answer: host:port, UDP
	Name      string   // the joining member's, as in its certificate
	At        []string // where the other members reach the joining member
	ID        uint64   // its own id, if an earlier process has received it
	Folder    [16]byte // its data folder
	Logger    *slog.Logger
}

// Ask asks the members at the addresses for the identity of the member c.Name. It asks one after the other, repeatedly, until one
// answers or ctx ends. A refusal, or a certificate that one side does not trust, becomes the result if it lasts for
// joinRefusedTimeout: the asked member may lag. The error then holds the *peerframe.Refusal or *wire.TrustError. If the name
// belongs to a lost member, Ask waits until that member is replaced. An operator does that, may remove the lost member first and
// add the new one later, and need not come back to this host.
func Ask(ctx context.Context, c AskConfig) (peerframe.Welcome, error) {
	a, err := newDialer(c.Trust, c.Name, c.Addresses, c.Logger)
	if err != nil {
		return peerframe.Welcome{}, err
	}
	defer a.close()
	if len(c.Addresses) == 0 {
		return peerframe.Welcome{}, errors.New("no address of a member to join is given")
	}
	j := joiner{dialer: a, config: c, began: time.Now()}
	return j.ask(ctx)
}

// dialer asks members on connections of its own, outside of a Transport.
type dialer struct {
	trust     Trust
	addresses []string
	socket    *net.UDPConn
	quic      *quic.Transport
	failed    map[string]error // by address, why the last attempt failed; attempts that a context ended do not count
	log       *logx.Limited
}

func newDialer(trust Trust, name string, addresses []string, logger *slog.Logger) (*dialer, error) {
	if err := trust.Belongs(name); err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, fmt.Errorf("cannot open a UDP socket to ask other members: %w", err)
	}
	return &dialer{trust: trust, addresses: addresses, socket: socket, quic: &quic.Transport{Conn: wire.Socket(socket)}, failed: map[string]error{}, log: logx.NewLimited(logger)}, nil
}

func (a *dialer) close() {
	_ = a.quic.Close()
	_ = a.socket.Close()
}

// dial connects with the member at one address.
func (a *dialer) dial(ctx context.Context, protocol, address string, attempt int) (*quic.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, peerDialTimeout)
	defer cancel()
	at, err := resolve(ctx, address, attempt)
	if err != nil {
		return nil, err
	}
	q, err := a.quic.Dial(ctx, at, a.trust.Dial(protocol, "", address), dialConfig)
	if err != nil {
		return nil, answered(err)
	}
	return q, nil
}

// joiner is one call of Ask.
type joiner struct {
	*dialer
	config  AskConfig
	began   time.Time
	refused time.Time // the time of the first refusal
	waits   bool      // waits until a lost member is replaced
}

func (j *joiner) ask(ctx context.Context) (peerframe.Welcome, error) {
	addresses := j.addresses
	for attempt := 0; ; attempt++ {
		address := addresses[attempt%len(addresses)]
		welcome, err := j.askOne(ctx, address, attempt/len(addresses))
		if err == nil {
			return welcome, nil
		}
		if ctx.Err() == nil {
			j.failed[address] = err
			j.noteFailure(address, err)
		}
		switch {
		case ctx.Err() == nil && !j.definite(err):
		case ctx.Err() == nil && j.refused.IsZero():
			j.refused = time.Now()
		case ctx.Err() == nil && time.Since(j.refused) >= joinRefusedTimeout:
			return peerframe.Welcome{}, fmt.Errorf("the member at %s: %w", address, err)
		}
		if attempt%len(addresses) == len(addresses)-1 {
			sleep(ctx, min(peerDialPause<<min(attempt/len(addresses), 10), peerDialPauseMost))
		}
		if ctx.Err() != nil {
			return peerframe.Welcome{}, j.noAnswer(ctx)
		}
	}
}

// noteFailure logs why a member has not answered with this member's identity, and decides whether to wait for a replacement.
func (j *joiner) noteFailure(address string, err error) {
	no, refused := errors.AsType[*peerframe.Refusal](err)
	if refused && no.Code == peerframe.Taken {
		j.waits, j.refused = true, time.Time{}
	}
	if refused && j.waits {
		j.log.Warn("waits "+no.Text, "waiting for permission to join; this member then continues by itself", "asked", address, "reason", no.Text)
		return
	}
	if refused && no.Code == peerframe.Behind && time.Since(j.began) < joinRefusedTimeout {
		j.log.Info("later "+address, "the join request is sent again: the member cannot answer it yet", "asked", address, "reason", no.Text)
		return
	}
	j.log.Warn("asked "+address, "a join request failed", "address", address, "error", err)
}

// definite reports whether an error is a final answer: neither a missing answer nor a request to wait.
func (j *joiner) definite(err error) bool {
	_, refused := errors.AsType[*peerframe.Refusal](err)
	return final(err) && !(refused && j.waits)
}

// final reports whether an error is a refusal that does not ask to wait, or of a certificate.
func final(err error) bool {
	no, refused := errors.AsType[*peerframe.Refusal](err)
	_, trust := errors.AsType[*wire.TrustError](err)
	return refused && no.Code != peerframe.Behind || trust
}

// noAnswer returns the failure of all attempts when ctx has ended.
func (a *dialer) noAnswer(ctx context.Context) error {
	if len(a.failed) == 0 {
		return fmt.Errorf("no member answered at %s: %w", strings.Join(a.addresses, ", "), context.Cause(ctx))
	}
	return fmt.Errorf("no member answered (%s): %w", a.failures(), context.Cause(ctx))
}

// failures lists why the last attempt at each address failed.
func (a *dialer) failures() string {
	var tried []string
	for _, address := range a.addresses {
		if err := a.failed[address]; err != nil {
			tried = append(tried, fmt.Sprintf("%s: %v", address, err))
		}
	}
	return strings.Join(tried, "; ")
}

// askOne asks the member at one address once.
func (j *joiner) askOne(ctx context.Context, address string, attempt int) (peerframe.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, peerDialTimeout)
	defer cancel()
	q, err := j.dial(ctx, wire.ProtocolJoin, address, attempt)
	if err != nil {
		return peerframe.Welcome{}, err
	}
	stop := context.AfterFunc(ctx, func() { closeQUIC(q, closeStopping, "timeout") })
	defer stop()
	welcome, err := requestJoin(q, &peerframe.JoinRequest{Name: j.config.Name, Addresses: j.config.At, ID: j.config.ID, Folder: j.config.Folder})
	if err != nil {
		closeQUIC(q, closeBroken, err.Error())
		if ctx.Err() != nil { // ctx ended, and closed the connection
			return peerframe.Welcome{}, fmt.Errorf("timeout: it accepted the connection but did not answer within %v", peerDialTimeout)
		}
		return peerframe.Welcome{}, answered(err)
	}
	closeQUIC(q, closeStopping, "the join request is answered")
	if name := welcome.Own().Name; name != "" && name != j.config.Name {
		return peerframe.Welcome{}, fmt.Errorf("its answer is for member %q, but this is %q", name, j.config.Name)
	}
	return welcome, nil
}

// requestJoin sends the request on a connection.
func requestJoin(q *quic.Conn, request *peerframe.JoinRequest) (peerframe.Welcome, error) {
	stream, err := q.OpenStream()
	if err != nil {
		return peerframe.Welcome{}, err
	}
	if err := writeFrame(stream, peerframe.AppendFirst(make([]byte, headerBytes, joinRequestBytes), request)); err != nil {
		return peerframe.Welcome{}, err
	}
	_ = stream.Close() // an error appears when the answer is read
	b, err := readFrame(stream, joinAnswerBytes)
	if err != nil {
		return peerframe.Welcome{}, err
	}
	return peerframe.ReadWelcome(b)
}

// answered converts an error for the joining member: a refusal stays a refusal, others become plain words.
func answered(err error) error {
	ended, closed := errors.AsType[*quic.ApplicationError](err)
	switch {
	case closed && ended.Remote && peerframe.RefusalCode(ended.ErrorCode).Known():
		return &peerframe.Refusal{Code: peerframe.RefusalCode(ended.ErrorCode), Text: ended.ErrorMessage}
	case closed && ended.Remote:
		return fmt.Errorf("it closed the connection: %s", ended.ErrorMessage)
	default:
		return plain(wire.Explain(err))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
