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
		c := m.link(uint64(2 - i)).out.Load()
		if state := c.quic.ConnectionState().SupportsDatagrams; !state.Remote || !state.Local {
			t.Errorf("%s cannot exchange probes: %+v", m.config.Name, state)
		}
		if c.mine {
			watching++
			if !c.hears() {
				t.Errorf("%s does not hear that its peer answers", m.config.Name)
			}
			c.stalled(errors.New("large packets are lost"))
			await(t, "the pair is connected anew", wait, func() bool {
				other := m.link(uint64(2 - i)).out.Load()
				return other != nil && other != c
			})
		}
	}
	if watching == 0 {
		t.Error("neither side dialled")
	}
}
