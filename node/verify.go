package node

import (
	"slices"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
)

// verifying is this member's progress in comparing memory with the data that was written. Only look uses it.
type verifying struct {
	at     *index.Verifier // nil between two passes
	rest   int             // looks since the last one began
	damage string          // the damage found; only a restart ends it
	told   int             // looks since then
}

const (
	// verifyVersions is how many versions in memory a member checksums each lookInterval, to detect damage: less than a millisecond. One
	// pass over all of them takes at least limits.CheckInterval, and ten minutes for ten million. verifyTold is for how many checks a
	// member with damage tries to inform the others before it stops.
	verifyVersions = 4096
	verifyTold     = 5
)

// verify checks the sums of some versions in memory. If a version differs from the written one, the member must not answer any more. It
// has CORRUPT raised to inform the others, and takes no part from then on. Its digest would not show the damage, since the digest was
// computed when the versions were written.
func (m *member) verify() {
	v, view := &m.duty.verifying, m.status.View()
	if m.status.Raft().Role == actor.RoleSuspended {
		return
	}
	if v.damage != "" {
		m.leaveDamaged(view)
		return
	}
	if v.rest++; v.at == nil {
		if time.Duration(v.rest)*lookInterval < m.env.Limits.CheckInterval {
			return
		}
		v.at, v.rest = index.NewVerifier(view), 0
	}
	done, err := v.at.Step(view, verifyVersions)
	if err != nil {
		v.damage = err.Error() + ": the memory of this host is damaged; after qkv member readmit and a restart this member is rebuilt from its disk, and compared again"
		m.logger.Error("memory is damaged: this member leaves the cluster until it is rebuilt", "because", err)
	}
	if done {
		v.at = nil
	}
}

// leaveDamaged ends this member's part when the log has the reason, or after a while.
func (m *member) leaveDamaged(view *index.View) {
	own := kv.Alarm{Member: m.folder.Member, Name: kv.CorruptAlarm}
	if v := &m.duty.verifying; !slices.Contains(view.Alarms(), own) && v.told < verifyTold {
		v.told++
		m.proposed.corrupting.propose(m, index.Own().AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: own.Member, Name: own.Name}))
		return
	}
	m.actors.consensus.Offer(actor.Differs{Reason: m.duty.verifying.damage})
}
