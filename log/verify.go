package log

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// lookTries is how many times Verify lists a log whose segments are all released meanwhile.
const lookTries = 10

// Verify reads all segments of a log that may be in use: closed segments completely, and the open one up to its end. The log must hold the
// entry least, unless that is 0. Verify calls listed before it reads, which returns the entry of the newest snapshot that exists then: the
// log must begin behind it, or earlier. 0: there is none. Verify calls read after each segment with its path, and with its damage or nil. An
// error of either ends it.
//
// A segment that was released meanwhile is left out: its file may hold other bytes already. A frame that is written while it is read looks
// damaged; Verify reads it again before it reports it.
func Verify(d disk.FS, dir string, least uint64, listed func() (snapshot uint64, err error), read func(name string, harm error) error) error {
	s, chain, fault, err := look(d, dir)
	if err != nil {
		return err
	}
	snapshot, err := listed()
	if err != nil {
		return err
	}
	var buf []byte
	begins, sound := uint64(math.MaxUint64), true
	for i, f := range chain {
		name := f.name
		harm := s.scan(f, &buf, func(sc *scanner) error {
			behind, end, err := sc.verify(s.follower(f))
			begins = min(begins, behind) // a later segment may set the log back to a snapshot
			switch {
			case err != nil:
			case i == len(chain)-1 && end < least:
				for _, one := range s.after(f.number) {
					if one.failed != nil { // the entries are there
						name = one.name
						return one.failed
					}
				}
				err = damage.At(f.name, sc.next, "the log ends here with entry %d, but this member has applied entry %d", end, least)
			}
			return err
		})
		if harm != nil {
			sound = false
			if errors.Is(harm, fs.ErrNotExist) || disk.Gone(d, name) {
				continue
			}
			if !errors.Is(harm, damage.ErrDamaged) && !errors.Is(harm, damage.ErrFormat) {
				return harm
			}
		}
		if err := read(name, harm); err != nil {
			return err
		}
	}
	switch {
	case fault != nil:
	case sound && snapshot > 0 && begins > snapshot && !disk.Gone(d, chain[0].name):
		return read(chain[0].name, damage.At(chain[0].name, 0, "the log begins here behind entry %d, but the newest snapshot ends with entry %d: segments are missing", begins, snapshot))
	default:
		return nil
	}
	// Between two names of a list, a segment may have been begun or released: then a second list has no such fault.
	_, _, again, err := look(d, dir)
	if err != nil || again == nil || again.File != fault.File || again.Reason.Error() != fault.Reason.Error() {
		return err
	}
	return read(fault.File, fault)
}

// look lists a log in use: its segments, and the fault before which they end, a damaged or lost header.
func look(d disk.FS, dir string) (s *inventory, chain []*logFile, fault *damage.Error, err error) {
	for range lookTries {
		// so that no damaged header is an error
		s = &inventory{o: Options{FS: d, Dir: dir, Covered: math.MaxUint64}, anyone: true}
		if err := s.open(); err != nil {
			return nil, nil, nil, err
		}
		if chain, err = s.chain(); !errors.Is(err, fs.ErrNotExist) { // otherwise even the newest one was released
			break
		}
	}
	switch {
	case errors.As(err, &fault): // the newest segment is lost
		return s, slices.DeleteFunc(slices.Clone(s.files), func(f *logFile) bool { return !f.valid }), fault, nil
	case err != nil:
		return nil, nil, nil, err
	}
	if prev := s.find(chain[0].header.prev); prev != nil && prev.damaged {
		errors.As(s.skipped, &fault)
	}
	return s, chain, fault, nil
}

// follower returns the segment that says where f ends; nil if there is none.
func (s *inventory) follower(f *logFile) *logFile {
	for _, one := range s.files {
		if one.valid && one.number > f.number && one.header.prev == f.number {
			return one
		}
	}
	return nil
}

// verify reads the frames up to the end that the follower states; without a follower, up to the first frame that was never synced. It
// returns the last entry of the log there, and the entry behind which its entries begin: they may replace some of earlier segments.
//
// A bad frame is read again before it counts: a proof that it was synced may be younger than the first reading.
func (s *scanner) verify(follower *logFile) (behind, last uint64, err error) {
	last = s.header.next - 1
	behind = last
	if follower != nil {
		s.size = min(s.size, follower.header.prevEnd)
	}
	for again := false; follower == nil || s.next < follower.header.prevEnd; {
		h, payload, bad := s.frame()
		if bad == nil {
			if err := readPayload(&h, payload, s.header.longerRecords(), func(record, Position) {}); err != nil {
				return behind, last, damage.Of(s.name, h.offset, err)
			}
			again, last = false, h.first-1
			behind = min(behind, last)
			if h.kind == kindEntries {
				last += uint64(h.count)
			}
			continue
		}
		var err error
		if follower == nil {
			err = (&replay{}).decide(s, bad)
		} else {
			err = s.synced(bad, follower)
		}
		if err == nil || again {
			return behind, last, err
		}
		again, s.buf = true, s.buf[:0]
	}
	if follower != nil {
		err = s.endsAs(follower)
	}
	return behind, last, err
}

// synced is the damage of a bad frame before the end that the segment after it states.
func (s *scanner) synced(bad *badFrame, after *logFile) error {
	bad.reason = fmt.Errorf("%w, and %s proves that it was synced", bad.reason, path.Base(after.name))
	return bad.damage(s.name)
}

// endsAs compares the end of a segment with the header of the segment that follows it.
func (s *scanner) endsAs(after *logFile) error {
	if s.next == after.header.prevEnd && s.chain == after.header.prevChain {
		return nil
	}
	return damage.At(s.name, s.next, "the segment ends here with checksum %#08x, but %s says at byte %d with %#08x",
		s.chain, path.Base(after.name), after.header.prevEnd, after.header.prevChain)
}
