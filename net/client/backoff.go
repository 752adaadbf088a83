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
	// attemptWrite is what the first attempt of a write gets that may be sent again: an election, and the write after it.
	attemptWrite = 2 * time.Second
	// answerMargin is how much earlier than the caller the member gives up, so that its answer, which says more, is
	// still in time. A write is not tried again in less time than that: it would end with an unknown outcome, where
	// it is known now that it did not happen.
	answerMargin = 250 * time.Millisecond
)

// attemptTime is how long a member may try, of the time that is left, when so many attempts were made. With several
// endpoints it is half: the member may be cut off from the others, and would only know it at the end. A read of one key
// gets a second, until every endpoint was tried: no healthy member needs more. A write that may be sent again gets two, and twice
// as long each time, since what is slow is not made faster by more of it. One that may not does not, since it has an unknown
// outcome when it is given up after it was proposed, nor does a range, which a busy member may take long for.
func attemptTime(x *call, left time.Duration, endpoints int) time.Duration {
	if endpoints < 2 || left < 2*attemptLeast {
		return max(left-min(left/4, answerMargin), time.Millisecond)
	}
	switch {
	case !x.write && !x.bulk && x.attempts < endpoints-1:
		return min(left/2, attemptMost)
	case x.session != nil:
		return min(left/2, attemptWrite<<min(x.attempts, 10))
	}
	return left / 2
}
