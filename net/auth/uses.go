package auth

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// uses is a cache of verified tokens by their text, with the time until which each is valid. It is safe for concurrent use.
//
//  1. All tokens were verified with key. A call with another key empties the cache.
//  2. order has the tokens by their last use, the newest first.
//  3. bytes is the sum of the tokens' sizes, and at most most. If a new token exceeds it, the tokens that were not used for longest are
//     evicted. An evicted simple token remains valid for its TTL from its issue.
type uses struct {
	most int64 // constant

	mu     sync.Mutex
	key    Key // zero for a JWT: its keys never change
	tokens map[string]*list.Element
	order  list.List // of *use
	bytes  int64
}

type use struct {
	token  string
	claims Claims
	until  time.Time // zero: for ever
}

const (
	// tokenUsesBytes bounds the memory of the tokens that a member has seen and verified: 90,000 simple tokens, more than a member has
	// clients (limits.ClientConnections, limits.EtcdConnections). Each takes its text, its user's name, and tokenUseBytes for its other
	// fields and its entries in two tables.
	tokenUsesBytes = 32 << 20
	tokenUseBytes  = 256
)

// size returns the memory of a token in bytes.
func (u *use) size() int64 {
	return int64(len(u.token) + len(u.claims.User) + tokenUseBytes)
}

// find returns the claims of a token that is in the cache and valid, and extends its validity to renew from now. With renew 0 it extends
// nothing.
func (s *uses) find(key *Key, token string, now time.Time, renew time.Duration) (Claims, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useKeyLocked(key)
	e := s.tokens[token]
	if e == nil {
		return Claims{}, false
	}
	u := e.Value.(*use)
	if !u.until.IsZero() && !now.Before(u.until) {
		s.evictLocked(e)
		return Claims{}, false
	}
	if renew > 0 {
		u.until = now.Add(renew)
	}
	s.order.MoveToFront(e)
	return u.claims, true
}

// add records a verified token.
func (s *uses) add(key *Key, token string, c Claims, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useKeyLocked(key)
	if s.tokens[token] != nil {
		return // another request was faster
	}
	u := &use{token: strings.Clone(token), claims: c, until: until}
	s.tokens[u.token] = s.order.PushFront(u)
	s.bytes += u.size()
	for s.bytes > s.most {
		s.evictLocked(s.order.Back())
	}
}

// useKeyLocked empties the cache if it belongs to another key.
func (s *uses) useKeyLocked(key *Key) {
	if s.tokens == nil || s.key != *key {
		s.key, s.tokens, s.bytes = *key, map[string]*list.Element{}, 0
		s.order.Init()
	}
}

func (s *uses) evictLocked(e *list.Element) {
	u := s.order.Remove(e).(*use)
	delete(s.tokens, u.token)
	s.bytes -= u.size()
}
