package node

import (
	"testing"

	"qkv/actor"
	"qkv/index/kv"
)

// A member proposes one command of a kind at a time. A command that a full mailbox drops is proposed again at the next look.
func TestDroppedCommandIsProposedAgain(t *testing.T) {
	mailbox := func(offer int) *actor.Mailbox[actor.ConsensusMessage] {
		return actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: offer})
	}
	m, announcing := &member{}, &own{}
	m.actors.consensus = mailbox(0)
	announcing.propose(m, kv.Command{})
	m.actors.consensus = mailbox(2)
	for _, look := range []string{"after a full mailbox", "while the command is under way"} {
		announcing.propose(m, kv.Command{})
		if n := m.actors.consensus.Waiting(); n != 1 {
			t.Errorf("%s, %d commands are proposed, want 1", look, n)
		}
	}
	announcing.Complete(nil)
	announcing.propose(m, kv.Command{})
	if n := m.actors.consensus.Waiting(); n != 2 {
		t.Errorf("after an answer, %d commands are proposed, want 2", n)
	}
}
