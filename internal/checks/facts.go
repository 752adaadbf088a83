package checks

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
)

// Facts are the collected facts about a cluster and this host.
type Facts struct {
	Members  []Member // sorted by name
	NoAnswer string   // why the cluster could not be asked; empty: it was asked
	Asking   Program  // of the process that asks
	Client   Certificate
	Folder   *Folder // of a member's data folder on this host; nil: not asked for
}

// Member has the known facts about one member. A zero field is not known.
type Member struct {
	Name     string
	ID       string
	Role     kv.Role
	Clients  []string // the addresses at which it serves clients
	Replaces string   // the member in whose place it was added; empty: none
	Unknown  bool     // an endpoint without a member that the others know
	Cluster  string
	Foreign  bool   // it belongs to another cluster than the one that was asked for
	Answers  bool   // to this host
	Error    string // in one line: why it does not answer
	Why      Why    // likewise
	Runs     bool   // it does not answer over UDP, but over TCP
	Ready    bool   // likewise, and serves linearizable reads

	Stage   string // starting or stale: it answers, and serves no linearizable reads yet; empty otherwise
	State   string // leader, follower, candidate, learner, suspended, or StateUnknown
	Leader  string // as this member sees it; empty: none
	Digest  string // of the state at figures.Applied
	Version string

	figures.Values

	Links  []Link // sorted
	Alarms []Raised

	Interface string // of the member's host towards the other members
	Backup    string // the folder of the backup that the member makes while it leads; empty: it makes none

	Clock       time.Duration // the member's clock minus this host's
	ClockWithin time.Duration // the error of Clock; 0: the clock is not known

	Routes      []Route
	Certificate Certificate // that the member shows at its HTTPS port
}

// Why is the kind of error by which a member does not answer.
type Why int

// The kinds of errors.
const (
	Silent    Why = iota // no answer in time, or another reason
	Closed               // no process listens at its address
	Untrusted            // the handshake failed because of a certificate
	Unstarted            // it has told the others no address
	Displaced            // another member answers at its address
	OtherPort            // another protocol is spoken at its address
)

// StateUnknown is the state of a member that does not answer.
const StateUnknown = "unknown"

// Link is a member's connection to another member. Names and order of the JSON are a promise.
type Link struct {
	Member    string      `json:"member"`
	Connected bool        `json:"connected"`
	RTT       figures.RTT `json:"rtt_ms"`
	Error     string      `json:"error"` // in one line
	Untrusted bool        `json:"-"`     // the last handshake failed because of a certificate
}

func (l Link) String() string {
	if l.Connected {
		return fmt.Sprintf("%s, round trip %.2f ms", l.Member, figures.InMilliseconds(time.Duration(l.RTT)))
	}
	return l.Member + ": " + l.Error
}

// Raised is a raised alarm or notice. Names and order of the JSON are a promise.
type Raised struct {
	Name   kv.AlarmName `json:"name"`
	Member string       `json:"member"` // the name of the affected member
	Text   string       `json:"text"`   // in one line
}

// OneLine puts a text into one line.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (a Raised) String() string { return fmt.Sprintf("%s of %s: %s", a.Name, a.Member, a.Text) }

// Route is the way from this host to an address of a member.
type Route struct {
	Address, Interface string
	MTU                int    // in bytes
	Error              string // why the interface is not known
}

// Certificate describes a certificate. The zero value is not known.
type Certificate struct {
	File     string        // or the address that shows it
	Left     time.Duration // until it expires; negative: it has expired
	NotNamed string        // an address that the certificate does not name; empty: it names all
	Error    string        // why the certificate is not known
	Refused  bool          // likewise: this host does not trust it, or it does not trust this host
}

// Folder describes a member's data folder, and the host that holds it.
type Folder struct {
	Dir   string
	Error string // why the folder cannot be examined; empty: it can

	Mode  fs.FileMode
	Owner uint32 // user id
	User  uint32 // user id of this process

	FreeBytes, SizeBytes int64 // of the file system

	Sync Sync

	Damaged   []string // a line for each damaged file
	Read      int      // files of the log and snapshots that were read
	FilesSkip string   // why the files were not read

	Files uint64 // this process's limit of open files

	TimerSlack     time.Duration
	TimerSlackSkip string

	ClockSynced bool // the kernel says that a time service sets the clock
	ClockSkip   string

	UDPReceive, UDPSend int64 // the kernel's largest buffers of a socket, in bytes
	UDPSkip             string
}

// Sync is a short measurement of a disk: writes of 4 KiB, each made durable.
type Sync struct {
	P50, P99       time.Duration
	Class, Meaning string // as of `qkv bench disk`
	Skip           string // why the disk was not measured
}
