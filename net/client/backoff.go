package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"qkv/index/kv"
)

const (
	backoffLeast = 5 * time.Millisecond
	backoffMost  = 250 * time.Millisecond
)

// backoff is how long to wait before the next attempt: not at all the first time when a connection was lost,
// since the next attempt goes elsewhere; otherwise twice as long each time, with jitter so that clients do
// not come back all at once.
func backoff(attempts int, err error) time.Duration {
	var answer *kv.Error
	if attempts == 1 && !errors.As(err, &answer) {
		return 0
	}
	d := min(backoffLeast<<min(attempts, 10), backoffMost)
	return d/2 + rand.N(d/2)
}

const (
	// attemptLeast is the least time that one attempt gets, when there is as much.
	attemptLeast = 500 * time.Millisecond
	// attemptMost is what one attempt of a small read gets while there are endpoints that were not tried. An election takes
	// as long.
	attemptMost = time.Second
	// attemptWrite is after how long the member of a write that may be sent again is asked whether it is well: an election, and
	// the write after it.
	attemptWrite = 2 * time.Second
	// wellFor is for how long its word counts, and stuckAfter how long a member that is well may take to apply what was
	// committed: on equal disks that are slow, one is a group behind the others, which is 27 seconds at 200 KB a second. One
	// whose disk is dead ends itself, and refuses what is new long before.
	wellFor    = attemptMost
	stuckAfter = 30 * time.Second
	// answerMargin is how much earlier than the caller the member gives up, so that its answer, which says more, is
	// still in time. A write is not tried again in less time than that: it would end with an unknown outcome, where
	// it is known now that it did not happen.
	answerMargin = 250 * time.Millisecond
)

// attemptTime is how long a member may try, of the time that is left, when so many attempts were made, and for how long the
// client leaves it at that. With several endpoints it is half: the member may be cut off from the others, and would only know it
// at the end. A read of one key gets a second, until every endpoint was tried: no healthy member needs more. A write that may be
// sent again may be tried for all of the time, as its member can be asked meanwhile how it is; it is after two seconds, and later
// each time. One that may not has half, since it has an unknown outcome when it is given up after it was proposed, and so has a
// range, which a busy member may take long for.
func attemptTime(x *call, left time.Duration, endpoints int) (member, own time.Duration) {
	all := max(left-min(left/4, answerMargin), time.Millisecond)
	switch {
	case endpoints < 2 || left < 2*attemptLeast:
		return all, all + answerMargin
	case !x.write && !x.bulk && x.attempts < endpoints-1:
		member = min(left/2, attemptMost)
	case x.session != nil:
		return all, min(left/2, attemptWrite<<min(x.attempts, 10))
	default:
		member = left / 2
	}
	return member, member + answerMargin
}
