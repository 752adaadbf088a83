package actor

import (
	"slices"
	"testing"
)

// A queue begins anew in its memory when it is empty, and does not keep what a burst has left.
func TestDropFirst(t *testing.T) {
	one := func() *int { return new(int) }
	queue := append(make([]*int, 0, 4), one(), one(), one())
	second := queue[1]
	if queue = dropFirst(queue, 1); len(queue) != 2 || queue[0] != second {
		t.Fatalf("after one of three: %v", queue)
	}
	all := queue
	if queue = dropFirst(queue, 2); len(queue) != 0 || cap(queue) != cap(all) || slices.ContainsFunc(all, func(p *int) bool { return p != nil }) {
		t.Errorf("after all: %d of %d, and %v in its memory", len(queue), cap(queue), all)
	}
	if queue = dropFirst(make([]*int, 3, queueKept+1), 3); queue != nil {
		t.Errorf("%d places of a burst are kept", cap(queue))
	}
}
