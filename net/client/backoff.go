package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"qkv/index/kv"
)

const (
	// A retry waits at least a round trip, and less than an election takes.
	backoffLeast = 5 * time.Millisecond
	backoffMost  = 250 * time.Millisecond
)

// backoff returns the pause before the next attempt. It is 0 for the first retry after a lost connection, since that attempt goes
// elsewhere. Otherwise it doubles each time, with jitter, which keeps clients from retrying all at once.
func backoff(attempts int, err error) time.Duration {
	var answer *kv.Error
	if attempts == 1 && !errors.As(err, &answer) {
		return 0
	}
	d := min(backoffLeast<<min(attempts, 10), backoffMost)
	return d/2 + rand.N(d/2)
}

const (
	// attemptLeast is the minimum time of one attempt, if that much is left.
	attemptLeast = 500 * time.Millisecond
	// attemptMost is the time of one attempt of a small read while other endpoints were not tried. An election takes as long.
	attemptMost = time.Second
	// attemptWrite is the time after which the client asks for the health of an idempotent write's member: an election, and the
	// write after it.
	attemptWrite = 2 * time.Second
	// wellFor is for how long a member's health report is valid. stuckAfter is how long a healthy member may take to apply
	// committed entries. On equal slow disks, one member lags by a group of entries, which is 27 seconds at 200 KB a second. A
	// member with a dead disk stops long before, and refuses new requests.
	wellFor    = attemptMost
	stuckAfter = 30 * time.Second
	// answerMargin is how much earlier than the caller the member gives up: its answer, which is more precise, then still arrives
	// in time. A write is not retried with less time left than that: its outcome would become unknown, while it is known now that
	// it did not happen.
	answerMargin = 250 * time.Millisecond
)

// attemptTime returns how long a member may try, of the time left, and for how long the client waits for it. With several endpoints
// that is half of the time left: the member may be partitioned from the others, and would notice only at the end. A read of one key
// gets a second, until every endpoint was tried: a healthy member needs no more. An idempotent write may use all of the time at its
// member, because the client asks for the member's health meanwhile: after two seconds, and later with each attempt. A write
// without a name gets half, because its outcome becomes unknown if the client gives up after it was proposed. A range gets half,
// because a busy member may need long.
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
