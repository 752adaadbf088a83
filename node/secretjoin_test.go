package node

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

func learner(id uint64) []byte {
	return new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: fmt.Sprint("n", id), Peers: []string{fmt.Sprintf("h%d:1", id)}}).Bytes
}

// A member that has the cluster secret is added when it asks to join, within the limits; a removed member is not.
func TestWhoMayJoinByTheSecret(t *testing.T) {
	self := index.AppendAnnounce(nil, &kv.Member{ID: 1, Name: "n1", Boot: 1, Folder: [16]byte{1}, Process: [16]byte{1}, Peers: []string{"h1:1"}}).Bytes
	gone := new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 8}).Bytes
	removed := [][]byte{self, learner(8), gone}
	exchange := [][]byte{self, learner(8), new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.PromoteMember, ID: 8, Instead: 3}).Bytes}
	full := [][]byte{self}
	for id := uint64(8); id < 8+limits.Members-3; id++ { // beside the three of memberWith
		full = append(full, learner(id), new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.PromoteMember, ID: id}).Bytes)
	}
	led := actor.RaftStatus{Leader: 2}
	for _, c := range []struct {
		what     string
		log      [][]byte
		now      actor.RaftStatus
		request  peerframe.JoinRequest
		code     peerframe.RefusalCode
		text     string
		proposed bool
	}{
		{"a new one", [][]byte{self}, led, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}}, peerframe.Behind, "n8 is being added by the cluster secret", true},
		{"a removed one with its id", removed, led, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}, ID: 8}, peerframe.Removed, "was removed from the cluster", false},
		{"a removed one with an empty folder", removed, led, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}}, peerframe.Behind, "n8 is being added", true},
		{"without a leader", [][]byte{self}, actor.RaftStatus{}, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}}, peerframe.Behind, "may lag", false},
		{"another member's address", [][]byte{self}, led, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h1:1"}}, peerframe.Refused, "the member n1 has the peer address h1:1 already", false},
		{"without an address", [][]byte{self}, led, peerframe.JoinRequest{Name: "n8"}, peerframe.Refused, "a member needs an address", false},
		{"a fourth learner", [][]byte{self, learner(11), learner(12), learner(13)}, led, peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}}, peerframe.Behind, "3 learners are being brought up to date, at most 3 at a time", false},
		{"while voters are exchanged", exchange, led, peerframe.JoinRequest{Name: "n9", Addresses: []string{"h9:1"}}, peerframe.Behind, "n9 waits: an exchange of voters is in progress", false},
		{"an eighth member", full, led, peerframe.JoinRequest{Name: "n7", Addresses: []string{"h7:1"}}, peerframe.Refused, "the cluster has 7 members, and at most 7", false},
	} {
		for _, secret := range []*wire.SecretSource{nil, {Name: "the cluster secret"}} {
			m := memberWith(t, c.log...)
			m.transport, m.logger, m.config.Secret = &calls{}, slog.New(slog.DiscardHandler), secret
			m.folder.Boot, m.process, m.storage.random = 1, [16]byte{1}, io.Reader(rand.Reader)
			m.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 100, MustPost: 100})
			_, refusal := (peerHandler{m}).judgeJoiner(c.request, c.now)
			proposed := m.actors.consensus.Waiting()
			if secret == nil {
				if refusal == nil || proposed != 0 || refusal.Code != c.code && refusal.Code != peerframe.Refused {
					t.Errorf("%s, in a cluster without a secret: %+v", c.what, refusal)
				}
				continue
			}
			if refusal == nil || refusal.Code != c.code || !strings.Contains(refusal.Text, c.text) || (proposed == 1) != c.proposed {
				t.Errorf("%s: %+v, %d proposals", c.what, refusal, proposed)
			}
			if _, again := (peerHandler{m}).judgeJoiner(c.request, c.now); c.proposed && (!strings.Contains(again.Text, "an addition by the cluster secret is in progress") || m.actors.consensus.Waiting() != 1) {
				t.Errorf("%s, again: %+v", c.what, again)
			}
		}
	}
	etcd := Config{Secret: &wire.SecretSource{}, Etcd: Etcd{Listen: []EtcdListen{{}}}}
	if etcd.addsBySecret() {
		t.Error("by etcd's command line, a member is added without `etcdctl member add`")
	}
}

// The page is at the clients' port of `qkv serve` on loopback alone: with etcd's command line, whose ports ask for a client's certificate on
// any address, there is none.
func TestNoPageWithEtcdsCommandLine(t *testing.T) {
	for address, serves := range map[string]bool{"127.0.0.1:2379": true, "[::1]:2379": true, "10.0.0.1:2379": false} {
		c := Config{Listen: address}
		if got := c.webAtClients(); got != serves {
			t.Errorf("qkv serve at %s has a page: %v", address, got)
		}
		c.Web = []string{"http://127.0.0.1:2381", "https://" + address}
		if !c.webAtClients() {
			t.Errorf("qkv serve at %s has no page with its address in Web", address)
		}
		c.Etcd.Listen = []EtcdListen{{}}
		if c.webAtClients() {
			t.Errorf("qkv etcd at %s has a page", address)
		}
	}
	own, etcd := Config{}, Config{Etcd: Etcd{Listen: []EtcdListen{{}}}}
	local, other := net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)
	if !own.pageAt(true, local) || !own.pageAt(false, local) || !own.pageAt(false, other) || own.pageAt(true, other) || own.pageAt(true, net.IPv4zero) || etcd.pageAt(true, local) || etcd.pageAt(false, other) {
		t.Error("the page is at the wrong addresses of --listen-web")
	}
}
