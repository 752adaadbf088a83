package server_test

import (
	"testing"

	"go.uber.org/goleak"
)

// lumberjack has a goroutine for each file of an audit log, which never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}
