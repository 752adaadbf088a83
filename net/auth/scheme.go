package auth

import (
	"fmt"
	"strings"
	"time"

	"qkv/internal/limits"
)

// Tokens makes and verifies the tokens of one kind. It is safe for concurrent use.
type Tokens interface {
	// Assign makes a token for a user whose password was verified. c.Issued is ignored. The error is [ErrVerifyOnly], or a [*kv.Error].
	Assign(c Claims, now time.Time) (string, error)
	// Info returns the claims of a token that is valid now, or an error that wraps [ErrInvalidToken]. now has a monotonic reading, except in
	// tests: without one, clocks that are set change the validity of tokens in use.
	Info(token string, now time.Time) (Claims, error)
}

// Scheme is etcd's flag --auth-token, parsed.
type Scheme struct {
	// Warning names a weakness of the tokens' key; "" if there is none.
	Warning string

	ttl time.Duration
	jwt *jwtTokens // nil: simple tokens
}

// ParseScheme reads the value of --auth-token: "simple", or "jwt" with options of the form ",NAME=VALUE".
//
//	sign-method   HS256, RS256, PS256, ES256, these with 384 or 512, or EdDSA
//	priv-key      file with the private key (PEM); with HS the file's bytes are the shared secret
//	pub-key       file with the public key (PEM, or a certificate); without priv-key tokens are verified and not made
//	ttl           validity of new tokens, 5m by default
//
// ttl is the value of --auth-token-ttl, for simple tokens; 0 is the default. readFile reads a key. Unlike etcd, which ignores both,
// ParseScheme refuses unknown options, and pub-key with HS. An error names the option.
func ParseScheme(spec string, ttl time.Duration, readFile func(name string) ([]byte, error)) (*Scheme, error) {
	kind, rest, _ := strings.Cut(spec, ",")
	options, err := parseOptions(rest)
	if err != nil {
		return nil, fmt.Errorf("--auth-token: %w", err)
	}
	if ttl <= 0 {
		ttl = limits.TokenTTL
	}
	switch {
	case kind == "simple" && rest != "":
		return nil, fmt.Errorf("--auth-token: simple has no options, but %q was given", rest)
	case kind == "simple":
		return &Scheme{ttl: ttl}, nil
	case kind == "jwt":
		t, warning, err := parseJWT(options, readFile)
		if err != nil {
			return nil, fmt.Errorf("--auth-token: %w", err)
		}
		return &Scheme{Warning: warning, jwt: t}, nil
	default:
		return nil, fmt.Errorf("--auth-token: unknown kind of tokens %q: use simple, or jwt with its options", kind)
	}
}

// Tokens returns the tokens of this scheme, for one member. key returns the key of the simple tokens in the replicated state, which no
// longer changes, or nil if there is none.
func (s *Scheme) Tokens(key func() *Key) Tokens {
	if s.jwt != nil {
		return s.jwt
	}
	return &simple{key: key, ttl: s.ttl, uses: uses{most: tokenUsesBytes}}
}

// parseOptions splits "NAME=VALUE,NAME=VALUE".
func parseOptions(text string) (map[string]string, error) {
	options := map[string]string{}
	if text == "" {
		return options, nil
	}
	for option := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(option, "=")
		switch {
		case !ok || value == "":
			return nil, fmt.Errorf("option %q has no value: write NAME=VALUE", option)
		case options[name] != "":
			return nil, fmt.Errorf("option %s is given twice", name)
		}
		options[name] = value
	}
	return options, nil
}
