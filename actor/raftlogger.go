package actor

import (
	"fmt"
	"log/slog"
)

// raftLogger passes raft's own messages to the member's logger. raft's information messages are routine at a follower, and of interest
// only for fault finding.
type raftLogger struct{ logger *slog.Logger }

func (l raftLogger) Debug(v ...any)                 {}
func (l raftLogger) Debugf(format string, v ...any) {}
func (l raftLogger) Info(v ...any)                  { l.logger.Debug("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Infof(format string, v ...any) {
	l.logger.Debug("raft: " + fmt.Sprintf(format, v...))
}
func (l raftLogger) Warning(v ...any) { l.logger.Warn("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Warningf(format string, v ...any) {
	l.logger.Debug("raft: " + fmt.Sprintf(format, v...))
}
func (l raftLogger) Error(v ...any) { l.logger.Error("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Errorf(format string, v ...any) {
	l.logger.Error("raft: " + fmt.Sprintf(format, v...))
}
func (l raftLogger) Fatal(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                 { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any) { panic("raft: " + fmt.Sprintf(format, v...)) }
