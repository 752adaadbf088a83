package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// A quota that is reached is NOSPACE on all members, also behind a kill and a new leader: no put is taken, and deletions and reads are.
// It ends by itself when enough was deleted, and is not raised again before the quota is reached again.
func TestQuotaIsReached(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const quota = 24 << 10
			w := diskWorld(t, seed, func(s *shape) { s.quota, s.keys, s.large = quota, 64, 0 })
			raised := func() bool {
				return !slices.ContainsFunc(w.hosts, func(h *host) bool { return h.alive() && !h.member.status.View().NoSpace() })
			}
			for round := range 3 {
				if !w.until(time.Minute, raised) {
					t.Fatalf("round %d: no NOSPACE: %v", round, w.places())
				}
				for _, h := range w.hosts {
					if alarms := h.member.alarms(); h.alive() && !slices.ContainsFunc(alarms, func(a kv.Alarm) bool {
						return a.Name == "NOSPACE" && a.Text != ""
					}) {
						t.Errorf("%s has the alarms %+v", h.name(), alarms)
					}
				}
				if h := w.hosts[round]; h.leads || round == 2 {
					h.kill()
					w.run(w.shape.election)
					h.start()
				}
				if !w.until(time.Minute, func() bool {
					return !slices.ContainsFunc(w.hosts, func(h *host) bool { return !h.alive() || h.member.status.View().NoSpace() })
				}) {
					t.Fatalf("round %d: NOSPACE does not end: %v", round, w.places())
				}
			}
			if w.totals.RefusedFull == 0 || w.totals.Full < 3 || w.totals.RoomAgain < 3 {
				t.Errorf("%d times full, %d times room again, %d refusals", w.totals.Full, w.totals.RoomAgain, w.totals.RefusedFull)
			}
			w.well(t)
		})
	}
}

// A small quota by etcd's command line is etcd's: NOSPACE stays until it is disarmed, however much was deleted meanwhile.
func TestSmallQuotaOfEtcd(t *testing.T) {
	var h index.Head
	full, raise := quotaPut("key", 8<<10), h.AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 1, Name: kv.NoSpaceAlarm}).Bytes
	raised := viewOf(t, full, raise)
	free := viewOf(t, full, raise, h.AppendDelete(nil, &kv.Delete{Key: []byte("key")}).Bytes, h.AppendCompact(nil, 3).Bytes)
	disarmed := viewOf(t, full, raise, h.AppendDelete(nil, &kv.Delete{Key: []byte("key")}).Bytes, h.AppendCompact(nil, 3).Bytes, h.AppendAlarm(nil, kv.AlarmChange{Name: kv.NoSpaceAlarm}).Bytes)
	for _, etcd := range []bool{false, true} {
		m := &member{config: Config{QuotaBytes: 4 << 10}, status: &actor.Status{}}
		if etcd {
			m.config.Etcd.Listen = []EtcdListen{{}}
		}
		if err := m.config.validateSettings(); (err == nil) != etcd {
			t.Errorf("etcd %v: a quota of %d bytes: %v", etcd, m.config.QuotaBytes, err)
		}
		if c := &m.config; !c.overQuota(raised) || c.overQuota(free) != etcd || c.overQuota(disarmed) {
			t.Errorf("etcd %v: over the quota: %v; with space %v; disarmed %v", etcd, c.overQuota(raised), c.overQuota(free), c.overQuota(disarmed))
		}
		if text := m.noSpaceText(free); strings.Contains(text, "etcdctl alarm disarm") != etcd {
			t.Errorf("etcd %v: %s", etcd, text)
		}
	}
}

// viewOf is the View of a state that was founded with members 1 and 2, and to which commands were applied, one a second.
func viewOf(t *testing.T, commands ...[]byte) *index.View {
	t.Helper()
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2}))
	for i, c := range commands {
		data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Wall: int64(i+1) * 1e9}, [][]byte{c})
		if results, err := state.Apply(uint64(i+1), 1, data, nil); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	return state.View()
}

func quotaPut(key string, value int) []byte {
	return new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: make([]byte, value)}).Bytes
}

// NOSPACE comes with the whole quota and ends well below it; from four fifths on there is a notice.
func TestQuotaMarks(t *testing.T) {
	raise := new(index.Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 1, Name: kv.NoSpaceAlarm}).Bytes
	for _, c := range []struct {
		used       int // of a quota of 10000
		raised     bool
		over, near bool
	}{
		{7999, false, false, false},
		{8000, false, false, true},
		{9999, false, false, true},
		{10000, false, true, true},
		{10000, true, true, false},
		{9000, true, true, false},
		{8999, true, false, false},
	} {
		commands := [][]byte{quotaPut("key", c.used-64-3)}
		if c.raised {
			commands = append(commands, raise)
		}
		view := viewOf(t, commands...)
		m := &member{config: Config{QuotaBytes: 10000}}
		if over, near := m.config.overQuota(view), m.quotaText(view) != ""; over != c.over || near != c.near {
			t.Errorf("%+v: over %v, near %v", c, over, near)
		}
		if (&Config{}).overQuota(view) {
			t.Errorf("%+v: over no quota", c)
		}
	}
}

// Where no history goes by itself, deletions alone make no room: the member says so.
func TestQuotaSaysWhatHelps(t *testing.T) {
	raise := new(index.Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 1, Name: kv.NoSpaceAlarm}).Bytes
	near, over := viewOf(t, quotaPut("key", 9000)), viewOf(t, quotaPut("key", 10000), raise)
	for history, want := range map[int64]bool{0: true, 1: false, HistoryAuto: false} {
		m := &member{config: Config{QuotaBytes: 10000, HistoryBytes: history}, status: statusOf(t, 3)}
		for what, text := range map[string]string{"nearly reached": m.quotaText(near), "reached": m.noSpaceText(over)} {
			if !strings.Contains(text, "delete keys") || strings.Contains(text, "qkv compact") != want {
				t.Errorf("--history-bytes %d, a quota that is %s: %q", history, what, text)
			}
		}
	}
}

// History has what is set, or as much as is live; and gives way to what is live under a quota.
func TestHistoryGivesWay(t *testing.T) {
	view := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000), quotaPut("b", 1000-2*65)) // live 6000, history 5065
	for _, c := range []struct{ history, quota, want int64 }{
		{0, 1, 0}, {700, 0, 700}, {HistoryAuto, 0, limits.HistoryBytes}, {HistoryAuto, 10000, 1500}, {700, 10000, 700}, {700, 8000, 400}, {700, 7000, 350},
	} {
		if got := (&Config{HistoryBytes: c.history, QuotaBytes: c.quota}).historyBound(view, actor.QuorumCapacity{}); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	for held, want := range map[int64]int64{0: limits.HistoryBytes, 20000: 14000, 7000: 1000, 80: 10, 1: 1} { // what other programs leave does not count
		if got := (&Config{HistoryBytes: HistoryAuto}).historyKept(view, actor.QuorumCapacity{Bytes: held, Now: 1}); got != want {
			t.Errorf("where the machines of a quorum hold %d, the settings keep %d", held, got)
		}
		if got := (&Config{HistoryBytes: 5000}).historyKept(view, actor.QuorumCapacity{Bytes: held, Now: 1}); got != 5000 {
			t.Errorf("of 5000 that were asked for the settings keep %d", got)
		}
	}
	for held, want := range map[int64]int64{0: 5000, 20000: 5000, 10000: 4000, 7000: 1000, 6400: 800, 80: 10, 1: 1} {
		if got := (&Config{HistoryBytes: 5000}).historyBound(view, actor.QuorumCapacity{Bytes: 1, Now: held}); got != want {
			t.Errorf("where a quorum holds %d: %d", held, got)
		}
		if got := (&Config{}).historyBound(view, actor.QuorumCapacity{Bytes: held, Now: held}); got != 0 {
			t.Errorf("a history without bound has one: %d", got)
		}
	}
	c := Config{HistoryBytes: HistoryAuto, QuotaBytes: 10000}
	if oldest := c.oldestKept(view, c.historyBound(view, actor.QuorumCapacity{}), 0, 0); oldest != 4 {
		t.Errorf("what weighs too much is kept from revision %d on", oldest)
	}
	short := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000), new(index.Head).AppendCompact(nil, 3).Bytes)
	bound := Config{HistoryBytes: 6000}
	for now, want := range map[int64]bool{3e9: true, 400e9: false} {
		if text := bound.historyText(short, actor.QuorumCapacity{}, now); (text != "") != want {
			t.Errorf("at %d: %q", now, text)
		}
	}
	if text := (&Config{HistoryBytes: 7000}).historyText(short, actor.QuorumCapacity{}, 3e9); text != "" {
		t.Errorf("a history that was compacted by hand: %q", text)
	}
}

// An alarm of the state is said with the words of the member that has some of its own.
func TestReplicatedAlarms(t *testing.T) {
	raise := func(member uint64, name kv.AlarmName) []byte {
		return new(index.Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: member, Name: name}).Bytes
	}
	view := viewOf(t, raise(1, kv.NoSpaceAlarm), raise(2, kv.CorruptAlarm))
	m := &member{status: statusOf(t, 3), folder: &folder{identity: identity{Member: 1}}}
	for _, c := range []struct {
		said []kv.Alarm
		want string
	}{
		{nil, "NOSPACE 1, CORRUPT 2"},
		{[]kv.Alarm{{Name: kv.NoSpaceAlarm, Text: "the disk"}}, "CORRUPT 2"},
		{[]kv.Alarm{{Name: kv.NoSpaceAlarm, Member: 2, Text: "its disk"}, {Name: kv.CorruptAlarm, Member: 2, Text: "its state"}}, "NOSPACE 1"},
	} {
		var got []string
		for _, a := range m.replicatedAlarms(view, c.said) {
			if strings.Contains(a.Text, "disarm") && a.Name == kv.NoSpaceAlarm {
				t.Errorf("the leader raises it again as long as there is no room: %s", a.Text)
			}
			got = append(got, fmt.Sprintf("%s %d", a.Name, a.Member))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%v: %s, want %s", c.said, s, c.want)
		}
	}
}

// proposed keeps what consensus is asked for.
type proposed chan actor.Propose

// Handle implements actor.Handler.
func (p proposed) Handle(_ actor.Time, batch []actor.ConsensusMessage) bool {
	for _, m := range batch {
		p <- m.(actor.Propose)
	}
	return false
}

// What a member writes to the log by itself, such as the end of NOSPACE, says that it is the member's own: behind what clients
// wait with for longer than it does, it would never come to its turn.
func TestOwnCommandsSayThatTheyAre(t *testing.T) {
	all, r := make(proposed, 1), actor.NewRuntime()
	defer r.Stop()
	m := &member{actors: actors{consensus: actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 1})}}
	actor.Spawn(r, m.actors.consensus, all)
	m.proposed.guarding.propose(m, new(index.Head).AppendAlarm(nil, kv.AlarmChange{Name: kv.NoSpaceAlarm}))
	if p := <-all; !p.Own || p.Proposal.Timeout != announceTimeout {
		t.Errorf("%+v", p)
	}
}
