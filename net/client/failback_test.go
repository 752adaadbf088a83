package client

import (
	"testing"
	"time"
)

// A client stays away longer, each time twice as long, from a member that fails again soon after it has returned, and begins
// anew with one that has served for long.
func TestFailbackWaits(t *testing.T) {
	const least, most = time.Second, failbackMost * time.Second
	c := &link{config: Config{Endpoints: []string{"first", "second"}, ReturnAfter: least}}
	now := time.Now()
	c.failedOverLocked(&conn{endpoint: "first"}, now)
	if c.failback != (failback{}) {
		t.Errorf("%+v at the member that it began with", c.failback)
	}
	for i, one := range []struct{ served, wait time.Duration }{
		{0, least}, {0, 2 * least}, {least, 4 * least}, {most, 8 * least}, {0, most}, {0, most}, {most + 1, least}, {0, 2 * least},
	} {
		now = now.Add(time.Minute)
		c.failback.backAt = now.Add(-one.served)
		c.failedOverLocked(&conn{endpoint: "second"}, now)
		if wait := c.failback.lookAt.Sub(now); c.failback.wait != one.wait || wait < one.wait || wait >= 2*one.wait {
			t.Errorf("%d: it is looked for after %v, of %v, not %v", i, wait, c.failback.wait, one.wait)
		}
	}
}
