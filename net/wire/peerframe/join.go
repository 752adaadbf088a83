package peerframe

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// JoinRequest is the question of a member that is to join: who it is in the cluster, and who else is.
type JoinRequest struct {
	Name      string   // as in its certificate
	Addresses []string // host:port, UDP, at which the others reach it
	ID        uint64   // what an earlier process of it was told, whose folder it has; 0: none was
}

// Welcome answers a member that was added to the cluster.
type Welcome struct {
	Cluster, ID uint64   // ID is the asking member's
	Members     []Member // with the asking one
}

// Member is what a joiner is told of one member.
type Member struct {
	ID        uint64
	Name      string   // empty of one that was added without, and has not joined
	Addresses []string // host:port, UDP, at which the others reach it
}

const (
	joinVersion   = 1
	requestFields = 4
	welcomeFields = 4
	memberFields  = 3
)

// Append appends the request's frame.
func (j *JoinRequest) Append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, requestFields), joinVersion)
	return pack.AppendUint(appendAddresses(pack.AppendString(dst, j.Name), j.Addresses), j.ID)
}

func appendAddresses(dst []byte, all []string) []byte {
	dst = pack.AppendArray(dst, len(all))
	for _, a := range all {
		dst = pack.AppendString(dst, a)
	}
	return dst
}

// ReadJoinRequest reads what Append wrote.
func ReadJoinRequest(b []byte) (j JoinRequest, err error) {
	r := pack.NewReader(b)
	more := r.ArrayFrom(requestFields)
	if v := r.Uint(); r.Err() == nil && v != joinVersion {
		return j, fmt.Errorf("its request to join has version %d, and this member knows %d: update the older of the two", v, joinVersion)
	}
	if j.Name = r.String(); r.Err() == nil && j.Name == "" {
		r.Fail("a member that joins has a name")
	}
	checkName(&r, j.Name)
	j.Addresses, j.ID = readAddresses(&r), r.Uint()
	for range more {
		r.Skip()
	}
	if err := r.Done(); err != nil {
		return JoinRequest{}, fmt.Errorf("its request to join cannot be read: %w", err)
	}
	return j, nil
}

// Append appends the answer's frame.
func (w *Welcome) Append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, welcomeFields), joinVersion)
	dst = pack.AppendUint(pack.AppendUint(dst, w.Cluster), w.ID)
	dst = pack.AppendArray(dst, len(w.Members))
	for _, m := range w.Members {
		dst = pack.AppendUint(pack.AppendArray(dst, memberFields), m.ID)
		dst = pack.AppendString(dst, m.Name)
		dst = appendAddresses(dst, m.Addresses)
	}
	return dst
}

// ReadWelcome reads what Append wrote. Fields that a later version adds behind those of a member are skipped, too.
func ReadWelcome(b []byte) (w Welcome, err error) {
	r := pack.NewReader(b)
	more := r.ArrayFrom(welcomeFields)
	if v := r.Uint(); r.Err() == nil && v != joinVersion {
		return w, fmt.Errorf("its answer has version %d, and this qkv knows %d: update the older of the two", v, joinVersion)
	}
	w.Cluster, w.ID = r.Uint(), r.Uint()
	found := false
	for range r.Array() {
		m := readMember(&r)
		if r.Err() != nil {
			break
		}
		found = found || m.ID == w.ID
		w.Members = append(w.Members, m)
	}
	if r.Err() == nil && !found {
		r.Fail("the member that is welcome is not among the members")
	}
	for range more {
		r.Skip()
	}
	if err := r.Done(); err != nil {
		return Welcome{}, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return w, nil
}

func readMember(r *pack.Reader) (m Member) {
	more := r.ArrayFrom(memberFields)
	if m.ID = r.Uint(); r.Err() == nil && m.ID == 0 {
		r.Fail("no member has the id 0")
	}
	m.Name = r.String()
	checkName(r, m.Name)
	m.Addresses = readAddresses(r)
	for range more {
		r.Skip()
	}
	return m
}

func readAddresses(r *pack.Reader) (all []string) {
	for range r.Array() {
		address := r.String()
		if r.Err() == nil && (address == "" || len(address) > limits.AddressBytes) {
			r.Fail(fmt.Sprintf("an address has 1 to %d bytes", limits.AddressBytes))
		}
		if r.Err() != nil {
			return nil
		}
		all = append(all, address)
	}
	return all
}

func checkName(r *pack.Reader, name string) {
	if r.Err() == nil && len(name) > limits.NameBytes {
		r.Fail(fmt.Sprintf("a name has at most %d bytes", limits.NameBytes))
	}
}
