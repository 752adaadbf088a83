// Package auth has the proofs of identity that both endpoints of a member accept beside certificates: passwords and tokens. The users
// themselves, their roles and the key of the tokens are part of the replicated state, which this package does not know. It starts no
// goroutine.
//
// # Passwords
//
// [Hasher] hashes passwords with bcrypt, as etcd does, so that users migrate with their hashes. One hash takes 60 to 100 ms of a processor.
// All hashing together takes at most 1/passwordShare of the processors. A request that finds the queue full is refused at once, with
// [kv.Overloaded]. A login of an unknown user takes the same time as a login with a wrong password.
//
// # Tokens
//
// A token stands for a login that has succeeded. [ParseScheme] reads etcd's flag --auth-token, and returns one of two kinds of [Tokens]:
//
//	simple   made and verified by members, with a key in the replicated state (simple.go)
//	jwt      JSON Web Tokens of this cluster or of another issuer, with keys in files (jwt.go)
//
// A simple token is stateless: it contains its claims, and every member that has the key accepts it, also after a restart or a failover. In
// etcd the member's memory has a table of random tokens, which a new member and a restarted one lack. The text of a token is
//
//	base64url( version | time of issue | epoch | name | HMAC ) "." applied index
//
//	version          1 byte, 1
//	time of issue    8 bytes, big endian: Unix time in milliseconds
//	epoch            8 bytes, big endian: the user's epoch
//	name             of the user, not empty
//	HMAC             32 bytes: HMAC-SHA256 of "qkv simple token", the bytes before, and the applied index as 8 bytes, big endian
//	applied index    decimal, as in etcd's tokens
//
// HMAC-SHA256 was preferred to encryption (AES-GCM, ChaCha20-Poly1305): the claims are no secret, HMAC needs no nonce that must never
// repeat, and equal claims have equal bytes: one comparison verifies a token ([open]).
//
// The endpoints compare two claims with the replicated state, for each request:
//
//  1. The epoch is the auth revision at which the user's password was last set. If the user has another epoch, or does not exist, the token
//     is invalid. A new password thereby ends the user's tokens, and so does the deletion of the user.
//  2. The applied index is the index of the state in which the login was checked. A member that has applied less waits for it.
//
// A JWT has the auth revision instead of both: the endpoints refuse a JWT whose revision is older than the state's, as etcd does.
//
// A restore, a recovery and an import end all tokens: the new cluster has another key, and goes on at a later auth revision.
//
// # Expiry
//
// A simple token is valid if it was issued or last used less than limits.TokenTTL ago, or etcd's --auth-token-ttl. Each member counts only the uses at itself, as in
// etcd, and forgets them when it restarts: the client of a token that is refused logs in again. The time of issue is of the clock of
// another member. If that clock is ahead, the age is negative; down to -limits.ClocksApart the token is valid. A clock that is behind
// shortens the time until the first use here.
//
// A JWT is valid until its claim exp, and for ever without this claim, as in etcd.
//
// # Repeated tokens
//
// A token that was verified before is found by its text, without cryptography and without an allocation (uses.go). A new key of the
// simple tokens ends all tokens of the old one.
//
// # Secrets
//
// [Secret] is the type of a password. No error of this package contains a password, a key or any part of a token.
package auth
