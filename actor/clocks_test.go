package actor

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// clockCore is what the clocks read of the core: the time and the voters.
func clockCore(now Time, voters []uint64, status *Status) *core {
	return &core{
		CoreConfig: CoreConfig{Member: 1, Status: status, Logger: slog.New(slog.DiscardHandler)}, now: now,
		membership: membership{confState: &raftpb.ConfState{Voters: voters}},
	}
}

// A member writes by the middle one of the voters' clocks when its own differs from that, and says so.
func TestClocks(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, c := range []struct {
		name   string
		voters []uint64
		others map[uint64]time.Duration // by how much they are ahead of this one, which is 1
		ahead  time.Duration
		says   string
	}{
		{"alone", []uint64{1}, nil, 0, ""},
		{"nobody was heard yet", []uint64{1, 2, 3}, nil, 0, ""},
		{"all are equal", []uint64{1, 2, 3}, map[uint64]time.Duration{2: time.Second, 3: -time.Second}, 0, ""},
		{"a minute is nothing", []uint64{1, 2, 3}, map[uint64]time.Duration{2: limits.ClocksApart, 3: limits.ClocksApart}, 0, ""},
		{"ahead of both", []uint64{1, 2, 3}, map[uint64]time.Duration{2: -day, 3: -day - time.Second}, day, "24h0m0s ahead of"},
		{"behind both", []uint64{1, 2, 3}, map[uint64]time.Duration{2: day, 3: day + time.Second}, -day, "24h0m0s behind"},
		{"another one is ahead", []uint64{1, 2, 3}, map[uint64]time.Duration{2: day, 3: time.Second}, 0, ""},
		{"another one is behind", []uint64{1, 2, 3}, map[uint64]time.Duration{2: -day, 3: time.Second}, 0, ""},
		{"ahead of the one that was heard", []uint64{1, 2, 3}, map[uint64]time.Duration{2: -day}, day, "ahead"},
		{"behind the one that was heard", []uint64{1, 2, 3}, map[uint64]time.Duration{2: day}, 0, ""},
		{"who has no vote does not count", []uint64{1, 2, 3}, map[uint64]time.Duration{2: 0, 4: -day, 5: -day, 6: -day}, 0, ""},
		{"without a vote", []uint64{2, 3, 4}, map[uint64]time.Duration{2: -hour, 3: -hour, 4: day}, hour, "ahead"},
	} {
		k, status := newClocks(), &Status{}
		const own = int64(50 * 365 * day)
		for id, by := range c.others {
			k.record(id, own+int64(by), Time{Wall: own})
		}
		k.record(2, 0, Time{Wall: own}) // who does not tell is not heard
		k.judge(clockCore(Time{Wall: own}, c.voters, status))
		if at := time.Duration(own - k.wall(Time{Wall: own})); at != c.ahead {
			t.Errorf("%s: it writes by a time %v before its own, want %v", c.name, at, c.ahead)
		}
		if said := status.WrongClock(); !strings.Contains(said, c.says) || (said == "") != (c.says == "") {
			t.Errorf("%s: it says %q, want %q", c.name, said, c.says)
		}
	}
}

// The time in what a member proposes is the voters', as soon as it has heard of it.
func TestWriteByTheClockOfTheVoters(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	const day = int64(24 * time.Hour)
	own := c.now.Wall
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Wall: own - day}}, Received{From: 3, Message: peerframe.DiskSpace{Wall: own - day}})
	e, err := index.ReadEnvelope(c.envelope(1, nil))
	if err != nil {
		t.Fatal(err)
	}
	if by := time.Duration(c.now.Wall - day - e.Wall); by > limits.ClocksApart || by < -limits.ClocksApart {
		t.Errorf("it proposes by a time that is %v from the others'", by)
	}
}

// Each second members tell each other their clocks.
func TestClockIsTold(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.Handle(Time{Now: c.at, Wall: 77}, []ConsensusMessage{Tick{}})
	c.sent = nil
	c.Handle(Time{Now: c.at + limits.SpaceCheck, Wall: 78}, []ConsensusMessage{Tick{}})
	if !tells(c.sent, peerframe.DiskSpace{Wall: 78}) {
		t.Errorf("it does not tell that its clock is at 78: %+v", c.sent)
	}
}

// A clock that is set while its member runs takes nobody along: what is written next, before the others were heard again, goes by
// their time. A lone voter goes on by the time before, and follows its clock when that has stood for limits.ClockStable.
func TestClockIsSet(t *testing.T) {
	const day, own = int64(24 * time.Hour), int64(50*365*24) * int64(time.Hour)
	for _, others := range []bool{false, true} {
		for _, by := range []int64{day, -day} {
			k, status, voters := newClocks(), &Status{}, []uint64{1}
			if others {
				voters = []uint64{1, 2, 3}
				k.record(2, own, Time{Wall: own})
				k.record(3, own+int64(time.Second), Time{Wall: own})
			}
			k.judge(clockCore(Time{Wall: own}, voters, status))
			now := Time{Now: time.Hour, Wall: own + int64(time.Hour) + by}
			want := own + int64(time.Hour)
			if got := k.wall(now); got != want {
				t.Errorf("set by %v, beside others %v: it writes %v off", time.Duration(by), others, time.Duration(got-want))
			}
			k.judge(clockCore(now, voters, status))
			if off := time.Duration(k.wall(now) - want); off > time.Second || off < -time.Second {
				t.Errorf("set by %v, beside others %v: it is judged, and writes %v off", time.Duration(by), others, off)
			}
			if said := status.WrongClock(); (said != "") != others {
				t.Errorf("beside others %v it says %q", others, said)
			}
			if others {
				continue
			}
			now.Now, now.Wall = now.Now+limits.ClockStable-time.Second, now.Wall+int64(limits.ClockStable-time.Second)
			k.judge(clockCore(now, voters, status))
			if want = now.Wall - by; k.wall(now) != want {
				t.Errorf("set by %v: it follows its clock too early", time.Duration(by))
			}
			back := k
			back.detectSet(Time{Now: now.Now, Wall: now.Wall - by + int64(time.Second)})
			if got := back.wall(Time{Now: now.Now, Wall: now.Wall - by}); got != now.Wall-by {
				t.Errorf("set by %v and back: it writes %v off", time.Duration(by), time.Duration(got-now.Wall+by))
			}
			now.Now, now.Wall = now.Now+time.Second, now.Wall+int64(time.Second)
			k.judge(clockCore(now, voters, status))
			if k.wall(now) != now.Wall {
				t.Errorf("set by %v: it never follows its clock", time.Duration(by))
			}
		}
	}
}

// What is heard of a clock may have waited, as all that was sent to a process before it was stopped for a minute. Nobody's clock is
// wrong then: who is behind what was known of it must have said so twice, and not in the same moment.
func TestClockOfWhatWaited(t *testing.T) {
	const own, second = int64(50*365*24) * int64(time.Hour), time.Second
	k, status, voters := newClocks(), &Status{}, []uint64{1, 2, 3}
	at := func(now time.Duration) Time { return Time{Now: now, Wall: own + int64(now)} }
	hear := func(now, waited time.Duration) {
		k.record(2, at(now-waited).Wall, at(now))
		k.record(3, at(now-waited).Wall, at(now))
		k.judge(clockCore(at(now), voters, status))
	}
	hear(second, 0)
	for _, stopped := range []time.Duration{2 * time.Minute, time.Hour} {
		for waited := range 3 { // a second apart when they were sent, and read one right after the other
			hear(stopped+time.Duration(waited), stopped-time.Duration(waited)*second)
			if said := status.WrongClock(); said != "" {
				t.Fatalf("after %v without a turn it says %q", stopped, said)
			}
		}
		hear(stopped+second, 0)
	}
	const set = 2 * time.Hour // by the monotonic time: now both are set back, or this one was while it was not looked at
	hear(set, time.Hour)
	if said := status.WrongClock(); said != "" {
		t.Errorf("it believes one message: %q", said)
	}
	hear(set+limits.SpaceCheck, time.Hour)
	if said := status.WrongClock(); !strings.Contains(said, "1h0m0s ahead of") {
		t.Errorf("two others' clocks are an hour behind, and it says %q", said)
	}
	hear(set+2*limits.SpaceCheck, 0) // nothing that waited makes a clock look ahead
	if said := status.WrongClock(); said != "" {
		t.Errorf("the others' clocks are right again, and it says %q", said)
	}
	hear(set+time.Hour, time.Hour)
	if said := status.WrongClock(); said != "" {
		t.Errorf("it counts what it heard before the others' clocks were right: %q", said)
	}
}
