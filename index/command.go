package index

import (
	"fmt"

	"qkv/log/limits"
	"qkv/log/pack"
)

// The kinds of commands. A number is never used again for something else.
const (
	kindPut          = 1
	kindDelete       = 2
	kindAnnounce     = 3
	kindFeatureLevel = 4
)

const (
	// FirstLevel is the feature level of a new cluster, MaxLevel the newest one that this qkv knows.
	FirstLevel = 1
	MaxLevel   = 1

	commandVersion     = 1
	commandFields      = 7
	putFields          = 3
	deleteFields       = 2
	announcementFields = 8
	levelFields        = 1
)

// Announcement is what a member says of itself, for all to remember.
type Announcement struct {
	Member  uint64
	Name    string
	Version string
	Folder  [16]byte // random, made with the data folder
	Boot    uint64   // starts of a process on that folder
	Process [16]byte // random, made at each start
	Clients []string // addresses for clients
	Peer    string   // address for members
}

// appendHead appends all that stands before a command's body. Principal, auth revision, session and sequence are
// empty until they exist.
func appendHead(dst []byte, kind uint64) []byte {
	dst = pack.AppendArray(dst, commandFields)
	dst = pack.AppendUint(dst, kind)
	dst = pack.AppendUint(dst, commandVersion)
	dst = pack.AppendString(dst, "")
	dst = pack.AppendUint(dst, 0)
	dst = pack.AppendUint(dst, 0)
	return pack.AppendUint(dst, 0)
}

// AppendPut appends the command that sets a key.
func AppendPut(dst []byte, key, value []byte, lease int64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindPut), putFields)
	dst = pack.AppendBytes(dst, key)
	dst = pack.AppendBytes(dst, value)
	return pack.AppendInt(dst, lease)
}

// AppendDelete appends the command that deletes the key, or with an end all keys from key up to it; the end "\0"
// means that there is none.
func AppendDelete(dst []byte, key, end []byte) []byte {
	dst = pack.AppendArray(appendHead(dst, kindDelete), deleteFields)
	dst = pack.AppendBytes(dst, key)
	return pack.AppendBytes(dst, end)
}

// AppendAnnounce appends the command that makes all members remember one.
func AppendAnnounce(dst []byte, a Announcement) []byte {
	return appendAnnouncement(appendHead(dst, kindAnnounce), &a)
}

func appendAnnouncement(dst []byte, a *Announcement) []byte {
	dst = pack.AppendArray(dst, announcementFields)
	dst = pack.AppendUint(dst, a.Member)
	dst = pack.AppendString(dst, a.Name)
	dst = pack.AppendString(dst, a.Version)
	dst = pack.AppendBytes(dst, a.Folder[:])
	dst = pack.AppendUint(dst, a.Boot)
	dst = pack.AppendBytes(dst, a.Process[:])
	dst = pack.AppendArray(dst, len(a.Clients))
	for _, c := range a.Clients {
		dst = pack.AppendString(dst, c)
	}
	return pack.AppendString(dst, a.Peer)
}

// AppendFeatureLevel appends the command that raises the cluster's feature level.
func AppendFeatureLevel(dst []byte, level uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindFeatureLevel), levelFields)
	return pack.AppendUint(dst, level)
}

// command is a decoded command. Its slices are parts of what it was read from.
type command struct {
	kind   uint64
	key    []byte
	value  []byte // of a put; the end of a delete; an announcement as it was written
	number int64  // the lease of a put; the level
	hash   uint64 // of the key, filled in when it is applied
}

// read reads the next command. An error means that this qkv does not know what it says.
func (c *command) read(r *pack.Reader) error {
	*c = command{}
	n := r.Array()
	c.kind = r.Uint()
	version := r.Uint()
	if r.Err() == nil && (c.kind == 0 || c.kind > kindFeatureLevel) {
		return fmt.Errorf("the command's kind %d is not known: it was written by a newer qkv, upgrade this member", c.kind)
	}
	if r.Err() == nil && version != commandVersion {
		return fmt.Errorf("the command of kind %d has version %d, this qkv knows %d: upgrade this member", c.kind, version, commandVersion)
	}
	if r.Err() == nil && n != commandFields {
		r.Fail("a command of another number of fields")
	}
	c.readUnused(r)
	switch c.kind {
	case kindPut:
		r.ArrayOf(putFields)
		c.key, c.value, c.number = r.Bytes(), r.Bytes(), r.Int()
	case kindDelete:
		r.ArrayOf(deleteFields)
		c.key, c.value = r.Bytes(), r.Bytes()
	case kindAnnounce:
		before := r.Rest()
		var a Announcement
		readAnnouncement(r, &a)
		c.value = before[:len(before)-len(r.Rest())]
	case kindFeatureLevel:
		r.ArrayOf(levelFields)
		level := r.Uint()
		if level > MaxLevel {
			return fmt.Errorf("the cluster goes on to feature level %d, this qkv knows %d: upgrade this member", level, MaxLevel)
		}
		c.number = int64(level)
	}
	if r.Err() != nil {
		return fmt.Errorf("read command of kind %d: %w", c.kind, r.Err())
	}
	return nil
}

// readUnused reads principal, auth revision, session and sequence. Each has a meaning for what a command may do, so
// that one that is set is not ignored.
func (c *command) readUnused(r *pack.Reader) {
	if b := r.Rest(); len(b) >= 4 && b[0] == 0xa0 && b[1]|b[2]|b[3] == 0 {
		*r = pack.NewReader(b[4:])
		return
	}
	if r.Err() == nil {
		r.Fail("a principal, auth revision, session or sequence, which this qkv does not know")
	}
}

func readAnnouncement(r *pack.Reader, a *Announcement) {
	r.ArrayOf(announcementFields)
	a.Member = r.Uint()
	a.Name = r.String()
	a.Version = r.String()
	readID(r, &a.Folder)
	a.Boot = r.Uint()
	readID(r, &a.Process)
	a.Clients = nil
	for range r.Array() {
		a.Clients = append(a.Clients, r.String())
	}
	a.Peer = r.String()
}

func readID(r *pack.Reader, id *[16]byte) {
	b := r.Bytes()
	if r.Err() == nil && len(b) != len(id) {
		r.Fail("an id has 16 bytes")
		return
	}
	copy(id[:], b)
}

// refusal is why a command is refused by the limits, the same on every member. Both the proposer and the state ask.
func (c *command) refusal() *Error {
	switch c.kind {
	case kindPut:
		if e := keyRefusal(c.key); e != nil {
			return e
		}
		if len(c.value) > limits.ValueBytes {
			return refuse(CodeValueTooLarge, "a value of %d bytes, the limit is %d", len(c.value), limits.ValueBytes)
		}
		if c.number != 0 {
			return refuse(CodeBadRequest, "lease %d does not exist: this cluster has no leases yet", c.number)
		}
	case kindDelete:
		if e := keyRefusal(c.key); e != nil {
			return e
		}
		if len(c.value) > limits.KeyBytes+1 {
			return refuse(CodeKeyTooLarge, "the end of a range has %d bytes, the limit is %d", len(c.value), limits.KeyBytes+1)
		}
	case kindFeatureLevel:
		if c.number < FirstLevel {
			return refuse(CodeFeatureLevel, "there is no feature level %d, the first one is %d", c.number, FirstLevel)
		}
	case kindAnnounce:
		if len(c.value) > limits.PeerHelloBytes {
			return refuse(CodeBadRequest, "an announcement of %d bytes, the limit is %d", len(c.value), limits.PeerHelloBytes)
		}
	}
	return nil
}

func keyRefusal(key []byte) *Error {
	if len(key) == 0 {
		return refuse(CodeEmptyKey, "a key has at least one byte")
	}
	if len(key) > limits.KeyBytes {
		return refuse(CodeKeyTooLarge, "a key of %d bytes, the limit is %d", len(key), limits.KeyBytes)
	}
	return nil
}

// CheckCommand is what a proposer asks before it proposes: that a command is one, and within the limits. The error
// is an *Error when the command would be refused with a code.
func CheckCommand(b []byte) error {
	var c command
	r := pack.NewReader(b)
	if err := c.read(&r); err != nil {
		return err
	}
	if err := r.Done(); err != nil {
		return err
	}
	if e := c.refusal(); e != nil {
		return e
	}
	return nil
}

// CommandLevel returns the least feature level at which a command may be proposed.
func CommandLevel(b []byte) (uint64, error) {
	var c command
	r := pack.NewReader(b)
	if err := c.read(&r); err != nil {
		return 0, err
	}
	return FirstLevel, nil
}
