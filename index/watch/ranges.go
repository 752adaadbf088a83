package watch

// ranges finds the ranges that contain a key. It is a treap ordered by the ranges' beginnings, in which each node knows
// the largest end below it. A lookup that finds k ranges costs one descent plus k.
type ranges struct {
	root *node
	next uint64 // state of the generator of priorities
}

// node is a range and its groups.
type node struct {
	key, end    string // the end "\0" means no end
	groups      []*group
	priority    uint64
	left, right *node
	most        string // the largest end in this subtree
}

const noEnd = "\x00"

// endsBefore says whether end a is before end b.
func endsBefore(a, b string) bool { return b == noEnd && a != noEnd || a != noEnd && a < b }

// before orders nodes.
func (n *node) before(key, end string) bool { return n.key < key || n.key == key && n.end < end }

// fix updates most after a change below.
func (n *node) fix() {
	n.most = n.end
	for _, child := range []*node{n.left, n.right} {
		if child != nil && endsBefore(n.most, child.most) {
			n.most = child.most
		}
	}
}

// at appends the groups whose range contains a key.
func (n *node) at(key []byte, to []*group) []*group {
	for n != nil && (n.most == noEnd || string(key) < n.most) {
		to = n.left.at(key, to)
		if n.key > string(key) {
			break
		}
		if n.end == noEnd || string(key) < n.end {
			to = append(to, n.groups...)
		}
		n = n.right
	}
	return to
}

// add adds a group.
func (t *ranges) add(g *group) {
	n := t.root
	for n != nil && (n.key != g.key || n.end != g.end) {
		if n.before(g.key, g.end) {
			n = n.right
		} else {
			n = n.left
		}
	}
	if n == nil {
		t.next += 0x9e3779b97f4a7c15
		n = &node{key: g.key, end: g.end, priority: mix(t.next)}
		n.fix()
		t.root = t.root.insert(n)
	}
	n.groups = append(n.groups, g)
}

// mix hashes x, so clients cannot predict how priorities compare.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (n *node) insert(other *node) *node {
	switch {
	case n == nil:
		return other
	case other.priority > n.priority:
		other.left, other.right = n.split(other.key, other.end)
		n = other
	case n.before(other.key, other.end):
		n.right = n.right.insert(other)
	default:
		n.left = n.left.insert(other)
	}
	n.fix()
	return n
}

// split returns the nodes before a range, and the others.
func (n *node) split(key, end string) (before, others *node) {
	if n == nil {
		return nil, nil
	}
	if n.before(key, end) {
		n.right, others = n.right.split(key, end)
		before = n
	} else {
		before, n.left = n.left.split(key, end)
		others = n
	}
	n.fix()
	return before, others
}

// remove removes a group.
func (t *ranges) remove(g *group) { t.root = t.root.remove(g) }

func (n *node) remove(g *group) *node {
	switch {
	case n.key == g.key && n.end == g.end:
		n.groups = without(n.groups, g)
		if len(n.groups) == 0 {
			return join(n.left, n.right)
		}
	case n.before(g.key, g.end):
		n.right = n.right.remove(g)
	default:
		n.left = n.left.remove(g)
	}
	n.fix()
	return n
}

// join joins two trees; all nodes of left are before all nodes of right.
func join(left, right *node) *node {
	switch {
	case left == nil:
		return right
	case right == nil:
		return left
	case left.priority > right.priority:
		left.right = join(left.right, right)
		left.fix()
		return left
	default:
		right.left = join(left, right.left)
		right.fix()
		return right
	}
}

// without removes a group from an unordered list.
func without(groups []*group, g *group) []*group {
	for i := range groups {
		if groups[i] == g {
			last := len(groups) - 1
			groups[i], groups[last] = groups[last], nil
			return groups[:last]
		}
	}
	return groups
}
