package peerframe

import (
	"fmt"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// JoinRequest is the question of a member that is to join: its identity in the cluster, and the other members.
type JoinRequest struct {
	Name      string   // as in its certificate
	Addresses []string // host:port, UDP, at which the other members reach it
	ID        uint64   // the id that an earlier process with the same folder was given; 0: none
	Folder    [16]byte // its data folder, to which the id is bound
}

// Welcome answers a member that was added to the cluster.
type Welcome struct {
	Cluster, ID uint64   // ID is the asking member's
	Members     []Member // including the asking member
}

// Member describes one member to a joining member.
type Member struct {
	ID        uint64
	Name      string   // empty if the member was added without a name and has not joined
	Addresses []string // host:port, UDP, at which the other members reach it
}

const (
	joinVersion   = 1
	requestFields = 5
	welcomeFields = 4
	memberFields  = 3
)

// Append appends the request's frame.
func (j *JoinRequest) Append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, requestFields), joinVersion)
	dst = pack.AppendUint(pack.AppendStrings(pack.AppendString(dst, j.Name), j.Addresses), j.ID)
	return pack.AppendBytes(dst, j.Folder[:])
}

// ReadJoinRequest reads the frame that Append wrote.
func ReadJoinRequest(b []byte) (j JoinRequest, err error) {
	r := pack.NewReader(b)
	s := r.Struct(requestFields)
	if v := r.Uint(); r.Err() == nil && v != joinVersion {
		return j, fmt.Errorf("the join request has version %d, but this member knows only %d: update the older of the two members", v, joinVersion)
	}
	j.Name = r.String()
	checkName(&r, j.Name)
	j.Addresses, j.ID = readAddresses(&r), r.Uint()
	r.Fixed(j.Folder[:])
	r.End(s)
	if err := r.Done(); err != nil {
		return JoinRequest{}, fmt.Errorf("the join request cannot be read: %w", err)
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
		dst = pack.AppendStrings(dst, m.Addresses)
	}
	return dst
}

// ReadWelcome reads the frame that Append wrote. It also skips fields that a later version appends to a member.
func ReadWelcome(b []byte) (w Welcome, err error) {
	r := pack.NewReader(b)
	s := r.Struct(welcomeFields)
	if v := r.Uint(); r.Err() == nil && v != joinVersion {
		return w, fmt.Errorf("the answer has version %d, but this member knows only %d: update the older of the two members", v, joinVersion)
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
		r.Fail("the joining member is missing from the member list")
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return Welcome{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return w, nil
}

func readMember(r *pack.Reader) (m Member) {
	s := r.Struct(memberFields)
	if m.ID = r.Uint(); r.Err() == nil && m.ID == 0 {
		r.Fail("the member ID must not be 0")
	}
	if m.Name = r.String(); m.Name != "" {
		checkName(r, m.Name)
	}
	m.Addresses = readAddresses(r)
	r.End(s)
	return m
}

func readAddresses(r *pack.Reader) []string {
	all := r.Strings()
	for _, address := range all {
		if address == "" || len(address) > limits.AddressBytes {
			r.Fail(fmt.Sprintf("an address must have 1 to %d bytes", limits.AddressBytes))
			return nil
		}
	}
	return all
}

func checkName(r *pack.Reader, name string) {
	if err := kv.CheckName(name); r.Err() == nil && err != nil {
		r.Fail(err.Error())
	}
}
