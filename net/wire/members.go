package wire

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// AppendMembersAnswer appends the frame that answers with the members:
//
//	[[id uint, name str, role uint, manual bool, since int, peers [str...], clients [str...], web [str...],
//	  version str, level uint, folder bin, boot uint, process bin]...]
//
// The fields are those of [kv.Member], in its order. Folder and process have 16 bytes.
func AppendMembersAnswer(dst []byte, id uint64, members []kv.Member) []byte {
	guess := MembersBytes(members)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(kv.OK))
	dst = pack.AppendArray(dst, len(members))
	for i := range members {
		dst = appendMember(dst, &members[i])
	}
	return endFrame(dst, start, guess)
}

// MembersBytes bounds what AppendMembersAnswer appends.
func MembersBytes(members []kv.Member) int {
	n := AnswerBytes
	for i := range members {
		m := &members[i]
		n += 128 + len(m.Name) + len(m.Version)
		for _, addresses := range [][]string{m.Peers, m.Clients, m.Web} {
			n += 5
			for _, a := range addresses {
				n += 5 + len(a)
			}
		}
	}
	return n
}

const recordFields = 13

func appendMember(dst []byte, m *kv.Member) []byte {
	dst = pack.AppendString(pack.AppendUint(pack.AppendArray(dst, recordFields), m.ID), m.Name)
	dst = pack.AppendInt(pack.AppendBool(pack.AppendUint(dst, uint64(m.Role)), m.Manual), m.Since)
	dst = appendStrings(appendStrings(appendStrings(dst, m.Peers), m.Clients), m.Web)
	dst = pack.AppendUint(pack.AppendString(dst, m.Version), m.Level)
	return pack.AppendBytes(pack.AppendUint(pack.AppendBytes(dst, m.Folder[:]), m.Boot), m.Process[:])
}

func appendStrings(dst []byte, all []string) []byte {
	dst = pack.AppendArray(dst, len(all))
	for _, s := range all {
		dst = pack.AppendString(dst, s)
	}
	return dst
}

// Members reads the answer to a question for the members.
func (p *Response) Members() ([]kv.Member, error) {
	r, err := p.bodyOf(1)
	if err != nil {
		return nil, err
	}
	members := readArray(&r, readRecord)
	return members, p.end(&r, 1)
}

func readRecord(r *pack.Reader) kv.Member {
	n := r.Array()
	if n < recordFields {
		r.Fail(fmt.Sprintf("a member of %d fields, of %d", n, recordFields))
		return kv.Member{}
	}
	m := kv.Member{ID: r.Uint(), Name: r.String()}
	m.Role = kv.Role(min(r.Uint(), math.MaxUint8))
	m.Manual, m.Since = r.Bool(), r.Int()
	m.Peers, m.Clients, m.Web = readArray(r, (*pack.Reader).String), readArray(r, (*pack.Reader).String), readArray(r, (*pack.Reader).String)
	m.Version, m.Level = r.String(), r.Uint()
	readFixed(r, m.Folder[:])
	m.Boot = r.Uint()
	readFixed(r, m.Process[:])
	for range n - recordFields {
		r.Skip()
	}
	return m
}

// readFixed reads bytes of which there are always as many.
func readFixed(r *pack.Reader, into []byte) {
	b := r.Bytes()
	if len(b) != len(into) {
		r.Fail(fmt.Sprintf("%d bytes where there are always %d", len(b), len(into)))
	}
	copy(into, b)
}

// CheckAddress says what is wrong with an address that others are to dial.
func CheckAddress(address string) error {
	if scheme, _, found := strings.Cut(address, "://"); found {
		return fmt.Errorf("the address %q is a URL: leave %s:// away, HOST:PORT is enough", address, scheme)
	}
	host, port, err := net.SplitHostPort(address)
	number, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || bad != nil || number == 0:
		return fmt.Errorf("the address %q is not of the form HOST:PORT", address)
	case len(address) > limits.AddressBytes:
		return fmt.Errorf("the address %.32q... has %d bytes, and may have %d", address, len(address), limits.AddressBytes)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("nobody can be reached at %s: give the address by which the others know the host", address)
	}
	return nil
}

// checkChange says what of a change can be refused without a look at the members, with what only certificates and the
// network say of names and addresses.
func checkChange(c *kv.MemberChange) *kv.Error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Kind == kv.AddLearner && (c.Name != "" || c.Instead == 0) { // who comes in another one's place says its name when it starts
		if err := CheckName(c.Name); err != nil {
			return kv.Errorf(kv.BadRequest, "no certificate can have this name: %v", err)
		}
	}
	if len(c.Peers) > limits.MemberAddresses {
		return kv.Errorf(kv.BadRequest, "%d addresses of one member: it may have %d", len(c.Peers), limits.MemberAddresses)
	}
	for _, address := range c.Peers {
		if err := CheckAddress(address); err != nil {
			return kv.Errorf(kv.BadRequest, "%v", err)
		}
	}
	return nil
}
