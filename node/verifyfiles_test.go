package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/snapshot"
)

// result returns the newest result of a read of all files.
func (b *scrubDuty) result() filesRead {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.found
}

// readAgain has all files read, as because of CORRUPT, and waits for the end.
func readAgain(t *testing.T, b *scrubDuty) filesRead {
	t.Helper()
	begun := time.Now()
	b.corrupt <- struct{}{}
	for b.result().Wall < begun.UnixNano() || len(b.corrupt) > 0 {
		if time.Since(begun) > wait {
			t.Fatalf("%+v", b.result())
		}
		time.Sleep(time.Millisecond)
	}
	return b.result()
}

// verifyAll is readAgain that must not fail.
func verifyAll(t *testing.T, b *scrubDuty) filesRead {
	t.Helper()
	v := readAgain(t, b)
	if v.Failed != "" {
		t.Fatalf("%+v", v)
	}
	return v
}

// flipByte inverts the bits of one byte of a file.
func flipByte(t *testing.T, name string, at int) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		content[at] ^= 0xff
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startToVerify starts a member whose two snapshots and segments stay as they are until it is told otherwise, except for the orders.
func startToVerify(t *testing.T) (a *alone, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	fill := func() {
		for i := range 300 {
			a.put(t, fmt.Sprint("key", i%20), strings.Repeat("v", 2000))
		}
	}
	for fill(); len(list(t, dir, "snap/*.snap")) < 2; fill() {
	}
	a.stop(t)
	calm := limits.Defaults()
	if a, err = startAloneWith(t, dir, 64<<10, calm); err != nil {
		t.Fatal(err)
	}
	for range 100 { // some segments behind the snapshots
		a.put(t, "key", strings.Repeat("w", 4000))
	}
	return a, dir
}

// CORRUPT has all files read. The result stays until the next one is complete, and outlives a restart.
func TestVerifyOnce(t *testing.T) {
	a, _ := startToVerify(t)
	b := newScrubDuty(a.m)
	b.start()
	if v := b.result(); v.Wall != 0 {
		t.Errorf("before the first: %+v", v)
	}
	v := verifyAll(t, b)
	if v.Files < 4 || v.Bytes < 64<<10 || len(v.Damaged) > 0 {
		t.Errorf("all is sound: %+v", v)
	}
	last := verifyAll(t, b)
	if last.Wall <= v.Wall {
		t.Errorf("the next result: %+v after %+v", last, v)
	}
	begun := time.Now()
	if b.close(); time.Since(begun) > limits.BackupStop {
		t.Errorf("it stops after %v", time.Since(begun))
	}
	select {
	case <-b.ended:
	default:
		t.Error("it goes on")
	}
	b = newScrubDuty(a.m)
	b.start()
	if v := b.result(); v.Wall != last.Wall || v.Bytes != last.Bytes {
		t.Errorf("after a restart: %+v, want %+v", v, last)
	}
	var of figures.Values
	if b.report(&of); of.Duration(figures.ScrubAge) <= 0 || of.Duration(figures.ScrubAge) > time.Since(time.Unix(0, last.Wall)) || of.Get(figures.Damaged) != 0 {
		t.Errorf("the figures: %v", of)
	}
	b.close()
	a.stop(t)
}

// scrubber is the scrub of a member, by a modelled clock.
type scrubber struct {
	*testing.T
	*scrubDuty
	m *member
}

func (s *scrubber) restart() {
	if s.scrubDuty != nil {
		s.stop()
	}
	s.scrubDuty = &scrubDuty{member: s.m, corrupt: make(chan struct{}, 1)} // in the bubble
	s.ctx, s.cancel = context.WithCancel(s.Context())
	s.start()
}

func (s *scrubber) stop() {
	s.close()
	synctest.Wait()
}

// after returns the newest result after a time.
func (s *scrubber) after(d time.Duration) filesRead {
	time.Sleep(d)
	synctest.Wait()
	v := s.result()
	if v.Failed != "" {
		s.Errorf("%+v", v)
	}
	return v
}

// A member reads each file once a week, the first time an hour after its start, and never faster than scrubRate.
func TestScrub(t *testing.T) {
	a, dir := startToVerify(t)
	defer a.stop(t)
	synctest.Test(t, func(t *testing.T) {
		s := &scrubber{T: t, m: a.m}
		s.restart()
		first := time.Now().Add(scrubFirst)
		if v := s.after(scrubFirst - time.Second); v.Wall != 0 {
			t.Errorf("within an hour: %+v", v)
		}
		files := int64(len(list(t, dir, "snap/*.snap")) + len(list(t, dir, "snap/*.part")) + len(list(t, dir, "wal/*.wal")))
		last := s.after(time.Hour)
		begun := first
		for week := range 4 {
			took := time.Unix(0, last.Wall).Sub(begun)
			if least := time.Duration(last.Bytes) * time.Second / scrubRate; last.Bytes < 64<<10 || took < least-time.Millisecond || took > 2*least+time.Second {
				t.Errorf("week %d: it read %d bytes in %v, want %v", week, last.Bytes, took, least)
			}
			if last.Files < files-2 || last.Files > files { // the log has prepared segments
				t.Errorf("week %d: %d files of %d", week, last.Files, files)
			}
			begun = begun.Add(scrubEvery)
			if v := s.after(time.Until(begun) - time.Second); v.Wall != last.Wall {
				t.Errorf("week %d: read again %v later", week, time.Unix(0, v.Wall).Sub(time.Unix(0, last.Wall)))
			}
			last = s.after(time.Hour)
		}
		s.after(time.Until(begun.Add(scrubEvery)) + time.Millisecond) // while it reads
		asked := time.Now()
		s.corrupt <- struct{}{}
		if v := s.after(time.Duration(last.Bytes) * time.Second / (scrubRate * 2)); v.Wall <= asked.UnixNano() {
			t.Errorf("because of CORRUPT it waits for the scrub: %+v", v)
		}
		s.stop()
	})
}

// A restart keeps the week of a scrub that is complete. One that it has ended begins anew a day after its beginning.
func TestScrubAfterRestarts(t *testing.T) {
	a, _ := startToVerify(t)
	defer a.stop(t)
	synctest.Test(t, func(t *testing.T) {
		s := &scrubber{T: t, m: a.m}
		s.restart()
		begun := time.Now().Add(scrubFirst)
		v := s.after(2 * scrubFirst)
		for time.Since(begun) < scrubEvery-5*time.Hour {
			s.restart()
			if last := s.after(5 * time.Hour); last.Wall != v.Wall || v.Wall == 0 {
				t.Fatalf("after %v: %+v", time.Since(begun), last)
			}
		}
		s.after(time.Until(begun.Add(scrubEvery)) + time.Millisecond)
		begun = begun.Add(scrubEvery)
		for time.Since(begun) < scrubAgain-5*time.Hour { // the first restart ends a scrub
			s.restart()
			if last := s.after(5 * time.Hour); last.Wall != v.Wall {
				t.Fatalf("%v after a scrub has begun: %+v", time.Since(begun), last)
			}
		}
		if last := s.after(time.Until(begun.Add(scrubAgain)) + time.Hour); last.Wall <= begun.Add(scrubAgain).UnixNano() {
			t.Errorf("a day after a scrub that a restart has ended: %+v", last)
		}
		s.stop()
	})
}

// A clock that was ahead does not delay the scrubs, whatever it wrote into the file scrub, however often the member starts again. A read
// that found damage is repeated a day later then, too.
func TestScrubAfterAClockAhead(t *testing.T) {
	a, _ := startToVerify(t)
	defer a.stop(t)
	synctest.Test(t, func(t *testing.T) {
		s := &scrubber{T: t, m: a.m}
		s.restart()
		v := s.after(2 * scrubFirst)
		s.kept.Begun += int64(1000 * scrubEvery)
		s.kept.Sound.Wall += int64(1000 * scrubEvery)
		s.keep()
		for range 3 {
			s.restart()
			s.after(scrubFirst / 2)
		}
		if begun := s.kept.Begun; time.Until(time.Unix(0, begun)) < 0 {
			t.Fatalf("read at %v already", time.Unix(0, begun))
		}
		ahead := s.result()
		if last := s.after(scrubFirst); last.Wall >= ahead.Wall || last.Wall <= v.Wall {
			t.Errorf("an hour after the start: %+v", last)
		}
		s.kept.Sound.Wall = ahead.Wall
		s.kept.Ended = false // as after damage
		if due := s.kept.due(); due > scrubAgain {
			t.Errorf("after damage it is due after %v", due)
		}
		s.stop()
	})
}

// A read that fails is no complete read: the age of the last one goes on, and the reason is logged. A damaged file scrub is made anew.
func TestScrubThatFails(t *testing.T) {
	a, dir := startToVerify(t)
	defer a.stop(t)
	b := newScrubDuty(a.m)
	b.start()
	verifyAll(t, b)
	begun := time.Now()
	wal := filepath.Join(dir, "wal")
	if err := os.Rename(wal, wal+".away"); err != nil {
		t.Fatal(err)
	}
	v := readAgain(t, b)
	var of figures.Values
	b.report(&of)
	if v.Failed == "" || of.Duration(figures.ScrubAge) < time.Since(begun) {
		t.Errorf("%+v, last read %v ago, and it failed %v ago", v, of.Duration(figures.ScrubAge), time.Since(begun))
	}
	if err := os.Rename(wal+".away", wal); err != nil {
		t.Fatal(err)
	}
	b.close()
	for _, half := range []int{0, slotBytes} {
		flipByte(t, a.m.folder.path("scrub"), half+40)
	}
	b = newScrubDuty(a.m)
	b.start()
	v = verifyAll(t, b)
	b.close()
	b = newScrubDuty(a.m)
	b.start()
	if again := b.result(); again.Wall != v.Wall {
		t.Errorf("the file scrub was damaged, and is not written again: %+v, want %+v", again, v)
	}
	b.close()
}

// All files are read at once when CORRUPT is raised, and ten minutes after each read while it stands. A sound read ends it, except the first.
func TestScrubWhileCorrupt(t *testing.T) {
	a, _ := startToVerify(t)
	defer a.stop(t)
	synctest.Test(t, func(t *testing.T) {
		s := &scrubber{T: t, m: a.m}
		s.restart()
		alarm := kv.Alarm{Name: kv.CorruptAlarm, Subject: a.m.folder.path("snap/1"), Text: "input/output error"}
		for range 2 {
			s.look()
			before := s.after(scrubFirst / 4)
			a.m.status.Alarm(alarm)
			s.look()
			first := s.after(scrubCorrupt / 2)
			if first.Wall == before.Wall || len(s.alarms()) != 1 {
				t.Fatalf("CORRUPT is raised: %+v, %v", first, s.alarms())
			}
			s.look()
			if early := s.after(scrubCorrupt / 4); early.Wall != first.Wall {
				t.Errorf("within ten minutes: %+v", early)
			}
			s.after(scrubCorrupt / 2)
			s.look()
			if v := s.after(scrubCorrupt / 2); v.Wall == first.Wall || len(s.alarms()) > 0 {
				t.Errorf("ten minutes later: %+v, %v", v, s.alarms())
			}
		}
		s.stop()
	})
}

// A scrub finds a changed bit of an old segment, and raises the alarm that a verification raises.
func TestScrubFindsDamage(t *testing.T) {
	testlong.Skip(t)
	a, dir := startToVerify(t)
	defer a.stop(t)
	b := newScrubDuty(a.m)
	b.start()
	verifyAll(t, b)
	name := closedBehindSnapshots(t, dir)
	content, _ := os.ReadFile(name)
	alarms := func() (all []kv.Alarm) {
		for _, one := range a.m.status.Alarms() {
			if one.Name == kv.CorruptAlarm {
				all = append(all, one)
			}
		}
		return all
	}
	synctest.Test(t, func(t *testing.T) {
		s := &scrubber{T: t, m: a.m}
		s.restart()
		s.after(2 * scrubFirst)
		flipByte(t, name, strings.LastIndex(string(content), strings.Repeat("w", 4000)))
		if v := s.after(time.Hour); len(v.Damaged) > 0 || len(alarms()) > 0 {
			t.Errorf("before the next scrub: %+v", v)
		}
		v := s.after(scrubEvery)
		var of figures.Values
		s.report(&of)
		if len(v.Damaged) != 1 || v.Damaged[0].name != "wal/"+filepath.Base(name) || of.Get(figures.Damaged) != 1 {
			t.Errorf("%+v, %v", v, of)
		}
		s.stop()
	})
	if found := alarms(); len(found) != 1 || found[0].Subject != a.m.folder.path("wal") || !strings.Contains(found[0].Text, name+" at byte ") {
		t.Errorf("the alarms: %v", found)
	}
	for begun := time.Now(); len(alarms()) > 0 && time.Since(begun) < wait; { // until snapshots have replaced the segment
		a.put(t, "key", "after")
		verifyAll(t, b)
	}
	if found := alarms(); len(found) > 0 {
		t.Errorf("the alarms do not end: %v", found)
	}
	b.close()
}

// closedBehindSnapshots returns the first segment behind the snapshots of startToVerify.
func closedBehindSnapshots(t *testing.T, dir string) string {
	t.Helper()
	for _, segment := range list(t, dir, "wal/*.wal") {
		if content, err := os.ReadFile(segment); err == nil && strings.Contains(string(content), strings.Repeat("w", 4000)) {
			return segment
		}
	}
	t.Fatal("no segment is behind the snapshots")
	return ""
}

// A verification names a damaged part, also one that no snapshot lists yet. Then it is written again from memory, and everything is sound.
func TestVerifyNamesAPart(t *testing.T) {
	for _, listed := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l := limits.Defaults()
		l.Index.ExtentBytes, l.Index.BaseLeast = 20_000, 1
		if listed {
			l.SnapshotBytes = 64 << 10
		}
		a, err := startAloneWith(t, dir, 64<<10, l)
		if err != nil {
			t.Fatal(err)
		}
		defer a.stop(t)
		b := newScrubDuty(a.m)
		b.start()
		var parts []snapshot.Part
		for begun := time.Now(); len(parts) < 4; a.put(t, fmt.Sprint("key", time.Now().UnixNano()), strings.Repeat("v", 2000)) {
			if listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap")); err == nil && len(listing.Published) > 0 {
				parts = listing.Published[0].Parts
			} else if shelf := snapshot.ShelfOf(a.m.status.View()); !listed && a.m.status.Parts().Extents >= 4 {
				parts = shelf.Parts()
			}
			if time.Since(begun) > wait {
				t.Fatalf("%+v", a.m.status.Parts())
			}
		}
		if snaps := list(t, dir, "snap/*.snap"); listed != (len(snaps) > 0) {
			t.Fatalf("the snapshots are %q", snaps)
		}
		if s := a.m.Status(); s.Get(figures.BaseRevision) != index.EmptyBase || s.Get(figures.Extents) < 4 || s.Get(figures.ExtentBytes) < 60_000 {
			t.Errorf("its status has %+v", s)
		}
		if v := verifyAll(t, b); len(v.Damaged) > 0 {
			t.Fatalf("%+v", v)
		}
		victim := filepath.Join(dir, "snap", parts[1].Name())
		flipByte(t, victim, 5000)
		v := verifyAll(t, b)
		if len(v.Damaged) != 1 || v.Damaged[0].name != "snap/"+filepath.Base(victim) {
			t.Fatalf("%+v", v)
		}
		for begun := time.Now(); len(verifyAll(t, b).Damaged) > 0; time.Sleep(10 * time.Millisecond) {
			if a.put(t, "key", "after"); time.Since(begun) > wait {
				t.Fatalf("it has %q", list(t, dir, "snap/*"))
			}
		}
		b.close()
	}
}

// A damaged segment leaves the log for good once two snapshots cover it. A damaged snapshot is moved aside. Then
// everything is sound, and the alarms end.
func TestVerifyRepairs(t *testing.T) {
	testlong.Skip(t)
	a, dir := startToVerify(t)
	b := newScrubDuty(a.m)
	b.start()
	snaps := list(t, dir, "snap/*.snap")
	older := snaps[0]
	name := closedBehindSnapshots(t, dir)
	content, _ := os.ReadFile(name)
	flipByte(t, name, strings.LastIndex(string(content), strings.Repeat("w", 4000)))
	flipByte(t, older, 5000)
	v := verifyAll(t, b)
	var named []string
	for _, f := range v.Damaged {
		named = append(named, f.name)
		if !strings.Contains(f.reason, "at byte ") {
			t.Errorf("unclear: %+v", f)
		}
	}
	if want := []string{"wal/" + filepath.Base(name), "snap/" + filepath.Base(older)}; !slices.Equal(named, want) {
		t.Fatalf("damaged: %q, want %q", named, want)
	}
	corrupt := func() (n int) {
		for _, one := range a.m.status.Alarms() {
			if one.Name == kv.CorruptAlarm {
				n++
			}
		}
		return n
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		a.put(t, "key", "after")
		left := list(t, dir, "wal/*.wal")
		if !slices.Contains(left, name) && len(list(t, dir, "damaged/*")) == 1 && corrupt() == 2 {
			break
		}
		if time.Since(begun) > wait {
			t.Fatalf("left: %q, %q, %d alarms", left, list(t, dir, "damaged/*"), corrupt())
		}
	}
	verifyAll(t, b) // has seen the alarms
	if v := verifyAll(t, b); len(v.Damaged) > 0 || corrupt() > 0 {
		t.Errorf("afterwards: %+v, %d alarms", v, corrupt())
	}
	b.close()
	a.stop(t)
}
