package wire

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"qkv/index/kv"
	"qkv/internal/limits"
)

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
	// a replacement member reports its name when it starts
	if c.Kind == kv.AddLearner && (c.Name != "" || c.Instead == 0) {
		if err := kv.CheckName(c.Name); err != nil {
			return kv.Errorf(kv.BadRequest, "the member was not added: %v", err)
		}
	}
	for _, address := range c.Peers {
		if err := CheckAddress(address); err != nil {
			return kv.Errorf(kv.BadRequest, "%v", err)
		}
	}
	return nil
}
