package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The cheapest cost, for tests that need no time to pass.
const cheap = limits.PasswordCostLeast

func TestCostIsChecked(t *testing.T) {
	for _, cost := range []int{-1, 0, 3, 15, 31, 100} {
		if _, err := NewHasher(cost); err == nil || !strings.Contains(err.Error(), "--bcrypt-cost") {
			t.Errorf("cost %d: %v", cost, err)
		}
	}
	for _, cost := range []int{4, limits.PasswordCost, 14} {
		if _, err := NewHasher(cost); err != nil {
			t.Errorf("cost %d: %v", cost, err)
		}
	}
}

// TestSlotsTakeAQuarter computes the share of the processors from the slots and their rests.
func TestSlotsTakeAQuarter(t *testing.T) {
	for processors := 1; processors <= 256; processors++ {
		h, err := newHasher(cheap, processors)
		if err != nil {
			t.Fatal(err)
		}
		share := float64(cap(h.slots)) / (1 + h.rest) / float64(processors)
		if share > 0.25+1e-9 || share < 0.14 { // seven processors have one slot
			t.Errorf("%d processors: %d slots, which rest for %.2f hashes: %.3f of the processors", processors, cap(h.slots), h.rest, share)
		}
		if h.waiting.Total != passwordsWaiting*cap(h.slots) {
			t.Errorf("%d processors: %d requests for %d slots", processors, h.waiting.Total, cap(h.slots))
		}
	}
}

// TestHashAndVerify: a password fits its hash, whatever the cost of the hash is: members may differ in --bcrypt-cost (etcd #9475, #9633).
func TestHashAndVerify(t *testing.T) {
	h, _ := newHasher(cheap, 8)
	hash, err := h.Hash(t.Context(), "host", Secret("swordfish"))
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost(hash); err != nil || cost != cheap {
		t.Errorf("cost %d, %v", cost, err)
	}
	again, _ := h.Hash(t.Context(), "host", Secret("swordfish"))
	if string(again) == string(hash) {
		t.Error("two hashes of one password are equal: there is no salt")
	}
	longest := strings.Repeat("p", limits.PasswordBytes)
	longHash, err := h.Hash(t.Context(), "host", Secret(longest))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"right", string(hash), "swordfish", true},
		{"wrong", string(hash), "Swordfish", false},
		{"empty password", string(hash), "", false},
		{"unknown user", "", "swordfish", false},
		{"unknown user, empty password", "", "", false},
		{"another cost", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true},
		{"another cost, wrong", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*V", false},
		{"malformed", "no hash", "no hash", false},
		{"malformed, long", strings.Repeat("$", 100), "", false},
		{"malformed salt", "$2a$04$" + strings.Repeat("!", 53), "", false},
		{"newer bcrypt", "$3" + string(hash[2:]), "swordfish", false},
		{"cost beyond bcrypt", "$2a$32$" + string(hash[7:]), "swordfish", false},
		{"longest", string(longHash), longest, true},
		{"longest, beyond", string(longHash), longest + "x", true}, // as in etcd
		{"longest, wrong", string(longHash), longest[1:] + "x", false},
	} {
		if got, err := h.Verify(t.Context(), "host", "u", []byte(c.hash), Secret(c.password)); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestLongPasswordIsRefused: bcrypt would ignore its end. etcd refuses it, too.
func TestLongPasswordIsRefused(t *testing.T) {
	h, _ := newHasher(cheap, 8)
	_, err := h.Hash(t.Context(), "host", Secret(strings.Repeat("p", 73)))
	var refused *kv.Error
	if !errors.As(err, &refused) || refused.Code != kv.BadRequest || !strings.Contains(err.Error(), "73") || !strings.Contains(err.Error(), "72") {
		t.Errorf("%v", err)
	}
}

// TestUnknownUserTakesAsLong compares the processor time of logins with a wrong password, of an unknown user, and of users with a malformed
// hash.
func TestUnknownUserTakesAsLong(t *testing.T) {
	const rounds = 5
	h, _ := newHasher(6, 8)
	hash, err := h.Hash(t.Context(), "host", Secret("swordfish"))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		hash []byte
		took time.Duration
	}{{name: "wrong password", hash: hash}, {name: "unknown user"}, {name: "malformed hash", hash: []byte("x")}, {name: "malformed salt", hash: []byte("$2a$06$" + strings.Repeat("!", 53))}}
	for range rounds {
		for i := range cases {
			before := processorTime(t)
			if fits, err := h.Verify(t.Context(), "host", "u", cases[i].hash, Secret("guess")); fits || err != nil {
				t.Fatal(fits, err)
			}
			cases[i].took += processorTime(t) - before
		}
	}
	wrong := cases[0].took
	for _, c := range cases {
		t.Logf("%s: %v", c.name, c.took/rounds)
		if c.took < wrong/2 || c.took > 2*wrong {
			t.Errorf("%s takes %v, and a wrong password %v", c.name, c.took/rounds, wrong/rounds)
		}
	}
	if cost, err := bcrypt.Cost(h.absent); cost != 6 || err != nil {
		t.Errorf("the hash for unknown users has the cost %d, %v", cost, err)
	}
}

// TestQueueIsBounded: while no slot is free, one user of a host takes half of the places for users, and others still find one. Each further request is refused
// at once. Requests whose clients leave free their places.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHasher(cheap, 4)
		if !h.slots.TryTake() {
			t.Fatal("the only slot is in use")
		}
		ctx, leave := context.WithCancel(t.Context())
		var refused, left int
		answers := make(chan error, 2*passwordsWaiting)
		enter := func(source string) {
			go func() {
				_, err := h.Verify(ctx, source, "u", nil, Secret("guess"))
				answers <- err
			}()
			synctest.Wait()
		}
		count := func() {
			for len(answers) > 0 {
				err := <-answers
				var full *kv.Error
				switch {
				case errors.Is(err, context.Canceled):
					left++
				case errors.As(err, &full) && full.Code == kv.Overloaded && strings.Contains(err.Error(), fmt.Sprint(passwordsWaiting/2)):
					refused++
				default:
					t.Errorf("answered with %v", err)
				}
			}
		}
		for range passwordsWaiting/4 + 3 {
			enter("attacker")
		}
		enter("other")
		count()
		if refused != 3 || left != 0 {
			t.Errorf("%d requests are refused: one user of a host takes another share than half", refused)
		}
		leave()
		synctest.Wait()
		count()
		if refused != 3 || left != passwordsWaiting/4+1 {
			t.Errorf("%d refused, %d ended with their clients", refused, left)
		}
		h.slots.Release()
		if _, err := h.Verify(t.Context(), "attacker", "u", nil, Secret("guess")); err != nil {
			t.Errorf("after the flood: %v", err)
		}
	})
}

// TestKnownUsersBesideAFlood: a host sends wrong passwords for all names that there are, as many as are taken. A user who logged in from
// this host before waits for one of them alone, and one who did not still finds a place beside the flood for one name.
func TestKnownUsersBesideAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHasher(cheap, 4)
		hash, err := h.Hash(t.Context(), "host", Secret("swordfish"))
		if err != nil {
			t.Fatal(err)
		}
		if fits, err := h.Verify(t.Context(), "host", "known", hash, Secret("swordfish")); !fits || err != nil {
			t.Fatal(fits, err)
		}
		h.slots.TryTake()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		var flooded atomic.Int64
		flood := func(user string) {
			for range 2 * passwordsWaiting {
				go func() { _ = h.run(ctx, client{"host", user}, false, func() { flooded.Add(1) }) }()
			}
			synctest.Wait()
		}
		login := func(user string) (answer chan error, after *int64) {
			answer, after = make(chan error, 1), new(int64)
			who := client{"host", user}
			_, known := h.loggedIn[who]
			go func() { answer <- h.run(t.Context(), who, known, func() { *after = flooded.Load() }) }()
			synctest.Wait()
			return answer, after
		}
		flood("root")
		if answer, _ := login("unknown"); len(answer) > 0 {
			t.Errorf("beside a flood for one name: %v", <-answer)
		}
		for n := range 10 {
			flood(fmt.Sprint("user", n))
		}
		answer, after := login("known")
		if len(answer) > 0 {
			t.Fatalf("beside a flood for all names: %v", <-answer)
		}
		h.slots.Release()
		synctest.Wait()
		if err := <-answer; err != nil || *after > 1 {
			t.Errorf("the known user is answered by %v after %d guesses", err, *after)
		}
		if flooded.Load() < passwordsWaiting/4 {
			t.Errorf("%d guesses were checked", flooded.Load())
		}
	})
}

// TestSlotRests: on two processors the next hash begins after a rest as long as the hash.
func TestSlotRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHasher(cheap, 2)
		const lasts = time.Second // of a hash, by the bubble's clock
		begun := time.Now()
		for range 3 {
			if err := h.run(t.Context(), client{host: "host"}, false, func() { time.Sleep(lasts) }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 5*lasts {
			t.Errorf("three hashes and two rests take %v", took)
		}
	})
}

// TestFloodTakesAQuarter sends 1,000 logins a second with wrong passwords, and measures the processor time of this process.
func TestFloodTakesAQuarter(t *testing.T) {
	const lasts = 2 * time.Second
	h, err := newHasher(7, min(8, runtime.GOMAXPROCS(0))) // more slots would keep up with the flood
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	var (
		flood            sync.WaitGroup
		checked, refused atomic.Int64
	)
	goroutines := runtime.NumGoroutine()
	begun, before := time.Now(), processorTime(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; time.Since(begun) < lasts; {
		<-tick.C
		for ; sent < int(time.Since(begun)/time.Millisecond); sent++ {
			source := fmt.Sprint("host", sent%100)
			flood.Go(func() {
				switch _, err := h.Verify(ctx, source, "u", nil, Secret("guess")); {
				case err == nil:
					checked.Add(1)
				case errors.As(err, new(*kv.Error)):
					refused.Add(1)
				}
			})
		}
	}
	took, used := time.Since(begun), processorTime(t)-before
	leave()
	flood.Wait()
	share := float64(used) / float64(took) / float64(runtime.GOMAXPROCS(0))
	t.Logf("%d checked, %d refused, %.1f %% of %d processors", checked.Load(), refused.Load(), 100*share, runtime.GOMAXPROCS(0))
	if share > 0.35 {
		t.Errorf("hashing took %.1f %% of the processors", 100*share)
	}
	if checked.Load() == 0 || refused.Load() < 500 {
		t.Errorf("%d checked, %d refused of 1,000 a second", checked.Load(), refused.Load())
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines before the flood, %d after it", goroutines, now)
	}
}

// processorTime returns the processor time that this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
