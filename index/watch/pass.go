package watch

import (
	"qkv/index"
	"qkv/index/kv"
)

// spec is what equal watches have in common.
type spec struct {
	key, end                          string // a range's; without an end it is the one key
	prevKV, progress, noPut, noDelete bool
	format                            *kv.WatchFormat
	// since is the revision that was the compacted one when the watch began with it; 0 when it began later, and from when it is past
	// that on. Of what a key became there and did not stay a compaction leaves nothing.
	since int64
}

// pass is a place in the history, and the subscriptions that have been told of all before it.
type pass struct {
	at     index.Position
	groups map[spec]*group
	list   []*group            // the same
	keys   map[string][]*group // those of one key
	ranges ranges
	parts  map[part]*subscription
	count  int // of subscriptions

	touched []*group // that have something to deliver
	open    []*group // that are within a revision
	pending int      // bytes of events that are to be delivered
	due     bool     // what is to be delivered goes before anything else
}

// part is a stream's part in a group.
type part struct {
	group  *group
	stream *stream
}

// group is the subscriptions of a pass with one spec, and what is to be delivered to them.
type group struct {
	spec
	subscriptions []*subscription

	body    []byte
	count   int            // of events in body
	from    index.Position // where the body begins
	newest  int64          // revision of the last event in it
	touched bool
	open    bool // the last delivery was a fragment

	slot int // in list
}

// subscription is the equal watches of one stream that have been told of the same.
type subscription struct {
	spec
	stream *stream
	ids    []uint64       // deliveries share it: it is appended to, or replaced
	cursor index.Position // behind all that was delivered, while it is in no pass
	open   bool           // the last delivery was a fragment, likewise
	byPass bool           // its key has too many versions
	told   int64          // when something was delivered last, in nanoseconds
	number uint64

	place  place
	group  *group // of its pass
	slot   int    // in the group
	listed int    // in its stream
}

// place is where a subscription is.
type place uint8

const (
	nowhere place = iota
	inLive
	inSweep
	inWaiting
	inKeys
	inBlocked
)

func newPass(seed uint64) *pass {
	return &pass{groups: map[spec]*group{}, keys: map[string][]*group{}, parts: map[part]*subscription{}, ranges: ranges{next: seed}}
}

// add takes a subscription on, whose cursor is the place of the pass. One with the same watches takes its place in it.
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
			p.touch(g, p.at) // the revision is over
		}
	}
	own := part{g, s.stream}
	if other := p.parts[own]; other != nil {
		for _, id := range s.ids {
			s.stream.watches[id] = other
		}
		other.ids = append(other.ids, s.ids...)
		return other
	}
	p.parts[own] = s
	s.group, s.slot, s.open, s.byPass = g, len(g.subscriptions), false, false
	g.subscriptions = append(g.subscriptions, s)
	p.count++
	return s
}

// remove takes a subscription out. Its cursor is the place of the pass then, or where what was not delivered begins.
func (p *pass) remove(s *subscription) {
	g := s.group
	last := len(g.subscriptions) - 1
	moved := g.subscriptions[last]
	g.subscriptions[s.slot], moved.slot = moved, s.slot
	g.subscriptions[last] = nil
	g.subscriptions = g.subscriptions[:last]
	delete(p.parts, part{g, s.stream})
	p.count--
	s.cursor, s.open, s.group, s.place = p.at, g.open, nil, nowhere
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

// touch has something delivered to a group at the end of the walk, which begins at a place if there is nothing yet.
func (p *pass) touch(g *group, from index.Position) {
	if !g.touched {
		g.touched, g.from = true, from
		p.touched = append(p.touched, g)
	}
}

// leaveOpen notes that a group is within a revision.
func (p *pass) leaveOpen(g *group) {
	g.open = true
	p.open = append(p.open, g)
}

// closeRevision has those told that are within the revision that has ended.
func (p *pass) closeRevision(at index.Position) {
	for _, g := range p.open {
		if g.open {
			p.touch(g, at)
		}
	}
	clear(p.open)
	p.open = p.open[:0]
}

// of appends the groups that watch a key.
func (p *pass) of(key []byte, to []*group) []*group {
	to = append(to, p.keys[string(key)]...)
	return p.ranges.root.at(key, to)
}

// wants says whether a group is told of a change.
func (g *group) wants(c *index.Change) bool {
	if c.Deleted && g.noDelete || !c.Deleted && g.noPut {
		return false
	}
	return c.KV.ModRevision != g.since || !c.Superseded()
}
