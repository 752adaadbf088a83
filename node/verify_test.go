package node

import (
	"testing"

	"qkv/actor"
)

// A member whose memory is damaged leaves the cluster after a while, also without a quorum that takes its alarm.
func TestDamagedMemberLeavesWithoutItsAlarm(t *testing.T) {
	m := &member{status: statusOf(t, 3), folder: &folder{identity: identity{Member: 1}}}
	m.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 2})
	m.duty.verifying.damage = "a checksum"
	for look := range verifyTold + 1 {
		if n := m.actors.consensus.Waiting(); n > 1 {
			t.Errorf("after %d looks it has left: its alarm could come into the log", look)
		}
		m.verify()
	}
	if n := m.actors.consensus.Waiting(); n != 2 {
		t.Errorf("after %d looks it has told consensus %d times: its alarm, and that it leaves", verifyTold+1, n)
	}
}
