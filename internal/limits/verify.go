package limits

import "time"

// Limits of the verification of a member's files: the scrub, and `qkv verify --now`.
const (
	// VerifyPoll is how often a client asks whether all files are read.
	VerifyPoll = 500 * time.Millisecond
)
