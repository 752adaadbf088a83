package auth

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

var noon = time.UnixMilli(1_790_000_000_000)

// members returns the simple tokens of n members, which share a key in the variable that is returned.
func members(t *testing.T, n int, ttl time.Duration) (all []*simple, key **Key) {
	t.Helper()
	held := testKey()
	for range n {
		scheme, err := ParseScheme("simple", ttl, os.ReadFile)
		if err != nil || scheme.Warning != "" {
			t.Fatal(err, scheme)
		}
		all = append(all, scheme.Tokens(func() *Key { return held }).(*simple))
	}
	return all, &held
}

func assign(t *testing.T, tokens Tokens, c Claims, now time.Time) string {
	t.Helper()
	token, err := tokens.Assign(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestSimpleTokens is a story of three members: A and B, and C that restarts.
func TestSimpleTokens(t *testing.T) {
	const ttl = 5 * time.Minute
	all, _ := members(t, 3, 0) // 0: the default
	a, b, c := all[0], all[1], all[2]
	claims := Claims{User: "alice", Epoch: 7, Applied: 1000}
	token := assign(t, a, claims, noon)
	claims.Issued = noon
	for _, step := range []struct {
		name  string
		at    *simple
		after time.Duration // since noon
		valid bool
	}{
		{"at its issuer", a, 0, true},
		{"at another member", b, time.Second, true},
		{"just before its age is the TTL, first use at C", c, ttl - time.Millisecond, true},
		{"used at A before, and too old there now", a, ttl, false},
		{"used at B a second later than at A", b, ttl, true},
		{"C has seen it a minute ago", c, ttl + time.Minute, true},
		{"C goes on", c, 2*ttl + time.Minute - 1, true},
		{"A has forgotten it", a, 2 * ttl, false},
		{"B saw it last at 5 minutes", b, 2*ttl - 1, true},
		{"B saw it more than 5 minutes ago", b, 3*ttl + time.Minute, false},
		{"C saw it exactly 5 minutes ago", c, 3*ttl + time.Minute - 1, false},
		{"it does not come back", c, 3*ttl + time.Minute, false},
	} {
		got, err := step.at.Info(token, noon.Add(step.after))
		if step.valid && (err != nil || got != claims) || !step.valid && !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %+v, %v", step.name, got, err)
		}
	}
	restarted, _ := members(t, 1, 0)
	if _, err := restarted[0].Info(token, noon.Add(time.Minute)); err != nil {
		t.Errorf("a restarted member refuses a young token: %v", err)
	}
}

// TestClocksOfMembers: a token of a member whose clock is ahead or behind.
func TestClocksOfMembers(t *testing.T) {
	for _, c := range []struct {
		age   time.Duration // when it is first used
		valid bool
	}{
		{-limits.ClocksApart - time.Millisecond, false},
		{-limits.ClocksApart, true},
		{-time.Second, true},
		{0, true},
		{time.Minute - time.Millisecond, true},
		{time.Minute, false},
	} {
		all, _ := members(t, 2, time.Minute)
		token := assign(t, all[0], Claims{User: "alice"}, noon)
		if _, err := all[1].Info(token, noon.Add(c.age)); (err == nil) != c.valid {
			t.Errorf("age %v: %v", c.age, err)
		}
	}
	// A clock that is set back does not end a token in use, and one that is set forward by less than the TTL neither.
	all, _ := members(t, 1, time.Minute)
	token := assign(t, all[0], Claims{User: "alice"}, noon)
	for _, now := range []time.Duration{0, -time.Hour, -time.Hour, 59*time.Second - time.Hour} {
		if _, err := all[0].Info(token, noon.Add(now)); err != nil {
			t.Errorf("used at %v: %v", now, err)
		}
	}
}

// TestKeyRotates: a new key ends all tokens of the old one, also those in use. No key: no token.
func TestKeyRotates(t *testing.T) {
	all, key := members(t, 1, time.Minute)
	tokens := all[0]
	old := assign(t, tokens, Claims{User: "alice"}, noon)
	for range 2 {
		if _, err := tokens.Info(old, noon); err != nil {
			t.Fatal(err)
		}
	}
	first, second := *key, &Key{1}
	*key = second
	if _, err := tokens.Info(old, noon); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a token of the old key: %v", err)
	}
	now := assign(t, tokens, Claims{User: "alice"}, noon)
	if _, err := tokens.Info(now, noon); err != nil || now == old {
		t.Errorf("a token of the new key: %v", err)
	}
	if n := len(tokens.uses.tokens); n != 1 {
		t.Errorf("%d tokens are remembered", n)
	}
	same := *second
	*key = &same // the same key at another place
	if _, err := tokens.Info(now, noon.Add(59*time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := tokens.Info(now, noon.Add(100*time.Second)); err != nil {
		t.Errorf("the use was forgotten: %v", err)
	}
	*key = nil
	if _, err := tokens.Info(now, noon); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("without a key: %v", err)
	}
	var unavailable *kv.Error
	if _, err := tokens.Assign(Claims{User: "alice"}, noon); !errors.As(err, &unavailable) || unavailable.Code != kv.Unavailable {
		t.Errorf("without a key: %v", err)
	}
	*key = first
	if _, err := tokens.Info(old, noon); err != nil {
		t.Errorf("with the old key again: %v", err)
	}
}

func TestNameTooLongForAToken(t *testing.T) {
	all, _ := members(t, 1, time.Minute)
	const fits = tokenBytes*3/4 - 60
	if token := assign(t, all[0], Claims{User: strings.Repeat("a", fits)}, noon); token != "" {
		if _, err := all[0].Info(token, noon); err != nil {
			t.Error(err)
		}
	}
	var refused *kv.Error
	if _, err := all[0].Assign(Claims{User: strings.Repeat("a", fits+50)}, noon); !errors.As(err, &refused) || refused.Code != kv.BadRequest {
		t.Errorf("%v", err)
	}
}

// TestUsesAreBounded: the tokens that were not used for longest are evicted, and an evicted token is valid for its TTL from its issue.
func TestUsesAreBounded(t *testing.T) {
	all, _ := members(t, 1, time.Minute)
	s := all[0]
	const kept = 10
	token := func(i int) string { return assign(t, s, Claims{User: fmt.Sprintf("user%03d", i), Applied: 1000}, noon) }
	s.uses.most = kept * int64(len(token(0))+len("user000")+tokenUseBytes)
	use := func(i int, now time.Duration) error {
		_, err := s.Info(token(i), noon.Add(now))
		return err
	}
	var first *list.Element
	for i := range 1000 {
		if err := use(i, 0); err != nil {
			t.Fatal(err)
		}
		if err := use(0, 0); err != nil { // always one of the newest
			t.Fatal(err)
		}
		if first == nil {
			first = s.uses.tokens[token(0)]
		}
		if s.uses.tokens[token(0)] != first {
			t.Fatalf("the token that is used most was evicted for token %d", i)
		}
		if n := len(s.uses.tokens); n != min(i+1, kept) || s.uses.order.Len() != n || s.uses.bytes > s.uses.most {
			t.Fatalf("%d tokens, %d in order, %d bytes of %d", n, s.uses.order.Len(), s.uses.bytes, s.uses.most)
		}
	}
	for i := 990; i < 1000; i++ {
		if got, want := s.uses.tokens[token(i)] != nil, i > 990; got != want {
			t.Errorf("token %d is remembered: %v", i, got)
		}
	}
	if err := use(500, 30*time.Second); err != nil {
		t.Errorf("evicted, and young: %v", err)
	}
	if err := use(0, 59*time.Second); err != nil {
		t.Error(err)
	}
	if err := use(0, 100*time.Second); err != nil {
		t.Errorf("remembered: %v", err)
	}
	if err := use(400, 100*time.Second); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("evicted, and old: %v", err)
	}
	if err := use(999, 100*time.Second); !errors.Is(err, ErrInvalidToken) || s.uses.tokens[token(999)] != nil {
		t.Errorf("not used for long: %v", err)
	}
	full := int64(tokenUsesBytes) / int64(len(token(0))+len("user000")+tokenUseBytes)
	if full < limits.ClientConnections+limits.EtcdConnections {
		t.Errorf("%d tokens fit, for %d clients", full, limits.ClientConnections+limits.EtcdConnections)
	}
}

// TestRepeatedTokenIsCheap: no allocation, and no HMAC.
func TestRepeatedTokenIsCheap(t *testing.T) {
	all, _ := members(t, 1, time.Minute)
	var tokens Tokens = all[0]
	token := assign(t, tokens, Claims{User: "alice", Epoch: 1, Applied: 1000}, noon)
	now := noon
	once := func() {
		now = now.Add(time.Second)
		if _, err := tokens.Info(token, now); err != nil {
			t.Fatal(err)
		}
	}
	once()
	if n := testing.AllocsPerRun(1000, once); n != 0 {
		t.Errorf("%v allocations for a repeated token", n)
	}
}

// TestTokensAtOnce uses few tokens from many goroutines while the key changes; for the race detector.
func TestTokensAtOnce(t *testing.T) {
	keys := []*Key{{1}, {2}}
	var turn sync.Mutex
	at := 0
	tokens := &simple{key: func() *Key { turn.Lock(); defer turn.Unlock(); return keys[at] }, ttl: time.Minute, uses: uses{most: 2000}}
	var made []string
	for i := range 10 {
		made = append(made, Seal(keys[i%2], Claims{User: fmt.Sprint("user", i), Issued: noon}))
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				if g == 0 {
					turn.Lock()
					at = i % 2
					turn.Unlock()
				}
				n := (g + i) % len(made)
				if c, err := tokens.Info(made[n], noon); err == nil && c.User != fmt.Sprint("user", n) {
					t.Errorf("the token of user%d is that of %s", n, c.User)
				} else if err != nil && !errors.Is(err, ErrInvalidToken) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkRepeatedToken(b *testing.B) {
	tokens := &simple{key: testKey, ttl: time.Minute, uses: uses{most: tokenUsesBytes}}
	key := testKey()
	tokens.key = func() *Key { return key }
	token := Seal(key, Claims{User: "alice", Issued: noon})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.Info(token, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFirstUse(b *testing.B) {
	token := Seal(testKey(), Claims{User: "alice", Issued: noon})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := open(testKey(), token); err != nil {
			b.Fatal(err)
		}
	}
}
