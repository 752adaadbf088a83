package limits

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
