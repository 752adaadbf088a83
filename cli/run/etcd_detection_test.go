//go:build linux

package run

import (
	"log/slog"
	"testing"
	"time"

	"qkv/cli/form/formtest"
	"qkv/internal/etcdflags"
)

// TestEtcdDetection: a member by etcd's command line has the detection of `qkv serve`, unless its flags say otherwise.
func TestEtcdDetection(t *testing.T) {
	t.Setenv("QKV_HOME", t.TempDir())
	for _, tt := range []struct {
		words    []string
		interval time.Duration
	}{
		{nil, heartbeatInterval},
		{[]string{"--heartbeat-interval=100"}, 100 * time.Millisecond},
	} {
		c, err := etcdflags.Parse(append(tt.words, "--data-dir="+t.TempDir()), nil, nil)
		formtest.Must(t, err)
		c.Resolve("")
		config, err := etcdNode(c, slog.New(slog.DiscardHandler))
		if err != nil || config.HeartbeatInterval != tt.interval {
			t.Errorf("%q: heartbeats every %v, %v", tt.words, config.HeartbeatInterval, err)
		}
	}
}
