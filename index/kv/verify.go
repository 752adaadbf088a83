package kv

// Verified is what a member's verification of its files has found so far.
type Verified struct {
	Run     uint64        `msgpack:"r"` // its number, by which the next request asks for the same one
	Done    bool          `msgpack:"d"`
	Files   int64         `msgpack:"f"` // that are read: snapshots and segments of the log
	Bytes   int64         `msgpack:"b"` // that are read
	Damaged []DamagedFile `msgpack:"x"`
}

// DamagedFile is a file of a member's data folder that was found damaged.
type DamagedFile struct {
	Name   string `msgpack:"n"` // in the data folder
	Reason string `msgpack:"r"` // the place in the file, and what is wrong there
	Help   string `msgpack:"h"` // what the member does about it, and what its operator should do
}
