package auth

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"qkv/index/kv"
)

// ErrVerifyOnly is the error of Assign if --auth-token has a public key alone.
var ErrVerifyOnly = errors.New("this member verifies tokens and cannot make them, because --auth-token jwt has pub-key without priv-key: get a token from its issuer, or give priv-key")

// revisionsExact bounds the claim revision: JSON numbers are read as float64, and up to here each integer has one of its own.
const revisionsExact = 1 << 53

// jwtTokens are JSON Web Tokens. Their claims are those of etcd: username, revision, exp.
type jwtTokens struct {
	method  jwt.SigningMethod
	private any // signs; nil: tokens are verified only
	public  any // verifies; with HS the shared secret, as private is
	ttl     time.Duration
	uses    uses
}

func (t *jwtTokens) Assign(c Claims, now time.Time) (string, error) {
	if t.private == nil {
		return "", ErrVerifyOnly
	}
	token, err := jwt.NewWithClaims(t.method, jwt.MapClaims{
		"username": c.User,
		"revision": c.Revision,
		"exp":      now.Add(t.ttl).Unix(),
	}).SignedString(t.private)
	if err != nil {
		return "", kv.Errorf(kv.Internal, "sign a token by %s: %v", t.method.Alg(), err)
	}
	if len(token) > tokenBytes {
		return "", kv.Errorf(kv.BadRequest, "the user's name has %d bytes: a token with it exceeds the limit of %d. Use a shorter name", len(c.User), tokenBytes)
	}
	return token, nil
}

func (t *jwtTokens) Info(token string, now time.Time) (Claims, error) {
	if c, ok := t.uses.find(&Key{}, token, now, 0); ok {
		return c, nil
	}
	c, until, err := t.verify(token, now)
	if err != nil {
		return Claims{}, err
	}
	t.uses.add(&Key{}, token, c, until)
	return c, nil
}

// verify returns the claims of a token, and the time until which it is valid; zero: for ever.
func (t *jwtTokens) verify(token string, now time.Time) (c Claims, until time.Time, err error) {
	// The decoder of base64 skips line breaks. A token would have any number of texts, each in the cache.
	if len(token) > tokenBytes || strings.ContainsAny(token, "\r\n") {
		return c, until, invalid("it has %d bytes, of which at most %d are allowed, and no line break", len(token), tokenBytes)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{t.method.Alg()}),
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithStrictDecoding(),
	)
	parsed, err := parser.Parse(token, func(*jwt.Token) (any, error) { return t.public, nil })
	if err != nil {
		return c, until, invalid("%v", err)
	}
	if _, ok := parsed.Header["crit"]; ok { // RFC 7515, 4.1.11: an extension that must not be ignored
		return c, until, invalid("its header has critical extensions (crit), and none is known")
	}
	claims, _ := parsed.Claims.(jwt.MapClaims)
	user, _ := claims["username"].(string)
	revision, ok := claims["revision"].(float64)
	if user == "" || !ok || revision < 1 || revision > revisionsExact || revision != math.Trunc(revision) {
		return c, until, invalid("its claims have no username, or no revision")
	}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		until = exp.Time
	}
	return Claims{User: user, Revision: uint64(revision), Until: until}, until, nil
}
