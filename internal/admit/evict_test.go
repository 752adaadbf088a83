package admit

import (
	"maps"
	"testing"
	"time"
)

// Whose place a newcomer to a full port gets.
func TestEvict(t *testing.T) {
	const busy = -1 // a request is under way
	for name, x := range map[string]struct {
		idle map[string][]int // of each connection, in seconds
		own  string
		want string // identity and idle seconds
	}{
		"the own one that was idle for longest":         {map[string][]int{"a": {3, 9, 5}}, "a", "a 9"},
		"no own one is idle for long enough":            {map[string][]int{"a": {1, 0, busy}}, "a", "none"},
		"of who has most, however busy":                 {map[string][]int{"a": {0, busy, 1, 0}, "b": {9}}, "c", "a 1"},
		"of who has most, when all are busy":            {map[string][]int{"a": {busy, busy, busy}}, "b", "a busy"},
		"of who has most, though the own are idle":      {map[string][]int{"a": {3, 3, 3, 3}, "b": {9, 9}}, "b", "a 3"},
		"as many as the newcomer has: only its own":     {map[string][]int{"a": {9, 9}, "b": {9, 7}}, "b", "b 9"},
		"one more than the newcomer has: only its own":  {map[string][]int{"a": {9, 9, 9}, "b": {0, 1}}, "b", "none"},
		"a newcomer of many identities with one place":  {map[string][]int{"a": {9}, "b": {8}, "c": {7}}, "d", "none"},
		"an identity of which the server knows nothing": {map[string][]int{"a": {4, 6}, "b": {8}}, "d", "a 6"},
	} {
		type conn struct {
			of   string
			idle time.Duration
		}
		all := map[string]map[*conn]struct{}{}
		for who, idle := range x.idle {
			all[who] = map[*conn]struct{}{}
			for _, seconds := range idle {
				all[who][&conn{who, time.Duration(seconds) * time.Second}] = struct{}{}
			}
		}
		got := "none"
		c, ok := Evict(maps.Values(all), len(all[x.own]), all[x.own], 2*time.Second, func(c *conn) time.Duration { return c.idle })
		switch {
		case ok && c.idle < 0:
			got = c.of + " busy"
		case ok:
			got = c.of + " " + c.idle.String()
		}
		if got != x.want && got != x.want+"s" {
			t.Errorf("%s: %s, wanted %s", name, got, x.want)
		}
	}
}

// A search looks at a sample only: it costs little, and seldom finds the one connection of many that may go.
func TestEvictLooksAtFew(t *testing.T) {
	all := map[int]struct{}{}
	for i := range 10_000 {
		all[i] = struct{}{}
	}
	for _, inUse := range []int{0, 5_000, 10_000} {
		looked := 0
		c, ok := Evict(maps.Values(map[string]map[int]struct{}{"a": all}), len(all), all, time.Second, func(c int) time.Duration {
			looked++
			return time.Duration(c-inUse+1) * time.Second
		})
		if looked != evictSample || ok != (inUse < len(all)) || ok && c < inUse {
			t.Errorf("%d are in use: %d is closed, %v, and %d were looked at", inUse, c, ok, looked)
		}
	}
}
