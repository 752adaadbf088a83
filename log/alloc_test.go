package log_test

import (
	"testing"

	"qkv/log/disk/simdisk"
)

// TestAppendCost: entries that are appended and synced cost a few allocations a group, and none each.
func TestAppendCost(t *testing.T) {
	cost := func(entries int) float64 {
		m := simdisk.New(1)
		must(t, m.MkdirAll("d"))
		n := &nowhere{FS: m}
		l, _ := benchLog(t, n, "d/wal", 64<<20)
		n.on = true
		batch := benchEntries(2, entries, 64)
		return testing.AllocsPerRun(20, func() {
			l.Append(nil, batch)
			if _, err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			for _, e := range batch {
				*e.Index += uint64(entries)
			}
		})
	}
	one, many := cost(1), cost(1000)
	if one > 10 || many > one+20 {
		t.Errorf("a group of one entry costs %v allocations, of 1000 %v", one, many)
	}
	t.Logf("a group of one entry costs %v allocations, of 1000 %v", one, many)
}
