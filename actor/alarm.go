package actor

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Alarm is something about this member, or about another one as this one sees it, that an operator must know.
type Alarm struct {
	Name    AlarmName
	Member  uint64 // that it is about; 0: this one
	Subject string // tells alarms of one name and member apart: a file, an activity; empty where there can be one only
	Text    string // one line: what is wrong, why, and what to do
}

// AlarmName says in one word what is wrong, for scripts and for alerting rules: a name keeps its meaning for ever.
type AlarmName string

// The names of alarms.
const (
	// NoSpace: the disk is full, or nearly, or the quota is reached.
	NoSpace AlarmName = "NOSPACE"
	// Corrupt: a file, or the state, is not what was written.
	Corrupt AlarmName = "CORRUPT"
	// Amnesia: a member has forgotten what it promised; the others do not let it vote.
	Amnesia AlarmName = "AMNESIA"
	// SlowDisk: syncs take so long that the cluster feels it.
	SlowDisk AlarmName = "SLOWDISK"
	// Cert: a certificate ends soon, has ended, or cannot be read.
	Cert AlarmName = "CERT"
	// SnapshotFailed: no snapshot can be saved, sent or received, for another reason than those above.
	SnapshotFailed AlarmName = "SNAPSHOT"
	// RefusedPeer: two members do not let each other take part, for another reason than those above.
	RefusedPeer AlarmName = "REFUSED"
	// Failed: the member has failed, and its process ends.
	Failed AlarmName = "FAILED"
	// TornGroup is a notice, and no alarm: the log's last group was cut off at the start. After a power cut that is what
	// must happen, but rot in that one place looks the same.
	TornGroup AlarmName = "TORN"
	// Quota is a notice: the quota is nearly reached.
	Quota AlarmName = "QUOTA"
	// ShortHistory is a notice: the history reaches back for less than limits.HistoryShort.
	ShortHistory AlarmName = "HISTORY"
	// WrongClock is a notice: the member's clock is not what the others' are.
	WrongClock AlarmName = "CLOCK"
	// Joins is a notice: somebody asks to join the cluster, and may not yet.
	Joins AlarmName = "JOIN"
	// Follows is a notice: the state follows another store, and takes no writes.
	Follows AlarmName = "FOLLOWS"
)

// key is what can be true of a member once.
func (a Alarm) key() Alarm { a.Text = ""; return a }

func compareAlarms(a, b Alarm) int {
	return cmp.Or(strings.Compare(string(a.Name), string(b.Name)), cmp.Compare(a.Member, b.Member), strings.Compare(a.Text, b.Text))
}

// Alarm raises an alarm, in place of what was said of the same name, member and subject before; an empty text ends it.
// Names and subjects are few, texts are not: each failure may have its own numbers.
func (s *Status) Alarm(a Alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.alarms, a.key(), a.Text)
}

// Alarms returns all alarms, in order of their names, with those of the peers that this member refuses now.
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

// Quarantined is the alarm that says why this member, whose role is RoleRefused, takes no part.
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

// Refuse notes why this member refuses a peer; nil says that it is admitted.
func (s *Status) Refuse(peer uint64, r *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keepRefusal(&s.refused, peer, r)
}

// refusal notes why a peer refuses this member; nil says that it does not.
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

// keep keeps a text, or forgets it where it is empty.
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
