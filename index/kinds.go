package index

import (
	"bytes"
	"fmt"
	"math"

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
	kindAuth         = 16
	kindRebase       = 17
	kindBackupKey    = 18
)

// kind is the declaration of a kind of commands.
type kind struct {
	name       string
	access     kv.Access // what the user of the client must be permitted
	own        bool      // only members propose it, by themselves: no user is needed
	named      bool      // it is a client's write, which may have a write name
	membership bool      // it changes the membership, and is the only command of its entry
	level      uint64    // the feature level from which the kind may be proposed
	fields     levels    // of the body; nil: read counts them

	// read reads the fields of the body; nil: there are none.
	read func(c *command, r *pack.Reader)
	// touches lists the accesses that the user must be permitted; nil only if access is neither read nor write.
	touches func(c *command, f func(kv.Touch) bool) bool
	// author returns the only member that may propose the command; nil: every member may.
	author func(c *command) uint64
	// check returns why the limits refuse the command, the same on every member; nil: they do not.
	check func(c *command) *kv.Error
	// grows tells whether the command may make the state larger, as in etcd; nil: it does not.
	grows func(c *command) bool
	// apply changes the state.
	apply func(s *State, c *command) kv.Result
	// describe describes the command for readers of a log; nil: by its name.
	describe func(c *command) string
}

// levels are feature levels of fields. The field at i may be written from level levels[i] on. A later field has no lower level.
type levels []uint64

// kinds declares each kind once. A new kind takes a row, a drawing of its body in doc.go, and a function that appends the command.
var kinds = [...]kind{
	kindPut: {
		name: "put", access: kv.AccessWrite, named: true, level: 1, fields: levels{1, 1, 1, 1},
		read:     func(c *command, r *pack.Reader) { c.put = kv.ReadPut(r) },
		touches:  func(c *command, f func(kv.Touch) bool) bool { return c.put.Touches(f) },
		check:    func(c *command) *kv.Error { return c.put.Check(requestBounds) },
		grows:    func(*command) bool { return true },
		apply:    (*State).putAlone,
		describe: func(c *command) string { return fmt.Sprintf("put %q %d bytes", c.put.Key, len(c.put.Value)) },
	},
	kindDelete: {
		name: "delete", access: kv.AccessWrite, named: true, level: 1, fields: levels{1, 1, 1},
		read: func(c *command, r *pack.Reader) {
			c.delete = kv.Delete{Key: r.Bytes(), End: r.Bytes(), PrevKV: r.Bool()}
		},
		touches:  func(c *command, f func(kv.Touch) bool) bool { return c.delete.Touches(f) },
		check:    func(c *command) *kv.Error { return c.delete.Check(requestBounds) },
		apply:    (*State).deleteAlone,
		describe: describeDelete,
	},
	kindTxn: {
		name: "transaction", access: kv.AccessWrite, named: true, level: 1, fields: levels{1},
		read:    func(c *command, r *pack.Reader) { c.txn = kv.ReadTxn(r) },
		touches: func(c *command, f func(kv.Touch) bool) bool { return c.txn.Touches(f) },
		grows:   func(c *command) bool { return c.txn.Puts() },
		apply:   func(s *State, c *command) kv.Result { return s.txn(c.txn) },
		describe: func(c *command) string {
			return fmt.Sprintf("transaction of %d comparisons, %d operations or else %d", len(c.txn.Compares), len(c.txn.Success), len(c.txn.Failure))
		},
	},
	kindCompact: {
		name: "compaction", access: kv.AccessAdmin, named: true, level: 1, fields: levels{1},
		read:     func(c *command, r *pack.Reader) { c.revision = r.Int() },
		apply:    func(s *State, c *command) kv.Result { return s.compact(c.revision) },
		describe: func(c *command) string { return fmt.Sprintf("compact to revision %d", c.revision) },
	},

	kindGrant: {
		name: "grant of a lease", access: kv.AccessNone, named: true, level: 1, fields: levels{1, 1},
		read:  func(c *command, r *pack.Reader) { c.lease = kv.Lease{ID: r.Int(), TTL: r.Int()} },
		check: func(c *command) *kv.Error { return c.lease.Check() },
		grows: func(*command) bool { return true },
		apply: func(s *State, c *command) kv.Result { return s.grant(c.lease) },
		describe: func(c *command) string {
			return fmt.Sprintf("grant lease %016x of %d s", uint64(c.lease.ID), c.lease.TTL)
		},
	},
	kindRevoke: {
		name: "revocation of a lease", access: kv.AccessWrite, named: true, level: 1, fields: levels{1, 1, 1},
		read: func(c *command, r *pack.Reader) { c.lease.ID, c.term, c.lease.Granted = r.Int(), r.Uint(), r.Uint() },
		touches: func(c *command, f func(kv.Touch) bool) bool { // no lease has the id 0
			return c.lease.ID == 0 || f(kv.Touch{Lease: c.lease.ID, Write: true})
		},
		apply:    func(s *State, c *command) kv.Result { return s.revoke(c.lease.ID, c.term, c.lease.Granted) },
		describe: func(c *command) string { return fmt.Sprintf("revoke lease %016x", uint64(c.lease.ID)) },
	},
	kindCheckpoint: {
		name: "checkpoint of leases", own: true, level: 1, fields: levels{1, 1},
		read:     readCheckpoint,
		apply:    func(s *State, c *command) kv.Result { return s.leases.checkpoint(c.left, c.term) },
		describe: func(c *command) string { return fmt.Sprintf("checkpoint of %d leases", len(c.left)) },
	},

	kindAnnounce: {
		name: "announcement", own: true, level: 1,
		read:   func(c *command, r *pack.Reader) { c.announced = new(kv.ReadMember(r)) },
		author: func(c *command) uint64 { return c.announced.ID },
		check:  checkMemberBytes,
		apply:  func(s *State, c *command) kv.Result { return s.changeMembers(s.members.Announce(c.announced)) },
		describe: func(c *command) string {
			return fmt.Sprintf("announce %s, version %s, boot %d", c.announced.Name, c.announced.Version, c.announced.Boot)
		},
	},
	kindMember: {
		name: "membership change", access: kv.AccessAdmin, membership: true, level: 1, fields: levels{1, 1, 1, 1, 1, 1, 1},
		read:     func(c *command, r *pack.Reader) { c.change = new(kv.ReadMemberChange(r)) },
		check:    checkMemberBytes,
		apply:    (*State).changeConfiguration,
		describe: func(c *command) string { return c.change.String() },
	},
	kindEndExchange: {name: "end the exchange of members", own: true, membership: true, level: 1, fields: levels{}, apply: (*State).changeConfiguration},

	kindRebase: {
		name: "new base", own: true, level: 1, fields: levels{1},
		read:     func(c *command, r *pack.Reader) { c.revision = r.Int() },
		apply:    func(s *State, c *command) kv.Result { return s.rebase(c.revision) },
		describe: func(c *command) string { return fmt.Sprintf("make revision %d the base", c.revision) },
	},

	kindBackupKey: {
		name: "key of backups", own: true, level: 1, fields: levels{1},
		read: func(c *command, r *pack.Reader) { c.backupKey = r.Bytes() },
		check: func(c *command) *kv.Error {
			if n := len(c.backupKey); n != kv.BackupKeyBytes {
				return kv.Errorf(kv.BadRequest, "the key of backups has %d bytes, and needs %d", n, kv.BackupKeyBytes)
			}
			return nil
		},
		apply: func(s *State, c *command) kv.Result {
			if len(s.backupKey) == 0 {
				s.backupKey = bytes.Clone(c.backupKey)
			}
			return kv.Result{Revision: s.revision}
		},
		describe: func(*command) string { return "key of the names in encrypted backups" },
	},
	kindAlarm: {
		name: "change of an alarm", access: kv.AccessAdmin, level: 1, fields: levels{1, 1, 1},
		read: func(c *command, r *pack.Reader) {
			c.alarm = &kv.AlarmChange{Raise: r.Bool(), Member: r.Uint(), Name: kv.AlarmName(r.String())}
		},
		check:    func(c *command) *kv.Error { return c.alarm.Check() },
		apply:    func(s *State, c *command) kv.Result { return s.changeAlarm(*c.alarm) },
		describe: func(c *command) string { return c.alarm.String() },
	},
	kindFeatureLevel: {
		name: "feature level", own: true, level: 1, fields: levels{1},
		read:     func(c *command, r *pack.Reader) { c.level = r.Uint() },
		check:    func(c *command) *kv.Error { return checkLevel(c.level) },
		apply:    (*State).raiseLevel,
		describe: func(c *command) string { return fmt.Sprintf("feature level %d", c.level) },
	},
	kindRefused: {
		name: "refused command", own: true, level: 1, fields: levels{1, 1},
		read:     readRefused,
		apply:    func(s *State, c *command) kv.Result { return s.refused(c.refused) },
		describe: func(c *command) string { return fmt.Sprintf("refused: %s", c.refused.Message) },
	},
	kindCheck: {
		name: "check", own: true, level: 1, fields: levels{},
		apply: func(s *State, _ *command) kv.Result {
			s.check = check{entry: s.applied + 1}
			return kv.Result{Revision: s.revision}
		},
	},
	kindDigest: {
		name: "digest", own: true, level: 1, fields: levels{1, 1, 1},
		read: func(c *command, r *pack.Reader) {
			c.digest = &digestReport{member: r.Uint(), entry: r.Uint(), digest: r.Uint()}
		},
		author: func(c *command) uint64 { return c.digest.member },
		apply:  func(s *State, c *command) kv.Result { return s.noteDigest(c.digest) },
		describe: func(c *command) string {
			return fmt.Sprintf("digest of member %x at %d %016x", c.digest.member, c.digest.entry, c.digest.digest)
		},
	},
	kindAuth: {
		name: "change of users", access: kv.AccessAdmin, named: true, level: 1, fields: levels{1, 1, 1, 1, 1, 1, 1, 1, 1},
		read:     func(c *command, r *pack.Reader) { c.authChange = new(kv.ReadAuthChange(r)) },
		check:    func(c *command) *kv.Error { return c.authChange.Check(requestBounds) },
		apply:    func(s *State, c *command) kv.Result { return s.accounts.apply(c) },
		describe: func(c *command) string { return c.authChange.String() },
	},
}

func declared(number uint64) bool { return number < uint64(len(kinds)) && kinds[number].apply != nil }

func readCheckpoint(c *command, r *pack.Reader) {
	c.term = r.Uint()
	n := r.Array()
	if n > limits.LeaseCheckpoints {
		r.Fail("a checkpoint of more leases than one may have")
		return
	}
	for range n {
		s := r.Struct(leftFields)
		c.left = append(c.left, kv.Lease{ID: r.Int(), Remaining: r.Int(), Granted: r.Uint()})
		r.End(s)
	}
}

func readRefused(c *command, r *pack.Reader) {
	code, message := r.Uint(), r.String()
	if code > math.MaxUint8 {
		r.Fail("a code of more than 8 bits")
	}
	c.refused = &kv.Error{Code: kv.Code(code), Message: message}
}

// memberBytes bounds the description of a member in one command, with all its addresses. It is part of feature level 1.
const memberBytes = 16 << 10

func checkMemberBytes(c *command) *kv.Error {
	if c.size > memberBytes {
		return kv.Errorf(kv.BadRequest, "%d bytes about members, the limit is %d", c.size, memberBytes)
	}
	return nil
}

func checkLevel(level uint64) *kv.Error {
	if level < FirstLevel {
		return kv.Errorf(kv.FeatureLevel, "there is no feature level %d, the first one is %d", level, FirstLevel)
	}
	return nil
}

func describeDelete(c *command) string {
	if len(c.delete.End) > 0 {
		return fmt.Sprintf("delete from %q to %q", c.delete.Key, c.delete.End)
	}
	return fmt.Sprintf("delete %q", c.delete.Key)
}
