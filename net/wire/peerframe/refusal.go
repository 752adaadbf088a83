package peerframe

// Refusal is why a member does not let another one take part. It is an error, and travels as the code and the text with
// which the connection is closed.
type Refusal struct {
	Code RefusalCode
	Text string
}

func (r *Refusal) Error() string { return r.Text }

// RefusalCode is the code with which a connection is closed, where that is a refusal.
type RefusalCode uint64

// The codes. A number never changes its meaning. 0, 1 and 3 close connections for other reasons: package peer has them.
const (
	// Refused: the text says why. Nothing follows from it but that the two are not connected.
	Refused RefusalCode = 2
	// Forgot: the member has forgotten what it promised. The one who says so does not lead.
	Forgot RefusalCode = 4
	// ForgotByLeader is the same, said by a member that leads.
	ForgotByLeader RefusalCode = 5
	// Removed: the member was removed from the cluster. The one who says so does not lead.
	Removed RefusalCode = 6
	// RemovedByLeader is the same, said by a member that leads.
	RemovedByLeader RefusalCode = 7
	// ForgotByRefused is Forgot, said by a member that takes no part itself, or has nothing of the cluster's log yet.
	ForgotByRefused RefusalCode = 8
	// Taken: who asks to join has the name of a member that has another folder and is not there. It may be the one that comes
	// after it, as soon as that one was replaced, and waits for that.
	Taken RefusalCode = 9
	// Behind: who is asked by a member that is to join does not know yet whether that is so, and is to be asked again.
	Behind RefusalCode = 10
)

// Known says whether a code is a refusal's.
func (c RefusalCode) Known() bool { return c == Refused || c >= Forgot && c <= Behind }
