package index

import (
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// After a clock that was ahead, recorded time stands still for as long as the clock was ahead. The weight of the history
// is still known. Otherwise a compaction by weight could only choose the newest revision, and would not reduce the used
// bytes.
func TestWeightWhileTimesStand(t *testing.T) {
	c := newClockTest(t)
	now := 50 * year
	c.entry(1, now)
	put := func(n int) {
		for range n {
			now += time.Second
			c.entry(1, now, new(Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: make([]byte, 1<<10)}).Bytes)
		}
	}
	put(100)
	now += year
	put(1)
	now -= year
	put(1000)
	all := c.s.View().HistoryBytes()
	oldest := c.s.View().RevisionOfHistory(all / 2)
	if newest := c.s.View().Revision(); oldest < newest/3 || oldest > newest/3*2 {
		t.Errorf("half of the history begins with revision %d of %d", oldest, newest)
	}
	used := c.s.View().UsedBytes()
	c.entry(1, now, new(Head).AppendCompact(nil, oldest).Bytes)
	if left := c.s.View().HistoryBytes(); left < all/3 || left > all/3*2 {
		t.Errorf("half of %d bytes of history is compacted, %d are left", all, left)
	}
	if left := c.s.View().UsedBytes(); left > used/3*2 {
		t.Errorf("of %d bytes in use %d are, when half is compacted", used, left)
	}
	if err := c.s.Check(); err != nil {
		t.Error(err)
	}
}

// Members with different clocks propose in turns: recorded time follows the clock that is ahead, and there is at most one
// point per millisecond.
func TestClocksInTurnsMakeNoPoints(t *testing.T) {
	c := newClockTest(t)
	for i := range 2000 {
		wall := 50*year + time.Duration(i)*time.Microsecond
		c.entry(1, wall, new(Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes)
		c.entry(2, wall+year, new(Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes)
	}
	if n := c.s.times.points.len(); n > 20 {
		t.Errorf("%d points for two milliseconds", n)
	}
	if _, err := c.s.View().RevisionAt(int64(51*year), int64(60*year)); err == nil || err.Code != kv.BadRequest {
		t.Errorf("a time of two clocks tells a revision: %v", err)
	}
	if apart := time.Duration(c.s.times.behind) * time.Second; apart < year-time.Minute || apart > year+time.Duration(limits.ClocksApart) {
		t.Errorf("the clocks are %v apart", apart)
	}
}
