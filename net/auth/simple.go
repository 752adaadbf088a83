package auth

import (
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// simple are the simple tokens of a member.
type simple struct {
	key  func() *Key
	ttl  time.Duration
	uses uses
}

func (s *simple) Assign(c Claims, now time.Time) (string, error) {
	key := s.key()
	if key == nil {
		return "", kv.Errorf(kv.Unavailable, "this member's state has no key for tokens yet: enable authentication, or wait until this member has caught up")
	}
	c.Issued = now
	token := Seal(key, c)
	if len(token) > tokenBytes {
		return "", kv.Errorf(kv.BadRequest, "the user's name has %d bytes: a token with it exceeds the limit of %d. Use a shorter name", len(c.User), tokenBytes)
	}
	return token, nil
}

func (s *simple) Info(token string, now time.Time) (Claims, error) {
	key := s.key()
	if key == nil {
		return Claims{}, invalid("this member's state has no key for tokens")
	}
	if c, ok := s.uses.find(key, token, now, s.ttl); ok {
		return c, nil
	}
	c, err := open(key, token)
	if err != nil {
		return Claims{}, err
	}
	age := now.Sub(c.Issued)
	switch {
	case age >= s.ttl:
		return Claims{}, invalid("it was issued %v ago, and not used at this member in the last %v", age, s.ttl)
	case age < -limits.ClocksApart:
		return Claims{}, invalid("it was issued %v in the future: the members' clocks differ by more than %v", -age, limits.ClocksApart)
	}
	s.uses.add(key, token, c, now.Add(s.ttl))
	return c, nil
}
