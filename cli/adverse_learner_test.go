package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestAdverseLearnerOnASlowDisk: a learner whose disk takes a part of what is written only. It is not promoted, and why is said to
// who asks, in its log and in the status; `replace` waits; what others write goes on. When its disk is faster it is level.
func TestAdverseLearnerOnASlowDisk(t *testing.T) {
	testlong.Skip(t)
	const (
		disk     = 256 << 10 // bytes a second
		value    = 32 << 10  // 2.5 MB/s
		callers  = 4
		every    = 50 * time.Millisecond
		slowPart = 0.8 // of the rate before
	)
	alongside(t)
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	slow := newSlowDisk(t, 2<<30)
	c := startProcesses(t, 1, "--segment-bytes", "8388608")
	first, addresses := c.members[0], freeAddresses(t, 2)
	m := &memberProcess{
		t: t, name: "n2", home: c.home, listen: addresses[0], listenPeer: addresses[1], log: filepath.Join(t.TempDir(), "n2.log"),
		before: slow.before(), dataDir: filepath.Join(slow.dir, "data"), arguments: []string{"--segment-bytes", "8388608", "--join", first.listenPeer},
	}
	t.Cleanup(m.cleanUp)
	l := startMeter(c, "learner", c.clients(2), callers, value, every)
	l.acknowledges(processWait)
	from := l.now()
	time.Sleep(variant(3*time.Second, 10*time.Second))
	rate := l.rate(from, l.now())
	must(t, slow.limit(disk))

	replaced := make(chan answered, 1)
	both := first.listen + "," + m.listen // n1 may end before it answers that it is removed
	go func() {
		replaced <- c.qkv("member", "replace", "n1", "--name", "n2", "--peer", m.listenPeer, "--endpoints", both)
	}()
	c.await("the new one is added", func([]cluster.MemberStatus) bool {
		return strings.Contains(c.qkv("member", "list").stdout, m.listenPeer)
	})
	m.start()
	m.says("qkv serves")
	from = l.now()
	c.await("the status says why it is behind", func(members []cluster.MemberStatus) bool {
		return slices.ContainsFunc(members, func(one cluster.MemberStatus) bool {
			return one.Name == m.name && (raises(one, "SLOWDISK") || strings.Contains(one.Error, "its disk or network is slower than the writes"))
		})
	})
	m.says("a snapshot comes")
	c.qkv("member", "promote", "n2").exits(t, form.ExitCondition, "n2 has ", "entries to catch up with", "the membership did not change")
	time.Sleep(variant(3*time.Second, 20*time.Second))
	to := l.now()
	select {
	case ended := <-replaced:
		t.Errorf("it did not wait: %+v", ended)
	default:
	}
	t.Logf("figures: a learner's disk of %d KiB/s under %.0f puts/s of %d KiB: %.0f puts/s for %v meanwhile, longest gap %v",
		disk>>10, rate, value>>10, l.rate(from, to), (to - from).Round(time.Second), l.gap(from, to).Round(time.Millisecond))
	if l.rate(from, to) < slowPart*rate {
		t.Errorf("it slows down the others: %.0f puts/s of %.0f", l.rate(from, to), rate)
	}
	l.end()
	must(t, slow.limit(1<<40))
	if ended := (<-replaced).exits(t, form.ExitOK); !strings.Contains(ended.stdout, "2 of 3: n2 runs, and gets the data") {
		t.Errorf("it says %s", ended.stdout)
	}
	c.members = append(c.members, m)
	l.nothingLost()
}
