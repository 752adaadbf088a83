package etcd

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/net/etcd/front"
)

// TestJoin: what waits for one watch is one message, and overtakes nothing that another one, or its own, is told between.
func TestJoin(t *testing.T) {
	ones, twos := []uint64{1, 2}, []uint64{3}
	events := func(ids []uint64, revision int64, what string) notice {
		return notice{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, IDs: ids, Revision: revision, Events: []byte(what), Count: 1}}
	}
	of := func(kind kv.WatchDeliveryKind, ids []uint64, revision int64) notice {
		return notice{WatchDelivery: kv.WatchDelivery{Kind: kind, IDs: ids, Revision: revision}}
	}
	open := events(ones, 2, "b")
	open.Fragment = true
	answer := notice{answer: &pb.WatchResponse{}}
	most := strings.Repeat("m", limits.WatchFrameBytes-1)
	type left struct {
		ids      int
		revision int64
		events   string
		count    int
	}
	for name, c := range map[string]struct {
		taken []notice
		left  []left
	}{
		"alone":             {[]notice{events(ones, 1, "a")}, []left{{2, 1, "a", 1}}},
		"two watches":       {[]notice{events(ones, 1, "a"), events(twos, 1, "x"), events(ones, 2, "b"), events(twos, 3, "y"), events(ones, 4, "c")}, []left{{2, 4, "abc", 3}, {1, 3, "xy", 2}}},
		"room for one more": {[]notice{events(ones, 1, most), events(ones, 2, "b"), events(ones, 3, "c"), events(ones, 4, "d")}, []left{{2, 2, most + "b", 2}, {2, 4, "cd", 2}}},
		"one more watch":    {[]notice{events(ones[:1], 1, "a"), events(ones, 2, "b"), events(ones, 3, "c")}, []left{{1, 1, "a", 1}, {2, 3, "bc", 2}}},
		"progress":          {[]notice{events(ones, 1, "a"), of(kv.WatchProgressed, nil, 1), events(ones, 2, "b")}, []left{{2, 1, "a", 1}, {0, 1, "", 0}, {2, 2, "b", 1}}},
		"canceled":          {[]notice{events(ones, 1, "a"), of(kv.WatchCanceled, twos, 1), events(ones, 2, "b")}, []left{{2, 1, "a", 1}, {1, 1, "", 0}, {2, 2, "b", 1}}},
		"created":           {[]notice{events(ones, 1, "a"), of(kv.WatchCreated, twos, 1), events(ones, 2, "b")}, []left{{2, 1, "a", 1}, {1, 1, "", 0}, {2, 2, "b", 1}}},
		"an answer":         {[]notice{events(ones, 1, "a"), answer, events(ones, 2, "b")}, []left{{2, 1, "a", 1}, {0, 0, "", 0}, {2, 2, "b", 1}}},
		"half a revision":   {[]notice{events(ones, 1, "a"), open, events(ones, 3, "c"), events(ones, 4, "d")}, []left{{2, 1, "a", 1}, {2, 2, "b", 1}, {2, 4, "cd", 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := join(c.taken, map[watchGroup]int{})
			if len(got) != len(c.left) {
				t.Fatalf("%d are left of %d, not %d", len(got), len(c.taken), len(c.left))
			}
			for i, want := range c.left {
				if is := (left{len(got[i].IDs), got[i].Revision, string(got[i].Events), got[i].Count}); is != want {
					t.Errorf("%d: %.99v, not %.99v", i, is, want)
				}
			}
			for _, gone := range c.taken[len(got):] {
				if gone.Events != nil {
					t.Error("what was joined is kept")
				}
			}
		})
	}
}

// TestJoinShared: streams share what they are told; what one of them joins is its own.
func TestJoinShared(t *testing.T) {
	shared := append(make([]byte, 0, 64), "a"...)
	var told [2][]notice
	for i, next := range []string{"b", "c"} {
		ids := []uint64{1}
		told[i] = join([]notice{
			{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, IDs: ids, Revision: 1, Events: shared}},
			{WatchDelivery: kv.WatchDelivery{Kind: kv.WatchEvents, IDs: ids, Revision: 2, Events: []byte(next)}},
		}, map[watchGroup]int{})
	}
	if a, b := string(told[0][0].Events), string(told[1][0].Events); a != "ab" || b != "ac" {
		t.Errorf("%q and %q", a, b)
	}
}

// counting is a stream that counts what it is given.
type counting struct {
	grpc.ServerStream
	bytes int
}

func (to *counting) SendMsg(m any) error {
	to.bytes += m.(answer).size()
	return nil
}

// termOnly is a member that knows nothing but its term.
type termOnly struct{ Member }

func (termOnly) RaftStatus() RaftStatus { return RaftStatus{} }

// TestLargeRevisions: what one message may have bounds each revision that comes in pieces, not all of them together.
func TestLargeRevisions(t *testing.T) {
	to := &counting{}
	w := &watchStream{s: &core{config: Config{Member: termOnly{}}}, stream: to}
	one := &watched{id: 1}
	piece := make([]byte, etcdAnswerBytes/64)
	for revision := range int64(4) {
		for n := range 40 {
			d := kv.WatchDelivery{Kind: kv.WatchEvents, Revision: revision, Events: piece, Count: 1, Fragment: n < 39}
			if err := w.sendTo(one, &d); err != nil {
				t.Fatalf("revision %d, piece %d: %v", revision, n, err)
			}
		}
		if least := (int(revision) + 1) * 40 * len(piece); to.bytes < least {
			t.Fatalf("behind revision %d %d bytes were sent, of %d", revision, to.bytes, least)
		}
	}
	var err error
	for range 65 {
		err = w.sendTo(one, &kv.WatchDelivery{Kind: kv.WatchEvents, Revision: 4, Events: piece, Count: 1, Fragment: true})
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a revision that is too large for a message: %v", err)
	}
}

// TestEndedStreamHoldsNothing: answers that a stream ends with were their connection's, which others go on with.
func TestEndedStreamHoldsNothing(t *testing.T) {
	m := front.NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	w := &watchStream{s: &core{}, account: m.Begin(&net.TCPAddr{}, func() {}), wake: make(chan struct{}, 1)}
	w.answersSent.L = &w.mu
	w.addAnswerLocked(notice{answer: &pb.WatchResponse{}})
	if m.Total() == 0 {
		t.Error("an answer that waits takes nothing")
	}
	if w.end(); m.Total() != 0 {
		t.Errorf("answers of nobody's take %d bytes", m.Total())
	}
}
