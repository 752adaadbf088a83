package node

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoticeOfRefusedSends follows the notice NETWORK over time: some refusals raise it with the most frequent error and its remedy, it is
// renewed while they continue, and ends a minute after the last ones.
func TestNoticeOfRefusedSends(t *testing.T) {
	var r refusedSends
	counts := map[syscall.Errno]uint64{syscall.EPERM: 1}
	if text := r.look(counts, 0); text != "" {
		t.Errorf("a single refusal raises: %s", text)
	}
	counts[syscall.EPERM], counts[syscall.ENOBUFS] = 700, 20
	text := r.look(counts, time.Second)
	for _, word := range []string{"700 datagrams", "EPERM", "operation not permitted", "conntrack", "count as lost"} {
		if !strings.Contains(text, word) {
			t.Errorf("the notice does not say %q: %s", word, text)
		}
	}
	counts[syscall.ENETUNREACH] = 50
	if again := r.look(counts, 2*time.Second); again != text {
		t.Errorf("the text changes within a minute: %s", again)
	}
	if text = r.look(counts, time.Second+sendErrorsNotice); !strings.Contains(text, "50 datagrams") || !strings.Contains(text, "ip route") {
		t.Errorf("the renewed notice says: %s", text)
	}
	if text = r.look(counts, time.Second+2*sendErrorsNotice); text != "" {
		t.Errorf("a minute without refusals: %s", text)
	}
}
