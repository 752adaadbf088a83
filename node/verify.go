package node

import (
	"slices"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// verifying is how far this member is with comparing what memory holds with what was written. It is the look's.
type verifying struct {
	at     *index.Verifier // nil between two passes
	rest   int             // looks since the last one began
	damage string          // what was found; nothing ends that but a new process
	told   int             // looks since then
}

// verify sums a few of the versions in memory anew. A member that finds other ones than were written must not answer any more: it
// has CORRUPT raised, so that the others know, and takes no part from then on. What its digest says would not show it, since that
// was made when they were written.
func (m *member) verify() {
	v, view := &m.verifying, m.status.View()
	if m.status.Raft().Role == actor.RoleRefused {
		return
	}
	if v.damage != "" {
		m.leaveDamaged(view)
		return
	}
	if v.rest++; v.at == nil {
		if time.Duration(v.rest)*limits.LookInterval < m.env.Limits.CheckInterval {
			return
		}
		v.at, v.rest = index.NewVerifier(view), 0
	}
	done, err := v.at.Step(view, limits.VerifyVersions)
	if err != nil {
		v.damage = err.Error() + ": the memory of this host is damaged; after qkv member unban and a restart this member is rebuilt from its disk, and compared again"
		m.logger.Error("memory is damaged, this member is about to take no part", "because", err)
	}
	if done {
		v.at = nil
	}
}

// leaveDamaged ends this member's part, once the log says why, or after a while.
func (m *member) leaveDamaged(view *index.View) {
	own := kv.Alarm{Member: m.folder.Member, Kind: kv.AlarmCorrupt}
	if v := &m.verifying; !slices.Contains(view.Alarms(), own) && v.told < limits.VerifyTold {
		v.told++
		m.corrupting.propose(m, index.AppendAlarm(nil, kv.AlarmChange{Raise: true, Alarm: own}))
		return
	}
	m.consensus.Offer(actor.Differs{Reason: m.verifying.damage})
}
