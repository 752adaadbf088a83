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
		fixed    bool
	}{
		{nil, heartbeatInterval, false},
		{[]string{"--fixed-detection"}, heartbeatInterval, true},
		{[]string{"--heartbeat-interval=100"}, 100 * time.Millisecond, false},
	} {
		c, err := etcdflags.Parse(append(tt.words, "--data-dir="+t.TempDir()), nil, nil)
		formtest.Must(t, err)
		c.Resolve("")
		config, err := etcdNode(c, slog.New(slog.DiscardHandler))
		if err != nil || config.HeartbeatInterval != tt.interval || config.FixedDetection != tt.fixed {
			t.Errorf("%q: heartbeats every %v, fixed detection %v, %v", tt.words, config.HeartbeatInterval, config.FixedDetection, err)
		}
	}
}
