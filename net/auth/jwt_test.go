package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"qkv/index/kv"
	"qkv/internal/testlong"
)

// keyFiles are files in memory: NAME.key, NAME.pub and NAME.crt of keys of all types, and secrets.
var keyFiles = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{
		"secret32": []byte("0123456789abcdefghijklmnopqrstuv"),
		"secret5":  []byte("short"),
		"nothing":  {},
		"words":    []byte("no key\n"),
	}
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: noon}
		certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		files[name+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
		files[name+".pub"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
		files[name+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	}
	for name, bits := range map[string]int{"rsa": 2048, "other": 2048, "rsa1024": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		add(name, key, err)
	}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, key, err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	add("ed", key, err)
	return files
})

func readKeyFile(name string) ([]byte, error) {
	if content, ok := keyFiles()[name]; ok {
		return content, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func jwtOf(t testing.TB, spec string) *jwtTokens {
	t.Helper()
	scheme, err := ParseScheme(spec, 0, readKeyFile)
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return scheme.Tokens(nil).(*jwtTokens)
}

// TestJWTMethods makes and verifies tokens by every method of etcd, also where only the public key is known.
func (c Claims) timeless() Claims {
	c.Until = time.Time{}
	return c
}

func TestJWTMethods(t *testing.T) {
	testlong.Skip(t)
	for _, c := range []struct{ method, key, public string }{
		{"HS256", "secret32", ""},
		{"HS384", "p384.key", ""}, // any file
		{"HS512", "rsa.key", ""},
		{"RS256", "rsa.key", "rsa.pub"},
		{"RS384", "rsa.key", "rsa.crt"},
		{"RS512", "rsa.key", "rsa.pub"},
		{"PS256", "rsa.key", "rsa.pub"},
		{"PS384", "rsa.key", "rsa.crt"},
		{"PS512", "rsa.key", "rsa.pub"},
		{"ES256", "p256.key", "p256.pub"},
		{"ES384", "p384.key", "p384.crt"},
		{"ES512", "p521.key", "p521.pub"},
		{"EdDSA", "ed.key", "ed.pub"},
	} {
		maker := jwtOf(t, "jwt,priv-key="+c.key+",sign-method="+c.method)
		token := assign(t, maker, Claims{User: "alice", Epoch: 5, Revision: 123, Applied: 1000}, noon)
		all := []*jwtTokens{maker}
		if c.public != "" {
			all = append(all, jwtOf(t, "jwt,sign-method="+c.method+",priv-key="+c.key+",pub-key="+c.public), jwtOf(t, "jwt,sign-method="+c.method+",pub-key="+c.public))
			if _, err := all[2].Assign(Claims{User: "alice"}, noon); !errors.Is(err, ErrVerifyOnly) {
				t.Errorf("%s: made with a public key alone: %v", c.method, err)
			}
		}
		for i, tokens := range all {
			if got, err := tokens.Info(token, noon); err != nil || got.timeless() != (Claims{User: "alice", Revision: 123}) {
				t.Errorf("%s, %d: %+v, %v", c.method, i, got, err)
			}
			if _, err := tokens.Info("aaa", noon); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s, %d: aaa: %v", c.method, i, err)
			}
			damaged := token[:len(token)-8] + "AAAAAAAA"
			if _, err := tokens.Info(damaged, noon); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s, %d: another signature: %v", c.method, i, err)
			}
		}
	}
}

// TestGoldenJWT holds etcd's claims.
func TestGoldenJWT(t *testing.T) {
	tokens := jwtOf(t, "jwt,priv-key=secret32,sign-method=HS256,ttl=10m")
	token := assign(t, tokens, Claims{User: "alice", Revision: 3}, time.Unix(1_790_000_000, 0))
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || string(payload) != `{"exp":1790000600,"revision":3,"username":"alice"}` {
		t.Errorf("%s, %v", payload, err)
	}
	const want = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3OTAwMDA2MDAsInJldmlzaW9uIjozLCJ1c2VybmFtZSI6ImFsaWNlIn0.g1QMsVKenkLWFQfQDfGzrHZ4rzYYBQGT_sJPgXFc7sM"
	if token != want {
		t.Errorf("%s", token)
	}
}

// TestJWTOptions: each wrong option is an error that names it.
func TestJWTOptions(t *testing.T) {
	for spec, want := range map[string]string{
		"":              "unknown kind",
		"JWT":           "unknown kind",
		"nop":           "unknown kind",
		"simple,ttl=5m": "simple has no options",
		"simple,":       "", // no option
		"jwt":           "sign-method",
		"jwt,sign-method=invalid,priv-key=secret32":                     "sign-method",
		"jwt,sign-method=none,priv-key=secret32":                        "sign-method",
		"jwt,sign-method=rs256,priv-key=rsa.key":                        "sign-method",
		"jwt,sign-method=,priv-key=rsa.key":                             "sign-method",
		"jwt,sign-method":                                               "sign-method",
		"jwt,sign-method=RS256,sign-method=HS256":                       "sign-method is given twice",
		"jwt,sign-method=RS256,priv-key=rsa.key,key=x":                  "unknown option key",
		"jwt,sign-method=RS256,priv-key=rsa.key,Priv-key=x":             "unknown option Priv-key",
		"jwt,sign-method=RS256,priv-key=rsa.key,=x":                     "unknown option",
		"jwt,sign-method=RS256,priv-key=rsa.key, ttl=5m":                "unknown option  ttl",
		"jwt,sign-method=RS256,priv-key=rsa.key,":                       "no value",
		"jwt,sign-method=RS256,priv-key=rsa.key,ttl=forever":            "ttl",
		"jwt,sign-method=RS256,priv-key=rsa.key,ttl=10":                 "ttl",
		"jwt,sign-method=RS256,priv-key=rsa.key,ttl=0s":                 "ttl",
		"jwt,sign-method=RS256,priv-key=rsa.key,ttl=-5m":                "ttl",
		"jwt,sign-method=RS256,priv-key=rsa.key,ttl=999ms":              "ttl",
		"jwt,sign-method=RS256":                                         "pub-key and priv-key are missing",
		"jwt,sign-method=HS256":                                         "priv-key is missing",
		"jwt,sign-method=HS256,priv-key=nothing":                        "priv-key is missing or empty",
		"jwt,sign-method=HS256,pub-key=rsa.pub":                         "pub-key has no use",
		"jwt,sign-method=HS256,pub-key=rsa.pub,priv-key=secret32":       "pub-key has no use",
		"jwt,sign-method=RS256,priv-key=missing":                        "priv-key: open missing",
		"jwt,sign-method=RS256,pub-key=missing":                         "pub-key: open missing",
		"jwt,sign-method=RS256,priv-key=rsa.pub":                        "priv-key",
		"jwt,sign-method=RS256,pub-key=rsa.key":                         "pub-key",
		"jwt,sign-method=RS256,pub-key=rsa.key,priv-key=rsa.key":        "pub-key",
		"jwt,sign-method=RS256,priv-key=nothing":                        "priv-key",
		"jwt,sign-method=RS256,priv-key=words":                          "priv-key",
		"jwt,sign-method=RS256,pub-key=words":                           "pub-key",
		"jwt,sign-method=RS256,priv-key=p256.key":                       "priv-key",
		"jwt,sign-method=PS512,priv-key=ed.key":                         "priv-key",
		"jwt,sign-method=PS512,pub-key=p256.crt":                        "pub-key",
		"jwt,sign-method=RS256,priv-key=rsa.key,pub-key=other.pub":      "pub-key and priv-key do not belong together",
		"jwt,sign-method=ES256,priv-key=rsa.key":                        "priv-key",
		"jwt,sign-method=ES256,pub-key=rsa.crt":                         "pub-key",
		"jwt,sign-method=ES256,priv-key=p384.key":                       "priv-key is on curve P-384",
		"jwt,sign-method=ES384,pub-key=p256.pub":                        "pub-key is on curve P-256",
		"jwt,sign-method=ES256,priv-key=p256.key,pub-key=p384.pub":      "do not belong together",
		"jwt,sign-method=EdDSA,priv-key=p256.key":                       "priv-key",
		"jwt,sign-method=EdDSA,pub-key=rsa.pub":                         "pub-key",
		"jwt,sign-method=EdDSA,priv-key=ed.key,pub-key=ed.crt":          "pub-key", // as in etcd
		"jwt,pub-key=rsa.pub,priv-key=rsa.key,sign-method=RS256":        "",
		"jwt,pub-key=rsa.pub,priv-key=rsa.key,sign-method=RS256,ttl=1h": "",
	} {
		_, err := ParseScheme(spec, 0, readKeyFile)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", spec, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--auth-token: ")):
			t.Errorf("%s: %v, and not %s", spec, err, want)
		}
	}
}

// TestWeakKeys: keys that etcd accepts, and that should be longer.
func TestWeakKeys(t *testing.T) {
	for spec, want := range map[string]string{
		"jwt,sign-method=HS256,priv-key=secret5":     "5 bytes, and HS256 should have 32",
		"jwt,sign-method=HS512,priv-key=secret32":    "32 bytes, and HS512 should have 64",
		"jwt,sign-method=HS256,priv-key=secret32":    "",
		"jwt,sign-method=RS256,priv-key=rsa1024.key": "priv-key has an RSA key of 1024 bits",
		"jwt,sign-method=PS256,pub-key=rsa1024.pub":  "pub-key has an RSA key of 1024 bits",
		"jwt,sign-method=RS256,priv-key=rsa.key":     "",
		"simple":                                     "",
	} {
		scheme, err := ParseScheme(spec, 0, readKeyFile)
		if err != nil || !strings.Contains(scheme.Warning, want) || (want == "") != (scheme.Warning == "") {
			t.Errorf("%s: %+v, %v", spec, scheme, err)
		}
	}
}

// signed makes a token with any header and claims.
func signed(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestForgedJWT: tokens without a signature, by other keys, and by other methods.
func TestForgedJWT(t *testing.T) {
	tokens := jwtOf(t, "jwt,sign-method=RS256,priv-key=rsa.key")
	public := jwtOf(t, "jwt,sign-method=RS256,pub-key=rsa.pub")
	claims := jwt.MapClaims{"username": "root", "revision": 1, "exp": noon.Add(time.Hour).Unix()}
	private := tokens.private.(*rsa.PrivateKey)
	other := jwtOf(t, "jwt,sign-method=RS256,priv-key=other.key").private
	good := signed(t, jwt.SigningMethodRS256, private, claims)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	none := encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	extended := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	extended.Header["crit"], extended.Header["b64"] = []string{"b64"}, false
	critical, err := extended.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"alg none":                     signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims),
		"alg none, by hand":            none,
		"alg none, with the signature": none + parts[2],
		"alg None":                     encode([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".",
		"no alg":                       encode([]byte(`{"typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"alg is a number":              encode([]byte(`{"alg":1}`)) + "." + parts[1] + "." + parts[2],
		"unknown alg":                  encode([]byte(`{"alg":"XX"}`)) + "." + parts[1] + "." + parts[2],
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"two parts":                    parts[0] + "." + parts[1],
		"four parts":                   good + "." + parts[2],
		"another key":                  signed(t, jwt.SigningMethodRS256, other, claims),
		"another hash":                 signed(t, jwt.SigningMethodRS512, private, claims),
		"PS for RS":                    signed(t, jwt.SigningMethodPS256, private, claims),
		"HS with the public key":       signed(t, jwt.SigningMethodHS256, keyFiles()["rsa.pub"], claims),
		"HS with the certificate":      signed(t, jwt.SigningMethodHS256, keyFiles()["rsa.crt"], claims),
		"HS with the modulus":          signed(t, jwt.SigningMethodHS256, private.N.Bytes(), claims),
		"HS with an empty secret":      signed(t, jwt.SigningMethodHS256, []byte{}, claims),
		"other claims":                 parts[0] + "." + encode([]byte(`{"username":"root","revision":99}`)) + "." + parts[2],
		"line break":                   parts[0] + "." + parts[1] + ".\n" + parts[2],
		"a critical extension":         critical,
		"padding":                      good + "=",
		"claims are no object":         parts[0] + "." + encode([]byte(`null`)) + "." + parts[2],
		"too long":                     good + strings.Repeat("A", tokenBytes),
		"simple token":                 Seal(testKey(), Claims{User: "root", Issued: noon}),
		"dots":                         strings.Repeat(".", 1000),
		"empty":                        "",
	} {
		for i, member := range []*jwtTokens{tokens, public} {
			if c, err := member.Info(token, noon); !errors.Is(err, ErrInvalidToken) || c != (Claims{}) {
				t.Errorf("%s, %d: %+v, %v", name, i, c, err)
			}
		}
	}
	for _, member := range []*jwtTokens{tokens, public} {
		if c, err := member.Info(good, noon); err != nil || c.timeless() != (Claims{User: "root", Revision: 1}) {
			t.Errorf("%+v, %v", c, err)
		}
		if n := len(member.uses.tokens); n != 1 {
			t.Errorf("%d tokens are remembered as verified", n)
		}
	}
}

// TestClaimsOfJWT: missing and wrong claims.
func TestClaimsOfJWT(t *testing.T) {
	tokens := jwtOf(t, "jwt,sign-method=HS256,priv-key=secret32")
	later := noon.Add(time.Hour).Unix()
	for _, c := range []struct {
		name   string
		claims jwt.MapClaims
		valid  bool
	}{
		{"all", jwt.MapClaims{"username": "alice", "revision": 100, "exp": later}, true},
		{"more", jwt.MapClaims{"username": "alice", "revision": 100, "exp": later, "iss": "me", "aud": []string{"etcd"}, "iat": later}, true},
		{"no exp", jwt.MapClaims{"username": "alice", "revision": 100}, true},
		{"no username", jwt.MapClaims{"revision": 100, "exp": later}, false},
		{"empty username", jwt.MapClaims{"username": "", "revision": 100, "exp": later}, false},
		{"username in capitals", jwt.MapClaims{"USERNAME": "alice", "revision": 100, "exp": later}, false},
		{"username is a number", jwt.MapClaims{"username": 1, "revision": 100, "exp": later}, false},
		{"no revision", jwt.MapClaims{"username": "alice", "exp": later}, false},
		{"revision is text", jwt.MapClaims{"username": "alice", "revision": "100", "exp": later}, false},
		{"negative revision", jwt.MapClaims{"username": "alice", "revision": -100, "exp": later}, false},
		{"revision with a fraction", jwt.MapClaims{"username": "alice", "revision": 100.5, "exp": later}, false},
		{"revision too large", jwt.MapClaims{"username": "alice", "revision": 1e300, "exp": later}, false},
		{"revision 0", jwt.MapClaims{"username": "alice", "revision": 0, "exp": later}, false},
		{"expired", jwt.MapClaims{"username": "alice", "revision": 100, "exp": noon.Unix()}, false},
		{"exp is text", jwt.MapClaims{"username": "alice", "revision": 100, "exp": "never"}, false},
		{"not yet", jwt.MapClaims{"username": "alice", "revision": 100, "exp": later, "nbf": later}, false},
	} {
		got, err := tokens.Info(signed(t, jwt.SigningMethodHS256, tokens.private, c.claims), noon)
		if c.valid && (err != nil || got.timeless() != (Claims{User: "alice", Revision: 100})) || !c.valid && !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestJWTExpires: use does not renew a JWT, also one that was verified before.
func TestJWTExpires(t *testing.T) {
	tokens := jwtOf(t, "jwt,sign-method=ES256,priv-key=p256.key,ttl=10m")
	token := assign(t, tokens, Claims{User: "alice", Revision: 1}, noon)
	for _, after := range []time.Duration{0, 5 * time.Minute, 10*time.Minute - 1} {
		if _, err := tokens.Info(token, noon.Add(after)); err != nil {
			t.Errorf("after %v: %v", after, err)
		}
	}
	for _, after := range []time.Duration{10 * time.Minute, 11 * time.Minute} {
		if _, err := tokens.Info(token, noon.Add(after)); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("after %v: %v", after, err)
		}
	}
	if len(tokens.uses.tokens) != 0 {
		t.Error("an expired token is remembered")
	}
}

func TestJWTNameTooLong(t *testing.T) {
	tokens := jwtOf(t, "jwt,sign-method=HS256,priv-key=secret32")
	var refused *kv.Error
	if _, err := tokens.Assign(Claims{User: strings.Repeat("a", tokenBytes)}, noon); !errors.As(err, &refused) || refused.Code != kv.BadRequest {
		t.Errorf("%v", err)
	}
}

func TestRepeatedJWTIsCheap(t *testing.T) {
	var tokens Tokens = jwtOf(t, "jwt,sign-method=RS256,priv-key=rsa.key")
	token := assign(t, tokens, Claims{User: "alice", Revision: 1}, noon)
	once := func() {
		if _, err := tokens.Info(token, noon); err != nil {
			t.Fatal(err)
		}
	}
	once()
	if n := testing.AllocsPerRun(1000, once); n != 0 {
		t.Errorf("%v allocations for a repeated token", n)
	}
}

func FuzzJWT(f *testing.F) {
	tokens := jwtOf(f, "jwt,sign-method=HS256,priv-key=secret32")
	good := signed(f, jwt.SigningMethodHS256, tokens.private, jwt.MapClaims{"username": "alice", "revision": 1})
	for _, token := range []string{
		good, "", "..", "a.b.c", good[:40], signed(f, jwt.SigningMethodHS256, []byte("x"), jwt.MapClaims{}),
		signed(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"username": "root", "revision": 1}),
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := tokens.Info(token, noon)
		if err == nil && token != good {
			t.Fatalf("%q is valid: %+v", token, c)
		}
		if err != nil && (!errors.Is(err, ErrInvalidToken) || c != (Claims{})) {
			t.Fatalf("%q: %+v, %v", token, c, err)
		}
	})
}

// FuzzClaims signs any claims with the right secret: an issuer may be sloppy.
func FuzzClaims(f *testing.F) {
	tokens := jwtOf(f, "jwt,sign-method=HS256,priv-key=secret32")
	for _, claims := range []string{`{"username":"a","revision":1,"exp":1e10}`, `null`, `{}`, `[]`, `{"username":"a","revision":1e400}`, `{"exp":-1e308,"username":"a","revision":1}`, `{"username":"a","username":"b","revision":1}`} {
		f.Add(claims)
	}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."
	f.Fuzz(func(t *testing.T, claims string) {
		text := head + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature, err := tokens.method.Sign(text, tokens.private)
		if err != nil {
			t.Fatal(err)
		}
		c, until, err := tokens.verify(text+"."+base64.RawURLEncoding.EncodeToString(signature), noon)
		if err == nil && (c.User == "" || c.Revision == 0 || c.Revision > revisionsExact || !until.IsZero() && !noon.Before(until)) {
			t.Fatalf("%q is valid until %v: %+v", claims, until, c)
		}
	})
}
