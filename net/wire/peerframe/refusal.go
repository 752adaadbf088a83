package peerframe

// Refusal is the reason why a member refuses to work with another member. It is an error; on the wire it is the code and the text
// that close the connection.
type Refusal struct {
	Code RefusalCode
	Text string
}

func (r *Refusal) Error() string { return r.Text }

// RefusalCode is the code that closes a connection with a Refusal.
type RefusalCode uint64

// The codes. A number never changes its meaning. 0, 1 and 3 close connections for other reasons: package peer defines them.
const (
	// Refused: the text has the reason. The only consequence is that the two members are not connected.
	Refused RefusalCode = 2
	// Forgot: the refused member has forgotten votes or entries that it had promised. The refusing member does not lead.
	Forgot RefusalCode = 4
	// ForgotByLeader is Forgot, from a member that leads.
	ForgotByLeader RefusalCode = 5
	// Removed: the refused member was removed from the cluster. The refusing member does not lead.
	Removed RefusalCode = 6
	// RemovedByLeader is Removed, from a member that leads.
	RemovedByLeader RefusalCode = 7
	// ForgotBySuspended is Forgot, from a member that takes no part itself, or has nothing of the cluster's log yet.
	ForgotBySuspended RefusalCode = 8
	// Taken: the joining member has the name of a member that has another folder and is not there. The joining member may be its
	// replacement: it waits until the old member was replaced.
	Taken RefusalCode = 9
	// Behind: the asking member asks again. The asked member does not know yet whether the asking member was added, or is adding it by the
	// cluster secret; or one of the two has an older member list; or the asked member sends as many parts as it may at a time.
	Behind RefusalCode = 10
)

// Known reports whether a code is a refusal's.
func (c RefusalCode) Known() bool { return c == Refused || c >= Forgot && c <= Behind }
