package kv

// User is a user as members describe it to clients: without its password.
type User struct {
	Name        string   `msgpack:"n"`
	Roles       []string `msgpack:"r"` // ascending
	HasPassword bool     `msgpack:"h"`
	NoPassword  bool     `msgpack:"p"` // it never gets one
	// Epoch is the auth revision at which the user was created or got its password.
	Epoch uint64 `msgpack:"e"`
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
	Role       string `msgpack:"r"`
	Permission `msgpack:"p,noinline"`
}

// AuthCheck is the answer to the question whether a user has a permission.
type AuthCheck struct {
	Allowed bool `msgpack:"a"`
	Root    bool `msgpack:"o"` // the user has the role root, which permits everything
	// the permissions of the user's roles that concern the range, in the order of their keys
	Grants []Grant `msgpack:"g"`
}
