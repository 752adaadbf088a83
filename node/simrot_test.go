package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"qkv/internal/damage"
)

// rotSnapshot lets a machine lose power, and inverts a bit of its newest snapshot before it comes back. One member's
// damage may be there at a time, so that the others have what it loses.
func (w *world) rotSnapshot(f fault, h *host) {
	if h.saved < 2 || !h.alive() || len(h.member.actors.snapshotter.Files()) < 2 {
		return // without another one the member cannot go on, and says so
	}
	for _, one := range w.hosts {
		if one.rotted && one != h {
			return
		}
	}
	h.crash()
	names := h.files("data/snap", ".snap")
	// One that was received, and that the log may begin behind already, is the only one that the member can start from.
	own := len(names) > 0 && strings.HasPrefix(names[len(names)-1], fmt.Sprintf("data/snap/%020d-", h.savedIndex))
	if own && w.rot(h, names[len(names)-1], f.strength) {
		h.rotted, h.saved = true, 0
	}
	w.lasting(f.lasts, h.start)
}

// rotLog inverts a bit of the oldest segment of a member that keeps several. The damage is found when the entry is
// read for another member, or at the next start, and then the member stays down: a minority of all may, and one whose
// damage is not found yet is of it.
func (w *world) rotLog(f fault, h *host) {
	gone := 1
	for _, one := range w.hosts {
		if one != h && (one.lost() || one.rottedLog) {
			gone++
		}
	}
	names := h.files("data/wal", ".wal")
	if w.shape.spares > 0 && (w.admin.open > 0 || w.sim.Now()-w.admin.unsure < quiet || !w.quorumBeside(h)) { // nor may a quorum of what the members are now
		return
	}
	if gone+w.shape.amnesiacs > (len(w.hosts)-1)/2 || !h.alive() || h.lost() || h.ruined() || h.member.actors.logWriter.Log.Stats().Segments < 3 {
		return
	}
	if len(names) > 0 && w.rot(h, names[0], f.strength) {
		h.rottedLog = true
	}
}

// files lists the files of a folder with a suffix, by name.
func (h *host) files(dir, suffix string) []string {
	names, _ := h.disk.List(dir) // none when there is no folder
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, suffix) })
	for i := range names {
		names[i] = dir + "/" + names[i]
	}
	return names
}

// rot inverts one bit of a file.
func (w *world) rot(h *host, name string, where float64) bool {
	file, err := h.disk.Open(name)
	if err != nil {
		return false
	}
	size, err := file.Size()
	if err != nil || size == 0 {
		return false
	}
	if err := h.disk.Rot(name, int64(where*float64(size)), uint(w.random.IntN(8))); err != nil {
		panic(fmt.Sprintf("no rot: %v", err))
	}
	w.trace("%s has a damaged %s", h.name(), name)
	return true
}

// ruined tells whether a member has found damage in its log, and stays down.
func (h *host) ruined() bool { return h.damage != nil }

// damaged notes that a member refuses to go on because of the damage that was done to its log.
func (h *host) damaged(err error) bool {
	if !h.rottedLog || !errors.Is(err, damage.ErrDamaged) {
		return false
	}
	h.damage = err
	h.w.totals.Ruined++
	h.w.trace("%s stays down: %v", h.name(), err)
	return true
}
