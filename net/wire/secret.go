package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"qkv/internal/limits"
)

// The text of a secret, 69 characters:
//
//	qkvsecret1_      the format's version
//	32 bytes         the seed, random
//	4 bytes          the beginning of SHA-256("qkv cluster secret 1" + seed)
//
// The bytes are in base32 (RFC 4648) with small letters and without padding: a double click selects the whole word.
const (
	secretPrefix    = "qkvsecret1_"
	secretSeed      = 32
	secretSum       = 4
	secretSumDomain = "qkv cluster secret 1"
	secretKeyInfo   = "qkv cluster CA key 1, P-256, attempt %d"
	insecureDomain  = "qkv insecure peers 1"
)

var secretEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ClusterSecret is the root key of a cluster: the CA's key is derived from it. Packages fmt, JSON and log/slog print "[redacted]" instead
// of it. For an unexported field, package fmt calls no methods: it then prints the address of a function.
type ClusterSecret struct{ seed func() [secretSeed]byte }

func secretWith(seed [secretSeed]byte) ClusterSecret {
	return ClusterSecret{func() [secretSeed]byte { return seed }}
}

var _ interface {
	fmt.Formatter
	slog.LogValuer
	MarshalText() ([]byte, error)
} = ClusterSecret{}

const redacted = "[redacted]"

// Format writes the replacement text, whatever the verb is.
func (ClusterSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns the replacement text.
func (ClusterSecret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns the replacement text.
func (ClusterSecret) LogValue() slog.Value { return slog.StringValue(redacted) }

// NewSecret makes a secret.
func NewSecret(random io.Reader) (ClusterSecret, error) {
	var seed [secretSeed]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return ClusterSecret{}, fmt.Errorf("make a secret: %w", err)
	}
	return secretWith(seed), nil
}

// InsecureSecret returns the secret that `qkv etcd --insecure-peers` derives from the cluster's token. Every host that knows the token can
// derive it.
func InsecureSecret(token string) ClusterSecret {
	return secretWith(sha256.Sum256([]byte(insecureDomain + token)))
}

// Reveal returns the secret's text, for the command that makes secrets.
func (s ClusterSecret) Reveal() string { return encodeSecret(s.seed()) }

func encodeSecret(seed [secretSeed]byte) string {
	return secretPrefix + secretEncoding.EncodeToString(append(seed[:], checksumOf(seed)...))
}

func checksumOf(seed [secretSeed]byte) []byte {
	sum := sha256.Sum256(append([]byte(secretSumDomain), seed[:]...))
	return sum[:secretSum]
}

// parseSecret reads the text of a secret. Its errors contain no part of the text.
func parseSecret(text string) (ClusterSecret, error) {
	whole := len(secretPrefix) + secretEncoding.EncodedLen(secretSeed+secretSum)
	body, ok := strings.CutPrefix(text, secretPrefix)
	switch {
	case !ok && strings.HasPrefix(text, strings.TrimRight(secretPrefix, "1_")):
		return ClusterSecret{}, fmt.Errorf("the cluster secret has another version than %q: make one with this qkv, or use the qkv that made it", secretPrefix)
	case !ok:
		return ClusterSecret{}, fmt.Errorf("this is no cluster secret, which begins with %q: `qkv cert secret` makes one of 256 bits; a word of your own is refused because it could be guessed", secretPrefix)
	case len(text) != whole:
		return ClusterSecret{}, fmt.Errorf("the cluster secret has %d characters, but should have %d: it was cut or extended; copy it again", len(text), whole)
	}
	raw, err := secretEncoding.DecodeString(body)
	if err == nil {
		if seed := [secretSeed]byte(raw); encodeSecret(seed) == text {
			return secretWith(seed), nil
		}
	}
	return ClusterSecret{}, errors.New("checksum mismatch: the cluster secret was mistyped or damaged; copy it again")
}

// parseSecrets reads the secrets in force, separated by commas, spaces or newlines: the first one signs, and all are trusted.
func ParseSecrets(text string) ([]ClusterSecret, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if len(words) == 0 {
		return nil, errors.New("the cluster secret is empty: `qkv cert secret` makes one")
	}
	if len(words) > limits.ClusterSecrets {
		return nil, fmt.Errorf("%d cluster secrets are given, over the limit of %d, a new one and an old one: remove the oldest", len(words), limits.ClusterSecrets)
	}
	var all []ClusterSecret
	for i, word := range words {
		s, err := parseSecret(word)
		if err != nil && len(words) > 1 {
			err = fmt.Errorf("secret %d of %d: %w", i+1, len(words), err)
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(other ClusterSecret) bool { return other.seed() == s.seed() }) {
			return nil, fmt.Errorf("secret %d of %d is given twice: remove it", i+1, len(words))
		}
		all = append(all, s)
	}
	return all, nil
}

// ReadSecrets reads the secrets in a file that other users cannot read.
func ReadSecrets(name string) ([]ClusterSecret, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the cluster secret: %w: copy it from another member's host, or make it for a new cluster (`qkv cert secret -o %s`)", err, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster secret: %w", err)
	}
	// as readKey
	if mode := accessOfOthers(info); info.Mode().IsRegular() && mode&0o027 != 0 && closedTo(name, info) != 0 {
		return nil, fmt.Errorf("%s has mode %#o, so other users of this host can read the cluster secret: `chmod 600 %s`, and rotate the secret if it may have been read", name, info.Mode().Perm(), name)
	}
	text, err := readBounded(name)
	if err != nil {
		return nil, fmt.Errorf("read the cluster secret: %w", err)
	}
	all, err := ParseSecrets(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

// WriteSecrets writes secrets into a file with mode 0600, one a line. It replaces an existing file only if replace is set, and
// that file keeps its owner and its mode.
func WriteSecrets(name string, all []ClusterSecret, replace bool) error {
	var text bytes.Buffer
	for _, s := range all {
		text.WriteString(s.Reveal() + "\n")
	}
	if replace {
		return publish(name, text.Bytes(), keyMode, func(from, to string) error {
			if err := keepAccess(from, to); err != nil {
				return err
			}
			return storage.rename(from, to)
		})
	}
	err := createFile(name, text.Bytes(), keyMode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists and is never overwritten: with it, the members that use it would lose the cluster's key; `qkv cert secret --rotate` adds a secret to it", name)
	}
	return err
}

// key derives the CA's key. A derived number that is no scalar of the curve, one in 2^32, is skipped.
func (s ClusterSecret) key() (*ecdsa.PrivateKey, error) {
	seed := s.seed()
	for attempt := 0; ; attempt++ {
		scalar, err := hkdf.Key(sha256.New, seed[:], nil, fmt.Sprintf(secretKeyInfo, attempt), secretSeed)
		if err != nil {
			return nil, fmt.Errorf("derive the CA's key: %w", err)
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return key, nil
		}
	}
}

// fingerprint returns a short name of a secret that may be shown: 8 hexadecimal digits of the hash of the CA's public key.
func fingerprint(key *ecdsa.PublicKey) (string, error) {
	id, err := keyID(key)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(id[:4]), nil
}

// keyID returns 20 bytes of the hash of a public key.
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	b, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive the CA's key: %w", err)
	}
	sum := sha256.Sum256(b)
	return sum[:20], nil
}
