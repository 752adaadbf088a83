package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/internal/testlong"
)

// What one put of one caller may cost on three members. Measured: 6.9 packets at the leader, 10.3 at a follower, and one
// sync on each member. On a host that is busy with other things frames miss each other's packets, and an idle log is fenced
// between two puts: the best of a few tries counts, and beside other tests it may be half as much again.
var (
	packetsMost         = variant(13.5, 9.0)
	packetsMostFollower = variant(19.5, 13.0)
	syncsMost           = variant(4.8, 3.2)
)

const (
	costPuts  = 500
	costTries = 4
)

// TestProcessCost counts packets and syncs of puts that come one after the other. It does so in a network of its own, so
// that nothing else on this host is counted.
func TestProcessCost(t *testing.T) {
	testlong.Skip(t)
	if os.Getenv(apartName) == "" {
		t.Parallel()
	}
	if apart(t, syscall.CLONE_NEWNET) {
		t.Run("packets", countPackets)
		t.Run("syncs", countSyncs)
	}
}

// raiseLoopback brings the loopback interface up, which a new network has and does not use.
func raiseLoopback(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(t, err)
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	must(t, err)
	must(t, unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request))
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	must(t, unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request))
}

// packets is how many UDP packets this network has carried.
func packets(t *testing.T) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(string(readFile(t, "/proc/net/snmp"))) {
		kind, rest, _ := strings.Cut(line, ":")
		switch {
		case kind != "Udp":
		case names == nil:
			names = strings.Fields(rest)
		default:
			for i, number := range strings.Fields(rest) {
				if names[i] == "InDatagrams" {
					n, err := strconv.Atoi(number)
					must(t, err)
					return n
				}
			}
		}
	}
	t.Fatal("/proc/net/snmp has no InDatagrams of UDP")
	return 0
}

// putInTurn puts one value after the other at one member, and returns how long it took.
func putInTurn(t *testing.T, c *clusterProcess, at *memberProcess) time.Duration {
	t.Helper()
	alone := &clusterProcess{t: t, home: c.home, members: []*memberProcess{at}}
	s := alone.open(0, processWait)
	defer func() { _ = s.Close() }()
	begun := time.Now()
	for i := range costPuts {
		if _, err := s.Put(context.Background(), fmt.Appendf(nil, "key%d", i%10), make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(begun)
}

func countPackets(t *testing.T) {
	c := startProcesses(t, 3)
	time.Sleep(500 * time.Millisecond)
	idleFrom := packets(t)
	time.Sleep(time.Second)
	idle := float64(packets(t) - idleFrom) // a second
	leader := c.leader()
	for _, m := range []*memberProcess{leader, c.others(leader)[0]} {
		role, most := "the leader", packetsMost
		if m != leader {
			role, most = "a follower", packetsMostFollower
		}
		each := most + 1
		for try := 0; each > most && try < costTries; try++ {
			from := packets(t)
			took := putInTurn(t, c, m)
			each = (float64(packets(t)-from) - idle*took.Seconds()) / costPuts
			t.Logf("figures: a put at %s takes %v and %.1f packets; %.0f packets a second when nothing is done", role, took/costPuts, each, idle)
		}
		if each > most {
			t.Errorf("a put at %s costs %.1f packets, over %.1f", role, each, most)
		}
	}
}

func countSyncs(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace here to count syncs")
	}
	c := newProcesses(t, 3, "--segment-bytes", "16777216")
	dir := t.TempDir()
	for _, m := range c.members {
		m.before = []string{"strace", "-D", "-f", "-q", "-o", filepath.Join(dir, m.name), "-e", "trace=fdatasync,fsync"}
		m.start()
	}
	c.level()
	time.Sleep(2 * time.Second) // segments are made ahead
	syncs := func() (n int) {
		for _, m := range c.members {
			n += strings.Count(string(readFile(t, filepath.Join(dir, m.name))), "sync(")
		}
		return n
	}
	each := syncsMost + 1
	for try := 0; each > syncsMost && try < costTries; try++ {
		from := syncs()
		took := putInTurn(t, c, c.leader())
		each = float64(syncs()-from) / costPuts
		t.Logf("figures: a put costs %.2f syncs on three members; %v under strace", each, took/costPuts)
	}
	if each > syncsMost {
		t.Errorf("a put costs %.2f syncs on three members, over %.2f", each, syncsMost)
	}
	if each < 2 {
		t.Errorf("a put costs %.2f syncs on three members, under the two of a quorum: they are not counted, or not done", each)
	}
}
