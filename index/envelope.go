package index

import (
	"errors"
	"fmt"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// EnvelopeVersion is the format version that AppendEnvelope writes, and the only one that is known.
const EnvelopeVersion = 1

const envelopeFields = 7

// Envelope is the head of an entry's data: who proposed its commands, and when.
type Envelope struct {
	Version     uint64 // of the format; AppendEnvelope writes EnvelopeVersion
	Level       uint64 // the feature level that the proposer saw
	Member      uint64 // origin
	Incarnation uint64 // random, of the origin's process: a replayed envelope answers nobody
	First       uint64 // number of the first command; the others follow
	Wall        int64  // the proposer's clock, in nanoseconds since 1970
	Count       int    // commands; filled in by ReadEnvelope
	Commands    []byte // the commands one after the other, a part of what was read
}

// AppendEnvelope appends an envelope with commands, each written by one of the Append functions.
func AppendEnvelope(dst []byte, e Envelope, commands [][]byte) []byte {
	dst = pack.AppendArray(dst, envelopeFields)
	dst = pack.AppendUint(dst, EnvelopeVersion)
	dst = pack.AppendUint(dst, e.Level)
	dst = pack.AppendUint(dst, e.Member)
	dst = pack.AppendUint(dst, e.Incarnation)
	dst = pack.AppendUint(dst, e.First)
	dst = pack.AppendInt(dst, e.Wall)
	dst = pack.AppendArray(dst, len(commands))
	for _, c := range commands {
		dst = append(dst, c...)
	}
	return dst
}

// ReadEnvelope reads an envelope's head. The commands are not looked at; CheckEnvelope does that.
func ReadEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	r := pack.NewReader(b)
	n := r.Array()
	e.Version = r.Uint()
	if r.Err() == nil && e.Version != EnvelopeVersion {
		return Envelope{}, fmt.Errorf("the batch envelope has version %d, this qkv knows %d: it was written by a newer one, upgrade this member",
			e.Version, EnvelopeVersion)
	}
	if r.Err() == nil && n != envelopeFields {
		r.Fail("a batch envelope of another number of fields")
	}
	e.Level = r.Uint()
	e.Member = r.Uint()
	e.Incarnation = r.Uint()
	e.First = r.Uint()
	e.Wall = r.Int()
	e.Count = r.Array()
	if r.Err() != nil {
		return Envelope{}, fmt.Errorf("read batch envelope: %w", r.Err())
	}
	e.Commands = r.Rest()
	return e, nil
}

// CheckEnvelope reads a whole envelope with its commands, and says why it must not be proposed. It is what holds
// back an envelope that another member has sent: what is once in the log is applied, or stops every member.
func CheckEnvelope(b []byte) error {
	if len(b) > limits.EnvelopeBytes {
		return fmt.Errorf("a batch envelope of %d bytes, the limit is %d", len(b), limits.EnvelopeBytes)
	}
	e, err := ReadEnvelope(b)
	if err != nil {
		return err
	}
	if e.Level > MaxLevel {
		return fmt.Errorf("the batch was proposed at feature level %d, this qkv knows %d", e.Level, MaxLevel)
	}
	r := pack.NewReader(e.Commands)
	var c command
	for i := range e.Count {
		if err := c.read(&r); err != nil {
			return fmt.Errorf("command %d of %d: %w", i, e.Count, err)
		}
		if (c.kind == kindAnnounce || c.kind == kindDigest) && uint64(c.number) != e.Member {
			return fmt.Errorf("command %d of %d: %w: member %x speaks of %x", i, e.Count, errNotOfItself, e.Member, uint64(c.number))
		}
	}
	return r.Done()
}

// errNotOfItself: others would refuse a member, or stop it, for what it never said.
var errNotOfItself = errors.New("a member announces itself and says the digest of its own state, never another one's")

// RefuseEnvelope returns an envelope in place of one that CheckEnvelope refuses: as many commands, each of which has the
// error as its result. So a refusal goes the way of all results, to the member that proposed, and only once.
func RefuseEnvelope(e Envelope, why *kv.Error) []byte {
	commands := make([][]byte, e.Count)
	one := appendRefused(nil, why)
	for i := range commands {
		commands[i] = one
	}
	e.Level = FirstLevel
	return AppendEnvelope(nil, e, commands)
}
