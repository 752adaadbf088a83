package peerframe

import (
	"cmp"
	"errors"
	"fmt"

	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/limits"
)

// JoinRequest is the question of a member that is to join: its identity in the cluster, and the other members.
type JoinRequest struct {
	Name      string   `msgpack:"n"` // as in its certificate
	Addresses []string `msgpack:"a"` // host:port, UDP, at which the other members reach it
	ID        uint64   `msgpack:"i"` // the id that an earlier process with the same folder was given; 0: none
	// its data folder, to which the id is bound; the answer comes once the log has bound it
	Folder [16]byte `msgpack:"f"`
}

// Welcome answers a member that was added to the cluster.
type Welcome struct {
	Cluster uint64      `msgpack:"c"`
	ID      uint64      `msgpack:"i"` // the asking member's
	Members []kv.Member `msgpack:"m"` // ID, Name, Peers; including the asking member
}

// Own returns the record of the asking member; nil if it is missing.
func (w *Welcome) Own() *kv.Member {
	for i := range w.Members {
		if w.Members[i].ID == w.ID {
			return &w.Members[i]
		}
	}
	return nil
}

// ReadJoinRequest reads the frame of a JoinRequest.
func ReadJoinRequest(b []byte) (j JoinRequest, err error) {
	if err = codec.Read(b, &j); err == nil {
		err = cmp.Or(kv.CheckName(j.Name), checkAddresses(j.Addresses))
	}
	if err != nil {
		return JoinRequest{}, fmt.Errorf("the join request cannot be read: %w", err)
	}
	return j, nil
}

// ReadWelcome reads the frame of a Welcome.
func ReadWelcome(b []byte) (w Welcome, err error) {
	if err = codec.Read(b, &w); err == nil && w.Own() == nil {
		err = errors.New("the joining member is missing from the member list")
	}
	for i := range w.Members {
		m := &w.Members[i]
		if m.ID == 0 {
			err = cmp.Or(err, errors.New("the member ID must not be 0"))
		}
		if m.Name != "" {
			err = cmp.Or(err, kv.CheckName(m.Name))
		}
		err = cmp.Or(err, checkAddresses(m.Peers))
	}
	if err != nil {
		return Welcome{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return w, nil
}

func checkAddresses(all []string) error {
	for _, address := range all {
		if address == "" || len(address) > limits.AddressBytes {
			return fmt.Errorf("an address must have 1 to %d bytes", limits.AddressBytes)
		}
	}
	return nil
}
