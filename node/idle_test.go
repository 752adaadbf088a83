package node

import (
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"qkv/internal/limits"
)

// Memory is given back once, when much was applied and then nothing for a while.
func TestIdleWatch(t *testing.T) {
	var w idleWatch
	gives := func(applied uint64, looks int, retired int64) (n int) {
		for range looks {
			if w.look(applied, retired) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		applied uint64
		looks   int
		retired int64
		want    int
	}{
		{idleEntries - 1, 100, 0, 0},
		{idleEntries, idleLooks, 0, 0},
		{idleEntries, 1, 0, 1},
		{idleEntries, 100, 0, 0},
		{idleEntries + 10, 100, 0, 0},
		{2*idleEntries + 10, 100, 0, 1},
		{2*idleEntries + 11, 100, idleBytes, 2},
	} {
		if got := gives(step.applied, step.looks, step.retired); got != step.want {
			t.Errorf("%+v: %d times", step, got)
		}
	}
}

// What the start of a member took of memory, beside the state, is given back when it has applied what it has read, however busy it is.
func TestStartGivesBack(t *testing.T) {
	gave := make(chan struct{}, 10)
	a, err := startAloneWith(t, savedToTheEnd(t), 64<<10, limits.Defaults(), func(env *environment) { env.Idle = func() { gave <- struct{}{} } })
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	for begun, n := time.Now(), 0; time.Since(begun) < wait; n++ {
		if d := a.put(t, "busy", strconv.Itoa(n)); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
		select {
		case <-gave:
			return
		case <-time.After(time.Millisecond):
		}
	}
	t.Error("nothing was given back")
}

// Garbage is collected when enough of the state's memory is given up, and again when as much has come since: what Views still
// hold does not make it run without end.
func TestRetiredWatch(t *testing.T) {
	const much = 8 * limits.RetiredBytes
	var w retiredWatch
	for _, step := range []struct {
		retired, mapped int64
		collect         bool
	}{
		{0, 0, false},
		{limits.RetiredBytes - 1, much / 4, false},
		{limits.RetiredBytes, much / 4, true},
		{limits.RetiredBytes + 1, much / 4, false}, // a View holds it
		{2*limits.RetiredBytes - 1, much / 4, false},
		{2 * limits.RetiredBytes, much / 4, true},
		{0, much / 4, false}, // that one is gone
		{limits.RetiredBytes, much / 4, true},
		{0, much, false},
		{limits.RetiredBytes, much, false}, // a part of what is in use
		{much / limits.RetiredPart, much, true},
	} {
		if got := w.look(step.retired, step.mapped); got != step.collect {
			t.Errorf("%+v: %v", step, got)
		}
	}
}

// While clients hold much, garbage is collected earlier, and where little lives later; and not now so and now so at a bound.
func TestCollectWatch(t *testing.T) {
	var w collectWatch
	const much, small = clientsMany, heapSmall
	for _, step := range []struct {
		held, live int64
		percent    int // if it is another one
	}{
		{0, small, 0},
		{much - 1, small, 0},
		{much, small, collectedOften},
		{much, 0, 0},
		{much / 2, 0, 0},
		{much/2 - 1, small, usualPercent},
		{much/2 - 1, small, 0},
		{0, small - 1, collectedSeldom},
		{0, small*5/4 - 1, 0},
		{0, small * 5 / 4, usualPercent},
		{0, small, 0},
		{0, 0, collectedSeldom},
		{much, 0, collectedOften},
		{0, 0, collectedSeldom},
	} {
		percent, changed := w.look(step.held, step.live)
		if changed != (step.percent > 0) || changed && percent != step.percent {
			t.Errorf("%d bytes, %d live: %d, %v", step.held, step.live, percent, changed)
		}
	}
}

// Go's heap gets what the state leaves it of the memory that there is, and never so little that it is collected without end.
func TestHeapMost(t *testing.T) {
	const memory = 800 << 20
	for mapped, want := range map[int64]int64{0: 700 << 20, 100 << 20: 600 << 20, 500 << 20: 200 << 20, 501 << 20: 200 << 20, memory: 200 << 20, 2 * memory: 200 << 20} {
		if got := heapMost(memory, mapped); got != want {
			t.Errorf("with %d bytes of state: %d, not %d", mapped, got, want)
		}
	}
}

// The heap is bounded by the memory that there is, and by what was said at the start where something was; a member's bound is not
// taken for the memory of the machine by the next one in this process.
func TestHeapIsBounded(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	t.Setenv("GOMEMLIMIT", "")
	before := machineMemory()
	var n Node
	debug.SetMemoryLimit(1 << 40)
	if n.bound(0); debug.SetMemoryLimit(-1) != 1<<40 {
		t.Errorf("memory that is not known is a bound: %d", debug.SetMemoryLimit(-1))
	}
	if n.bound(800 << 20); debug.SetMemoryLimit(-1) != 200<<20 {
		t.Errorf("a member that begins has %d bytes", debug.SetMemoryLimit(-1))
	}
	if after := machineMemory(); after != before {
		t.Errorf("the machine has %d bytes, and had %d", after, before)
	}
	t.Setenv("GOMEMLIMIT", "500MiB")
	if n.bound(1600 << 20); debug.SetMemoryLimit(-1) != 200<<20 {
		t.Errorf("in the place of what was said: %d", debug.SetMemoryLimit(-1))
	}
}
