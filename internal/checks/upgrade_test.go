package checks

import (
	"strings"
	"testing"

	"qkv/internal/limits"
)

// TestUpgrade: what stops an upgrade, the order of the members, and the way back.
func TestUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name             string
		f                *Facts
		change           func(m []Member)
		stop, next, back string
	}{
		{"equal versions: a follower", healthy(3), func([]Member) {}, "", "n2", "each member can go back to a version that supports the feature level 5"},
		{"the oldest version", healthy(3), func(m []Member) { m[0].Version, m[1].Version, m[2].Version = "0.10.0", "0.10.0", "0.9.1" }, "", "n3", ""},
		{"the leader is the last", healthy(3), func(m []Member) { m[1].Version, m[2].Version = "0.3.0", "0.3.0" }, "", "n1", ""},
		{"one member", healthy(1), func([]Member) {}, "", "n1", ""},
		{"an endpoint of no member", healthy(3), func(m []Member) { m[2] = Member{Name: "x", Unknown: true} }, "of 2 voters, 2 must take part", "", ""},
		{"an endpoint of no member beside four", healthy(5), func(m []Member) { m[1] = Member{Name: "x", Unknown: true} }, "", "n3", ""},
		{"five members with one down", dead(healthy(5), "n4"), func([]Member) {}, "4 of 5 voters take part, n4 does not", "", ""},
		{"two voters", healthy(2), func([]Member) {}, "the restart of a voter stops writes: of 2 voters, 2 must take part", "", ""},
		{"an alarm", healthy(3), func(m []Member) { m[1].Alarms = []Alarm{{"SLOWDISK", "n2", "slow"}} }, "the alarm SLOWDISK of n2 is raised", "", ""},
		{"a notice stops nothing", healthy(3), func(m []Member) { m[1].Alarms = []Alarm{{"QUOTA", "n2", "much"}} }, "", "n2", ""},
		{"a learner that lags", healthy(3), func(m []Member) { m[2].Role, m[2].Applied = 0, m[2].Applied-limits.DoctorLag }, "n3 lags by 10000 entries", "", ""},
		{"no quorum", dead(healthy(3), "n2", "n3"), func([]Member) {}, "NO QUORUM: 1 of 3 voters answers", "", ""},
		{"the level is held down", healthy(3), func(m []Member) { m[0].LevelMost, m[1].LevelMost = 6, 6 }, "", "n2", "open: the cluster's feature level is 5, and n3 must be upgraded before it rises to 6"},
		{"the level rises soon", healthy(3), func(m []Member) { m[0].LevelMost, m[1].LevelMost, m[2].LevelMost = 6, 6, 6 }, "", "n2", "closing: the cluster's feature level is 5, and it rises to 6"},
	} {
		tt.change(tt.f.Members)
		u := UpgradeOf(tt.f.Members)
		if u.Next != tt.next || !strings.Contains(strings.Join(u.Stops, "; "), tt.stop) || (tt.stop == "") != (len(u.Stops) == 0) || !strings.Contains(u.Back, tt.back) || u.How == "" {
			t.Errorf("%s: %+v", tt.name, u)
		}
		if moves := strings.Contains(u.How, "qkv move-leader"); moves != (tt.name == "the leader is the last") {
			t.Errorf("%s: %s", tt.name, u.How)
		}
	}
}
