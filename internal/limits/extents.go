package limits

// Limits of the parts of a state, and of the values that are in parts and not in memory.
const (
	// ExtentBytes is the weight of changes at which an extent ends, as HistoryBytes weighs them; a change weighs as much as the version
	// that it supersedes, if that is larger. Smaller extents make more files. Larger ones make a save and a repair longer, and keep more
	// compacted versions in memory until they are written. ExtentBytes is part of feature level 1.
	ExtentBytes = 16 << 20
	// BaseLeast is the least weight of compacted extents that a newer base replaces. A base of a few keys that are overwritten all the time
	// is then written at most once for four extents.
	BaseLeast = 64 << 20
	// ValueReads is how many goroutines read values from files at the same time; others wait. Each takes an open file, a buffer, and a
	// thread while it waits for the disk. Disks do not get faster with more.
	ValueReads = 64
)
