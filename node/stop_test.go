package node

import (
	"context"
	"fmt"
	"testing"

	"qkv/actor"
)

// stuck is an actor that waits for a disk that does not answer.
type stuck struct{ disk chan struct{} }

func (s stuck) Handle(actor.Time, []int) bool {
	<-s.disk
	return false
}

// A member that has ended because of its disk says so once, also when the disk holds up its end.
func TestStopSaysOnceThatTheDiskFailed(t *testing.T) {
	n := &Node{runtime: actor.NewRuntime(), done: make(chan struct{})}
	s := stuck{make(chan struct{})}
	defer close(s.disk)
	box := actor.NewMailbox[int]("stuck", actor.Room{Deposit: 1})
	actor.Spawn(n.runtime, box, s)
	box.Deposit(1)
	why := fmt.Errorf("%w: it has not finished a write for 31s", ErrDisk)
	n.ended(why)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Stop(ctx); err == nil || err.Error() != why.Error() {
		t.Errorf("stop: %v\nits end was: %v", err, why)
	}
}
