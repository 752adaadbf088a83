package audit

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

func refusal(user, remote string) Event {
	return Event{User: user, Proof: None, Remote: remote, API: Etcd, Operation: Login, Refusal: kv.Errorf(kv.NotAllowed, "wrong name or password")}
}

// Equal refusals have a few lines, and then one with their number, also for the last ones before the end.
func TestEqualRefusals(t *testing.T) {
	f := newFixture(t)
	for i := range 1000 {
		f.Record(refusal("eve", fmt.Sprintf("10.0.0.7:%d", i)))
		if i%200 == 0 {
			f.flush()
		}
	}
	for range 12 {
		f.flush()
	}
	all := f.lines()
	if len(all) != auditRepeats+1 {
		t.Fatalf("%d lines: %+v", len(all), all)
	}
	last := all[auditRepeats]
	if last.Repeated != 1000-auditRepeats || last.Result != "not allowed" || last.Remote != "10.0.0.7" || last.User != "eve" || !strings.HasPrefix(last.Message, "996 more since 2026-") {
		t.Errorf("%+v", last)
	}
	f.Record(refusal("eve", "10.0.0.7:1")) // a line of its own again
	for range auditRepeats + 1 {
		f.Record(refusal("eve", "10.0.0.7:1"))
	}
	must(t, f.Close())
	if all := f.lines(); len(all) != 2*auditRepeats+2 || all[len(all)-1].Repeated != 2 {
		t.Errorf("%d lines after the end: %+v", len(all), all[len(all)-1])
	}
}

// A flood of refusals of different users is bounded in lines and in bytes, counted exactly, and keeps no change out.
func TestFlood(t *testing.T) {
	f := newFixture(t)
	const seconds, each = 60, 3_000
	for i := range seconds * each {
		f.Record(refusal(fmt.Sprint("user", i), fmt.Sprintf("10.0.%d.7:4242", i%256)))
		if i%(each/10) == 0 {
			f.Record(Event{User: "root", Proof: Certificate, Operation: "user add"})
			f.now = f.now.Add(limits.AuditInterval)
			f.Log.Flush()
		}
	}
	must(t, f.Close())
	var changes, refusals, repeated, lost int64
	r := NewReader(f.file)
	defer r.Close()
	for raw, err := r.Next(); err == nil; raw, err = r.Next() {
		one := ParseLine(raw)
		lost += one.Lost
		repeated += one.Repeated
		switch {
		case one.User == "root":
			changes++
		case one.Operation == Login && one.Repeated == 0:
			refusals++
		}
	}
	if changes != seconds*10 {
		t.Errorf("%d changes", changes)
	}
	if most := int64(auditSubjects * auditRepeats * (seconds/10 + 1)); most > seconds*each/20 || refusals > most || refusals < auditSubjects {
		t.Errorf("%d lines of refusals in a minute, want at most %d", refusals, most)
	}
	if refusals+repeated+lost != seconds*each {
		t.Errorf("%d lines, %d repeated and %d lost are not %d refusals", refusals, repeated, lost, seconds*each)
	}
}

// TestRefusalsAreFair: requests without a user from one host, with all operations, and logins in all names leave lines to others: to a
// user, and to such requests from another host.
func TestRefusalsAreFair(t *testing.T) {
	f := newFixture(t)
	refused := kv.Errorf(kv.UserEmpty, "no user")
	for n := range 2 * auditSubjects {
		f.Record(Event{Proof: None, Remote: "10.0.0.1:1", API: Etcd, Operation: fmt.Sprint("operation ", n), Refusal: refused})
		f.Record(refusal(fmt.Sprint("claimed", n), "10.0.0.1:1"))
	}
	f.Record(Event{Proof: None, Remote: "10.0.0.2:1", API: Etcd, Operation: "Put", Refusal: refused})
	f.Record(Event{User: "alice", Proof: Certificate, Remote: "10.0.0.1:1", API: Etcd, Operation: "Put", Refusal: refused})
	must(t, f.Close())
	found := map[string]bool{}
	r := NewReader(f.file)
	defer r.Close()
	for raw, err := r.Next(); err == nil; raw, err = r.Next() {
		one := ParseLine(raw)
		found[one.User+" "+hostOf(one.Remote)+" "+one.Operation] = true
	}
	if !found["alice 10.0.0.1 Put"] || !found[" 10.0.0.2 Put"] {
		t.Errorf("of %d lines none is alice's, or the other host's", len(found))
	}
}

// While the disk is full, the queue has a bound, refusals leave half of it to changes, and a line counts the lost events.
func TestQueueIsBounded(t *testing.T) {
	f := newFixture(t)
	f.disk.fail = func(string) error { return syscall.ENOSPC }
	record := func(n int, e func(i int) Event) (queued int) {
		for i := range n {
			f.Record(e(i))
			f.now = f.now.Add(auditRepeatsTime / auditSubjects)
			f.Log.Flush()
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.queue)
	}
	if n := record(20_000, func(i int) Event { return refusal(fmt.Sprint("user", i), "10.0.0.7:1") }); n > limits.AuditQueueBytes/auditQueueShare || n < limits.AuditQueueBytes/auditQueueShare-1000 {
		t.Errorf("the refusals take %d bytes of the queue", n)
	}
	const changes = 8_000
	if n := record(changes, func(i int) Event { return Event{User: fmt.Sprint("root", i), Operation: "user add"} }); n > limits.AuditQueueBytes || n < limits.AuditQueueBytes-1000 {
		t.Errorf("with changes %d bytes", n)
	}
	f.disk.fail = nil
	f.flush()
	f.flush()
	text := f.text()
	at := strings.Index(text, `"operation":"audit lost"`)
	if at < 0 || !strings.Contains(text[at:], "events were not recorded: the queue of 1048576 bytes was full") {
		t.Error("no line about lost events")
	}
	lost := int64(0)
	for line := range strings.Lines(text) {
		one := ParseLine([]byte(line))
		lost += one.Lost
	}
	if n := int64(len(f.lines())) + lost; n != 20_000+changes {
		t.Errorf("%d lines and %d lost", len(f.lines()), lost)
	}
}

// Changes are never summed up, and logins are.
func TestChangesAreNotSummedUp(t *testing.T) {
	f := newFixture(t)
	for range 100 {
		f.Record(Event{User: "root", Operation: "user add"})
		f.Record(Event{User: "ci", Operation: Login})
	}
	must(t, f.Close())
	changes, logins := 0, 0
	for _, one := range f.lines() {
		if one.Operation == Login {
			logins++
		} else {
			changes++
		}
	}
	if changes != 100 || logins != auditRepeats+1 {
		t.Errorf("%d changes and %d lines of logins", changes, logins)
	}
}

func BenchmarkRecord(b *testing.B) {
	for name, e := range map[string]Event{"change": {User: "root", Operation: "user add", Ranges: []Range{{Key: []byte("app1/x")}}}, "flood": refusal("eve", "10.0.0.7:1")} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b)
			for i := 0; b.Loop(); i++ {
				if f.Record(e); i%1000 == 0 {
					f.now = f.now.Add(time.Second)
					f.take(f.now, f.queue[:0], false)
				}
			}
		})
	}
}

// A summary that a full queue does not take is counted with all events that it stands for.
func TestSummaryOfAFullQueueIsCounted(t *testing.T) {
	f := newFixture(t)
	const repeats = 100
	for range auditRepeats + repeats {
		f.Record(refusal("eve", "10.0.0.7:1"))
	}
	changes := int64(0)
	for ; f.lost == 0; changes++ {
		f.Record(Event{User: "root", Operation: "user add"})
	}
	f.now = f.now.Add(auditRepeatsTime)
	f.flush()
	lost := int64(0)
	for line := range strings.Lines(f.text()) {
		lost += ParseLine([]byte(line)).Lost
	}
	if n := int64(len(f.lines())); n+lost != auditRepeats+repeats+changes || lost != 1+repeats {
		t.Errorf("%d lines and %d lost events, want %d together", n, lost, auditRepeats+repeats+changes)
	}
}
