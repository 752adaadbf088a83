package limits

// What `qkv doctor` warns of.
const ()
