package watch

import (
	"qkv/index"
	"qkv/index/kv"
)

// spec is what equal watches have in common.
type spec struct {
	key, end                          string // as in a range; without an end, a single key
	prevKV, progress, noPut, noDelete bool
	format                            *kv.WatchFormat
	// since is the compacted revision, if the watch began at it; 0 if the watch began later, or is past it. Changes of a
	// key that were overwritten at the compacted revision itself are not delivered, because a compaction does not keep
	// them.
	since int64
}

// pass is a position in the history, and the subscriptions that have received everything before it.
type pass struct {
	at     index.Position
	groups map[spec]*group
	list   []*group            // the same groups
	keys   map[string][]*group // groups of a single key
	ranges ranges
	byKey  map[subscriber]*subscription
	count  int // number of subscriptions

	touched []*group // groups that have something to deliver
	open    []*group // groups whose last delivery was a fragment of the current revision
	pending int      // bytes of undelivered events
	due     bool     // deliver before anything else
	stuck   bool     // it needs a value that is in files
}

// subscriber identifies a subscription of a pass.
type subscriber struct {
	group  *group
	stream *stream
	by     kv.Principal
}

// group is the subscriptions of a pass with one spec, and their undelivered events.
type group struct {
	spec
	subscriptions []*subscription

	body    []byte
	count   int            // of events in body
	from    index.Position // where the body begins
	newest  int64          // revision of the last event in body
	touched bool
	open    bool // the last delivery was a fragment

	slot int // index in pass.list
}

// subscription is the equal watches of one stream that have received the same deliveries.
type subscription struct {
	spec
	stream       *stream
	by           kv.Principal   // the user of its watches, with Name and Login
	ids          []uint64       // shared by deliveries: append to it or replace it, never change it in place
	cursor       index.Position // after everything delivered; valid only outside a pass
	open         bool           // the last delivery was a fragment; valid only outside a pass
	byPass       bool           // its key has too many versions: the sweep brings it up
	lastDelivery int64          // time of the last delivery, in nanoseconds
	number       uint64

	queue  queue
	group  *group // of its pass
	slot   int    // index in the group
	listed int    // index in its stream
}

// queue is where a subscription is: in a pass, waiting, among the single keys, blocked, or nowhere.
type queue uint8

const (
	nowhere queue = iota
	inLive
	inSweep
	inWaiting
	inKeys
	inBlocked
)

func newPass(seed uint64) *pass {
	return &pass{groups: map[spec]*group{}, keys: map[string][]*group{}, byKey: map[subscriber]*subscription{}, ranges: ranges{next: seed}}
}

// add adds a subscription whose cursor is the position of the pass. If the stream already has a subscription with the
// same spec there, add merges the new one into it and returns the existing one.
func (p *pass) add(s *subscription) *subscription {
	g := p.groups[s.spec]
	if g == nil {
		g = &group{spec: s.spec, slot: len(p.list)}
		p.groups[s.spec] = g
		p.list = append(p.list, g)
		if s.end == "" {
			p.keys[s.key] = append(p.keys[s.key], g)
		} else {
			p.ranges.add(g)
		}
	}
	if s.open {
		if p.leaveOpen(g); p.at.Sub == 0 {
			p.touch(g, p.at) // the revision is complete
		}
	}
	own := subscriber{g, s.stream, s.by}
	if other := p.byKey[own]; other != nil {
		for _, id := range s.ids {
			s.stream.watches[id] = other
		}
		other.ids = append(other.ids, s.ids...)
		return other
	}
	p.byKey[own] = s
	s.group, s.slot, s.open, s.byPass = g, len(g.subscriptions), false, false
	g.subscriptions = append(g.subscriptions, s)
	p.count++
	return s
}

// remove removes a subscription. Its cursor becomes the position of the pass, or the beginning of the undelivered events.
func (p *pass) remove(s *subscription) {
	g := s.group
	last := len(g.subscriptions) - 1
	moved := g.subscriptions[last]
	g.subscriptions[s.slot], moved.slot = moved, s.slot
	g.subscriptions[last] = nil
	g.subscriptions = g.subscriptions[:last]
	delete(p.byKey, subscriber{g, s.stream, s.by})
	p.count--
	s.cursor, s.open, s.group, s.queue = p.at, g.open, nil, nowhere
	if g.touched {
		s.cursor = g.from
	}
	if last > 0 {
		return
	}
	delete(p.groups, g.spec)
	p.pending -= len(g.body)
	g.body, g.count = nil, 0
	end := len(p.list) - 1
	p.list[g.slot], p.list[end].slot = p.list[end], g.slot
	p.list[end] = nil
	p.list = p.list[:end]
	if g.end != "" {
		p.ranges.remove(g)
	} else if rest := without(p.keys[g.key], g); len(rest) > 0 {
		p.keys[g.key] = rest
	} else {
		delete(p.keys, g.key)
	}
}

// touch schedules a delivery to a group at the end of the walk. from is where its body begins if it is empty.
func (p *pass) touch(g *group, from index.Position) {
	if !g.touched {
		g.touched, g.from = true, from
		p.touched = append(p.touched, g)
	}
}

// leaveOpen records that the last delivery to a group was a fragment.
func (p *pass) leaveOpen(g *group) {
	g.open = true
	p.open = append(p.open, g)
}

// closeRevision schedules a delivery to the groups that received fragments of the revision that has ended.
func (p *pass) closeRevision(at index.Position) {
	for _, g := range p.open {
		if g.open {
			p.touch(g, at)
		}
	}
	clear(p.open)
	p.open = p.open[:0]
}

// groupsOf appends the groups that watch a key.
func (p *pass) groupsOf(key []byte, to []*group) []*group {
	to = append(to, p.keys[string(key)]...)
	return p.ranges.root.at(key, to)
}

// wants says whether a group receives a change.
func (g *group) wants(c *index.Change) bool {
	if c.Deleted && g.noDelete || !c.Deleted && g.noPut {
		return false
	}
	return c.KV.ModRevision != g.since || !c.Superseded()
}
