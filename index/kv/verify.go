package kv

// Verified is what a member's verification of its files has found so far.
type Verified struct {
	Run     uint64 // its number, by which the next request asks for the same one
	Done    bool
	Files   int64 // that are read: snapshots and segments of the log
	Bytes   int64 // that are read
	Damaged []DamagedFile
}

// DamagedFile is a file of a member's data folder that was found damaged.
type DamagedFile struct {
	Name   string // in the data folder
	Reason string // the place in the file, and what is wrong there
	Help   string // what the member does about it, and what its operator should do
}
