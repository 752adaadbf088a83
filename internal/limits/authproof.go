package limits

import "time"

// Limits of passwords and tokens.
const (
	// PasswordBytes bounds a password: bcrypt ignores all bytes after the 72nd.
	PasswordBytes = 72
	// PasswordCost is the default of --bcrypt-cost, as in etcd: one hash takes 60 to 100 ms of a processor, and each step up doubles it.
	// PasswordCostLeast is bcrypt's own bound. A hash of PasswordCostMost takes about a second, during which a member computes no other
	// one in the slot; a hash of cost 31, which bcrypt allows, would stop all logins of a member for a day. No higher cost is stored.
	PasswordCost      = 10
	PasswordCostLeast = 4
	PasswordCostMost  = 14
	// 1/PasswordShare of the processors is the most that hashing takes: a flood of logins leaves the rest to other requests.
	PasswordShare = 4
	// PasswordsWaiting bounds the passwords that are hashed or wait for it, for each that may be hashed at a time. At the default cost the
	// last one waits 2 to 5 s, so its answer arrives within the 5 s that etcdctl waits. One host has at most half of them.
	PasswordsWaiting = 32
	// PasswordUsersKnown bounds the users of hosts whose logins a member remembers, so that a flood of wrong passwords does not delay
	// them: as many as a member has clients of a large cluster, in 1 MiB.
	PasswordUsersKnown = 4096
	// TokenTTL is how long a token is valid without use by default, as in etcd: --auth-token-ttl, and ttl of --auth-token jwt.
	TokenTTL = 5 * time.Minute
	// TokenKeyBytes is the key that seals simple tokens: as much as HMAC-SHA256 uses.
	TokenKeyBytes = 32
	// TokenBytes bounds a token. A JWT with an RSA signature of 4,096 bits and some claims of its issuer takes less than 2 KiB; HTTP
	// servers accept headers of 8 KiB.
	TokenBytes = 8 << 10
	// TokenUsesBytes bounds the memory of the tokens that a member has seen and verified: 90,000 simple tokens, more than a member has
	// clients (ClientConnections, EtcdConnections). Each takes its text, its user's name, and TokenUseBytes for its other fields and its
	// entries in two tables.
	TokenUsesBytes = 32 << 20
	TokenUseBytes  = 256
)
