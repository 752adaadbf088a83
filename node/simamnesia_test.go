package node

import (
	"slices"
	"time"

	"qkv/log/disk/simdisk"
)

// injectFolderFault copies a data folder, or makes a member forget.
func (w *world) injectFolderFault(f fault, h *host) {
	switch f.kind {
	case copyFolder:
		if !h.alive() {
			return
		}
		backup := h.disk.Clone(w.random.Uint64())
		backup.Kill()
		h.copies = append(h.copies, folderCopy{disk: backup, boot: h.boot})
		w.sim.After(time.Second, func() { // another start, so that the copy is one of an earlier one
			if h.alive() && w.healed == 0 {
				h.kill()
				w.lasting(w.between(0, time.Second), h.start)
			}
		})
	case wipeFolder, restoreFolder:
		w.forget(f, h)
	}
}

// forget takes a member's folder away, or puts an old one in its place. What the others have not been told they cannot
// miss: so it happens only once they know of the member's present start.
func (w *world) forget(f fault, h *host) {
	if w.healed != 0 {
		return
	}
	old := f.kind == restoreFolder
	if h.lost() || h.rottedLog || !w.begun() || !w.known(h) || (old && (len(h.copies) == 0 || h.copies[0].boot >= h.boot)) {
		w.sim.After(100*time.Millisecond, func() { w.forget(f, h) })
		return
	}
	h.crash()
	if old {
		h.forgot, h.disk = "has an old copy of its folder", h.copies[0].disk
	} else {
		h.forgot, h.disk = "has lost its folder", simdisk.New(w.random.Uint64())
	}
	h.fresh, h.once, h.saved = true, h.proven, 0
	h.equip()
	w.trace("%s %s", h.name(), h.forgot)
	w.sim.After(w.between(10*time.Millisecond, time.Second), h.start)
}

// knows notes that what a member knows of another one's process is on its disk: it has admitted it.
func (h *host) knows(other *host, process [16]byte) {
	if h.admitted == nil {
		h.admitted = map[*host][16]byte{}
	}
	h.admitted[other] = process
}

// begun tells whether the cluster has committed an entry behind its founding. Before that, founders that restart wait for all the
// others again, so a founder that is lost for good keeps a new cluster from beginning.
func (w *world) begun() bool {
	return slices.ContainsFunc(w.listed(), (*host).begun)
}

// begun tells whether a member that runs has applied such an entry.
func (h *host) begun() bool {
	if !h.alive() {
		return false
	}
	applied, _ := h.member.status.View().Applied()
	return applied > 1
}

// known tells whether all others know of a member's present start, and have that on their disks: what a disk that stalls
// was given may be lost with the power.
func (w *world) known(h *host) bool {
	if !h.alive() {
		return false
	}
	if one := w.watch.members.Get(h.id()); w.shape.spares > 0 && (one == nil || one.Boot != h.boot) { // members may be added that know nothing else
		return false
	}
	for _, other := range w.listed() {
		if other == h || other.lost() {
			continue
		}
		if !other.alive() || other.member.actors.admission.Knows(h.id()).Process != h.member.process || other.admitted[h] != h.member.process {
			return false
		}
	}
	return true
}
