package node

import (
	"cmp"
	"os"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/net/auth"
)

// proofs verify the passwords and tokens of users. Both endpoints share them: together they hash no more than one endpoint alone would.
type proofs struct {
	hasher *auth.Hasher
	tokens auth.Tokens
}

// proofSettings are the settings of proofs, read and checked before the member has a state.
type proofSettings struct {
	hasher *auth.Hasher
	scheme *auth.Scheme
}

// proofs reads the settings, and the files of keys. A refusal is a *UsageError.
func (c *Config) proofs() (s proofSettings, err error) {
	if s.hasher, err = auth.NewHasher(cmp.Or(c.BcryptCost, limits.PasswordCost)); err != nil {
		return s, usagef("%w", err)
	}
	if s.scheme, err = auth.ParseScheme(cmp.Or(c.AuthToken, "simple"), c.AuthTokenTTL, os.ReadFile); err != nil {
		return s, usagef("%w", err)
	}
	if s.scheme.Warning != "" {
		c.Logger.Warn(s.scheme.Warning)
	}
	return s, nil
}

// of returns the proofs of a member with this state.
func (s *proofSettings) of(view func() *index.View) proofs {
	return proofs{hasher: s.hasher, tokens: s.scheme.Tokens(func() *auth.Key { return view().Auth().Secret() })}
}

// certificateUsers reports whether the name in the certificate of a client of etcd's is its user: always, but by etcd's command line only
// with --client-cert-auth.
func (c *Config) certificateUsers() bool { return len(c.Etcd.Listen) == 0 || c.Etcd.ClientsMustShow }
