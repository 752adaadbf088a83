package kv

// BackupKeyBytes is the length of the key of the names in encrypted backups.
const BackupKeyBytes = 32

// BackedUp says how far the backup of the leader has come.
type BackedUp struct {
	Place    string `msgpack:"p"`
	Entry    uint64 `msgpack:"e"` // that the backup is to have
	Revision int64  `msgpack:"r"` // of the newest state in the backup
	Wall     int64  `msgpack:"w"` // the newest time in the backup, in nanoseconds since 1970
	Done     bool   `msgpack:"d"` // it has the entry
	Problem  string `msgpack:"f"` // the newest failure since it was last complete; empty: none
}
