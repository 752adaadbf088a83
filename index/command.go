package index

import (
	"fmt"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// MaxLevel is the newest feature level that this qkv knows. It is a variable for tests, which make up a later one.
var MaxLevel uint64 = 1

const (
	// FirstLevel is the feature level of a new cluster.
	FirstLevel = 1

	commandVersion = 1
	commandFields  = 7
	onceFields     = 3
	leftFields     = 3
)

// Head is the name of a write and the author of a command. The zero Head has neither. By comes from [View.By]; [Own] is
// the head of a member's own commands.
type Head struct {
	Once kv.WriteName
	By   kv.Principal
}

// append appends the fields before a command's body.
func (h *Head) append(dst []byte, kind uint64) []byte {
	dst = pack.AppendArray(dst, commandFields)
	dst = pack.AppendUint(dst, kind)
	dst = pack.AppendUint(dst, commandVersion)
	dst = pack.AppendString(dst, h.By.Name)
	dst = pack.AppendUint(dst, h.By.Auth)
	w := &h.Once
	if w.Session == 0 {
		return pack.AppendUint(pack.AppendUint(dst, 0), 0)
	}
	dst = pack.AppendUint(pack.AppendArray(dst, onceFields), w.Session)
	dst = pack.AppendInt(pack.AppendUint(dst, w.Window), w.Opened)
	return pack.AppendUint(dst, w.Sequence)
}

// begin appends the head, and the array of the body's fields.
func (h *Head) begin(dst []byte, kind uint64) []byte {
	return pack.AppendArray(h.append(dst, kind), len(kinds[kind].fields))
}

func appendHead(dst []byte, kind uint64) []byte { return new(Head).append(dst, kind) }

// command returns a command whose bytes have all fields of its kind.
func (h *Head) command(kind uint8, grows bool, bytes []byte) kv.Command {
	k := &kinds[kind]
	c := kv.Command{Bytes: bytes, Kind: kind, Level: k.level, Grows: grows, Named: h.Once.Session != 0}
	if n := len(k.fields); n > 0 {
		c.Level = max(c.Level, k.fields[n-1])
	}
	return c
}

// AppendPut appends the command that puts a key. The bytes of the command that is returned begin with dst, here and below.
func (h *Head) AppendPut(dst []byte, p *kv.Put) kv.Command {
	return h.command(kindPut, true, kv.AppendPut(h.begin(dst, kindPut), p))
}

// AppendTxn appends the command of a transaction, which must pass its Check.
func (h *Head) AppendTxn(dst []byte, t *kv.Txn) kv.Command {
	return h.command(kindTxn, t.Puts(), kv.AppendTxn(h.begin(dst, kindTxn), t))
}

// AppendCompact appends the command that makes revision the oldest readable one.
func (h *Head) AppendCompact(dst []byte, revision int64) kv.Command {
	return h.command(kindCompact, false, pack.AppendInt(h.begin(dst, kindCompact), revision))
}

// AppendDelete appends the command that deletes a key or, with an end, all keys from key up to and excluding end. The end
// "\0" means no end. A user who wants the previous versions needs the permission to read them.
func (h *Head) AppendDelete(dst []byte, d *kv.Delete) kv.Command {
	dst = pack.AppendBytes(pack.AppendBytes(h.begin(dst, kindDelete), d.Key), d.End)
	return h.command(kindDelete, false, pack.AppendBool(dst, d.PrevKV))
}

// AppendGrant appends the command that grants a lease, which must pass its Check.
func (h *Head) AppendGrant(dst []byte, l kv.Lease) kv.Command {
	dst = pack.AppendInt(h.begin(dst, kindGrant), l.ID)
	return h.command(kindGrant, true, pack.AppendInt(dst, l.TTL))
}

// AppendRevoke appends the command with which a client revokes a lease.
func (h *Head) AppendRevoke(dst []byte, lease int64) kv.Command {
	return h.appendRevoke(dst, lease, 0, 0)
}

func (h *Head) appendRevoke(dst []byte, lease int64, term, granted uint64) kv.Command {
	dst = pack.AppendInt(h.begin(dst, kindRevoke), lease)
	return h.command(kindRevoke, false, pack.AppendUint(pack.AppendUint(dst, term), granted))
}

// AppendAnnounce appends the command with which a member announces its own addresses, version and data folder to all
// members.
func AppendAnnounce(dst []byte, m *kv.Member) kv.Command {
	return new(Head).command(kindAnnounce, false, kv.AppendMember(appendHead(dst, kindAnnounce), m))
}

// AppendMemberChange appends the command that changes the membership.
func (h *Head) AppendMemberChange(dst []byte, c *kv.MemberChange) kv.Command {
	command, change := h.command(kindMember, false, kv.AppendMemberChange(h.begin(dst, kindMember), c)), *c
	command.Change = &change
	return command
}

// AppendAuthChange appends the command that changes users, roles, or the authentication itself.
func (h *Head) AppendAuthChange(dst []byte, c *kv.AuthChange) kv.Command {
	return h.command(kindAuth, false, kv.AppendAuthChange(h.begin(dst, kindAuth), c))
}

// AppendEndExchange appends the command that ends a joint configuration. It is never proposed: raft's leader adds an
// entry of its own to the log, which has the same meaning.
func AppendEndExchange(dst []byte) kv.Command {
	h := new(Head)
	return h.command(kindEndExchange, false, h.begin(dst, kindEndExchange))
}

// AppendRevoke appends the command that revokes a lease. A revocation by the leader's clock carries the leader's term and
// the index of the granting entry. It has no effect in another term, or on a lease that another entry granted. A client's
// revocation has 0 for both.
func AppendRevoke(dst []byte, lease int64, term, granted uint64) kv.Command {
	return new(Head).appendRevoke(dst, lease, term, granted)
}

// AppendCheckpoint appends the command that records the remaining times of at most limits.LeaseCheckpoints leases, by the
// clock of the leader of a term.
func AppendCheckpoint(dst []byte, left []kv.Lease, term uint64) kv.Command {
	h := new(Head)
	dst = pack.AppendUint(h.begin(dst, kindCheckpoint), term)
	dst = pack.AppendArray(dst, len(left))
	for _, l := range left {
		dst = pack.AppendInt(pack.AppendArray(dst, leftFields), l.ID)
		dst = pack.AppendUint(pack.AppendInt(dst, l.Remaining), l.Granted)
	}
	return h.command(kindCheckpoint, false, dst)
}

// AppendAlarm appends the command that raises an alarm or disarms alarms. The change must pass its Check.
func (h *Head) AppendAlarm(dst []byte, c kv.AlarmChange) kv.Command {
	dst = pack.AppendBool(h.begin(dst, kindAlarm), c.Raise)
	return h.command(kindAlarm, false, pack.AppendString(pack.AppendUint(dst, c.Member), string(c.Name)))
}

// AppendBackupKey appends the command that proposes the key of the names in encrypted backups.
func AppendBackupKey(dst, key []byte) kv.Command {
	h := new(Head)
	return h.command(kindBackupKey, false, pack.AppendBytes(h.begin(dst, kindBackupKey), key))
}

// AppendFeatureLevel appends the command that raises the cluster's feature level. Every version understands this command,
// so a member that does not know the level stops with a message.
func AppendFeatureLevel(dst []byte, level uint64) kv.Command {
	h := new(Head)
	return h.command(kindFeatureLevel, false, pack.AppendUint(h.begin(dst, kindFeatureLevel), level))
}

// appendRefused appends the command that replaces a command that the leader refused.
func appendRefused(dst []byte, err *kv.Error) []byte {
	dst = new(Head).begin(dst, kindRefused)
	return pack.AppendString(pack.AppendUint(dst, uint64(err.Code)), err.Message)
}

// AppendCheck appends the command that makes the members compare their states after its entry.
func AppendCheck(dst []byte) kv.Command {
	h := new(Head)
	return h.command(kindCheck, false, h.begin(dst, kindCheck))
}

// AppendDigest appends the command that reports a member's digest after the entry of a check.
func AppendDigest(dst []byte, member, entry, digest uint64) kv.Command {
	h := new(Head)
	dst = pack.AppendUint(pack.AppendUint(h.begin(dst, kindDigest), member), entry)
	return h.command(kindDigest, false, pack.AppendUint(dst, digest))
}

// command is a decoded command. Of its body, only the fields are set that the kind's row reads. Its slices share the memory of
// its input.
type command struct {
	kind uint64
	name []byte       // of the user; the write's own name is once
	auth uint64       // the auth revision at which the user was authenticated; kv.AuthOwn: the member itself
	once kv.WriteName // the name of the write; the zero value: none
	hash uint64       // of the key; set by prefetch
	size int          // bytes of the body

	put       kv.Put
	delete    kv.Delete
	txn       *kv.Txn
	revision  int64      // of a compaction or a base
	lease     kv.Lease   // to grant or revoke
	term      uint64     // of the leader that revokes a lease, or records remaining times
	left      []kv.Lease // the remaining times
	announced *kv.Member
	change    *kv.MemberChange
	alarm     *kv.AlarmChange
	backupKey []byte
	level     uint64
	refused   *kv.Error
	digest    *digestReport

	authChange *kv.AuthChange
}

// read reads the next command. An error means that this qkv does not understand it. The Reader must be an exact one.
func (c *command) read(r *pack.Reader) error {
	*c = command{}
	n := r.Array()
	c.kind = r.Uint()
	version := r.Uint()
	switch {
	case r.Err() != nil:
		return fmt.Errorf("read command of kind %d: %w", c.kind, r.Err())
	case !declared(c.kind):
		return fmt.Errorf("the command's kind %d is not known: %w", c.kind, pack.ErrNewer)
	case version != commandVersion:
		return fmt.Errorf("the command of kind %d has version %d, this qkv knows %d: %w", c.kind, version, commandVersion, pack.ErrNewer)
	}
	k := &kinds[c.kind]
	s := r.Fields(n-2, commandFields-2)
	c.readHead(r)
	before := len(r.Rest())
	if r.Err() == nil {
		c.readBody(k, r)
	}
	c.size = before - len(r.Rest())
	if c.level > MaxLevel {
		return newerLevel("the cluster moves to", c.level)
	}
	if r.End(s); r.Err() != nil {
		return fmt.Errorf("read command of kind %d: %w", c.kind, r.Err())
	}
	return nil
}

// readBody reads the body that the command's kind has after its head.
func (c *command) readBody(k *kind, r *pack.Reader) {
	if k.fields == nil {
		k.read(c, r)
		return
	}
	s := r.Struct(len(k.fields))
	if k.read != nil {
		k.read(c, r)
	}
	r.End(s)
}

// newerLevel is the error for a feature level above [MaxLevel].
func newerLevel(what string, level uint64) error {
	return fmt.Errorf("%s feature level %d, this qkv knows %d: %w", what, level, MaxLevel, pack.ErrNewer)
}

// readHead reads the principal, the auth revision and the write name.
func (c *command) readHead(r *pack.Reader) {
	if c.name, c.auth = r.Text(), r.Uint(); len(c.name) > limits.AuthNameBytes {
		r.Fail(fmt.Sprintf("a user's name of %d bytes, the limit is %d", len(c.name), limits.AuthNameBytes))
		return
	}
	if b := r.Rest(); len(b) >= 2 && b[0]|b[1] == 0 {
		r.Drop(2) // no write name
		return
	}
	s := r.Struct(onceFields)
	w := &c.once
	w.Session, w.Window, w.Opened = r.Uint(), r.Uint(), r.Int()
	r.End(s)
	w.Sequence = r.Uint()
	if r.Err() == nil && (w.Session == 0 || !kinds[c.kind].named) {
		r.Fail(fmt.Sprintf("a command of kind %d with a write name of the series %016x", c.kind, w.Session))
	}
}

// refusal returns why the limits refuse a command, the same on every member, or nil. The proposer and the state both
// check it.
func (c *command) refusal() *kv.Error {
	if check := kinds[c.kind].check; check != nil {
		return check(c)
	}
	return nil
}

// CheckLevel returns why a command may not be proposed at the cluster's feature level, or nil.
func CheckLevel(c *kv.Command, level uint64) *kv.Error {
	if c.Level <= level {
		return nil
	}
	return kv.Errorf(kv.FeatureLevel, "a %s like this needs feature level %d, the cluster has %d until all members are upgraded", kinds[c.Kind].name, c.Level, level)
}

// Describe describes a batch envelope for readers of a log: its commands, each with its key. It reports an undecodable
// part as well.
func Describe(envelope []byte) string {
	if len(envelope) == 0 {
		return "nothing" // raft's own
	}
	e, err := ReadEnvelope(envelope)
	if err != nil {
		return err.Error()
	}
	r := pack.NewExactReader(e.Commands)
	var said []string
	var c command
	for i := range e.Count {
		if err := c.read(&r); err != nil {
			return strings.Join(append(said, fmt.Sprintf("command %d of %d: %v", i+1, e.Count, err)), ", ")
		}
		one := c.describe()
		if c.once.Session != 0 {
			one += fmt.Sprintf(" under the write name %016x/%d", c.once.Session, c.once.Sequence)
		}
		if len(c.name) > 0 {
			one += fmt.Sprintf(" by %q", c.name)
		}
		said = append(said, one)
	}
	return strings.Join(said, ", ")
}

func (c *command) describe() string {
	k := &kinds[c.kind]
	if k.describe == nil {
		return k.name
	}
	return k.describe(c)
}
