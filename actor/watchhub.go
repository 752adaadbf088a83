package actor

import (
	"fmt"
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/limits"
)

const (
	// watchRest is the ratio of the hub's pause to its step while any watch lags. Measured with 10,000 on three members of one busy host:
	// 3 halves the p99 of puts meanwhile, in comparison with 1, without measurable delay.
	watchRest = 3
	// watchSentRate bounds the events per second that a member sends to lagging watches. It applies if a write came within watchCalm and
	// if the watches gain at least four revisions per written one. An event takes its stream and its client some microseconds,
	// and puts wait for these busy processors. watchRestMost is the longest pause after one step.
	watchSentRate = 150_000
	watchCalm     = 100 * time.Millisecond
	watchRestMost = 5 * time.Millisecond
)

// WatchHubMessage is a message to the watch hub.
type WatchHubMessage interface{ watchHubMessage() }

type (
	// Watch is a request of a stream of watches. It is sent if it waits for a client, and posted if the stream owes it: freed capacity
	// and end, one at a time.
	Watch struct {
		Stream  kv.WatchStream
		Request kv.WatchRequest
	}
	// viewPublished reports that there is a newer View. Posted, by [watchSignal]: never while one waits, or without watches.
	viewPublished struct{}
	// valuesRead has the values that the hub was missing. Posted by the value reader.
	valuesRead struct{ Values []watch.Read }
	// WatchTick is the watch hub's clock. Offered.
	WatchTick struct{}
)

func (Watch) watchHubMessage()         {}
func (viewPublished) watchHubMessage() {}
func (valuesRead) watchHubMessage()    {}
func (WatchTick) watchHubMessage()     {}

// watchSignal lets the applier signal a newer View to the watch hub. It costs nothing without watches, and otherwise at most one waiting
// message.
type watchSignal struct {
	watched atomic.Bool  // there is a watch
	pending atomic.Bool  // a viewPublished waits in the mailbox
	watches atomic.Int64 // number of watches
}

// published is called after each published View.
func (s *watchSignal) published(hub *Mailbox[WatchHubMessage]) {
	if s.watched.Load() && s.pending.CompareAndSwap(false, true) {
		hub.postAndYield(viewPublished{})
	}
}

// Watches returns the number of watches.
func (s *Status) Watches() int64 { return s.watch.watches.Load() }

// WatchHubConfig is the configuration of the watch hub.
type WatchHubConfig struct {
	Inbox  *Mailbox[WatchHubMessage]
	Reader *Mailbox[ReadValues]
	Status *Status
	Seed   uint64        // a number unknown to clients
	Alone  time.Duration // after this time without a leader, the member serves no watches
	Limits limits.Tunable
}

// WatchHub sends changes of watched keys to the streams of clients. It owns the registered watches and each watch's progress: see package
// watch. It takes the newest View itself, never data from the applier, so no put waits for a watch. It is paced: catching lagging watches
// up leaves the processor to others.
type WatchHub struct {
	// Constant after construction.
	WatchHubConfig

	// Owned by the actor.
	hub             *watch.Hub
	leaderlessSince time.Duration // 0: there is a leader

	revision     int64         // the newest one
	revisionSeen time.Duration // when the hub first saw it
	sendPause    time.Duration // the pause for the events that the last step sent to lagging watches
}

// NewWatchHub builds the actor.
func NewWatchHub(c WatchHubConfig) *WatchHub {
	c.Limits.Watches.Reached = c.Limits.Reached
	return &WatchHub{WatchHubConfig: c, hub: watch.NewHub(c.Limits.Watches, c.Seed)}
}

// Rest implements paced. Lagging watches can wait: they get a fourth of the time. Their events cost streams and clients more time than
// the hub, so while there are puts it also rests for that.
func (w *WatchHub) Rest(took time.Duration) time.Duration {
	if w.hub.Behind() {
		took = max(took*watchRest, w.sendPause)
	}
	return restAfter(took)
}

// setSendPause sets the pause for the events that a step sent: none without recent writes, and none if lagging watches would hardly gain on
// the writes.
func (w *WatchHub) setSendPause(t Time, v *index.View) {
	if r := v.Revision(); r != w.revision {
		w.revision, w.revisionSeen = r, t.Now
	}
	events, ahead := w.hub.Sent(v)
	if w.sendPause = 0; ahead && t.Now-w.revisionSeen < watchCalm {
		w.sendPause = min(time.Duration(events)*time.Second/watchSentRate, watchRestMost)
	}
}

// Handle implements Handler.
func (w *WatchHub) Handle(t Time, batch []WatchHubMessage) (again bool) {
	w.Status.watch.pending.Store(false) // before the View is taken: later Views are signaled again
	for _, m := range batch {
		if one, ok := m.(Watch); ok && one.Request.Kind == kv.WatchCreate {
			w.Status.watch.watched.Store(true) // likewise
		}
	}
	view := w.Status.View()
	for _, m := range batch {
		switch m := m.(type) {
		case Watch:
			w.hub.Request(view, m.Stream, &m.Request)
		case valuesRead:
			w.hub.Bring(m.Values)
		case WatchTick:
			w.checkLeader(t.Now)
		case viewPublished:
		default:
			panic(fmt.Sprintf("the watch hub takes no %T", m))
		}
	}
	if again = w.hub.Step(t.Now, view, t.Resting); !t.Resting {
		w.setSendPause(t, view)
	}
	if missing := w.hub.Missing(); missing != nil {
		w.Reader.MustPost(ReadValues{missing})
	}
	w.Status.watch.watches.Store(int64(w.hub.Watches()))
	w.Status.watch.watched.Store(w.hub.Watches() > 0)
	return again
}

// checkLeader detects the loss of the leader, and sends progress notices to idle watches. A member without a leader would make its watches
// wait for events that other members have already; the watches turn to another member, and resume there.
func (w *WatchHub) checkLeader(now time.Duration) {
	raft := w.Status.Raft()
	switch {
	case raft.Role == RoleSuspended:
		w.hub.EndAll(kv.Errorf(kv.Unavailable, "this member takes no part in the cluster: its watches end"))
	case w.Status.Waits() != "":
		w.hub.EndAll(kv.Errorf(kv.Unavailable, "this member applies nothing further: its watches end; resume them at another member"))
	case raft.Leader != 0:
		w.leaderlessSince = 0
	case w.leaderlessSince == 0:
		w.leaderlessSince = now
	case now-w.leaderlessSince >= w.Alone:
		w.hub.EndAll(kv.Errorf(kv.Unavailable, "this member has no leader: its watches end; resume them at another member"))
	}
	w.hub.Notify(now, w.Limits.Watches.Progress)
}
