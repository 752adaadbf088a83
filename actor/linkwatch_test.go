package actor

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

const (
	testInterval = 5
	testMost     = 100
)

// A link's timeout is what the package's page says, by a sorted list of the newest heartbeats.
func TestLinkWatchModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(5*testInterval, 5000).Draw(t, "most")
		var w linkWatch
		var gaps []int // that count
		begun, apart := false, 0
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for range rapid.IntRange(1, 4).Draw(t, "spells") {
			jitter, rare, outlier := rapid.IntRange(0, 30).Draw(t, "jitter"), rapid.IntRange(1, 3000).Draw(t, "one in"), rapid.IntRange(0, most).Draw(t, "outlier")
			for range rapid.IntRange(0, 2*linkMemory/3).Draw(t, "heartbeats") {
				gap := 1 + random.IntN(jitter+testInterval)
				if random.IntN(rare) == 0 {
					gap += outlier
				}
				for left := gap; left > 0; left -= min(left, 2) {
					w.passed(min(left, 2))
				}
				w.heartbeat(testInterval, most)
				if apart += gap; !begun || apart >= testInterval-1 {
					if begun { // nothing is known of the first one
						gaps = append(gaps, gap)
					}
					begun, apart = true, 0
				}
			}
			want := most
			if len(gaps) >= linkLeast {
				newest := slices.Sorted(slices.Values(gaps[max(0, len(gaps)-linkMemory):]))
				late := max(newest[len(newest)-1-len(newest)/linkRare]-testInterval, 0)
				want = min(testInterval+max(linkGrace, linkFactor*late), most)
			}
			if got := w.timeout(testInterval, most); got != want {
				t.Fatalf("after %d heartbeats the timeout is %d ticks, want %d", len(gaps), got, want)
			}
		}
	})
}

// The heartbeats of reads come in between, by thousands. They neither end what is known of the link, nor keep a follower from learning it.
func TestLinkIsKnownUnderReads(t *testing.T) {
	const late = 3
	heartbeats := func(w *linkWatch, n int, gap func(i int) int) int {
		for i := range n {
			w.passed(gap(i))
			w.heartbeat(testInterval, testMost)
		}
		return w.timeout(testInterval, testMost)
	}
	reads := func(i int) int { return i % 2 }
	var w linkWatch
	before := heartbeats(&w, linkLeast+1, func(int) int { return testInterval + late })
	if want := testInterval + linkFactor*late; before != want {
		t.Fatalf("heartbeats are %d ticks late, and the timeout is %d ticks, want %d", late, before, want)
	}
	if after := heartbeats(&w, 2*linkMemory, reads); after != before {
		t.Errorf("after %d heartbeats of reads the timeout is %d ticks, %d before: the next late one would be a silence", 2*linkMemory, after, before)
	}
	if got, want := heartbeats(&w, 2*linkMemory, func(int) int { return testInterval - 1 }), testInterval+linkGrace; got != want {
		t.Errorf("heartbeats are on time again, and the timeout is %d ticks, want %d", got, want)
	}
	const apart = 2 * (testInterval - 1) // heartbeats of reads of which one counts
	w = linkWatch{}
	if got := heartbeats(&w, 2+apart*(linkLeast-1), reads); got != testMost {
		t.Errorf("one heartbeat too few counts, and the timeout is %d ticks", got)
	}
	if got, want := heartbeats(&w, apart, reads), testInterval+linkGrace; got != want {
		t.Errorf("a new leader's link under reads is not known: the timeout is %d ticks, want %d", got, want)
	}
}

// Hours of heartbeats over links of all kinds, of which the bad ones lose, delay and hold back: a follower that suspects has waited for as
// long as its rule says, and a quiet link is never suspected. QKV_LINK_HOURS lets it run longer.
func TestLinkHours(t *testing.T) {
	hours := 100
	if text := os.Getenv("QKV_LINK_HOURS"); text != "" {
		var err error
		if hours, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const hour = 3600 * 100 // ticks
	random := rand.New(rand.NewPCG(5, 1))
	suspected, heartbeats, quiet := 0, 0, 0
	for h := range hours {
		l := link{random: random, jitter: random.IntN(4), quiet: h%4 == 0}
		if !l.quiet {
			l.jitter, l.loss, l.pauses, l.bursts = random.IntN(30), random.Float64()/5, random.IntN(3)*3000, random.IntN(2) == 0
		}
		var w linkWatch
		for at := 0; at < hour; {
			gap := l.gap()
			timeout := w.timeout(testInterval, testMost)
			if timeout < min(testInterval+linkGrace, testMost) || timeout > testMost {
				t.Fatalf("a timeout of %d ticks", timeout)
			}
			if gap >= timeout {
				if suspected++; l.quiet {
					t.Fatalf("hour %d: a quiet link is suspected after %d ticks, with a timeout of %d", h, gap, timeout)
				}
			}
			w.passed(gap)
			if w.heartbeat(testInterval, testMost); w.since != 0 {
				t.Fatal("a heartbeat ends no silence")
			}
			at += gap
			heartbeats++
		}
		if l.quiet {
			quiet++
		}
	}
	if quiet == 0 || suspected == 0 {
		t.Errorf("%d quiet hours, %d suspicions: nothing was judged", quiet, suspected)
	}
	t.Logf("%d hours, %d of them quiet: %d heartbeats, %d suspicions, all of links with losses, bursts or pauses", hours, quiet, heartbeats, suspected)
}

// link generates the gaps between heartbeats.
type link struct {
	random *rand.Rand
	jitter int     // ticks
	loss   float64 // of heartbeats: the next one ends the gap
	pauses int     // one pause of either side in so many heartbeats; 0: none
	bursts bool    // heartbeats that a queue has held back come at once
	held   int
	quiet  bool
}

func (l *link) gap() int {
	if l.held > 0 {
		l.held--
		return 1
	}
	gap := max(testInterval+l.random.IntN(2*l.jitter+1)-l.jitter, 1)
	for l.random.Float64() < l.loss {
		gap += testInterval
	}
	if l.pauses > 0 && l.random.IntN(l.pauses) == 0 {
		gap += l.random.IntN(2 * testMost)
	}
	if l.bursts && l.random.IntN(50) == 0 {
		l.held = l.random.IntN(10)
		gap += l.held * testInterval
	}
	return gap
}
