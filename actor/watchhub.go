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

// WatchHubMessage is what the watch hub takes.
type WatchHubMessage interface{ watchHubMessage() }

type (
	// Watch is a request of a stream of watches. Sent where it waits for a client, posted where the stream owes it: room and
	// end, one at a time.
	Watch struct {
		Stream  kv.WatchStream
		Request kv.WatchRequest
	}
	// ViewPublished says that there is a newer View. Posted, by [WatchSignal]: never while one waits, or nobody watches.
	ViewPublished struct{}
	// LookAtWatches is the watch hub's clock. Offered.
	LookAtWatches struct{}
)

func (Watch) watchHubMessage()         {}
func (ViewPublished) watchHubMessage() {}
func (LookAtWatches) watchHubMessage() {}

// WatchSignal is how the applier tells the watch hub that there is a newer View, which costs nothing while nobody watches, and
// at most one message that waits.
type WatchSignal struct {
	watched atomic.Bool  // somebody does
	told    atomic.Bool  // a ViewPublished waits
	watches atomic.Int64 // how many there are
}

// published is called behind each View that is shown.
func (s *WatchSignal) published(hub *Mailbox[WatchHubMessage]) {
	if s.watched.Load() && s.told.CompareAndSwap(false, true) {
		hub.PostAndYield(ViewPublished{})
	}
}

// Watches returns how many watches there are.
func (s *Status) Watches() int64 { return s.watch.watches.Load() }

// WatchHubConfig is what the watch hub is built from.
type WatchHubConfig struct {
	Inbox  *Mailbox[WatchHubMessage]
	Status *Status
	Seed   uint64        // any number that clients cannot know
	Alone  time.Duration // without a leader for so long, the member serves no watches
	Limits limits.Tunable
}

// WatchHub tells the streams of clients of what changes in the keys that they watch. It owns who watches what, and how far each
// has been told: package watch says how. It takes the newest View itself, never data from the applier, so that no put waits for a
// watch; and it is paced, so that bringing up those that are behind leaves the processor to others.
type WatchHub struct {
	// Constant after construction.
	WatchHubConfig

	// Owned by the actor.
	hub   *watch.Hub
	alone time.Duration // since when no leader is known; 0: there is one

	revision int64         // the newest one
	wrote    time.Duration // when it was first seen
	owed     time.Duration // the rest for what the last step sent those that are behind
}

// NewWatchHub builds the actor.
func NewWatchHub(c WatchHubConfig) *WatchHub {
	c.Limits.Watches.Reached = c.Limits.Reached
	return &WatchHub{WatchHubConfig: c, hub: watch.NewHub(c.Limits.Watches, c.Seed)}
}

// Rest implements Paced. Those that are behind can wait: they get a fourth of the time. What they are sent takes their streams and
// clients longer than the hub, so beside puts it rests for that, too.
func (w *WatchHub) Rest(took time.Duration) time.Duration {
	if w.hub.Behind() {
		took = max(took*limits.WatchRest, w.owed)
	}
	return restAfter(took)
}

// owe says how long the hub rests for what a step sent: not when nobody has written of late, and not when those that are behind
// would hardly gain on what is written.
func (w *WatchHub) owe(t Time, v *index.View) {
	if r := v.Revision(); r != w.revision {
		w.revision, w.wrote = r, t.Now
	}
	events, ahead := w.hub.Sent(v)
	if w.owed = 0; ahead && t.Now-w.wrote < limits.WatchCalm {
		w.owed = min(time.Duration(events)*time.Second/limits.WatchSentRate, limits.WatchRestMost)
	}
}

// Handle implements Handler.
func (w *WatchHub) Handle(t Time, batch []WatchHubMessage) (again bool) {
	w.Status.watch.told.Store(false) // before the View is taken: what is published from here on is told again
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
		case LookAtWatches:
			w.look(t.Now)
		case ViewPublished:
		default:
			panic(fmt.Sprintf("the watch hub takes no %T", m))
		}
	}
	if again = w.hub.Step(t.Now, view, t.Resting); !t.Resting {
		w.owe(t, view)
	}
	w.Status.watch.watches.Store(int64(w.hub.Watches()))
	w.Status.watch.watched.Store(w.hub.Watches() > 0)
	return again
}

// look notices a leader that is gone, and tells those that hear nothing that there is nothing. A member that no leader feeds would
// let its watches wait for what others know already; they turn to another member, and resume there.
func (w *WatchHub) look(now time.Duration) {
	raft := w.Status.Raft()
	switch {
	case raft.Role == RoleRefused:
		w.hub.EndAll(kv.Errorf(kv.Unavailable, "this member takes no part in the cluster: its watches end"))
	case raft.Leader != 0:
		w.alone = 0
	case w.alone == 0:
		w.alone = now
	case now-w.alone >= w.Alone:
		w.hub.EndAll(kv.Errorf(kv.Unavailable, "this member knows of no leader: its watches end, another one may know more"))
	}
	w.hub.Notify(now, w.Limits.Watches.Progress)
}
