package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrInvalidToken is the error for a token that proves nothing, wrapped with the reason. The reason is for the log: a client is told only
// "invalid auth token", with the code Unauthenticated, and logs in again.
var ErrInvalidToken = errors.New("invalid auth token")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidToken, fmt.Sprintf(format, args...))
}

const (
	// tokenKeyBytes is the key that seals simple tokens: as much as HMAC-SHA256 uses.
	tokenKeyBytes = 32
	// tokenBytes bounds a token. A JWT with an RSA signature of 4,096 bits and some claims of its issuer takes less than 2 KiB; HTTP
	// servers accept headers of 8 KiB.
	tokenBytes = 8 << 10
)

// Key seals simple tokens.
type Key = [tokenKeyBytes]byte

// Claims are the content of a token.
type Claims struct {
	User string // not empty
	// Epoch is the auth revision at which the user's password was last set. It is never 0, except in a JWT, which has none.
	Epoch uint64
	// Revision is the auth revision at issue. Only a JWT has it.
	Revision uint64
	// Applied is the index of the state in which the login was checked. A JWT has none.
	Applied uint64
	// Issued is the time of issue in milliseconds, by the clock of the issuing member. A JWT has none.
	Issued time.Time
	// Until is the time at which a JWT ends; zero: it does not end by itself. A simple token, whose use prolongs it, has none.
	Until time.Time
}

const (
	tokenVersion = 1
	tokenContext = "qkv simple token" // keeps the HMAC apart from other uses of the key
	tokenHead    = 1 + 8 + 8          // bytes before the name
)

// Seal returns the simple token with these claims, without Revision. It is deterministic.
func Seal(key *Key, c Claims) string {
	sealed := make([]byte, 0, tokenHead+len(c.User)+sha256.Size)
	sealed = append(sealed, tokenVersion)
	sealed = binary.BigEndian.AppendUint64(sealed, uint64(c.Issued.UnixMilli()))
	sealed = binary.BigEndian.AppendUint64(sealed, c.Epoch)
	sealed = append(sealed, c.User...)
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(tokenContext))
	mac.Write(sealed)
	mac.Write(binary.BigEndian.AppendUint64(nil, c.Applied))
	sealed = mac.Sum(sealed)
	return base64.RawURLEncoding.EncodeToString(sealed) + "." + strconv.FormatUint(c.Applied, 10)
}

// open returns the claims of a simple token that was sealed with the key, or an error that wraps [ErrInvalidToken]. It does not judge the
// token's age. Exactly one text has given claims: Open seals the claims again, and compares the texts.
func open(key *Key, token string) (Claims, error) {
	letters, digits, _ := strings.Cut(token, ".")
	if len(token) > tokenBytes {
		return Claims{}, invalid("it has %d bytes, and the limit is %d", len(token), tokenBytes)
	}
	applied, notIndex := strconv.ParseUint(digits, 10, 64)
	sealed, notLetters := base64.RawURLEncoding.DecodeString(letters)
	if notIndex != nil || notLetters != nil || len(sealed) <= tokenHead+sha256.Size {
		return Claims{}, invalid("it is malformed, or no simple token of this cluster")
	}
	c := Claims{
		User:    string(sealed[tokenHead : len(sealed)-sha256.Size]),
		Epoch:   binary.BigEndian.Uint64(sealed[9:]),
		Applied: applied,
		Issued:  time.UnixMilli(int64(binary.BigEndian.Uint64(sealed[1:]))),
	}
	if !hmac.Equal([]byte(Seal(key, c)), []byte(token)) {
		return Claims{}, invalid("it was changed, or sealed with another key")
	}
	return c, nil
}
