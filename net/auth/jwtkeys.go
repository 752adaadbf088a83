package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"qkv/internal/limits"
)

// The options of --auth-token jwt.
const (
	optionMethod  = "sign-method"
	optionPublic  = "pub-key"
	optionPrivate = "priv-key"
	optionTTL     = "ttl"
)

// methods names the signature methods, for errors.
const methods = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA"

// rsaBits is the shortest RSA key that JWTs should have (RFC 7518, section 3.3). Go refuses keys below rsaBitsLeast.
const (
	rsaBits      = 2048
	rsaBitsLeast = 1024
)

// parseJWT reads the options of --auth-token jwt, and the keys. With a private key it makes and verifies a token, as a test of the key.
func parseJWT(options map[string]string, readFile func(name string) ([]byte, error)) (t *jwtTokens, warning string, err error) {
	for name := range options {
		switch name {
		case optionMethod, optionPublic, optionPrivate, optionTTL:
		default:
			return nil, "", fmt.Errorf("unknown option %s: jwt has %s, %s, %s and %s", name, optionMethod, optionPublic, optionPrivate, optionTTL)
		}
	}
	t = &jwtTokens{method: jwt.GetSigningMethod(options[optionMethod]), ttl: limits.TokenTTL, uses: uses{most: tokenUsesBytes}}
	if t.method == nil || t.method == jwt.SigningMethodNone {
		return nil, "", fmt.Errorf("%s is %q, and must be one of %s", optionMethod, options[optionMethod], methods)
	}
	if text := options[optionTTL]; text != "" {
		if t.ttl, err = time.ParseDuration(text); err != nil || t.ttl < time.Second {
			return nil, "", fmt.Errorf("%s is %q, and must be a duration of at least 1s, such as 10m", optionTTL, text)
		}
	}
	files := map[string][]byte{}
	for _, name := range []string{optionPublic, optionPrivate} {
		if options[name] == "" {
			continue
		}
		if files[name], err = readFile(options[name]); err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
	}
	if warning, err = t.setKeys(files); err != nil {
		return nil, "", err
	}
	return t, warning, t.test()
}

// setKeys sets the keys from the files' contents, by option. warning names a weakness of the keys.
func (t *jwtTokens) setKeys(files map[string][]byte) (warning string, err error) {
	method, isHMAC := t.method.(*jwt.SigningMethodHMAC)
	secret, hasPrivate := files[optionPrivate]
	public, hasPublic := files[optionPublic]
	switch {
	case isHMAC && hasPublic:
		return "", fmt.Errorf("%s has no use with %s: the shared secret is in %s, for making and verifying tokens", optionPublic, method.Alg(), optionPrivate)
	case isHMAC && len(secret) == 0:
		return "", fmt.Errorf("%s is missing or empty: it is the file with the shared secret of %s", optionPrivate, method.Alg())
	case isHMAC:
		t.private, t.public = secret, secret
		if want := method.Hash.Size(); len(secret) < want {
			warning = fmt.Sprintf("--auth-token: the secret in %s has %d bytes, and %s should have %d: a short secret can be guessed from one token", optionPrivate, len(secret), method.Alg(), want)
		}
		return warning, nil
	case !hasPrivate && !hasPublic:
		return "", fmt.Errorf("%s and %s are missing: %s needs one of them, and %s to make tokens", optionPublic, optionPrivate, t.method.Alg(), optionPrivate)
	}
	if hasPrivate {
		key, err := t.parsePrivate(secret)
		if err != nil {
			return "", fmt.Errorf("%s is no private key for %s (PEM): %w", optionPrivate, t.method.Alg(), err)
		}
		t.private, t.public = key, key.Public()
	}
	if hasPublic {
		key, err := t.parsePublic(public)
		if err != nil {
			return "", fmt.Errorf("%s is no public key for %s (PEM): %w", optionPublic, t.method.Alg(), err)
		}
		if hasPrivate && !key.Equal(t.public) {
			return "", fmt.Errorf("%s and %s do not belong together: give %s alone, or the other key of the pair", optionPublic, optionPrivate, optionPrivate)
		}
		t.public = key
	}
	if hasPrivate {
		return t.checkSize(optionPrivate)
	}
	return t.checkSize(optionPublic)
}

// parsePrivate reads a private key of the method's type.
func (t *jwtTokens) parsePrivate(text []byte) (crypto.Signer, error) {
	switch t.method.(type) {
	case *jwt.SigningMethodECDSA:
		return jwt.ParseECPrivateKeyFromPEM(text)
	case *jwt.SigningMethodEd25519:
		key, err := jwt.ParseEdPrivateKeyFromPEM(text)
		if err != nil {
			return nil, err
		}
		return key.(ed25519.PrivateKey), nil
	default: // RS and PS
		return jwt.ParseRSAPrivateKeyFromPEM(text)
	}
}

// publicKey is a public key of any type.
type publicKey interface{ Equal(crypto.PublicKey) bool }

// parsePublic reads a public key of the method's type.
func (t *jwtTokens) parsePublic(text []byte) (publicKey, error) {
	switch t.method.(type) {
	case *jwt.SigningMethodECDSA:
		return jwt.ParseECPublicKeyFromPEM(text)
	case *jwt.SigningMethodEd25519:
		key, err := jwt.ParseEdPublicKeyFromPEM(text)
		if err != nil {
			return nil, err
		}
		return key.(ed25519.PublicKey), nil
	default: // RS and PS
		return jwt.ParseRSAPublicKeyFromPEM(text)
	}
}

// checkSize refuses a key whose size the method does not allow. option names its file.
func (t *jwtTokens) checkSize(option string) (warning string, err error) {
	switch key := t.public.(type) {
	case *ecdsa.PublicKey:
		if want := t.method.(*jwt.SigningMethodECDSA).CurveBits; key.Curve.Params().BitSize != want {
			return "", fmt.Errorf("%s is on curve %s, and %s needs a curve of %d bits: use the %s of the curve", option, key.Curve.Params().Name, t.method.Alg(), want, optionMethod)
		}
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); {
		case bits < rsaBitsLeast:
			return "", fmt.Errorf("%s has an RSA key of %d bits, and at least %d are needed: make a key of %d", option, bits, rsaBitsLeast, rsaBits)
		case bits < rsaBits:
			warning = fmt.Sprintf("--auth-token: %s has an RSA key of %d bits, and %s should have %d: make a longer key", option, bits, t.method.Alg(), rsaBits)
		}
	}
	return warning, nil
}

// test makes and verifies a token.
func (t *jwtTokens) test() error {
	now := time.Unix(0, 0)
	token, err := t.Assign(Claims{User: "test", Revision: 1}, now)
	if errors.Is(err, ErrVerifyOnly) {
		return nil
	}
	if err == nil {
		_, _, err = t.verify(token, now)
	}
	if err != nil {
		return fmt.Errorf("the key in %s does not work with %s: %w", optionPrivate, t.method.Alg(), err)
	}
	return nil
}
