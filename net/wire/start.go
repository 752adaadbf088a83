package wire

import (
	"context"
	"sync"
	"sync/atomic"

	"qkv/index/kv"
)

// Need is the stage of a member's start that a request needs. The zero value is the safe one, of a request that declares nothing.
type Need uint8

// The needs of requests.
const (
	// NeedCurrent is the need of all that reads keys, leases, logins or permissions, and of watches and writes.
	NeedCurrent Need = iota
	// NeedKeys is the need of reads of keys, and of the logins for them: --serve-stale serves them at StageReplayed.
	NeedKeys
	NeedReplayed // of the list of members
	NeedNothing  // of the status
)

// Stage is how far a member's start has come.
type Stage uint32

// The stages of a start, in their order.
const (
	// StageReplaying: the state may be of any moment before the start.
	StageReplaying Stage = iota
	// StageReplayed: all is applied that the member's disk knows to be committed. Other members may know more.
	StageReplayed
	// StageCurrent: a read index since the start is confirmed and applied, so the state has every write acknowledged before the start.
	StageCurrent
	// StageListed: the list of members has this process of the member, too. Node.Ready returns.
	StageListed
)

// Start is the start of a member. Both endpoints ask it before a request. A nil Start has reached all stages.
type Start struct {
	Stale bool // constant: --serve-stale

	stage  atomic.Uint32
	mu     sync.Mutex
	raised chan struct{} // closed at the next stage; nil: no request waits
}

// ErrStarting refuses a request whose deadline came before the stage that it needs.
var ErrStarting = kv.Errorf(kv.Unavailable, "this member is starting: no quorum has confirmed yet that it has all acknowledged writes, and the request was not carried out; "+
	"ask another member, or start the missing members")

// Raise records that the member has reached a stage.
func (s *Start) Raise(to Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if Stage(s.stage.Load()) >= to {
		return
	}
	s.stage.Store(uint32(to))
	if s.raised != nil {
		close(s.raised)
		s.raised = nil
	}
}

// Reached reports whether the member has reached a stage.
func (s *Start) Reached(stage Stage) bool { return s == nil || Stage(s.stage.Load()) >= stage }

// Current reports whether the member serves every request: this is all that a request costs once the member has started.
func (s *Start) Current() bool { return s.Reached(StageCurrent) }

// Serves reports whether the member serves requests with this need.
func (s *Start) Serves(need Need) bool {
	switch {
	case need == NeedNothing:
		return true
	case need == NeedReplayed || need == NeedKeys && s != nil && s.Stale:
		return s.Reached(StageReplayed)
	}
	return s.Current()
}

// Raised returns a channel that is closed at the next stage.
func (s *Start) Raised() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raised == nil {
		s.raised = make(chan struct{})
	}
	return s.raised
}

// Await waits until the member serves requests with this need, and returns true. It returns false if ctx ends first.
func (s *Start) Await(ctx context.Context, need Need) bool {
	for !s.Serves(need) {
		raised := s.Raised()
		if s.Serves(need) {
			break
		}
		select {
		case <-raised:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// The words for the stages in a member's status, and in the marks of its answers. A member that has started has none.
const (
	Starting = "starting" // only requests that need nothing, or the list of members, are answered
	Stale    = "stale"    // reads of keys are answered, too, by --serve-stale: acknowledged writes may be missing
)

// Word returns the word for the stage, and "" from StageCurrent on.
func (s *Start) Word() string {
	switch {
	case s.Current():
		return ""
	case s.Serves(NeedKeys):
		return Stale
	}
	return Starting
}
