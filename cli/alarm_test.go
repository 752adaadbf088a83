package cli

import (
	"testing"

	"qkv/index/kv"
	"qkv/net/client"
)

// TestDisarmIsInterrupted: what is disarmed before the leader goes is not said to have been left.
func TestDisarmIsInterrupted(t *testing.T) {
	b := threeMembers(t)
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{b.flags[1]}, Credentials: b.trust.Client})
	must(t, err)
	defer c.Close()
	for _, id := range []uint64{1, 2} {
		must(t, c.Admin().ChangeAlarm(t.Context(), kv.AlarmChange{Raise: true, Member: id, Name: kv.NoSpaceAlarm}))
	}
	left := 0
	b.member.SetBefore(func(writes, _ int) *kv.Error {
		if left -= writes; writes > 0 && left < 0 {
			return kv.Errorf(kv.NoSpace, "there is no room")
		}
		return nil
	})
	b.expect(t, 1, "", "there is no room; nothing was changed\n", "alarm", "disarm")
	left = 1
	b.expect(t, 1, "", "NOSPACE of n2: there is no room; 1 of 2 alarms were disarmed before\n", "alarm", "disarm")
	b.member.SetBefore(nil)
	b.expect(t, 0, "NOSPACE of n2\n", "", "alarm", "disarm")
}
