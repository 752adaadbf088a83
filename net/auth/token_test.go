package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

func testKey() *Key { return (*Key)([]byte("0123456789abcdefghijklmnopqrstuv")) }

// TestGoldenTokens holds the format: members of two builds accept each other's tokens.
func TestGoldenTokens(t *testing.T) {
	for _, c := range []struct {
		claims Claims
		want   string
	}{
		{Claims{User: "root", Epoch: 3, Applied: 42, Issued: time.UnixMilli(1_790_000_000_123)}, "AQAAAaDEUGx7AAAAAAAAAANyb290UDDV11CcTRN2pHhl5yoW-OEs6nAXl1hBciLWWSs-emY.42"},
		{Claims{User: "münchen/команда", Epoch: math.MaxUint64, Applied: math.MaxUint64, Issued: time.UnixMilli(-1)}, "Af____________________9tw7xuY2hlbi_QutC-0LzQsNC90LTQsPr9LxrWEW7Hk6lcDRUjqY7CXl46e9T6RIaxDFMSO8-1.18446744073709551615"},
		{Claims{User: "a", Issued: time.UnixMilli(0)}, "AQAAAAAAAAAAAAAAAAAAAABh0uv0qhVkOwfk44EsJd5J3SBLZeF5eEcD0zQHHfGnSVg.0"},
	} {
		got := Seal(testKey(), c.claims)
		if got != c.want {
			t.Errorf("%+v is sealed as\n%s, not\n%s", c.claims, got, c.want)
		}
		if opened, err := open(testKey(), c.want); err != nil || opened != c.claims {
			t.Errorf("%s: %+v, %v", c.want, opened, err)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{16,}\.[0-9]+$`).MatchString(got) {
			t.Errorf("%s does not look like a token of etcd", got)
		}
	}
}

// sealed makes a token from any bytes, with a correct HMAC.
func sealed(key *Key, content []byte, applied uint64) string {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(tokenContext))
	mac.Write(content)
	mac.Write(binary.BigEndian.AppendUint64(nil, applied))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(content)) + fmt.Sprintf(".%d", applied)
}

func TestBadTokens(t *testing.T) {
	key := testKey()
	good := Seal(key, Claims{User: "alice", Epoch: 7, Applied: 1000, Issued: time.UnixMilli(1_790_000_000_000)})
	letters, _, _ := strings.Cut(good, ".")
	content, err := base64.RawURLEncoding.DecodeString(letters)
	if err != nil {
		t.Fatal(err)
	}
	content = content[:len(content)-sha256.Size]
	if sealed(key, bytes.Clone(content), 1000) != good {
		t.Fatal("this test seals in another way")
	}
	bad := map[string]string{
		"empty":                 "",
		"no index":              letters,
		"empty index":           letters + ".",
		"no letters":            ".1000",
		"another index":         letters + ".1001",
		"index with zeros":      letters + ".01000",
		"index with sign":       letters + ".+1000",
		"index with underscore": letters + ".1_000",
		"index too large":       letters + ".18446744073709551616",
		"index hexadecimal":     letters + ".0x3e8",
		"negative index":        letters + ".-1",
		"two indexes":           good + ".1000",
		"white space":           " " + good,
		"line break":            letters[:8] + "\n" + letters[8:] + ".1000",
		"padding":               letters + "=.1000",
		"other alphabet":        strings.NewReplacer("-", "+", "_", "/").Replace(letters) + "+.1000",
		"token of etcd":         "JSfEXlRrFTWQHNIs.1000",
		"JWT":                   "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImFsaWNlIn0.c2lnbmF0dXJl",
		"version 0":             sealed(key, append([]byte{0}, content[1:]...), 1000),
		"version 2":             sealed(key, append([]byte{2}, content[1:]...), 1000),
		"no name":               sealed(key, bytes.Clone(content[:tokenHead]), 1000),
		"half a head":           sealed(key, bytes.Clone(content[:tokenHead/2]), 1000),
		"nothing but HMAC":      sealed(key, nil, 1000),
		"too long":              Seal(key, Claims{User: strings.Repeat("a", tokenBytes)}),
		"very long":             strings.Repeat("A", 1<<20) + ".1",
	}
	for i := range *key {
		other := *key
		other[i] ^= 1
		bad[fmt.Sprint("another key, byte ", i)] = Seal(&other, Claims{User: "alice", Epoch: 7, Applied: 1000, Issued: time.UnixMilli(1_790_000_000_000)})
	}
	for i := range good {
		bad[fmt.Sprint("cut to ", i)] = good[:i]
		bad[fmt.Sprint("without byte ", i)] = good[:i] + good[i+1:]
		bad[fmt.Sprint("one more byte at ", i)] = good[:i] + "A" + good[i:]
		for _, c := range []byte{good[i] ^ 1, good[i] ^ 0x20, 0, 'A', '9', '.', 0xff} {
			if c != good[i] {
				bad[fmt.Sprintf("byte %d is %q", i, c)] = good[:i] + string([]byte{c}) + good[i+1:]
			}
		}
	}
	for name, token := range bad {
		c, err := open(key, token)
		if !errors.Is(err, ErrInvalidToken) || c != (Claims{}) {
			t.Errorf("%s is opened: %+v, %v", name, c, err)
		} else if len(letters) < len(token) && strings.Contains(err.Error(), letters[:16]) {
			t.Errorf("%s: the error contains a part of the token: %v", name, err)
		}
	}
	if _, err := open(key, good); err != nil {
		t.Error(err)
	}
}

// TestTokensOpenAsSealed seals random claims.
func TestTokensOpenAsSealed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		var key Key
		name := make([]byte, 1+random.IntN(100))
		for i := range key {
			key[i] = byte(random.Uint32())
		}
		for i := range name {
			name[i] = byte(random.Uint32())
		}
		c := Claims{User: string(name), Epoch: random.Uint64() >> random.IntN(64), Applied: random.Uint64() >> random.IntN(64), Issued: time.UnixMilli(int64(random.Uint64()) >> random.IntN(64))}
		if got, err := open(&key, Seal(&key, c)); err != nil || got.User != c.User || got.Epoch != c.Epoch || got.Applied != c.Applied || got.Issued.UnixMilli() != c.Issued.UnixMilli() {
			t.Fatalf("%+v is opened as %+v, %v", c, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	good := Seal(testKey(), Claims{User: "alice", Epoch: 7, Applied: 1000, Issued: time.UnixMilli(1_790_000_000_000)})
	for _, token := range []string{good, "", ".", "AQ.1", good[:20] + ".5", strings.Repeat("A", 80) + ".18446744073709551615", "a.b.c"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := open(testKey(), token)
		if err == nil && token != good {
			t.Fatalf("%q is opened: %+v", token, c)
		}
		if err != nil && (!errors.Is(err, ErrInvalidToken) || c != (Claims{})) {
			t.Fatalf("%q: %+v, %v", token, c, err)
		}
	})
}
