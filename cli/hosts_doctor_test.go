package cli

import (
	"strings"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/internal/checks"
)

// TestHostsDoctor: networks that lose packets, or are too small, fail the checks for them, each by its own name and remedy. The rules of
// routing stand for a firewall: they drop packets in both directions, by protocol and port.
func TestHostsDoctor(t *testing.T) {
	if !fullVariant() {
		t.Skip("networks that lose packets: QKV_FULL=1")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	if !h.separate {
		t.Skip("networks that lose packets are networks of their own: run it as root")
	}
	h.found(3)
	followers := h.others(h.leader())
	one, other := followers[0], followers[1]
	at := h.network[other]
	h.ip("-n " + at + " rule add pref 5 lookup local")
	h.ip("-n " + at + " rule del pref 0") // the rules of this test come before it
	host := func(m *memberProcess) string { address, _, _ := strings.Cut(m.listen, ":"); return address }
	cut := func(verb string) {
		h.ip("-n " + h.network[one] + " route " + verb + " blackhole " + host(other))
		h.ip("-n " + at + " route " + verb + " blackhole " + host(one))
	}
	blocked := func(verb string, ports ...string) {
		for _, port := range ports {
			h.ip("-n " + at + " rule " + verb + " pref 2 ipproto udp dport " + port + " blackhole")
			h.ip("-n " + at + " rule " + verb + " pref 3 ipproto udp sport " + port + " blackhole")
		}
	}
	for _, fault := range []struct {
		id    string
		level checks.Level
		text  string
		do    string
		begin func()
		end   func()
	}{
		{
			"links", checks.Failure, one.name + " has no connection to " + other.name, "open the peer port (by default UDP 2380)",
			func() { cut("add") }, func() { cut("del") },
		},
		{
			"members", checks.Warning, other.name + " does not answer this host, but other members are connected to it", "(by default UDP 2379)",
			func() { blocked("add", "2379") }, func() { blocked("del", "2379") },
		},
		{
			"members", checks.Failure, other.name + " runs and answers over TCP, but not over UDP: ", "open UDP, not only TCP",
			func() { blocked("add", "2379", "2380") }, func() { blocked("del", "2379", "2380") },
		},
		{
			// A member that sends small packets alone keeps its connections, and is warned of; one whose connections end has failed.
			"mtu", "", "the interface eth0 of " + other.name + " has an MTU of 1200 bytes, and 1280 are needed", "ip link set dev eth0 mtu 1500",
			func() { h.ip("-n " + at + " link set eth0 mtu 1200") }, func() { h.ip("-n " + at + " link set dev eth0 mtu 1500") }, // as it says
		},
		{
			"mtu", checks.Failure, "at " + other.listen + " has an MTU of 1200 bytes, 1280 are needed", "ip link set dev",
			func() { h.ip("link set qkv0 mtu 1200") }, func() { h.ip("link set qkv0 mtu 1500") },
		},
	} {
		h.finds(fault.id, checks.OK, "", "")
		fault.begin()
		h.finds(fault.id, fault.level, fault.text, fault.do)
		fault.end()
		h.finds(fault.id, checks.OK, "", "")
	}
	h.level()
}

// finds waits until `qkv doctor` has a result with these words, and this remedy. No level means a warning or a failure.
func (h *hosts) finds(id string, level checks.Level, text, do string) {
	h.t.Helper()
	var d cluster.Diagnosis
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		d = h.diagnose()
		for _, r := range d.Checks {
			if r.ID == id && (r.Level == level || level == "" && (r.Level == checks.Warning || r.Level == checks.Failure)) && strings.Contains(r.Text, text) && strings.Contains(r.Do, do) {
				return
			}
		}
	}
	h.t.Errorf("no %s of %s with %q and %q: %+v", level, id, text, do, d.Checks)
}
