package limits

// Limits of the verification of a member's files: the scrub, and `qkv verify --now`.
const ()
