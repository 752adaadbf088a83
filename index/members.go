package index

import (
	"cmp"
	"slices"

	"qkv/log/pack"
)

// announce remembers what a member says of itself. One that has forgotten what is known of it is refused: it must not
// make the others forget it too.
func (s *State) announce(c *command) Result {
	var a Announcement
	r := pack.NewReader(c.value)
	readAnnouncement(&r, &a)
	i, known := slices.BinarySearchFunc(s.members, a.Member, func(m Announcement, id uint64) int { return cmp.Compare(m.Member, id) })
	if known {
		if e := forgot(&s.members[i], &a); e != nil {
			return s.refused(e)
		}
	}
	members := slices.Clone(s.members) // Views have the old ones
	if known {
		members[i] = a
	} else {
		members = slices.Insert(members, i, a)
	}
	s.members = members
	return Result{Revision: s.revision}
}

// forgot says why an announcement cannot be of the member that is known.
func forgot(known, a *Announcement) *Error {
	switch {
	case a.Folder != known.Folder:
		return refuse(CodeAmnesia, "member %x announces another data folder than the one that is known", a.Member)
	case a.Boot < known.Boot:
		return refuse(CodeAmnesia, "member %x announces start %d of its data folder, %d is known", a.Member, a.Boot, known.Boot)
	case a.Boot == known.Boot && a.Process != known.Process:
		return refuse(CodeAmnesia, "member %x announces start %d of its data folder, which another process has claimed", a.Member, a.Boot)
	}
	return nil
}

func (s *State) raiseLevel(c *command) Result {
	if level := uint64(c.number); level < s.level {
		return s.refused(refuse(CodeFeatureLevel, "the feature level is %d already and never falls to %d", s.level, level))
	}
	s.level = uint64(c.number)
	return Result{Revision: s.revision}
}

func (s *State) refused(e *Error) Result {
	return Result{Revision: s.revision, Code: e.Code, Detail: e.Message}
}
