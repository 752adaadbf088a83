package peer

import (
	"errors"
	"testing"
)

// TestRouteIsWatched checks that exactly the dialling side of a connection between members probes the path, that the other side can
// answer, and that a connection which the watch gives up is dialled again at once.
func TestRouteIsWatched(t *testing.T) {
	members := startAll(t, 2)
	awaitAll(t, members)
	watching := 0
	for i, m := range members {
		l := m.link(uint64(2 - i))
		c := l.out.Load()
		await(t, "the pair is connected", wait, func() bool { // anew, after the other side was given up
			c = l.out.Load()
			return c != nil
		})
		if state := c.quic.ConnectionState().SupportsDatagrams; !state.Remote || !state.Local {
			t.Errorf("%s cannot exchange probes: %+v", m.config.Name, state)
		}
		if c.mine {
			watching++
			if !c.hostAnswers() {
				t.Errorf("%s does not hear that its peer answers", m.config.Name)
			}
			c.stalled(errors.New("large packets are lost"))
			await(t, "the pair is connected anew", wait, func() bool {
				other := l.out.Load()
				return other != nil && other != c
			})
		}
	}
	if watching == 0 {
		t.Error("neither side dialled")
	}
}
