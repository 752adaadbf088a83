package kv

// Verified is what a member found when it last read all of its files.
type Verified struct {
	Asked   bool          `msgpack:"a" json:"-"`     // a client has asked for another read, which has not ended
	Reads   int64         `msgpack:"n" json:"-"`     // how many have ended since the member's start
	Wall    int64         `msgpack:"t" json:"-"`     // when it ended, in nanoseconds since 1970; 0: there was none
	Failed  string        `msgpack:"e" json:"-"`     // why not all files could be read
	Files   int64         `msgpack:"f" json:"files"` // that were read: snapshots and segments of the log
	Bytes   int64         `msgpack:"b" json:"bytes"` // that were read
	Damaged []DamagedFile `msgpack:"x" json:"damaged"`
}

// DamagedFile is a file of a member's data folder that was found damaged.
type DamagedFile struct {
	Name   string `msgpack:"n" json:"file"`   // in the data folder
	Reason string `msgpack:"r" json:"reason"` // the place in the file, and what is wrong there
	Help   string `msgpack:"h" json:"help"`   // what the member does about it, and what its operator should do
}
