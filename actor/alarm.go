package actor

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"qkv/index/kv"
)

func compareAlarms(a, b kv.Alarm) int {
	return cmp.Or(strings.Compare(string(a.Name), string(b.Name)), cmp.Compare(a.Member, b.Member), strings.Compare(a.Text, b.Text))
}

// Alarm raises an alarm of this member, or of another one as this one sees it. It replaces the alarm of the same name, member and subject;
// an empty text ends that alarm. Names and subjects are few, but texts are many: each failure may have its own numbers.
func (s *Status) Alarm(a kv.Alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.alarms, kv.Alarm{Name: a.Name, Member: a.Member, Subject: a.Subject}, a.Text)
}

// Alarms returns all alarms, sorted by name, including those of the peers that this member refuses now.
func (s *Status) Alarms() []kv.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	alarms := slices.Collect(maps.Keys(s.alarms))
	for i, a := range alarms {
		alarms[i].Text = s.alarms[a]
	}
	alarms = append(alarms, ofPeers(s.refused)...)
	if a, slow := s.Observer.slowDisk(); slow {
		alarms = append(alarms, a)
	}
	slices.SortFunc(alarms, compareAlarms)
	return alarms
}

// Refusals returns the peers that refuse this member, each with its reason.
func (s *Status) Refusals() []kv.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ofPeers(s.refusals)
}

func ofPeers(refusals map[uint64]Refusal) (alarms []kv.Alarm) {
	for peer, r := range refusals {
		name := kv.RefusedAlarm
		if r.Forgot {
			name = kv.AmnesiaAlarm
		}
		alarms = append(alarms, kv.Alarm{Name: name, Member: peer, Text: r.Text})
	}
	slices.SortFunc(alarms, compareAlarms)
	return alarms
}

// Suspended returns the alarm with the reason why this member, whose role is RoleSuspended, takes no part.
func (s *Status) Suspended() kv.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range []Suspension{{}, {Differs: true}} {
		a := q.Alarm()
		if a.Text = s.alarms[a]; a.Text != "" {
			return a
		}
	}
	return kv.Alarm{}
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
