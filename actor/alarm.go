package actor

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Alarm is a fact about this member, or about another member as seen by this one, that an operator must know.
type Alarm struct {
	Name    AlarmName
	Member  uint64 // the member concerned; 0: this one
	Subject string // distinguishes alarms of one name and member: a file, an activity; empty where only one is possible
	Text    string // one line: what is wrong, why, and what to do
}

// AlarmName names a problem in one word, for scripts and for alerting rules: a name keeps its meaning for ever.
type AlarmName string

// The names of alarms.
const (
	// NoSpace: the disk is full, or nearly, or the quota is reached.
	NoSpace AlarmName = "NOSPACE"
	// Corrupt: a file, or the state, differs from the data that was written.
	Corrupt AlarmName = "CORRUPT"
	// Amnesia: a member has forgotten its promises; the others do not let it vote.
	Amnesia AlarmName = "AMNESIA"
	// SlowDisk: syncs are slow enough to delay the cluster.
	SlowDisk AlarmName = "SLOWDISK"
	// Cert: a certificate ends soon, has ended, or cannot be read.
	Cert AlarmName = "CERT"
	// SnapshotFailed: no snapshot can be saved, sent or received, for another reason than those above.
	SnapshotFailed AlarmName = "SNAPSHOT"
	// RefusedPeer: one member refuses another, for another reason than those above.
	RefusedPeer AlarmName = "REFUSED"
	// Failed: the member has failed, and its process ends.
	Failed AlarmName = "FAILED"
	// Retention: no quorum of the voters has disks and memory for the history that the settings keep; the oldest history will be dropped.
	Retention AlarmName = "RETENTION"
	// TornGroup is a notice, not an alarm: the log's last group was cut off at the start. After a power cut that is normal, but bit rot
	// in that one place looks the same.
	TornGroup AlarmName = "TORN"
	// Quota is a notice: the quota is nearly reached.
	Quota AlarmName = "QUOTA"
	// ShortHistory is a notice: the history reaches back for less than limits.HistoryShort.
	ShortHistory AlarmName = "HISTORY"
	// SmallMemory is a notice: the state is larger than the member's memory holds with ease.
	SmallMemory AlarmName = "MEMORY"
	// WrongClock is a notice: the member's clock differs from the others'.
	WrongClock AlarmName = "CLOCK"
	// Joins is a notice: a host asks to join the cluster, and may not yet.
	Joins AlarmName = "JOIN"
	// Founding is a notice: a founder of a new cluster waits for the others.
	Founding AlarmName = "FOUNDING"
	// Follows is a notice: the state follows another store, and takes no writes.
	Follows AlarmName = "FOLLOWS"
)

// key identifies an alarm: a member has at most one alarm per key.
func (a Alarm) key() Alarm { a.Text = ""; return a }

func compareAlarms(a, b Alarm) int {
	return cmp.Or(strings.Compare(string(a.Name), string(b.Name)), cmp.Compare(a.Member, b.Member), strings.Compare(a.Text, b.Text))
}

// Alarm raises an alarm. It replaces the alarm of the same name, member and subject; an empty text ends that alarm. Names and subjects
// are few, but texts are many: each failure may have its own numbers.
func (s *Status) Alarm(a Alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.alarms, a.key(), a.Text)
}

// Alarms returns all alarms, sorted by name, including those of the peers that this member refuses now.
func (s *Status) Alarms() []Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	alarms := slices.Collect(maps.Keys(s.alarms))
	for i, a := range alarms {
		alarms[i].Text = s.alarms[a]
	}
	alarms = append(alarms, ofPeers(s.refused)...)
	if a, slow := s.slowDisk(); slow {
		alarms = append(alarms, a)
	}
	slices.SortFunc(alarms, compareAlarms)
	return alarms
}

// Refusals returns the peers that refuse this member, each with its reason.
func (s *Status) Refusals() []Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ofPeers(s.refusals)
}

func ofPeers(refusals map[uint64]Refusal) (alarms []Alarm) {
	for peer, r := range refusals {
		name := RefusedPeer
		if r.Forgot {
			name = Amnesia
		}
		alarms = append(alarms, Alarm{Name: name, Member: peer, Text: r.Text})
	}
	slices.SortFunc(alarms, compareAlarms)
	return alarms
}

// Quarantined returns the alarm with the reason why this member, whose role is RoleRefused, takes no part.
func (s *Status) Quarantined() Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range []Quarantine{{}, {Differs: true}} {
		a := q.Alarm()
		if a.Text = s.alarms[a]; a.Text != "" {
			return a
		}
	}
	return Alarm{}
}

// Refuse notes why this member refuses a peer; nil admits the peer.
func (s *Status) Refuse(peer uint64, r *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keepRefusal(&s.refused, peer, r)
}

// refusal notes why a peer refuses this member; nil ends the refusal.
func (s *Status) refusal(peer uint64, r *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keepRefusal(&s.refusals, peer, r)
}

func keepRefusal(all *map[uint64]Refusal, of uint64, r *Refusal) {
	if r == nil {
		delete(*all, of)
		return
	}
	if *all == nil {
		*all = map[uint64]Refusal{}
	}
	(*all)[of] = *r
}

// keep stores a text, or deletes it if the text is empty.
func keep[K comparable](texts *map[K]string, of K, text string) {
	if text == "" {
		delete(*texts, of)
		return
	}
	if *texts == nil {
		*texts = map[K]string{}
	}
	(*texts)[of] = text
}
