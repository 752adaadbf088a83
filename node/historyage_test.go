package node

import (
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// Revisions get old by the time that a process measures. Its own clock and those of others may jump as they like, at its start, too:
// nothing goes before its time but one part in historyPauses for each jump.
func TestHistoryAges(t *testing.T) {
	const (
		hour  = time.Hour
		stays = 4 * hour
		year  = 365 * 24 * hour
	)
	for name, c := range map[string]struct {
		before func(wall func(by time.Duration), put func()) // what earlier processes have written
		jump   time.Duration                                 // of the clock, when the process has run for an hour
		put    bool                                          // each minute by this process, too
		after  time.Duration                                 // it has run
		least  int64
		most   int64
	}{
		"nothing is old yet":            {put: true, after: 3 * hour},
		"it gets old":                   {put: true, after: 6 * hour, least: 115, most: 122},
		"a clock jumps ahead":           {put: true, jump: year, after: 6 * hour, least: 115, most: 122},
		"a clock jumps back":            {put: true, jump: -year, after: 6 * hour, least: 115, most: 122},
		"of an earlier process":         {before: hourly, after: 2*hour + time.Minute, least: 2, most: 3},
		"all of an earlier process":     {before: hourly, after: 5 * hour, least: 6, most: 6},
		"while its clock jumps ahead":   {before: hourly, jump: year, after: 2*hour + time.Minute, least: 2, most: 3},
		"long after an earlier process": {before: func(wall func(time.Duration), put func()) { hourly(wall, put); wall(year) }, after: 3 * hour, least: 3, most: 5},
		"after a clock that was ahead": {before: func(wall func(time.Duration), put func()) {
			put()
			wall(year)
			put()
			wall(time.Minute - year)
			put()
		}, after: 3 * hour},
	} {
		t.Run(name, func(t *testing.T) {
			state, at, wall := index.NewState(limits.Defaults().Index), uint64(0), 50*year
			put := func() {
				at++
				data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Wall: int64(wall)}, [][]byte{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key")}).Bytes})
				if _, err := state.Apply(at, 1, data, nil); err != nil {
					t.Fatal(err)
				}
			}
			if c.before != nil {
				c.before(func(by time.Duration) { wall += by }, put)
			}
			var ages historyAges
			const began = 100 * hour // of the driver's clock
			for now := time.Duration(0); now < c.after; now += time.Minute {
				if now == hour {
					wall += c.jump
				}
				if c.put {
					put()
				}
				ages.look(state.View(), began+now, int64(wall), stays)
				wall += time.Minute
			}
			if got := ages.older(stays, began+c.after); got < c.least || got > c.most {
				t.Errorf("up to revision %d is old enough, want %d to %d", got, c.least, c.most)
			}
			if n := len(ages.samples); n > historySamples+2 {
				t.Errorf("%d samples", n)
			}
		})
	}
}

// hourly writes for two hours, each half an hour.
func hourly(wall func(by time.Duration), put func()) {
	for range 5 {
		put()
		wall(30 * time.Minute)
	}
}
