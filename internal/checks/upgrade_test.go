package checks

import (
	"slices"
	"strings"
	"testing"

	"qkv/internal/figures"
)

// TestUpgrade: what stops an upgrade, the order of the members, and the way back.
func TestUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name             string
		f                *Facts
		change           func(m []Member)
		stop, next, back string
	}{
		{"a new program: a follower", healthy(3), func([]Member) {}, "", "n2", "each member can go back to a version that supports the feature level 5"},
		{"the oldest version", healthy(3), func(m []Member) { m[0].Version, m[1].Version, m[2].Version = "0.10.0", "0.10.0", "0.9.1" }, "", "n3", ""},
		{"the leader is the last", healthy(3), func(m []Member) { m[1].Version, m[2].Version = "0.3.0", "0.3.0" }, "", "n1", ""},
		{"one member", healthy(1), func([]Member) {}, "", "n1", ""},
		{"an endpoint of no member", healthy(3), func(m []Member) { m[2] = Member{Name: "x", Unknown: true} }, "of 2 voters, 2 must take part", "", ""},
		{"an endpoint of no member beside four", healthy(5), func(m []Member) { m[1] = Member{Name: "x", Unknown: true} }, "", "n3", ""},
		{"five members with one down", dead(healthy(5), "n4"), func([]Member) {}, "4 of 5 voters take part, n4 does not", "", ""},
		{"two voters", healthy(2), func([]Member) {}, "the restart of a voter stops writes: of 2 voters, 2 must take part", "", ""},
		{"an alarm", healthy(3), func(m []Member) { m[1].Alarms = []Raised{{"SLOWDISK", "n2", "slow"}} }, "the alarm SLOWDISK of n2 is raised", "", ""},
		{"a notice stops nothing", healthy(3), func(m []Member) { m[1].Alarms = []Raised{{"QUOTA", "n2", "much"}} }, "", "n2", ""},
		{"a learner that lags", healthy(3), func(m []Member) {
			m[2].Role = 0
			figures.Set(&m[2].Values, figures.Applied, m[2].Count(figures.Applied)-doctorLag)
		}, "n3 lags by 10000 entries", "", ""},
		{"no quorum", dead(healthy(3), "n2", "n3"), func([]Member) {}, "NO QUORUM: 1 of 3 voters answers", "", ""},
		{"the level is held down", healthy(3), func(m []Member) {
			figures.Set(&m[0].Values, figures.LevelMost, 6)
			figures.Set(&m[1].Values, figures.LevelMost, 6)
		}, "", "n3", "open: the cluster's feature level is 5, and n3 must be upgraded before it rises to 6"},
		{"the level rises soon", healthy(3), func(m []Member) {
			figures.Set(&m[0].Values, figures.LevelMost, 6)
			figures.Set(&m[1].Values, figures.LevelMost, 6)
			figures.Set(&m[2].Values, figures.LevelMost, 6)
		}, "", "n2", "closing: the cluster's feature level is 5, and it rises to 6"},
	} {
		tt.change(tt.f.Members)
		u := upgradeOf(tt.f.Members, Program{"0.3.0", 5})
		if u.next != tt.next || !strings.Contains(strings.Join(u.stops, "; "), tt.stop) || (tt.stop == "") != (len(u.stops) == 0) || !strings.Contains(u.back, tt.back) || (tt.stop == "") != (u.how != "") {
			t.Errorf("%s: %+v", tt.name, u)
		}
		if moves := strings.Contains(u.how, "qkv member lead"); moves != (tt.name == "the leader is the last") {
			t.Errorf("%s: %s", tt.name, u.how)
		}
	}
}

// TestUpgradeFollowed: whoever does what the plan says, word by word, ends with the new program on all members, and is told so.
func TestUpgradeFollowed(t *testing.T) {
	for _, tt := range []struct{ old, new Program }{
		{Program{"0.2.0", 5}, Program{"0.3.0", 5}},
		{Program{"0.9.0", 5}, Program{"0.10.0", 6}},
		{Program{"0.3.0-dev+aaa", 5}, Program{"0.3.0", 5}},
		{Program{"0.3.0-rc.2", 5}, Program{"0.3.0-rc.10", 5}},
		{Program{"0.3.0-9", 5}, Program{"0.3.0-dev", 5}},
		{Program{"0.3.0-dev+bbb", 5}, Program{"0.3.0-dev+aaa", 5}},
		{Program{"0.3.0-dev", 5}, Program{"0.3.0-dev", 6}},
		{Program{"0.3.0", 5}, Program{"0.3.0", 5}},
	} {
		for _, voters := range []int{1, 3, 5} {
			f := healthy(voters)
			for i := range f.Members {
				f.Members[i].Version = tt.old.Version
				figures.Set(&f.Members[i].Values, figures.Level, 5)
				figures.Set(&f.Members[i].Values, figures.LevelMost, tt.old.Level)
			}
			restarts := map[string]int{}
			u := upgradeOf(f.Members, tt.new)
			for steps := 0; !u.done && steps < 3*voters; steps++ {
				i := slices.IndexFunc(f.Members, func(m Member) bool { return m.Name == u.next })
				if i < 0 {
					t.Fatalf("%v: %+v", tt, u)
				}
				if strings.Contains(u.how, "qkv member lead") {
					k := (i + 1) % voters
					f.Members[i].State, f.Members[k].State = "follower", "leader"
				} else {
					if voters > 1 && f.Members[i].State == "leader" {
						t.Errorf("%v: the leader %s is restarted", tt, u.next)
					}
					if !strings.Contains(u.how, "install qkv "+tt.new.Version+" on the host of "+u.next) {
						t.Errorf("%v: %q", tt, u.how)
					}
					f.Members[i].Version = tt.new.Version
					figures.Set(&f.Members[i].Values, figures.LevelMost, tt.new.Level)
					restarts[u.next]++
				}
				u = upgradeOf(f.Members, tt.new)
			}
			want := voters
			if tt.old == tt.new {
				want = 0
			}
			if !u.done || u.next != "" || len(u.stops) > 0 || len(restarts) != want {
				t.Errorf("%v, %d voters: %+v after %v", tt, voters, u, restarts)
			}
			if again := upgradeOf(f.Members, tt.old); !again.done && comparePrograms(tt.old, tt.new) != 0 {
				t.Errorf("%v: the old program says %+v of new members", tt, again)
			}
		}
	}
	two := healthy(2)
	if u := upgradeOf(two.Members, Program{"0.2.0", 5}); !u.done {
		t.Errorf("two voters with the newest program: %+v", u)
	}
}
