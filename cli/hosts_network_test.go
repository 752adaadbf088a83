package cli

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// in runs a command in the network of a member's host.
func (h *hosts) in(m *memberProcess, words string) {
	h.t.Helper()
	if out, err := exec.Command("ip", append([]string{"netns", "exec", h.network[m]}, strings.Fields(words)...)...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s at %s: %v: %s", words, m.name, err, out)
	}
}

// rule adds a rule of the firewall at some hosts while do runs.
func (h *hosts) rule(at []*memberProcess, words string, do func()) {
	h.t.Helper()
	for _, m := range at {
		h.in(m, "iptables -A "+words)
	}
	do()
	for _, m := range at {
		h.in(m, "iptables -D "+words)
	}
}

// TestHostsNetwork puts while kernels refuse datagrams, paths lose large packets without a word, and routes flap: the quorum is healthy, so
// no put fails, and none waits for two seconds.
func TestHostsNetwork(t *testing.T) {
	if !fullVariant() {
		t.Skip("networks of hosts: make hosts")
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("this machine has no iptables")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	if !h.separate {
		t.Skip("this machine makes no networks")
	}
	h.found(3)
	// The rules see packets as they are on a wire: rows of datagrams are split before.
	h.ip("link set qkv0 gso_max_segs 1")
	for i, m := range h.members {
		h.ip(fmt.Sprintf("-n %s link set eth0 gso_max_segs 1", h.network[m]))
		h.ip(fmt.Sprintf("link set v%d gso_max_segs 1", i+1))
	}
	l := startMeter(h.clusterProcess, "network", h.clients(5), 20, 4096, 20*time.Millisecond)
	l.acknowledges(processWait)
	stay := func() { time.Sleep(5 * time.Second) }
	leader := func() []*memberProcess { return []*memberProcess{h.leader()} }
	for _, share := range []string{"0.005", "0.02", "0.05"} {
		refuse := "OUTPUT -p udp -m statistic --mode random --probability " + share + " -j DROP"
		h.step(l, share+" refused at the leader's host", gapKilled, func() { h.rule(leader(), refuse, stay) })
		h.step(l, share+" refused at all hosts", gapKilled, func() { h.rule(h.members, refuse, stay) })
	}
	if said := h.qkv("status"); !strings.Contains(said.stdout, "HEALTHY") || !strings.Contains(said.stdout+said.stderr, "EPERM") {
		t.Errorf("while kernels refuse datagrams: %s %s", said.stdout, said.stderr)
	}
	for _, mtu := range []int{1400, 1300, 1280} {
		into := fmt.Sprintf("INPUT -p udp -m length --length %d:65535 -j DROP", mtu+1)
		// A rule for what leaves a host would see rows of datagrams in one piece: it stands where they arrive, at clients as well.
		out := func(do func()) {
			m := h.leader()
			from := strings.Replace(into, "-p udp", "-p udp -s "+strings.Split(m.listen, ":")[0], 1)
			for _, change := range []string{"-A ", "-D "} {
				if said, err := exec.Command("iptables", strings.Fields(change+from)...).CombinedOutput(); err != nil {
					t.Fatalf("iptables: %v: %s", err, said)
				}
				if change == "-A " {
					h.rule(h.others(m), from, do)
				}
			}
		}
		h.step(l, fmt.Sprintf("MTU %d into the leader's host", mtu), gapKilled, func() { h.rule(leader(), into, stay) })
		h.step(l, fmt.Sprintf("MTU %d out of the leader's host", mtu), gapKilled, func() { out(stay) })
		h.step(l, fmt.Sprintf("MTU %d into all hosts", mtu), gapKilled, func() { h.rule(h.members, into, stay) })
	}
	// A deaf leader ends its term within two election timeouts, of a second each, and sees to its succession itself.
	h.step(l, "the leader's host hears nothing", gapKilled+500*time.Millisecond, func() { h.rule(leader(), "INPUT -p udp -j DROP", stay) })
	h.step(l, "routes that flap", gapKilled, func() {
		for range 5 {
			for _, m := range h.members {
				at := h.network[m]
				h.ip("-n " + at + " route del 10.77.0.0/16 dev eth0")
				time.Sleep(200 * time.Millisecond)
				h.ip("-n " + at + " route add 10.77.0.0/16 dev eth0 src " + strings.Split(m.listen, ":")[0])
			}
		}
	})
	again := 0
	for _, m := range h.members {
		again += strings.Count(m.lines(), "dialling a peer again")
	}
	if again == 0 {
		t.Error("no connection between members was dialled again although its large packets were lost")
	}
	if failed := l.failures(0, l.now()); failed > 0 {
		t.Errorf("%d puts failed: %v", failed, l.told())
	}
	if said := h.qkv("status"); !strings.Contains(said.stdout, "HEALTHY") {
		t.Errorf("in the end: %s %s", said.stdout, said.stderr)
	}
	h.ends(l)
	h.figures("three members on a bad network", l)
}
