package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// refusing is a UDP socket that the kernel refuses some sends of.
type refusing struct {
	*net.UDPConn
	refuse func(datagram []byte) error
	rows   atomic.Int64 // sends of more than one datagram
}

func (r *refusing) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if err := r.refuse(b); err != nil {
		return 0, 0, &net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", err)}
	}
	if len(b) > 1500 {
		r.rows.Add(1)
	}
	return r.UDPConn.WriteMsgUDP(b, oob, addr)
}

// refusingTransport returns a QUIC transport over a refusing socket on loopback.
func refusingTransport(t *testing.T, refuse func(datagram []byte) error) (*quic.Transport, *refusing) {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &refusing{UDPConn: udp, refuse: refuse}
	over := &quic.Transport{Conn: receiveOffload(lossyConn{r})}
	t.Cleanup(func() { _, _ = over.Close(), udp.Close() })
	return over, r
}

var refusedErrnos = []syscall.Errno{
	syscall.EPERM, syscall.ENOBUFS, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EAGAIN, syscall.EADDRNOTAVAIL,
	syscall.EACCES, syscall.EINVAL, syscall.EMSGSIZE, syscall.ENOMEM,
}

// TestRefusedSendsAreLoss moves data both ways over sockets that refuse each tenth packet after the handshake, with every error in turn:
// the connection survives, and each refusal is counted.
func TestRefusedSendsAreLoss(t *testing.T) {
	before := SendErrors()
	var mu sync.Mutex
	sent, refused := 0, map[syscall.Errno]uint64{}
	refuse := func(datagram []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if datagram[0]&0x80 != 0 {
			return nil
		}
		if sent++; sent%10 != 0 {
			return nil
		}
		errno := refusedErrnos[sent/10%len(refusedErrnos)]
		refused[errno]++
		return errno
	}
	identity := httptest.NewTLSServer(nil)
	defer identity.Close()
	serving, socket := refusingTransport(t, refuse)
	listener, err := serving.Listen(&tls.Config{Certificates: identity.TLS.Certificates, NextProtos: []string{"test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	const size = 2 << 20
	failed := make(chan error, 1)
	go func() {
		failed <- func() error {
			q, err := listener.Accept(ctx)
			if err != nil {
				return err
			}
			s, err := q.AcceptStream(ctx)
			if err != nil {
				return err
			}
			if _, err := io.Copy(s, s); err != nil { // an echo
				return err
			}
			return s.Close()
		}()
	}()
	dialling, _ := refusingTransport(t, refuse)
	q, err := dialling.Dial(ctx, socket.LocalAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(60 * time.Second))
	go func() {
		_, _ = s.Write(make([]byte, size))
		_ = s.Close()
	}()
	if n, err := io.Copy(io.Discard, s); n != size || err != nil {
		t.Fatalf("%d of %d bytes came back: %v", n, size, err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && socket.rows.Load() == 0 {
		t.Error("QUIC sent every datagram alone: segmentation offload was lost")
	}
	mu.Lock()
	defer mu.Unlock()
	after := SendErrors()
	for _, errno := range refusedErrnos {
		if refused[errno] == 0 {
			t.Errorf("%v was never tried", errno)
		}
		if counted := after[errno] - before[errno]; counted < refused[errno] {
			t.Errorf("%d sends failed with %v (%s), and %d were counted", refused[errno], errno, ErrnoName(errno), counted)
		}
	}
}

// TestDialWithoutRouteFailsAtOnce checks that the packets of a handshake are not lost in silence.
func TestDialWithoutRouteFailsAtOnce(t *testing.T) {
	over, _ := refusingTransport(t, func([]byte) error { return syscall.ENETUNREACH })
	began := time.Now()
	_, err := over.Dial(context.Background(), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, nil)
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), syscall.ENETUNREACH.Error()) || took > 4*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestSegmentationErrorReachesQUIC checks that EIO is neither swallowed nor counted: by it quic-go learns to send single datagrams.
func TestSegmentationErrorReachesQUIC(t *testing.T) {
	socket := lossyConn{&refusing{refuse: func([]byte) error { return syscall.EIO }}}
	before := SendErrors()[syscall.EIO]
	if _, _, err := socket.WriteMsgUDP([]byte{0x40}, nil, nil); !errors.Is(err, syscall.EIO) || SendErrors()[syscall.EIO] != before {
		t.Errorf("%v, %d counted", err, SendErrors()[syscall.EIO]-before)
	}
}
