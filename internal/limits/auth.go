package limits

import "time"

// Users and roles. Apply enforces these limits, so they belong to feature level 1 and never change.
const (
	// AuthNameBytes bounds the name of a user or role. etcd has no bound. Each command of a user has its name.
	AuthNameBytes = 1 << 10
	// AuthPasswordBytes bounds a password's hash; bcrypt's has 60 bytes.
	AuthPasswordBytes = 256
	// AuthSecretBytes is the size of the secret that seals tokens.
	AuthSecretBytes = 32
)

const (
	// AuthorsAsked bounds the changes in one request for authors: a MiB of an answer, if all names are of the largest size.
	AuthorsAsked = 1000
	// AskBytes bounds the body of a rare request: 1,000 keys of 512 bytes, and one of KeyBytes. Decoded, it takes up to sixteen times its
	// memory.
	AskBytes = 1 << 20
)

// Limits of passwords and tokens.
const (
	// PasswordBytes bounds a password: bcrypt ignores all bytes after the 72nd.
	PasswordBytes = 72
	// PasswordCost is the cost of a password's hash, as etcd's default of --bcrypt-cost: one hash takes 60 to 100 ms of a processor, and each step up doubles it.
	// PasswordCostLeast is bcrypt's own bound. A hash of PasswordCostMost takes about a second, during which a member computes no other
	// one in the slot; a hash of cost 31, which bcrypt allows, would stop all logins of a member for a day. No higher cost is stored.
	PasswordCost      = 10
	PasswordCostLeast = 4
	PasswordCostMost  = 14
	// TokenTTL is how long a token is valid without use by default, as in etcd: its --auth-token-ttl, and ttl of --auth-token jwt.
	TokenTTL = 5 * time.Minute
)
