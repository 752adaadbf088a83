package web

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestRequestsKeepFewBytesOfKeys asks for the changes, the sizes and the leases of the longest keys: none of the requests keeps all of them.
func TestRequestsKeepFewBytesOfKeys(t *testing.T) {
	s := index.NewState(limits.Index{})
	long := bytes.Repeat([]byte("k"), limits.KeyBytes-20)
	const keys = 2 * limits.DashboardKeyBytes / limits.KeyBytes
	entry := uint64(0)
	apply := func(command []byte) {
		t.Helper()
		entry++
		results, err := s.Apply(entry, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{command}), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	for i := range int64(keys) {
		lease := 1 + i/4
		if i%4 == 0 {
			apply(new(index.Head).AppendGrant(nil, kv.Lease{ID: lease, TTL: 60}))
		}
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "%06d%s/x", i, long), Value: []byte("v"), Lease: lease}))
	}
	run := func(step func(*index.View) (bool, error)) error {
		for {
			if done, err := step(s.View()); done || err != nil {
				return err
			}
		}
	}
	c, err := newChanges(url.Values{"since": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(c.step); err == nil || !strings.Contains(err.Error(), "choose a prefix") {
		t.Errorf("changes: %v", err)
	}
	u, err := newUsage(url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLeases(func(*index.View, []byte) bool { return true })
	for _, step := range []func(*index.View) (bool, error){u.step, l.step} {
		if err := run(step); err != nil {
			t.Fatal(err)
		}
	}
	most := limits.DashboardKeyBytes + limits.PageBytes + 4*limits.KeyBytes
	if got := u.(*usage).Rows; len(got) == 0 || len(got)*len(long) > most {
		t.Errorf("usage has %d groups", len(got))
	}
	if got := l.All; len(got) == 0 || 4*len(got)*len(long) > most {
		t.Errorf("%d leases with four keys each", len(got))
	}
}
