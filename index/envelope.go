package index

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// EnvelopeVersion is the format version that AppendEnvelope writes, and the only known one.
const EnvelopeVersion = 1

const envelopeFields = 7

// Envelope is the head of an entry's data: which member proposed its commands, and when.
type Envelope struct {
	Version     uint64 // of the format; AppendEnvelope writes EnvelopeVersion
	Level       uint64 // the feature level that the proposer saw
	Member      uint64 // the proposer
	Incarnation uint64 // random number of the proposer's process; it keeps a replayed envelope from answering requests
	First       uint64 // number of the first command; the others follow
	Wall        int64  // the proposer's clock, in nanoseconds since 1970
	Count       int    // number of commands; set by ReadEnvelope
	Commands    []byte // the encoded commands, one after the other; part of the input
}

// AppendEnvelope appends an envelope with commands that the Append functions have written.
func AppendEnvelope(dst []byte, e Envelope, commands [][]byte) []byte {
	bytes := 64
	for _, c := range commands {
		bytes += len(c)
	}
	dst = e.appendHead(slices.Grow(dst, bytes), len(commands))
	for _, c := range commands {
		dst = append(dst, c...)
	}
	return dst
}

func (e *Envelope) appendHead(dst []byte, commands int) []byte {
	dst = pack.AppendArray(dst, envelopeFields)
	dst = pack.AppendUint(dst, EnvelopeVersion)
	dst = pack.AppendUint(dst, e.Level)
	dst = pack.AppendUint(dst, e.Member)
	dst = pack.AppendUint(dst, e.Incarnation)
	dst = pack.AppendUint(dst, e.First)
	dst = pack.AppendInt(dst, e.Wall)
	return pack.AppendArray(dst, commands)
}

// Encode encodes an envelope that ReadEnvelope has read, with the current head fields.
func (e *Envelope) Encode() []byte {
	return append(e.appendHead(make([]byte, 0, len(e.Commands)+64), e.Count), e.Commands...)
}

// ReadEnvelope reads an envelope's head. It does not look at the commands; CheckEnvelope does.
func ReadEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	r := pack.NewExactReader(b)
	n := r.Array()
	e.Version = r.Uint()
	if r.Err() == nil && e.Version != EnvelopeVersion {
		return Envelope{}, fmt.Errorf("the batch envelope has version %d, this qkv knows %d: %w", e.Version, EnvelopeVersion, pack.ErrNewer)
	}
	if r.Err() == nil && n < envelopeFields {
		r.Fail("a batch envelope without commands")
	}
	r.Fields(n-1, envelopeFields-1) // the commands are the last field: an envelope grows by its version
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

// CheckEnvelope reads an envelope with all its commands, and returns why it must not be proposed, or nil. The error wraps
// [pack.ErrNewer] if a version, kind, level or number of fields shows that a newer qkv wrote the envelope. CheckEnvelope
// stops bad envelopes from other members: an envelope in the log is applied, or stops every member. It returns the
// envelope's change of the membership, or nil. That is the zero change, which is never proposed, for the end of an exchange.
func CheckEnvelope(b []byte) (change *kv.MemberChange, err error) {
	if len(b) > limits.EnvelopeBytes {
		return nil, fmt.Errorf("a batch envelope of %d bytes, the limit is %d", len(b), limits.EnvelopeBytes)
	}
	e, err := ReadEnvelope(b)
	if err != nil {
		return nil, err
	}
	if e.Level > MaxLevel {
		return nil, newerLevel("the batch was proposed at", e.Level)
	}
	d := decoders.Get().(*decoder)
	defer d.release()
	d.reader = pack.NewExactReader(e.Commands)
	c := &d.command
	for i := range e.Count {
		if err := c.read(&d.reader); err != nil {
			return nil, fmt.Errorf("command %d of %d: %w", i, e.Count, err)
		}
		k := &kinds[c.kind]
		if k.author != nil && k.author(c) != e.Member {
			return nil, fmt.Errorf("command %d of %d: %w: member %x reports about %x", i, e.Count, errNotOfItself, e.Member, k.author(c))
		}
		if k.membership && e.Count > 1 {
			return nil, fmt.Errorf("command %d of %d: %w", i, e.Count, errNotAlone)
		}
		if k.membership {
			change = cmp.Or(c.change, new(kv.MemberChange))
		}
	}
	if err := d.reader.Done(); err != nil {
		return nil, err
	}
	return change, nil
}

// decoder is the memory for decoding an envelope. It is recycled: the functions of the table of kinds take pointers to it, which
// would move it to the heap for each envelope.
type decoder struct {
	reader  pack.Reader
	command command
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// release recycles the decoder, which must not keep the envelope in memory.
func (d *decoder) release() {
	*d = decoder{}
	decoders.Put(d)
}

// errNotOfItself: otherwise the other members would refuse or stop a member because of a statement that it never made.
var errNotOfItself = errors.New("a member may announce only itself, and report only the digest of its own state")

// errNotAlone: such an entry would change the members of the state, but not those of raft.
var errNotAlone = errors.New("a membership change must be the only command of its entry")

// RefuseEnvelope returns a replacement for an envelope with a head that ReadEnvelope reads: the same number of commands,
// each with the error as its result. The refusal then reaches the proposing member in the same way as any other result,
// and only once.
func RefuseEnvelope(envelope []byte, why *kv.Error) []byte {
	e, err := ReadEnvelope(envelope)
	if err != nil {
		panic(fmt.Sprintf("an envelope that was accepted cannot be read: %v", err))
	}
	commands := make([][]byte, e.Count)
	one := appendRefused(nil, why)
	for i := range commands {
		commands[i] = one
	}
	e.Level = FirstLevel
	return AppendEnvelope(nil, e, commands)
}
