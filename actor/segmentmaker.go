package actor

import (
	"fmt"
	"log/slog"

	"qkv/log"
)

// SegmentMakerConfig is what the segment maker is built from.
type SegmentMakerConfig struct {
	Maker     *log.Maker
	Inbox     *Mailbox[SegmentMakerMessage]
	LogWriter *Mailbox[LogWriterMessage]
	Fail      func(error)
	Logger    *slog.Logger
}

// SegmentMaker keeps zero-filled files ready for the log, so that a sync never has to commit the file system's
// journal. It owns the spare files; it is never on the way of a commit, and works in steps of a megabyte.
type SegmentMaker struct {
	// Constant after construction.
	SegmentMakerConfig

	// Owned by the actor.
	ordered int
	failed  bool // until the next Retry
	said    bool // of the failure
}

// NewSegmentMaker builds the actor.
func NewSegmentMaker(c SegmentMakerConfig) *SegmentMaker {
	return &SegmentMaker{SegmentMakerConfig: c}
}

// Handle implements Handler.
func (s *SegmentMaker) Handle(_ Time, batch []SegmentMakerMessage) bool {
	for _, m := range batch {
		switch m := m.(type) {
		case MakeSpare:
			s.ordered++
		case Recycle:
			for _, name := range m.Names {
				if err := s.Maker.Recycle(name); err != nil {
					s.fail(fmt.Errorf("recycle %s: %w", name, err))
				}
			}
		case Retry:
			s.failed = false
		}
	}
	if s.ordered == 0 || s.failed {
		return false
	}
	name, done, err := s.Maker.Step()
	if err != nil {
		s.fail(err)
		return false
	}
	if done {
		s.said = false
		s.ordered--
		s.LogWriter.Deposit(SpareMade{Name: name})
	}
	return s.ordered > 0
}

// fail gives up making spares for a while: the log makes its own files then, slower, and ends the member if that fails
// too.
func (s *SegmentMaker) fail(err error) {
	s.failed = true
	if !s.said {
		s.said = true
		s.Logger.Error("no files can be made ahead for the log, so writes become slower; free space on the disk", "error", err)
	}
}
