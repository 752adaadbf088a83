package index

import (
	"fmt"
	"testing"

	"qkv/index/kv"
)

// Another member's report of a member's address is accepted only if that member has not announced another address since.
// It takes the address from the member that the report names as its owner.
func TestLocateMember(t *testing.T) {
	before := Founders(map[string]uint64{"n1": 1, "n2": 2})
	for id := range uint64(2) {
		before, _ = before.Announce(&kv.Member{ID: id + 1, Name: fmt.Sprint("n", id+1), Boot: 1, Folder: [16]byte{byte(id + 1)}, Peers: []string{fmt.Sprintf("h%d:1", id+1)}})
	}
	for _, test := range []struct {
		peers   []string
		instead uint64
		want    string
	}{
		{[]string{"x:1", "h1:1"}, 0, "[x:1 h1:1] [h2:1]"},
		{[]string{"x:1", "old:1"}, 0, "n1 has announced another address since"},
		{[]string{"x:1"}, 0, "n1 has announced another address since"},
		{[]string{"h2:1", "h1:1"}, 0, "the member n2 has the peer address h2:1 already"},
		{[]string{"h2:1", "h1:1"}, 2, "[h2:1 h1:1] []"},
	} {
		after, err := before.Change(&kv.MemberChange{Kind: kv.LocateMember, ID: 1, Peers: test.peers, Instead: test.instead}, 0)
		got := fmt.Sprint(after.Get(1).Peers, after.Get(2).Peers)
		if err != nil {
			got = err.Message
		}
		if got != test.want {
			t.Errorf("%v: %q, want %q", test.peers, got, test.want)
		}
		if was := fmt.Sprint(before.Get(1).Peers, before.Get(2).Peers); was != "[h1:1] [h2:1]" {
			t.Fatalf("%v: the members before are %s", test.peers, was)
		}
	}
}
