package cluster

import (
	"slices"
	"testing"

	"qkv/index/kv"
)

func TestNextName(t *testing.T) {
	for name, want := range map[string]string{
		"n3": "n3-2", "n3-2": "n3-3", "n3-9": "n3-10", "n3-1": "n3-1-2", "db-east": "db-east-2", "-2": "-2-2", "n3-": "n3--2", "n-99999999999": "n-99999999999-2",
	} {
		if got := NextName(name); got != want {
			t.Errorf("behind %s comes %s, wanted %s", name, got, want)
		}
	}
}

// Who takes the place of the only voter finds nobody else to join.
func TestJoinAddresses(t *testing.T) {
	voter := func(id uint64, peer string) kv.Member {
		return kv.Member{ID: id, Role: kv.Voter, Peers: []string{peer}}
	}
	for _, tt := range []struct {
		members []kv.Member
		want    []string
	}{
		{[]kv.Member{voter(1, "10.0.0.1:2380")}, []string{"10.0.0.1:2380"}},
		{[]kv.Member{voter(1, "10.0.0.1:2380"), voter(2, "10.0.0.2:2380")}, []string{"10.0.0.2:2380"}},
		{nil, nil},
	} {
		if got := joinAddresses(tt.members, 1); !slices.Equal(got, tt.want) {
			t.Errorf("of %d members: %q, not %q", len(tt.members), got, tt.want)
		}
	}
}
