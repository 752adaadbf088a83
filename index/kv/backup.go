package kv

// BackupBase is a snapshot of a member, from which a backup's base is made.
type BackupBase struct {
	Name     string   `msgpack:"n"` // of the file
	Index    uint64   `msgpack:"i"` // of the newest entry in it
	Term     uint64   `msgpack:"t"` // of that entry
	Revision int64    `msgpack:"r"`
	Bytes    int64    `msgpack:"b"`
	SHA      [32]byte `msgpack:"s"` // the file's identity: each member saves its own files
}

// LogEntry is one committed entry of the log, as the state applies it.
type LogEntry struct {
	Index, Term uint64
	Change      bool   // raft treats it as a change of the configuration
	Envelope    []byte // empty for the entry that begins a leader's term
}

// LogPart is a part of a member's log. Every entry in it is committed.
type LogPart struct {
	Applied uint64 // the newest entry that the member has applied: it has no newer one to give
	Entries []LogEntry
}
