package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/internal/limits"
)

// Hasher hashes passwords with bcrypt, and compares passwords with hashes. It is safe for concurrent use.
//
//  1. All hashing takes at most 1/passwordShare of the processors. The goroutine of the request hashes, while it holds one of a few
//     slots; on fewer than four processors the slot rests after each hash.
//  2. passwordsWaiting requests for each slot are served or wait; further ones are refused at once. A host has at most as many of
//     these places as are left free, and so has each user of a host of half the places. Users without an account count as one.
//     A user is known at a host after a login from there, or when it sets a password. Known users have half as many places of
//     their own, and wait for one guess of others for each slot at most: a flood of wrong passwords keeps no known user out.
//  3. Every Verify computes a whole hash, whether the user exists or not.
type Hasher struct {
	cost    int
	absent  []byte          // compared with the passwords of unknown users
	slots   admit.Slots     // hashes that are computed at a time
	rest    float64         // of a slot after a hash, in durations of the hash
	waiting admit.FairSlots // requests of others than known users that are served or wait, by host
	users   admit.FairSlots // likewise, by user of a host
	known   admit.FairSlots // requests of known users that are served or wait, by user of a host
	guesses admit.Slots     // requests of others than known users that wait for a slot, or have one

	mu       sync.Mutex
	loggedIn map[client]struct{}
}

// client is a user at a host.
type client struct{ host, user string }

func (c client) key() string { return c.host + "\x00" + c.user }

// NewHasher returns a Hasher for the processors of this process. cost is that of new hashes, between limits.PasswordCostLeast and
// limits.PasswordCostMost.
func NewHasher(cost int) (*Hasher, error) { return newHasher(cost, runtime.GOMAXPROCS(0)) }

const (
	// 1/passwordShare of the processors is the most that hashing takes: a flood of logins leaves the rest to other requests.
	passwordShare = 4
	// passwordsWaiting bounds the passwords that are hashed or wait for it, for each that may be hashed at a time. At the default cost the
	// last one waits 2 to 5 s, so its answer arrives within the 5 s that etcdctl waits. One host has at most half of them.
	passwordsWaiting = 32
	// passwordUsersKnown bounds the users of hosts whose logins a member remembers, so that a flood of wrong passwords does not delay them:
	// as many as a member has clients of a large cluster, in 1 MiB.
	passwordUsersKnown = 4096
)

func newHasher(cost, processors int) (*Hasher, error) {
	if cost < limits.PasswordCostLeast || cost > limits.PasswordCostMost {
		return nil, fmt.Errorf("--bcrypt-cost %d is out of range: it must be between %d and %d, and %d is the default", cost, limits.PasswordCostLeast, limits.PasswordCostMost, limits.PasswordCost)
	}
	slots := max(1, processors/passwordShare)
	return &Hasher{
		cost:    cost,
		absent:  fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", 53)), // salt and hash of zeros
		slots:   make(admit.Slots, slots),
		rest:    max(0, float64(slots*passwordShare)/float64(processors)-1),
		waiting: admit.FairSlots{Total: slots * passwordsWaiting},
		users:   admit.FairSlots{Total: slots * passwordsWaiting / 2},
		known:   admit.FairSlots{Total: slots * passwordsWaiting / 2},
		guesses: make(admit.Slots, slots),

		loggedIn: map[client]struct{}{},
	}, nil
}

// Hash returns the hash of a password of at most limits.PasswordBytes. host is that of the client, for the fair queue. The error is a
// [*kv.Error] with the code BadRequest or Overloaded, or that of ctx. A hash that has begun is completed even if ctx ends.
func (h *Hasher) Hash(ctx context.Context, host string, password Secret) ([]byte, error) {
	if len(password) > limits.PasswordBytes {
		return nil, kv.Errorf(kv.BadRequest, "the password has %d bytes, and bcrypt hashes at most %d: choose a shorter password", len(password), limits.PasswordBytes)
	}
	var hash []byte
	var failed error
	if err := h.run(ctx, client{host: host}, true, func() { hash, failed = bcrypt.GenerateFromPassword(password, h.cost) }); err != nil {
		return nil, err
	}
	return hash, failed
}

// Verify reports whether a password fits a stored hash of any cost. The hash of an unknown user, and of a user without a password, is
// empty: Verify then takes as long as for a hash of this Hasher's cost, and returns false. So does a hash that bcrypt cannot read. Of a
// longer password only the first limits.PasswordBytes count, as in etcd: users of old versions have such passwords. host and the errors
// are those of [Hasher.Hash].
func (h *Hasher) Verify(ctx context.Context, host, user string, hash []byte, password Secret) (fits bool, err error) {
	who := client{host, user}
	if len(hash) == 0 {
		who.user = "" // one place for all names that have no password
	}
	h.mu.Lock()
	_, known := h.loggedIn[who]
	h.mu.Unlock()
	err = h.run(ctx, who, known, func() { fits = h.fits(hash, password) })
	if fits && !known {
		h.mu.Lock()
		defer h.mu.Unlock()
		for one := range h.loggedIn {
			if len(h.loggedIn) < passwordUsersKnown {
				break
			}
			delete(h.loggedIn, one)
		}
		h.loggedIn[who] = struct{}{}
	}
	return fits, err
}

func (h *Hasher) fits(hash []byte, password Secret) bool {
	err := bcrypt.CompareHashAndPassword(hash, password)
	if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		_ = bcrypt.CompareHashAndPassword(h.absent, password) // for its time
	}
	return err == nil
}

// run calls hash in a slot.
func (h *Hasher) run(ctx context.Context, who client, known bool, hash func()) error {
	full := func(p *admit.FairSlots) error {
		return kv.Errorf(kv.Overloaded, "too many passwords wait for their check: the limit is %d, and one host or user gets at most half of the free places. Retry later", p.Total)
	}
	if known {
		if !h.known.TryTake(who.key()) {
			return full(&h.known)
		}
		defer h.known.Release(who.key())
	} else {
		if !h.waiting.TryTake(who.host) {
			return full(&h.waiting)
		}
		defer h.waiting.Release(who.host)
		if !h.users.TryTake(who.key()) {
			return full(&h.users)
		}
		defer h.users.Release(who.key())
		if err := h.guesses.Take(ctx); err != nil {
			return err
		}
		defer h.guesses.Release()
	}
	if err := h.slots.Take(ctx); err != nil {
		return err
	}
	begun := time.Now()
	hash()
	if h.rest == 0 {
		h.slots.Release()
		return nil
	}
	time.AfterFunc(time.Duration(h.rest*float64(time.Since(begun))), h.slots.Release)
	return nil
}
