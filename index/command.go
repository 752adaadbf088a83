package index

import (
	"fmt"
	"math"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The kinds of commands. A number is never reused.
const (
	kindPut          = 1
	kindDelete       = 2
	kindAnnounce     = 3
	kindFeatureLevel = 4
	kindRefused      = 5
	kindCheck        = 6
	kindDigest       = 7
	kindMember       = 8
	kindEndExchange  = 9
	kindTxn          = 10
	kindCompact      = 11
	kindGrant        = 12
	kindRevoke       = 13
	kindCheckpoint   = 14
	kindAlarm        = 15
	kindFollow       = 16
	kinds            = 17
)

// kindLevels are the feature levels from which on each kind may be proposed.
var kindLevels = [kinds]uint64{
	kindPut: FirstLevel, kindDelete: FirstLevel, kindAnnounce: FirstLevel, kindFeatureLevel: FirstLevel,
	kindRefused: FirstLevel, kindCheck: FirstLevel, kindDigest: FirstLevel, kindMember: FirstLevel, kindEndExchange: FirstLevel,
	kindTxn: FirstLevel, kindCompact: FirstLevel, kindGrant: FirstLevel, kindRevoke: FirstLevel, kindCheckpoint: FirstLevel,
	kindAlarm: FirstLevel, kindFollow: FirstLevel,
}

// inSessions are the kinds that may have a session: the writes of clients.
var inSessions = [kinds]bool{kindPut: true, kindDelete: true, kindTxn: true, kindCompact: true, kindGrant: true, kindRevoke: true}

const (
	// FirstLevel is the feature level of a new cluster, MaxLevel the newest level that this qkv knows.
	FirstLevel = 1
	MaxLevel   = 1

	commandVersion = 1
	commandFields  = 7
	onceFields     = 3
	leftFields     = 3
)

// Grows tells whether a command may make the state larger: a put, a lease grant, or a transaction that contains a put in
// either branch, as in etcd. Deletions do not, and neither do the members' own commands.
func Grows(b []byte) bool {
	r := pack.NewExactReader(b)
	r.Array()
	switch r.Uint() {
	case kindPut, kindGrant, kindTxn:
		r = pack.NewExactReader(b)
		var c command
		return c.read(&r) == nil && c.grows()
	}
	return false
}

func (c *command) grows() bool {
	return c.kind == kindPut || c.kind == kindGrant || c.kind == kindTxn && c.txn.Puts()
}

// ChangesMembership tells whether a command, or the first of several, changes the membership. It looks at the kind only.
func ChangesMembership(command []byte) bool {
	r := pack.NewReader(command)
	r.Array()
	kind := r.Uint()
	return kind == kindMember || kind == kindEndExchange
}

// ChangeIn returns the membership change of an envelope that has only this command.
func ChangeIn(envelope []byte) (*kv.MemberChange, error) {
	e, err := ReadEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	r := pack.NewExactReader(e.Commands)
	var c command
	if err := c.read(&r); err != nil {
		return nil, err
	}
	if c.kind != kindMember || e.Count != 1 {
		return nil, fmt.Errorf("%d commands, the first of kind %d", e.Count, c.kind)
	}
	return &c.member.change, r.Done()
}

// Head identifies the author of a command. The zero Head has no session.
type Head struct{ Once kv.SessionWrite }

// append appends the fields before a command's body. Principal and auth revision are empty until they are supported.
func (h *Head) append(dst []byte, kind uint64) []byte {
	dst = pack.AppendArray(dst, commandFields)
	dst = pack.AppendUint(dst, kind)
	dst = pack.AppendUint(dst, commandVersion)
	dst = pack.AppendString(dst, "")
	dst = pack.AppendUint(dst, 0)
	w := &h.Once
	if w.Session == 0 {
		return pack.AppendUint(pack.AppendUint(dst, 0), 0)
	}
	dst = pack.AppendUint(pack.AppendArray(dst, onceFields), w.Session)
	dst = pack.AppendInt(pack.AppendUint(dst, w.Window), w.Opened)
	return pack.AppendUint(dst, w.Sequence)
}

func appendHead(dst []byte, kind uint64) []byte { return new(Head).append(dst, kind) }

// AppendPut appends the command that puts a key.
func (h *Head) AppendPut(dst []byte, p *kv.Put) []byte {
	return kv.AppendPut(pack.AppendArray(h.append(dst, kindPut), bodyFields[kindPut]), p)
}

// AppendTxn appends the command of a transaction, which must pass its Check.
func (h *Head) AppendTxn(dst []byte, t *kv.Txn) []byte {
	dst = pack.AppendArray(h.append(dst, kindTxn), bodyFields[kindTxn])
	return kv.AppendTxn(pack.AppendBytes(dst, nil), t)
}

// AppendCompact appends the command that makes revision the oldest readable one.
func (h *Head) AppendCompact(dst []byte, revision int64) []byte {
	return pack.AppendInt(pack.AppendArray(h.append(dst, kindCompact), bodyFields[kindCompact]), revision)
}

// AppendDelete appends the command that deletes a key or, with an end, all keys from key up to and excluding end. The end
// "\0" means no end.
func (h *Head) AppendDelete(dst []byte, key, end []byte) []byte {
	dst = pack.AppendArray(h.append(dst, kindDelete), bodyFields[kindDelete])
	dst = pack.AppendBytes(dst, key)
	return pack.AppendBytes(dst, end)
}

// AppendGrant appends the command that grants a lease, which must pass its Check.
func (h *Head) AppendGrant(dst []byte, l kv.Lease) []byte {
	dst = pack.AppendArray(h.append(dst, kindGrant), bodyFields[kindGrant])
	return pack.AppendInt(pack.AppendInt(dst, l.ID), l.TTL)
}

// AppendRevoke appends the command with which a client revokes a lease.
func (h *Head) AppendRevoke(dst []byte, lease int64) []byte {
	return appendRevoke(h.append(dst, kindRevoke), lease, 0, 0)
}

func appendRevoke(dst []byte, lease int64, term, granted uint64) []byte {
	dst = pack.AppendInt(pack.AppendArray(dst, bodyFields[kindRevoke]), lease)
	return pack.AppendUint(pack.AppendUint(dst, term), granted)
}

// AppendPut is [Head.AppendPut] without a session.
func AppendPut(dst []byte, p *kv.Put) []byte { return new(Head).AppendPut(dst, p) }

// AppendTxn is [Head.AppendTxn] without a session.
func AppendTxn(dst []byte, t *kv.Txn) []byte { return new(Head).AppendTxn(dst, t) }

// AppendCompact is [Head.AppendCompact] without a session.
func AppendCompact(dst []byte, revision int64) []byte { return new(Head).AppendCompact(dst, revision) }

// AppendDelete is [Head.AppendDelete] without a session.
func AppendDelete(dst []byte, key, end []byte) []byte { return new(Head).AppendDelete(dst, key, end) }

// AppendAnnounce appends the command with which a member announces its own addresses, version and data folder to all
// members.
func AppendAnnounce(dst []byte, m *kv.Member) []byte {
	return kv.AppendMember(appendHead(dst, kindAnnounce), m)
}

// AppendMemberChange appends the command that changes the membership.
func AppendMemberChange(dst []byte, c *kv.MemberChange) []byte {
	return kv.AppendMemberChange(pack.AppendArray(appendHead(dst, kindMember), bodyFields[kindMember]), c)
}

// AppendEndExchange appends the command that ends a joint configuration. It is never proposed: raft's leader adds an
// entry of its own to the log, which has the same meaning.
func AppendEndExchange(dst []byte) []byte {
	return pack.AppendArray(appendHead(dst, kindEndExchange), 0)
}

// AppendGrant is [Head.AppendGrant] without a session.
func AppendGrant(dst []byte, l kv.Lease) []byte { return new(Head).AppendGrant(dst, l) }

// AppendRevoke appends the command that revokes a lease. A revocation by the leader's clock carries the leader's term and
// the index of the granting entry. It has no effect in another term, or on a lease that another entry granted. A client's
// revocation has 0 for both.
func AppendRevoke(dst []byte, lease int64, term, granted uint64) []byte {
	return appendRevoke(appendHead(dst, kindRevoke), lease, term, granted)
}

// AppendCheckpoint appends the command that records the remaining times of at most limits.LeaseCheckpoints leases, by the
// clock of the leader of a term.
func AppendCheckpoint(dst []byte, left []kv.Lease, term uint64) []byte {
	dst = pack.AppendUint(pack.AppendArray(appendHead(dst, kindCheckpoint), bodyFields[kindCheckpoint]), term)
	dst = pack.AppendArray(dst, len(left))
	for _, l := range left {
		dst = pack.AppendInt(pack.AppendArray(dst, leftFields), l.ID)
		dst = pack.AppendUint(pack.AppendInt(dst, l.Remaining), l.Granted)
	}
	return dst
}

// AppendAlarm appends the command that raises an alarm or disarms alarms. The change must pass its Check.
func AppendAlarm(dst []byte, c kv.AlarmChange) []byte {
	dst = pack.AppendBool(pack.AppendArray(appendHead(dst, kindAlarm), bodyFields[kindAlarm]), c.Raise)
	return pack.AppendUint(pack.AppendUint(dst, c.Member), uint64(c.Kind))
}

// AppendFeatureLevel appends the command that raises the cluster's feature level. Every version understands this command,
// so a member that does not know the level stops with a message.
func AppendFeatureLevel(dst []byte, level uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindFeatureLevel), bodyFields[kindFeatureLevel])
	return pack.AppendUint(dst, level)
}

// appendRefused appends the command that replaces a command that the leader refused.
func appendRefused(dst []byte, err *kv.Error) []byte {
	dst = pack.AppendArray(appendHead(dst, kindRefused), bodyFields[kindRefused])
	return pack.AppendString(pack.AppendUint(dst, uint64(err.Code)), err.Message)
}

// AppendCheck appends the command that makes the members compare their states after its entry.
func AppendCheck(dst []byte) []byte { return pack.AppendArray(appendHead(dst, kindCheck), 0) }

// AppendDigest appends the command that reports a member's digest after the entry of a check.
func AppendDigest(dst []byte, member, entry, digest uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindDigest), bodyFields[kindDigest])
	return pack.AppendUint(pack.AppendUint(pack.AppendUint(dst, member), entry), digest)
}

// command is a decoded command. Its slices share the memory of its input.
type command struct {
	kind    uint64
	once    kv.SessionWrite
	key     []byte
	value   []byte // of a put; the end of a delete; the message of a refusal
	number  int64  // a put's lease; level; refusal's code; announcement's or digest's member; revision; lease id
	hash    uint64 // of the key; set by prefetch
	member  *memberCommand
	txn     *kv.Txn
	left    []kv.Lease // of a checkpoint
	term    uint64     // of a revocation or checkpoint; the entry of a digest
	granted uint64     // of a revocation; the digest itself
	ttl     int64      // of a grant
	alarm   *kv.AlarmChange
	follow  *follow

	keepValue, keepLease bool // of a put
}

// memberCommand is the body of a command about members.
type memberCommand struct {
	announced kv.Member
	change    kv.MemberChange
	size      int64 // encoded size of either, in bytes
}

// read reads the next command. An error means that this qkv does not understand it. The Reader must be an exact one.
func (c *command) read(r *pack.Reader) error {
	*c = command{}
	n := r.Array()
	c.kind = r.Uint()
	version := r.Uint()
	if r.Err() == nil && (c.kind == 0 || c.kind >= kinds) {
		return fmt.Errorf("the command's kind %d is not known: %w", c.kind, pack.ErrNewer)
	}
	if r.Err() == nil && version != commandVersion {
		return fmt.Errorf("the command of kind %d has version %d, this qkv knows %d: %w", c.kind, version, commandVersion, pack.ErrNewer)
	}
	s := r.Fields(n-2, commandFields-2)
	c.readHead(r)
	before := len(r.Rest())
	if err := c.readBody(r); err != nil {
		return err
	}
	if c.member != nil {
		c.member.size = int64(before - len(r.Rest()))
	}
	if r.End(s); r.Err() != nil {
		return fmt.Errorf("read command of kind %d: %w", c.kind, r.Err())
	}
	return nil
}

// bodyFields is the number of fields of a command's body, by kind. kindAnnounce and kindFollow count their fields where
// they are read.
var bodyFields = [kinds]int{
	kindPut: 4, kindDelete: 2, kindFeatureLevel: 1, kindRefused: 2, kindCheck: 0, kindDigest: 3, kindMember: kv.MemberChangeFields,
	kindEndExchange: 0, kindTxn: 2, kindCompact: 1, kindGrant: 2, kindRevoke: 3, kindCheckpoint: 2, kindAlarm: 3,
}

// readBody reads the body that the command's kind has after its head.
func (c *command) readBody(r *pack.Reader) error {
	switch c.kind {
	case kindAnnounce:
		c.member = &memberCommand{announced: kv.ReadMember(r)}
		c.number = int64(c.member.announced.ID)
		return nil
	case kindFollow:
		c.follow = readFollow(r)
		return nil
	}
	if r.Err() != nil {
		return nil
	}
	s := r.Struct(bodyFields[c.kind])
	switch c.kind {
	case kindPut:
		p := kv.ReadPut(r)
		c.key, c.value, c.number = p.Key, p.Value, p.Lease
		c.keepValue, c.keepLease = p.IgnoreValue, p.IgnoreLease
	case kindDelete:
		c.key, c.value = r.Bytes(), r.Bytes()
	case kindMember:
		c.member = &memberCommand{change: kv.ReadMemberChange(r)}
	case kindTxn:
		if len(r.Bytes()) > 0 {
			r.Fail("a verdict of its proposer, which this qkv does not know")
		}
		c.txn = kv.ReadTxn(r)
	case kindCompact:
		c.number = r.Int()
	case kindGrant:
		c.number, c.ttl = r.Int(), r.Int()
	case kindRevoke:
		c.number, c.term, c.granted = r.Int(), r.Uint(), r.Uint()
	case kindCheckpoint:
		c.term = r.Uint()
		n := r.Array()
		if n > limits.LeaseCheckpoints {
			r.Fail("a checkpoint of more leases than one may have")
			break
		}
		for range n {
			s := r.Struct(leftFields)
			c.left = append(c.left, kv.Lease{ID: r.Int(), Remaining: r.Int(), Granted: r.Uint()})
			r.End(s)
		}
	case kindAlarm:
		c.alarm = &kv.AlarmChange{Raise: r.Bool(), Alarm: kv.Alarm{Member: r.Uint(), Kind: kv.AlarmKind(min(r.Uint(), math.MaxUint8))}}
	case kindFeatureLevel:
		level := r.Uint()
		if level > MaxLevel {
			return newerLevel("the cluster moves to", level)
		}
		c.number = int64(level)
	case kindRefused:
		code, message := r.Uint(), r.String()
		if code > math.MaxUint8 {
			r.Fail("a code of more than 8 bits")
		}
		c.number, c.value = int64(code), []byte(message)
	case kindDigest:
		c.number, c.term, c.granted = int64(r.Uint()), r.Uint(), r.Uint()
	}
	r.End(s)
	return nil
}

// newerLevel is the error for a feature level above [MaxLevel].
func newerLevel(what string, level uint64) error {
	return fmt.Errorf("%s feature level %d, this qkv knows %d: %w", what, level, MaxLevel, pack.ErrNewer)
}

// readHead reads principal, auth revision, session and sequence. A principal or auth revision that is set is an error:
// ignoring it would ignore a permission check.
func (c *command) readHead(r *pack.Reader) {
	b := r.Rest()
	if len(b) >= 4 && b[0] == 0xa0 && b[1]|b[2]|b[3] == 0 {
		r.Drop(4)
		return
	}
	if len(b) < 2 || b[0] != 0xa0 || b[1] != 0 {
		if r.Err() == nil {
			r.Fail("a principal or auth revision, which this qkv does not know")
		}
		return
	}
	r.Drop(2)
	s := r.Struct(onceFields)
	w := &c.once
	w.Session, w.Window, w.Opened = r.Uint(), r.Uint(), r.Int()
	r.End(s)
	w.Sequence = r.Uint()
	if r.Err() == nil && (w.Session == 0 || c.kind < kinds && !inSessions[c.kind]) {
		r.Fail(fmt.Sprintf("a command of kind %d in session %016x", c.kind, w.Session))
	}
}

// refusal returns why the limits refuse a command, the same on every member, or nil. The proposer and the state both
// check it.
func (c *command) refusal() *kv.Error {
	switch c.kind {
	case kindPut:
		return kv.Put{Key: c.key, Value: c.value, Lease: c.number, IgnoreValue: c.keepValue, IgnoreLease: c.keepLease}.Check(requestBounds)
	case kindDelete:
		return kv.Delete{Key: c.key, End: c.value}.Check(requestBounds)
	case kindFeatureLevel:
		if c.number < FirstLevel {
			return kv.Errorf(kv.FeatureLevel, "there is no feature level %d, the first one is %d", c.number, FirstLevel)
		}
	case kindAnnounce, kindMember:
		if c.member.size > limits.MemberBytes {
			return kv.Errorf(kv.BadRequest, "%d bytes about members, the limit is %d", c.member.size, limits.MemberBytes)
		}
	case kindGrant:
		return kv.Lease{ID: c.number, TTL: c.ttl}.Check()
	case kindAlarm:
		return c.alarm.Check()
	case kindRefused:
		return &kv.Error{Code: kv.Code(c.number), Message: string(c.value)}
	}
	return nil
}

// CheckLevel returns why a command may not be proposed at the cluster's feature level, or nil. It reads only the
// command's kind; the command's author enforces the limits.
func CheckLevel(b []byte, level uint64) *kv.Error {
	r := pack.NewReader(b)
	r.Array()
	kind := r.Uint()
	switch {
	case r.Err() != nil:
		return kv.Errorf(kv.BadRequest, "a command that cannot be read: %v", r.Err())
	case kind == 0 || kind >= kinds:
		return kv.Errorf(kv.FeatureLevel, "a command of kind %d, which this member does not know", kind)
	case kindLevels[kind] > level:
		return kv.Errorf(kv.FeatureLevel, "a command of kind %d needs feature level %d, the cluster has %d until all members are upgraded", kind, kindLevels[kind], level)
	}
	return nil
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
			one += fmt.Sprintf(" as write %d of session %016x", c.once.Sequence, c.once.Session)
		}
		said = append(said, one)
	}
	return strings.Join(said, ", ")
}

func (c *command) describe() string {
	switch c.kind {
	case kindPut:
		return fmt.Sprintf("put %q %d bytes", c.key, len(c.value))
	case kindDelete:
		if len(c.value) > 0 {
			return fmt.Sprintf("delete from %q to %q", c.key, c.value)
		}
		return fmt.Sprintf("delete %q", c.key)
	case kindAnnounce:
		a := &c.member.announced
		return fmt.Sprintf("announce %s, version %s, boot %d", a.Name, a.Version, a.Boot)
	case kindMember:
		return c.member.change.String()
	case kindEndExchange:
		return "end the exchange of members"
	case kindTxn:
		return fmt.Sprintf("transaction of %d comparisons, %d operations or else %d", len(c.txn.Compares), len(c.txn.Success), len(c.txn.Failure))
	case kindGrant:
		return fmt.Sprintf("grant lease %016x of %d s", uint64(c.number), c.ttl)
	case kindRevoke:
		return fmt.Sprintf("revoke lease %016x", uint64(c.number))
	case kindCheckpoint:
		return fmt.Sprintf("checkpoint of %d leases", len(c.left))
	case kindAlarm:
		return c.alarm.String()
	case kindFollow:
		return c.follow.describe()
	case kindCompact:
		return fmt.Sprintf("compact to revision %d", c.number)
	case kindRefused:
		return fmt.Sprintf("refused: %s", c.value)
	case kindCheck:
		return "check"
	case kindDigest:
		return fmt.Sprintf("digest of member %x at %d %016x", uint64(c.number), c.term, c.granted)
	default:
		return fmt.Sprintf("feature level %d", c.number)
	}
}
