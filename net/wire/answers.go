package wire

import "qkv/index/kv"

// UserBytes is the approximate size of a user in an answer.
func UserBytes(u *kv.User) int {
	n := 32 + len(u.Name)
	for _, role := range u.Roles {
		n += 5 + len(role)
	}
	return n
}

// PermissionBytes is the approximate size of a permission in an answer; a role takes 16 bytes and its name besides.
func PermissionBytes(p *kv.Permission) int { return 24 + len(p.Key) + len(p.End) }

// List answers a question for several things of one kind.
type List[T any] struct {
	Revision uint64 `msgpack:"r"` // of users and roles: the auth revision
	More     bool   `msgpack:"m"` // the client asks again, behind the last one
	All      []T    `msgpack:"a"`
}

// User is a user as members describe it to clients: without its password.
type User struct {
	Name        string   `msgpack:"n"`
	Roles       []string `msgpack:"r"` // ascending
	HasPassword bool     `msgpack:"h"`
	NoPassword  bool     `msgpack:"p"` // it never gets one
	// Epoch is the auth revision at which the user was created or got its password.
	Epoch uint64 `msgpack:"e"`
}

// UserOf returns a user for clients.
func UserOf(u *kv.User) User {
	return User{Name: u.Name, Roles: u.Roles, HasPassword: len(u.Password) > 0, NoPassword: u.NoPassword, Epoch: u.Epoch}
}

// Piece answers a request for a piece of a base, or for a part of the log.
type Piece struct {
	Bytes   []byte `msgpack:"b"` // of the base from the offset on; of the log as kv.AppendLogEntries wrote them
	Applied uint64 `msgpack:"a"` // of the log: the newest entry that the member has applied
}

// Login answers a login. The token may be empty: the client keeps its password then.
type Login struct {
	Token string `msgpack:"t"`
}

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
type ClientLoad struct {
	Name        string `msgpack:"n"` // in its certificate, or its address
	API         string `msgpack:"a"` // qkv or etcd
	Connections int64  `msgpack:"c"`
	Requests    int64  `msgpack:"r"` // under way
	Watches     int64  `msgpack:"w"`
	Bytes       int64  `msgpack:"b"` // of requests and of answers that the client has not read
}

// Proof is how a member knows the user of a connection.
type Proof uint8

// The proofs.
const (
	ProofNone        Proof = iota // the connection has no user
	ProofCertificate              // the name in the client's certificate
	ProofPassword                 // a login with a password
	ProofToken                    // a login with the token of an earlier login
)

// String returns the proof as the command line prints it.
func (p Proof) String() string {
	switch p {
	case ProofCertificate:
		return "certificate"
	case ProofPassword:
		return "password"
	case ProofToken:
		return "token"
	default:
		return "none"
	}
}

// Self is the user of a connection, as the member sees it.
type Self struct {
	Name  string   `msgpack:"n"` // "": none
	Proof Proof    `msgpack:"p"`
	Known bool     `msgpack:"k"` // there is a user of that name
	Roles []string `msgpack:"r"` // of that user, ascending
	Root  bool     `msgpack:"o"` // the role root is among them
	// Enabled reports whether requests need a user, and Revision is the auth revision.
	Enabled  bool   `msgpack:"e"`
	Revision uint64 `msgpack:"v"`
}

// AuthStatus is the state of authentication.
type AuthStatus struct {
	Enabled  bool   `msgpack:"e"`
	Revision uint64 `msgpack:"r"` // of users and roles
}

// Grant is a permission of a role.
type Grant struct {
	Role          string `msgpack:"r"`
	kv.Permission `msgpack:"p,noinline"`
}

// AuthCheck is the answer to the question whether a user has a permission.
type AuthCheck struct {
	Allowed bool    `msgpack:"a"`
	Root    bool    `msgpack:"o"` // the user has the role root, which permits everything
	Grants  []Grant `msgpack:"g"` // the permissions of the user's roles that concern the range, in the order of their keys
}
