package cli

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// TestProcessNoQuorum: with two of three members dead each command ends within its timeout and says whom it could not
// reach; what needs no quorum still works, and everything does when one of them is back.
func TestProcessNoQuorum(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	c.level()
	alone := c.members[0]
	c.knows(alone)
	before := len(alone.lines())
	for _, m := range c.others(alone) {
		m.signal(syscall.SIGKILL) // both at once: the one that is left elects no other leader in between
	}
	for _, m := range c.others(alone) {
		<-m.ended
	}
	const timeout = 3 * time.Second // longer than an election timeout, after which the one that is left leads no more
	inTime := func(a answered) answered {
		t.Helper()
		if a.took > timeout+processWait/4 {
			t.Errorf("it took %v with a timeout of %v", a.took, timeout)
		}
		return a
	}
	// The member's word that nothing happened has a quarter of a second for its way: on a busy host it may come too late.
	unlessLate := func(words ...string) (a answered) {
		for range 4 {
			if a = c.qkv(append(words, "--timeout", timeout.String())...); a.code != form.ExitUnknown {
				break
			}
		}
		return a
	}
	dead := []string{c.members[1].listen, c.members[2].listen}
	get := inTime(c.qkv("get", "greeting", "--timeout", timeout.String())).exits(t, form.ExitUnavailable, dead...)
	if get.stdout != "" {
		t.Errorf("a linearizable get without a quorum answers %q", get.stdout)
	}
	c.await("its loss is said", func([]cluster.MemberStatus) bool { return strings.Contains(alone.lines()[before:], " is lost") })
	var asking sync.WaitGroup
	asking.Go(func() {
		inTime(unlessLate("put", "greeting", "evil")).exits(t, form.ExitUnavailable, dead...)
	})
	asking.Go(func() {
		inTime(unlessLate("del", "greeting")).exits(t, form.ExitUnavailable, dead...)
	})
	asking.Go(func() {
		if got := c.qkv("get", "greeting", "--serializable").exits(t, form.ExitOK); got.stdout != "hello\n" {
			t.Errorf("a serializable get answers %q", got.stdout)
		}
		n, status := 3, answered{}
		for try := 0; n == 3 && try < 4; try++ { // on a busy host the one that is left may answer too late as well
			status = inTime(c.qkv("status", "-w", "json", "--timeout", timeout.String())).exits(t, form.ExitUnavailable)
			n = strings.Count(status.stdout, `"role":"unknown"`)
		}
		if n != 2 || !strings.Contains(status.stdout, `"verdict":"NO QUORUM"`) {
			t.Errorf("%d members are unknown, not 2: %s", n, status.stdout)
		}
	})
	asking.Wait()
	c.qkv("status", "--check", "--timeout", timeout.String()).exits(t, form.ExitUnavailable, "no quorum: 1 of 3 voters answers; 2 are needed")
	if n := strings.Count(alone.lines()[before:], " is lost"); n != 1 {
		t.Errorf("that the leader or the quorum is lost is said %d times:\n%s", n, alone.lines())
	}
	c.members[1].start()
	if got := c.qkv("get", "greeting", "--timeout", processWait.String()).exits(t, form.ExitOK); got.stdout != "hello\n" {
		t.Errorf("with a quorum again: %q", got.stdout)
	}
	alone.says("leader=", "none_for=")
	c.qkv("status", "--check").exits(t, form.ExitFailed, c.members[2].name+" does not answer")
	c.members[2].start()
	c.level()
}

// TestProcessServeStale follows docs/emergencies.md where a member was restarted after the loss of the quorum: it answers its status and its list of
// members alone, and with --serve-stale keys, too. Once there is a quorum again, the flag changes nothing.
func TestProcessServeStale(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 2)
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	c.qkv("put", "later", "value").exits(t, form.ExitOK) // both disks have it, and with it that the first put is committed
	c.level()
	alone, other := c.members[0], c.members[1]
	other.signal(syscall.SIGKILL)
	<-other.ended
	const timeout = 3 * time.Second
	again := func(arguments ...string) {
		t.Helper()
		alone.signal(syscall.SIGKILL)
		<-alone.ended
		alone.arguments = append(alone.arguments, arguments...)
		alone.start()
	}
	stage := func(want string) {
		t.Helper()
		c.await("its stage is "+want, func(all []cluster.MemberStatus) bool {
			return slices.ContainsFunc(all, func(m cluster.MemberStatus) bool { return m.Name == alone.name && m.Stage == want })
		})
	}
	at := []string{"--endpoints", alone.listen, "--timeout", timeout.String()}
	asks := func(words ...string) answered { return c.qkv(append(words, at...)...) }
	again()
	stage(wire.Starting)
	asks("get", "greeting", "--serializable").exits(t, form.ExitUnavailable, "is starting")
	asks("member", "list", "--serializable").exits(t, form.ExitOK)
	asks("export", "--serializable").exits(t, form.ExitUnavailable)

	again("--serve-stale")
	stage(wire.Stale)
	if got := asks("get", "greeting", "--serializable").exits(t, form.ExitOK); got.stdout != "hello\n" {
		t.Errorf("with --serve-stale, a get answers %q", got.stdout)
	}
	if saved := asks("export", "--serializable").exits(t, form.ExitOK).stdout; !strings.Contains(saved, `"key":"greeting","value":"hello"`) {
		t.Errorf("the export has %q", saved)
	}
	asks("lease", "list").exits(t, form.ExitUnavailable, "is starting")

	other.start()
	stage("")
	c.level()
	if got := c.qkv("get", "greeting").exits(t, form.ExitOK); got.stdout != "hello\n" {
		t.Errorf("with a quorum again: %q", got.stdout)
	}
}

// TestProcessUnknownOutcome: a write that the leader has taken and that no quorum answers may have happened. The
// command says so, with a code of its own.
func TestProcessUnknownOutcome(t *testing.T) {
	testlong.Skip(t)
	if slowdown > 1 {
		t.Skip("a command must send its write before the leader ends its term, within a second")
	}
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	testretry.Longer(t, 800*time.Millisecond, func(t testing.TB, limit time.Duration) {
		leader := c.leader()
		for _, m := range c.others(leader) {
			m.signal(syscall.SIGSTOP)
		}
		put := c.qkv("put", "greeting", "perhaps", "--timeout", limit.String(), "--endpoints", leader.listen)
		for _, m := range c.others(leader) {
			m.signal(syscall.SIGCONT)
		}
		put.exits(t, form.ExitUnknown, "unknown", "may have happened")
	})
	got := c.qkv("get", "greeting", "--timeout", processWait.String()).exits(t, form.ExitOK)
	if got.stdout != "perhaps\n" && got.stdout != "hello\n" {
		t.Errorf("it is %q", got.stdout)
	}
	c.level()

	// A process that dies with the write in its hands: the write is sent again when somebody can be reached, and made once.
	testretry.Longer(t, 400*time.Millisecond, func(t testing.TB, limit time.Duration) {
		leader := c.leader()
		for _, m := range c.others(leader) {
			m.signal(syscall.SIGSTOP)
		}
		time.AfterFunc(limit, func() { _ = leader.cmd.Process.Kill() })
		ended := leader.ended // it gets another one
		var again sync.WaitGroup
		again.Go(func() {
			<-ended
			for _, m := range c.others(leader) {
				m.signal(syscall.SIGCONT)
			}
			leader.start()
		})
		put := c.qkv("put", "greeting", "at last", "--timeout", processWait.String(), "--endpoints", leader.listen)
		again.Wait()
		c.level()
		put.exits(t, form.ExitOK)
	})
	if got := c.qkv("get", "greeting", "--timeout", processWait.String()).exits(t, form.ExitOK); got.stdout != "at last\n" {
		t.Errorf("it is %q", got.stdout)
	}
}

// TestProcessHostilePackets: nothing that comes to a member's ports from strangers, or from a client that breaks the
// rules, holds up the others, is kept, or ends the member.
func TestProcessHostilePackets(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	l := startWorkload(c)
	l.goesOn()
	leaders := c.leaders()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var hostile sync.WaitGroup
	for i, m := range c.members {
		for j, address := range []string{m.listen, m.listenPeer} {
			hostile.Go(func() { sendNoise(ctx, t, address, uint64(10*i+j)) })
		}
		hostile.Go(func() {
			for ctx.Err() == nil {
				breakRules(ctx, t, c, m)
			}
		})
	}
	hostile.Wait()
	l.goesOn()
	h := l.end()
	// On a busy host a member may lose its leadership, and what it had under way is of unknown outcome then.
	if n := h.count(unknown) + h.count(refused); n > 0 && c.leaders() == leaders {
		t.Errorf("%d puts failed: %v", n, l.errs)
	}
	c.wellAfter()
	h.figures(t, "random packets and broken frames on every port")
}

// sendNoise sends packets that are no QUIC, and beginnings of QUIC packets that are no more than that.
func sendNoise(ctx context.Context, t *testing.T, address string, seed uint64) {
	socket, err := net.Dial("udp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer socket.Close()
	random := rand.New(rand.NewPCG(seed, 3))
	for n := 0; ctx.Err() == nil; n++ {
		packet := randomBytes(random.IntN(1500))
		if len(packet) > 6 {
			switch random.IntN(4) {
			case 0: // a long header: an Initial of version 1, with a connection id of random length
				packet[0] = 0xc0 | packet[0]&0x0f
				binary.BigEndian.PutUint32(packet[1:], 1)
				packet[5] %= 21
			case 1: // of a version that nobody has
				packet[0] |= 0xc0
				binary.BigEndian.PutUint32(packet[1:], 0x1a2a3a4a)
			case 2: // a short header
				packet[0] = 0x40 | packet[0]&0x3f
			}
		}
		_, _ = socket.Write(packet) // refused now and then, when a port is not there
		if n%20 == 0 {
			pause(ctx, time.Millisecond)
		}
	}
}

// breakRules connects as a client, which everybody on this host can, and sends what no client sends.
func breakRules(ctx context.Context, t *testing.T, c *clusterProcess, m *memberProcess) {
	credentials, err := form.CertMaker().LocalClient(c.home)
	if err != nil {
		t.Error(err)
		return
	}
	config := wire.ClientTLS(credentials, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember, Name: m.name})
	for _, content := range [][]byte{
		randomBytes(1 << 10),
		binary.AppendUvarint(nil, 1<<62), // a frame of a length that nobody has
		append(binary.AppendUvarint(nil, limits.RequestBytes), randomBytes(10000)...), // one that never ends
		servertest.Frame(randomBytes(100)),                                            // one that is no msgpack
		servertest.Frame([]byte{0x95, 1, 1, 0, 0xc6, 0xff, 0xff, 0xff, 0xff}),         // a key of 4 GiB
		wire.AppendRequest(nil, 1, wire.OpPut, time.Second, nil)[:3],                  // half of one
		{0},
	} {
		conn, err := quic.DialAddr(ctx, m.listen, config, nil)
		if err != nil {
			return // its time is over
		}
		if stream, err := conn.OpenStream(); err == nil {
			_, _ = stream.Write(content)
			_ = stream.Close()
			_ = stream.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = stream.Read(make([]byte, 100))
		}
		_ = conn.CloseWithError(0, "")
	}
}
