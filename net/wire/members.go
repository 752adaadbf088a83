package wire

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// AppendMembersAnswer appends the frame that answers with the members:
//
//	[member...]        drawn in kv/codec.go
func AppendMembersAnswer(dst []byte, id uint64, members []kv.Member) []byte {
	guess := MembersBytes(members)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(kv.OK))
	dst = pack.AppendArray(dst, len(members))
	for i := range members {
		dst = kv.AppendMember(dst, &members[i])
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

// Members reads the answer to a request for the members.
func (p *Response) Members() ([]kv.Member, error) {
	r, s := p.body(1, 1)
	members := readArray(&r, kv.ReadMember)
	return members, p.end(&r, s)
}

// CheckAddress returns an error if other members or clients cannot dial an address.
func CheckAddress(address string) error {
	if scheme, _, found := strings.Cut(address, "://"); found {
		return fmt.Errorf("the address %q is a URL: leave out %s://, HOST:PORT is enough", address, scheme)
	}
	host, port, err := net.SplitHostPort(address)
	number, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || bad != nil || number == 0:
		return fmt.Errorf("the address %q is not of the form HOST:PORT", address)
	case len(address) > limits.AddressBytes:
		return fmt.Errorf("the address %.32q... has %d bytes, over the limit of %d", address, len(address), limits.AddressBytes)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("no member can be reached at %s: give the address of the host that the other members use", address)
	}
	return nil
}

// checkChange refuses a change that is invalid whatever the members are. It includes the rules of certificates and of the network
// for names and addresses.
func checkChange(c *kv.MemberChange) *kv.Error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Kind == kv.AddLearner && (c.Name != "" || c.Instead == 0) { // a replacement member reports its name when it starts
		if err := kv.CheckName(c.Name); err != nil {
			return kv.Errorf(kv.BadRequest, "the member was not added: %v", err)
		}
	}
	if len(c.Peers) > limits.MemberAddresses {
		return kv.Errorf(kv.BadRequest, "%d addresses of one member: the limit is %d", len(c.Peers), limits.MemberAddresses)
	}
	for _, address := range c.Peers {
		if err := CheckAddress(address); err != nil {
			return kv.Errorf(kv.BadRequest, "%v", err)
		}
	}
	return nil
}
