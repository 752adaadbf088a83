package audit

import (
	"slices"
	"strings"
	"time"
)

// repeats sums up equal refusals and logins: a flood of them fills neither the disk nor the time of a reader.
//
//  1. A subject has at most auditRepeats lines of its own in auditRepeatsTime; further events are held.
//  2. There are at most auditSubjects subjects. A user has at most as many of them as are left free, requests without a proven user
//     together count as one user, and a host of theirs has half of that. An event of another subject is refused, and counted as lost.
type repeats map[subject]*repeated

// subject is the part of an event in which repetitions are equal. Messages and ranges may differ.
type subject struct {
	user, host, operation, result string
	proof                         Proof
	api                           API
}

// repeated counts the events of a subject.
type repeated struct {
	since time.Time // of the first one
	lines int
	held  int64
}

// verdict is what becomes of an event.
type verdict int

const (
	recorded verdict = iota // on a line of its own
	held                    // in a summary
	lost                    // counted only
)

const (
	// auditRepeats is how many equal refusals or logins get a line of their own in auditRepeatsTime; one more line tells the number of the
	// others. auditSubjects bounds the different ones in that time: together they make at most 128 lines a second.
	auditRepeats     = 4
	auditRepeatsTime = 10 * time.Second
	auditSubjects    = 256
)

// pass decides about an event.
func (r repeats) pass(e *Event, now time.Time) verdict {
	s := subject{short(e.User), hostOf(short(e.Remote)), e.Operation, e.result(), e.Proof, e.API}
	c := r[s]
	switch {
	case c == nil && !r.admits(s):
		return lost
	case c == nil:
		s.user, s.host = strings.Clone(s.user), strings.Clone(s.host) // the request's memory is not kept
		c = &repeated{since: now}
		r[s] = c
	case c.lines >= auditRepeats:
		c.held++
		return held
	}
	c.lines++
	return recorded
}

// admits reports whether a user, and the host of requests without one, may have another subject.
func (r repeats) admits(s subject) bool {
	free, user := auditSubjects-len(r), s.proven()
	ofUser, ofHost := 0, 0
	for other := range r {
		if other.proven() == user {
			ofUser++
			if other.host == s.host {
				ofHost++
			}
		}
	}
	return ofUser < free && (user != "" || 2*ofHost < free)
}

// proven is the user of the subject's events; that of a refused login is only claimed.
func (s subject) proven() string {
	if s.operation == Login && s.result != resultOK {
		return ""
	}
	return s.user
}

// summary is a subject whose time is over, with its held events.
type summary struct {
	subject
	repeated
}

// take forgets the subjects whose time is over, all with last, and returns the subjects with held events, oldest first.
func (r repeats) take(now time.Time, last bool) (all []summary) {
	for s, c := range r {
		if !last && now.Sub(c.since) < auditRepeatsTime && !now.Before(c.since) {
			continue
		}
		delete(r, s)
		if c.held > 0 {
			all = append(all, summary{s, *c})
		}
	}
	slices.SortFunc(all, func(a, b summary) int { return a.since.Compare(b.since) })
	return all
}
