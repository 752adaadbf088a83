package kv

import "qkv/internal/pack"

// BackupBase is a snapshot of a member, from which a backup's base is made. The snapshot lists its parts.
type BackupBase struct {
	Name     string   `msgpack:"n"` // of the file
	Index    uint64   `msgpack:"i"` // of the newest entry in it
	Term     uint64   `msgpack:"t"` // of that entry
	Revision int64    `msgpack:"r"`
	Bytes    int64    `msgpack:"b"`
	SHA      [32]byte `msgpack:"s"` // the file's identity: each member saves its own files
}

// BackupHold says which runner of a backup may delete from it, and has the key of the names of all backups. As a command it is a runner's
// request.
type BackupHold struct {
	Place  uint64 `msgpack:"p"` // tells the backups of a cluster apart: a random number in the marker of each
	Holder uint64 `msgpack:"h"` // a number that the runner has drawn; 0: there was none yet
	Key    []byte `msgpack:"k"` // of the names of encrypted files, BackupKeyBytes; the first one stays for ever
	Take   bool   `msgpack:"t"` // from another runner, whose later deletions are refused
	Leave  bool   `msgpack:"l"` // the runner ends, and has no call under way: the next one need not wait
}

// BackupKeyBytes is the length of BackupHold.Key.
const BackupKeyBytes = 32

// Check returns why the request is refused regardless of the state, or nil.
func (b *BackupHold) Check() *Error {
	if b.Holder == 0 || len(b.Key) != BackupKeyBytes {
		return Errorf(BadRequest, "a runner of backups has a number, and a key of %d bytes; it has %d", BackupKeyBytes, len(b.Key))
	}
	return nil
}

// LogEntry is one committed entry of the log, as the state applies it.
type LogEntry struct {
	Index, Term uint64
	Change      bool   // raft treats it as a change of the configuration
	Envelope    []byte // empty for the entry that begins a leader's term
}

const logEntryFields = 4

// AppendLogEntries appends entries, the same for a backup's runner and in its files:
//
//	[[entry uint, term uint, change bool, envelope bin]...]
func AppendLogEntries(dst []byte, entries []LogEntry) []byte {
	dst = pack.AppendArray(dst, len(entries))
	for i := range entries {
		e := &entries[i]
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, logEntryFields), e.Index), e.Term)
		dst = pack.AppendBytes(pack.AppendBool(dst, e.Change), e.Envelope)
	}
	return dst
}

// ReadLogEntries reads the output of AppendLogEntries. The envelopes are parts of it.
func ReadLogEntries(b []byte) ([]LogEntry, error) {
	r := pack.NewExactReader(b)
	n := r.Array()
	entries := make([]LogEntry, 0, min(n, len(b)/logEntryFields))
	for range n {
		s := r.Struct(logEntryFields)
		entries = append(entries, LogEntry{Index: r.Uint(), Term: r.Uint(), Change: r.Bool(), Envelope: r.Bytes()})
		r.End(s)
	}
	return entries, r.Done()
}

// LogPart is a part of a member's log. Every entry in it is committed.
type LogPart struct {
	Applied uint64 // the newest entry that the member has applied: it has no newer one to give
	Entries []LogEntry
}
