package index

import (
	"fmt"
	"math"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The kinds of commands. A number is never used again for something else.
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

// kindLevels are the feature levels from which on commands may be proposed.
var kindLevels = [kinds]uint64{
	kindPut: FirstLevel, kindDelete: FirstLevel, kindAnnounce: FirstLevel, kindFeatureLevel: FirstLevel,
	kindRefused: FirstLevel, kindCheck: FirstLevel, kindDigest: FirstLevel, kindMember: FirstLevel, kindEndExchange: FirstLevel,
	kindTxn: FirstLevel, kindCompact: FirstLevel, kindGrant: FirstLevel, kindRevoke: FirstLevel, kindCheckpoint: FirstLevel,
	kindAlarm: FirstLevel, kindFollow: FirstLevel,
}

// inSessions are the kinds that may have a session: what a client writes.
var inSessions = [kinds]bool{kindPut: true, kindDelete: true, kindTxn: true, kindCompact: true, kindGrant: true, kindRevoke: true}

const (
	// FirstLevel is the feature level of a new cluster, MaxLevel the newest one that this qkv knows.
	FirstLevel = 1
	MaxLevel   = 1

	commandVersion = 1
	commandFields  = 7
	putFields      = 4
	deleteFields   = 2
	levelFields    = 1
	refusedFields  = 2
	digestFields   = 3
	txnFields      = 2
	compactFields  = 1
	grantFields    = 2
	revokeFields   = 3
	onceFields     = 3
	alarmFields    = 3
)

// Grows tells whether a command may make the state larger: a put, a lease, or a transaction in which there is a put, as etcd has it on
// whichever way. Deletions do
// not, nor does what members write about themselves.
func Grows(b []byte) bool {
	r := pack.NewReader(b)
	r.Array()
	switch r.Uint() {
	case kindPut, kindGrant, kindTxn:
		r = pack.NewReader(b)
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
	return len(command) > 1 && command[0] == 0x90|commandFields && command[1] == kindMember
}

// ChangeIn returns the change of the membership that an envelope's only command makes.
func ChangeIn(envelope []byte) (*kv.MemberChange, error) {
	e, err := ReadEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	r := pack.NewReader(e.Commands)
	var c command
	if err := c.read(&r); err != nil {
		return nil, err
	}
	if c.kind != kindMember || e.Count != 1 {
		return nil, fmt.Errorf("%d commands, the first of kind %d", e.Count, c.kind)
	}
	return &c.member.change, r.Done()
}

// Head is what a command says of who wrote it. The zero Head is nobody's.
type Head struct{ Once kv.SessionWrite }

// append appends all that stands before a command's body. Principal and auth revision are empty until they exist.
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

// AppendPut appends the command that sets a key.
func (h *Head) AppendPut(dst []byte, p *kv.Put) []byte {
	return kv.AppendPut(pack.AppendArray(h.append(dst, kindPut), putFields), p)
}

// AppendTxn appends the command of a transaction, which must pass its Check.
func (h *Head) AppendTxn(dst []byte, t *kv.Txn) []byte {
	dst = pack.AppendArray(h.append(dst, kindTxn), txnFields)
	return kv.AppendTxn(pack.AppendBytes(dst, nil), t)
}

// AppendCompact appends the command that gives up what is older than a revision.
func (h *Head) AppendCompact(dst []byte, revision int64) []byte {
	return pack.AppendInt(pack.AppendArray(h.append(dst, kindCompact), compactFields), revision)
}

// AppendDelete appends the command that deletes the key, or with an end all keys from key up to it; the end "\0"
// means that there is none.
func (h *Head) AppendDelete(dst []byte, key, end []byte) []byte {
	dst = pack.AppendArray(h.append(dst, kindDelete), deleteFields)
	dst = pack.AppendBytes(dst, key)
	return pack.AppendBytes(dst, end)
}

// AppendGrant appends the command that grants a lease, which must pass its Check.
func (h *Head) AppendGrant(dst []byte, l kv.Lease) []byte {
	dst = pack.AppendArray(h.append(dst, kindGrant), grantFields)
	return pack.AppendInt(pack.AppendInt(dst, l.ID), l.TTL)
}

// AppendRevoke appends the command with which a client ends a lease.
func (h *Head) AppendRevoke(dst []byte, lease int64) []byte {
	return appendRevoke(h.append(dst, kindRevoke), lease, 0, 0)
}

func appendRevoke(dst []byte, lease int64, term, granted uint64) []byte {
	dst = pack.AppendInt(pack.AppendArray(dst, revokeFields), lease)
	return pack.AppendUint(pack.AppendUint(dst, term), granted)
}

// AppendPut is [Head.AppendPut] of nobody.
func AppendPut(dst []byte, p *kv.Put) []byte { return new(Head).AppendPut(dst, p) }

// AppendTxn is [Head.AppendTxn] of nobody.
func AppendTxn(dst []byte, t *kv.Txn) []byte { return new(Head).AppendTxn(dst, t) }

// AppendCompact is [Head.AppendCompact] of nobody.
func AppendCompact(dst []byte, revision int64) []byte { return new(Head).AppendCompact(dst, revision) }

// AppendDelete is [Head.AppendDelete] of nobody.
func AppendDelete(dst []byte, key, end []byte) []byte { return new(Head).AppendDelete(dst, key, end) }

// AppendAnnounce appends the command that makes all members remember what one says of itself.
func AppendAnnounce(dst []byte, m *kv.Member) []byte {
	return appendCold(appendHead(dst, kindAnnounce), m)
}

// AppendMemberChange appends the command that changes who is a member.
func AppendMemberChange(dst []byte, c *kv.MemberChange) []byte {
	return appendCold(appendHead(dst, kindMember), c)
}

// AppendEndExchange appends the command that ends a joint configuration. Nobody proposes it: raft's leader puts an entry
// of its own into the log, which says the same.
func AppendEndExchange(dst []byte) []byte {
	return pack.AppendArray(appendHead(dst, kindEndExchange), 0)
}

// AppendGrant is [Head.AppendGrant] of nobody.
func AppendGrant(dst []byte, l kv.Lease) []byte { return new(Head).AppendGrant(dst, l) }

// AppendRevoke appends the command that ends a lease. One that a leader's clock has decided has that leader's term, and
// has no effect in another one, nor on another lease than the one that was granted by an entry; a client's has 0 for both.
func AppendRevoke(dst []byte, lease int64, term, granted uint64) []byte {
	return appendRevoke(appendHead(dst, kindRevoke), lease, term, granted)
}

// AppendCheckpoint appends the command that notes what is left of leases, at most limits.LeaseCheckpoints, by the clock of
// the leader of a term.
func AppendCheckpoint(dst []byte, left []kv.Lease, term uint64) []byte {
	dst = pack.AppendUint(pack.AppendArray(appendHead(dst, kindCheckpoint), 1+3*len(left)), term)
	for _, l := range left {
		dst = pack.AppendUint(pack.AppendInt(pack.AppendInt(dst, l.ID), l.Remaining), l.Granted)
	}
	return dst
}

// AppendAlarm appends the command that raises an alarm or disarms some, which must pass its Check.
func AppendAlarm(dst []byte, c kv.AlarmChange) []byte {
	dst = pack.AppendBool(pack.AppendArray(appendHead(dst, kindAlarm), alarmFields), c.Raise)
	return pack.AppendUint(pack.AppendUint(dst, c.Member), uint64(c.Kind))
}

// AppendFeatureLevel appends the command that raises the cluster's feature level. What it means is known from the first
// version on, so that a member that knows less stops with a message.
func AppendFeatureLevel(dst []byte, level uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindFeatureLevel), levelFields)
	return pack.AppendUint(dst, level)
}

// appendRefused appends a command that stands for one that its leader has refused.
func appendRefused(dst []byte, err *kv.Error) []byte {
	dst = pack.AppendArray(appendHead(dst, kindRefused), refusedFields)
	return pack.AppendString(pack.AppendUint(dst, uint64(err.Code)), err.Message)
}

// AppendCheck appends the command that makes the members compare their states behind the entry that holds it.
func AppendCheck(dst []byte) []byte { return pack.AppendArray(appendHead(dst, kindCheck), 0) }

// AppendDigest appends the command that says which digest a member has behind the entry of a check.
func AppendDigest(dst []byte, member, entry, digest uint64) []byte {
	dst = pack.AppendArray(appendHead(dst, kindDigest), digestFields)
	return pack.AppendUint(pack.AppendUint(pack.AppendUint(dst, member), entry), digest)
}

// command is a decoded command. Its slices are parts of what it was read from.
type command struct {
	kind    uint64
	once    kv.SessionWrite
	key     []byte
	value   []byte // of a put; the end of a delete; why it was refused; a digest as it was written
	number  int64  // the lease of a put; the level; the code of a refusal; the member of an announcement or digest; a revision; a lease's id
	hash    uint64 // of the key, filled in when it is applied
	member  *memberCommand
	txn     *kv.Txn
	left    []kv.Lease // of a checkpoint
	term    uint64     // of a revocation or checkpoint
	granted uint64     // of a revocation
	ttl     int64      // of a grant
	alarm   *kv.AlarmChange
	follow  *follow

	keepValue, keepLease bool // of a put
}

// memberCommand is what a command says of members.
type memberCommand struct {
	announced kv.Member
	change    kv.MemberChange
	size      int64 // of either, in bytes
}

// read reads the next command. An error means that this qkv does not know what it says.
func (c *command) read(r *pack.Reader) error {
	*c = command{}
	n := r.Array()
	c.kind = r.Uint()
	version := r.Uint()
	if r.Err() == nil && (c.kind == 0 || c.kind >= kinds) {
		return fmt.Errorf("the command's kind %d is not known: it was written by a newer qkv, upgrade this member", c.kind)
	}
	if r.Err() == nil && version != commandVersion {
		return fmt.Errorf("the command of kind %d has version %d, this qkv knows %d: upgrade this member", c.kind, version, commandVersion)
	}
	if r.Err() == nil && n != commandFields {
		r.Fail("a command of another number of fields")
	}
	c.readHead(r)
	if err := c.readBody(r); err != nil {
		return err
	}
	if r.Err() != nil {
		return fmt.Errorf("read command of kind %d: %w", c.kind, r.Err())
	}
	return nil
}

// readBody reads what a command's kind has behind its head.
func (c *command) readBody(r *pack.Reader) error {
	switch c.kind {
	case kindPut:
		r.ArrayOf(putFields)
		p := kv.ReadPut(r)
		c.key, c.value, c.number = p.Key, p.Value, p.Lease
		c.keepValue, c.keepLease = p.IgnoreValue, p.IgnoreLease
	case kindDelete:
		r.ArrayOf(deleteFields)
		c.key, c.value = r.Bytes(), r.Bytes()
	case kindAnnounce:
		c.member = &memberCommand{}
		c.member.size = readCold(r, &c.member.announced)
		c.number = int64(c.member.announced.ID)
	case kindMember:
		c.member = &memberCommand{}
		c.member.size = readCold(r, &c.member.change)
	case kindEndExchange:
		r.ArrayOf(0)
	case kindTxn:
		r.ArrayOf(txnFields)
		if len(r.Bytes()) > 0 {
			r.Fail("a verdict of its origin, which this qkv does not know")
		}
		c.txn = kv.ReadTxn(r)
	case kindCompact:
		r.ArrayOf(compactFields)
		c.number = r.Int()
	case kindGrant:
		r.ArrayOf(grantFields)
		c.number, c.ttl = r.Int(), r.Int()
	case kindRevoke:
		r.ArrayOf(revokeFields)
		c.number, c.term, c.granted = r.Int(), r.Uint(), r.Uint()
	case kindCheckpoint:
		n := r.Array()
		if n%3 != 1 || n > 1+3*limits.LeaseCheckpoints {
			r.Fail("a checkpoint of another number of fields")
			break
		}
		c.term = r.Uint()
		for range n / 3 {
			c.left = append(c.left, kv.Lease{ID: r.Int(), Remaining: r.Int(), Granted: r.Uint()})
		}
	case kindAlarm:
		r.ArrayOf(alarmFields)
		c.alarm = &kv.AlarmChange{Raise: r.Bool(), Alarm: kv.Alarm{Member: r.Uint(), Kind: kv.AlarmKind(min(r.Uint(), math.MaxUint8))}}
	case kindFollow:
		c.follow = readFollow(r)
	case kindFeatureLevel:
		r.ArrayOf(levelFields)
		level := r.Uint()
		if level > MaxLevel {
			return fmt.Errorf("the cluster goes on to feature level %d, this qkv knows %d: upgrade this member", level, MaxLevel)
		}
		c.number = int64(level)
	case kindRefused:
		r.ArrayOf(refusedFields)
		code, message := r.Uint(), r.String()
		if code > math.MaxUint8 {
			r.Fail("a code of more than 8 bits")
		}
		c.number, c.value = int64(code), []byte(message)
	case kindCheck:
		r.ArrayOf(0)
	case kindDigest:
		before := r.Rest()
		member, _, _ := readDigest(r)
		c.number, c.value = int64(member), before[:len(before)-len(r.Rest())]
	}
	return nil
}

// readHead reads principal, auth revision, session and sequence. The first two have a meaning for what a command may do, so
// that one that is set is not ignored.
func (c *command) readHead(r *pack.Reader) {
	b := r.Rest()
	if len(b) >= 4 && b[0] == 0xa0 && b[1]|b[2]|b[3] == 0 {
		*r = pack.NewReader(b[4:])
		return
	}
	if len(b) < 2 || b[0] != 0xa0 || b[1] != 0 {
		if r.Err() == nil {
			r.Fail("a principal or auth revision, which this qkv does not know")
		}
		return
	}
	*r = pack.NewReader(b[2:])
	r.ArrayOf(onceFields)
	w := &c.once
	w.Session, w.Window, w.Opened = r.Uint(), r.Uint(), r.Int()
	w.Sequence = r.Uint()
	if r.Err() == nil && (w.Session == 0 || c.kind < kinds && !inSessions[c.kind]) {
		r.Fail(fmt.Sprintf("a command of kind %d in session %016x", c.kind, w.Session))
	}
}

func readDigest(r *pack.Reader) (member, entry, digest uint64) {
	r.ArrayOf(digestFields)
	return r.Uint(), r.Uint(), r.Uint()
}

// refusal is why a command is refused by the limits, the same on every member. Both the proposer and the state ask.
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

// CheckLevel says why a command may not be proposed while the cluster is at a feature level, or nil. Of a command it
// reads the kind only: whoever makes one keeps to the limits.
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

// Describe says in words what a batch envelope holds, for those who look into a log: the commands, each with its key.
// What cannot be read is said too.
func Describe(envelope []byte) string {
	if len(envelope) == 0 {
		return "nothing" // raft's own
	}
	e, err := ReadEnvelope(envelope)
	if err != nil {
		return err.Error()
	}
	r := pack.NewReader(e.Commands)
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
		r := pack.NewReader(c.value)
		member, entry, digest := readDigest(&r)
		return fmt.Sprintf("digest of member %x at %d %016x", member, entry, digest)
	default:
		return fmt.Sprintf("feature level %d", c.number)
	}
}
