package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// Before a member starts, parts that its snapshots list are lost, or a bit of them is inverted. The member fetches them from another one. If
// it reaches none that has them, its start fails, and is tried again. While a member runs, bits of its parts are inverted, too: it reads no
// wrong value, and fetches a part in which it finds damage. If it gets none, it is restarted when everything heals. The limits of the fault:
//
//   - A part is harmed only while another member has it that lacks no part itself, forgot nothing and has no damaged log. This stays true
//     for all that members lack when the next one is harmed. So a part is never harmed on all members, and never do two members wait for
//     each other: a member that has not started gives no part.
//   - Nothing is harmed in a cluster with one voter, which must start from what it has.
//   - Nothing is harmed after everything has healed, or in a life in which nothing goes wrong.
//
// While a member waits, the others may drop a part that it needs: they have newer snapshots. Its operator would replace the member, or put
// the file back from a copy. The simulated operator puts it back, but only when no member that may give the part has it.

// partWaits is how often a start may fail for want of a part after everything has healed: all others have started by then.
const partWaits = 30

// drawParts draws the probability that parts of a member are harmed before it starts, and faults of those of running members.
func drawParts(r *rand.Rand, s *shape) {
	if s.calm {
		return
	}
	if r.IntN(3) == 0 {
		s.partHarm = 0.1 + 0.6*r.Float64()
	}
	for range r.IntN(5) {
		s.faults = append(s.faults, fault{
			kind: pick(r, rotPart, failRead), member: r.IntN(s.members + s.spares), strength: r.Float64(),
			at: time.Second + time.Duration(r.Int64N(int64(s.faulty-time.Second))),
		})
	}
}

// holding is what a disk has of the parts that its snapshots list: the names of the sound ones, sorted, and of the others.
type holding struct{ sound, broken []string }

func (h *host) holding() (has holding) {
	disk := h.disk.Clone(0) // the disk of a running member is not touched
	disk.Kill()
	listing, err := snapshot.List(disk, "data/snap")
	if err != nil {
		return has // there are none yet
	}
	for _, info := range listing.Published {
		defects, err := snapshot.Defects(disk, info)
		if err != nil {
			h.w.failf("the parts of %s of %s cannot be verified: %v", info.Path, h.name(), err)
		}
		for _, p := range info.Parts {
			to := &has.sound
			if slices.ContainsFunc(defects, func(d snapshot.Defect) bool { return d.Name() == p.Name() }) {
				to = &has.broken
			}
			*to = append(*to, p.Name())
		}
	}
	for _, all := range []*[]string{&has.sound, &has.broken} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	return has
}

// holdings returns what the members have that may give parts.
func (w *world) holdings() map[*host]holding {
	all := map[*host]holding{}
	for _, h := range w.listed() {
		if !h.lost() && !h.rottedLog && !h.removed {
			all[h] = h.holding()
		}
	}
	return all
}

// available tells whether a member beside h that lacks no part has this one.
func available(all map[*host]holding, h *host, part string) bool {
	for o, has := range all {
		if o != h && len(has.broken) == 0 && slices.Contains(has.sound, part) {
			return true
		}
	}
	return false
}

// harmParts harms parts of a member that is about to start.
func (w *world) harmParts(h *host) {
	if w.healed == 0 && w.probably(w.shape.partHarm) {
		w.harmSome(h, pick(w.random, 0.1, 0.5, 1), 0.5)
	}
}

// rotParts harms parts of a member that runs.
func (w *world) rotParts(f fault, h *host) {
	if h.alive() {
		w.harmSome(h, max(0.05, f.strength), 0)
	}
}

// harmSome harms a share of the parts of a member. A share of these is lost.
func (w *world) harmSome(h *host, share, lost float64) {
	if len(w.watch.members.Configuration().Voters) < 2 {
		return
	}
	all := w.holdings()
	if _, sound := all[h]; !sound {
		return
	}
	for o, has := range all {
		if o != h && slices.ContainsFunc(has.broken, func(part string) bool { return !available(all, h, part) }) {
			return // o needs what h has
		}
	}
	for _, part := range all[h].sound {
		if !available(all, h, part) || !w.probably(share) {
			continue
		}
		path := "data/snap/" + part
		content, err := readAll(h.disk, path)
		if err != nil {
			continue // the disk fails
		}
		switch {
		case w.probably(lost):
			if h.disk.Remove(path) != nil {
				continue
			}
			w.trace("%s has lost %s", h.name(), path)
			w.totals.PartsLost++
		case w.rot(h, path, w.random.Float64()):
			w.totals.PartsRotten++
		default:
			continue
		}
		if h.harmed == nil {
			h.harmed = map[string][]byte{}
		}
		h.harmed[part] = content
	}
}

// aside tells whether a text names a part that the member has moved aside.
func (h *host) aside(text string) bool {
	names, _ := h.disk.Clone(0).List("data/damaged")
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".part") && strings.Contains(text, name) })
}

// lacksParts tells whether a start has failed for want of a part that was harmed. It is tried again, unless the member was removed
// meanwhile: no member gives it a part any more.
func (h *host) lacksParts(life *simLife, err error) bool {
	if h.harmed == nil && !h.aside(err.Error()) || !strings.Contains(err.Error(), "it could not be fetched from another member") {
		return false
	}
	w := h.w
	w.trace("%s waits for a part: %v", h.name(), err)
	w.totals.PartsAwaited++
	life.End()
	h.disk.Kill()
	if w.watch.members.Removed(h.id()) {
		return true
	}
	if w.healed != 0 {
		h.waits++
	}
	if h.waits > 2 && w.shape.spares > 0 { // the others may have moved meanwhile, and only its operator can tell it
		h.hint()
	}
	if h.waits > partWaits {
		w.failf("%s has not got its parts in %d starts: %v", h.name(), h.waits, err)
		return true
	}
	h.putBack()
	w.sim.After(w.between(100*time.Millisecond, time.Second), h.start)
	return true
}

// putBack is what an operator does who has copies of the parts that no member can give.
func (h *host) putBack() {
	all := h.w.holdings()
	for _, part := range h.holding().broken {
		content, known := h.harmed[part]
		if !known {
			one, err := readAll(h.disk, "data/damaged/"+part)
			content, known = one, err == nil
		}
		if !known || available(all, h, part) {
			continue
		}
		path := "data/snap/" + part
		_ = h.disk.Remove(path) // if it is damaged
		if err := writeAll(h.disk, path, content); err != nil {
			h.w.trace("%s cannot be put back: %v", path, err) // the next time
			continue
		}
		h.w.trace("%s is put back on %s", path, h.name())
		h.w.totals.PartsPutBack++
	}
}

func readAll(d *simdisk.Disk, path string) ([]byte, error) {
	file, err := d.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if n, err := file.ReadAt(content, 0); n < len(content) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return content, nil
}

func writeAll(d *simdisk.Disk, path string, content []byte) error {
	file, err := d.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}
