package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/peer"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// given is a configuration with what a test does not care about.
func given(listen string, more func(c *Config)) Config {
	c := Config{
		Name: "n1", DataDir: "data", Listen: listen + ":2379", ListenPeer: listen + ":2380", CertsDir: "certs",
		HeartbeatInterval: 100 * time.Millisecond, ElectionTimeout: time.Second, MaxRequestBytes: 1 << 20, SegmentBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler),
	}
	if more != nil {
		more(&c)
	}
	return c
}

// What an empty data folder begins with, and that nothing is founded where nobody said so.
func TestBeginningOfAFolder(t *testing.T) {
	list := []Founder{{"n2", "10.0.0.2:2380"}, {"n1", "10.0.0.1:2380"}}
	welcome := peerframe.Welcome{Cluster: 77, ID: 9}
	alone := originOf("lab", " "+strings.Repeat("78", 8), "n1", []string{"n1"}) // of a random "xxxxxxxx"
	for name, one := range map[string]struct {
		config Config
		join   error
		want   origin
		text   string
	}{
		"loopback, without a word":        {given("127.0.0.1", nil), nil, alone, ""},
		"another address, without a word": {given("10.0.0.1", nil), nil, origin{}, "give --found for a new cluster of this member, --initial-cluster for a new cluster of several, or --join for an existing cluster, with its cluster secret or after `qkv member add n1 --peer 10.0.0.1:2380` on one of its members"},
		"one of two on loopback":          {given("127.0.0.1", func(c *Config) { c.ListenPeer = "10.0.0.1:2380" }), nil, origin{}, "give --found"},
		"--found":                         {given("10.0.0.1", func(c *Config) { c.Found = true }), nil, alone, ""},
		"--initial-cluster": {
			given("10.0.0.1", func(c *Config) { c.InitialCluster, c.InitialClusterToken = list, "t" }), nil,
			originOf("lab", "t", "n1", []string{"n1", "n2"}), "",
		},
		"--join":                            {given("10.0.0.1", func(c *Config) { c.Join = []string{"10.0.0.2:2380"} }), nil, origin{77, 9, "n1", []string{"lab"}, [16]byte([]byte(strings.Repeat("x", 16)))}, ""},
		"--join on loopback founds nothing": {given("127.0.0.1", func(c *Config) { c.Join = []string{"127.0.0.1:9"} }), nil, origin{77, 9, "n1", []string{"lab"}, [16]byte([]byte(strings.Repeat("x", 16)))}, ""},
		"--join, refused":                   {given("127.0.0.1", func(c *Config) { c.Join = []string{"127.0.0.1:9"} }), errors.New("n1 was not added"), origin{}, "n1 was not added"},
	} {
		if err := cmp.Or(one.config.Validate(), one.config.CheckBeginning()); err != nil {
			t.Fatal(name, err)
		}
		m := &member{config: one.config, env: environment{Random: strings.NewReader(strings.Repeat("x", 16)), Join: func(addresses []string, _ uint64, _ [16]byte) (peerframe.Welcome, error) {
			if !slices.Equal(addresses, one.config.Join) {
				t.Errorf("%s: asked are %v", name, addresses)
			}
			return welcome, one.join
		}}}
		got, err := m.begin("lab")
		if one.text == "" && (err != nil || got.cluster != one.want.cluster || got.self != one.want.self || got.name != "n1" || !slices.Equal(got.founding, one.want.founding)) ||
			one.text != "" && (err == nil || !strings.Contains(err.Error(), one.text)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	long := strings.Repeat("h", limits.AddressBytes-4) + ":2380" // all members keep an address, for ever
	for name, c := range map[string]Config{
		"--found and --join":             given("10.0.0.1", func(c *Config) { c.Found, c.Join = true, []string{"10.0.0.2:1"} }),
		"--found and --initial-cluster":  given("10.0.0.1", func(c *Config) { c.Found, c.InitialCluster = true, list }),
		"--initial-cluster and --join":   given("10.0.0.1", func(c *Config) { c.Join, c.InitialCluster = []string{"10.0.0.2:1"}, list }),
		"--join with what is no address": given("10.0.0.1", func(c *Config) { c.Join = []string{"n2"} }),
		"a long --listen":                given("10.0.0.1", func(c *Config) { c.Listen = long }),
		"a long --listen-peer":           given("10.0.0.1", func(c *Config) { c.ListenPeer = long }),
		"a long --advertise":             given("10.0.0.1", func(c *Config) { c.Advertise = long }),
		"a long --advertise-peer":        given("10.0.0.1", func(c *Config) { c.AdvertisePeer = long }),
		"a long address of --join":       given("10.0.0.1", func(c *Config) { c.Found, c.Join = false, []string{long} }),
		"a long one of --initial-cluster": given("10.0.0.1", func(c *Config) {
			c.InitialCluster = []Founder{{"n1", "10.0.0.1:2380"}, {"n2", long}}
		}),
		"an --advertise that nobody can dial": given("10.0.0.1", func(c *Config) { c.Advertise = "10.0.0.1:0" }),
	} {
		if err := cmp.Or(c.Validate(), c.CheckBeginning()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Ids are those of the trust domain, the token and the founders' names: every founder finds the same, in whatever order its
// list is, and addresses have no part in it.
func TestFoundersAgreeOnIds(t *testing.T) {
	a := originOf("lab", "t", "n1", []string{"n1", "n2", "n3"})
	b := originOf("lab", "t", "n2", []string{"n3", "n2", "n1"})
	ids := map[uint64]bool{a.cluster: true, a.self: true, b.self: true}
	for _, other := range []origin{
		originOf("lab2", "t", "n1", []string{"n1", "n2", "n3"}), originOf("lab", "u", "n1", []string{"n1", "n2", "n3"}),
		originOf("lab", "t", "n1", []string{"n1", "n2"}), originOf("lab", "t", "n1", []string{"n1", "n2n3"}),
	} {
		ids[other.cluster], ids[other.self] = true, true
	}
	if a.cluster != b.cluster || len(ids) != 3+2*4 {
		t.Errorf("%+v and %+v; %d different ids", a, b, len(ids))
	}
	founders := (&identity{Cluster: a.cluster, Founding: a.founding}).founders()
	if founders.Get(a.self) == nil || founders.Get(b.self) == nil || len(founders.All()) != 3 {
		t.Errorf("the founders are %+v", founders.All())
	}
	if joined := (&identity{Cluster: 5, Founding: []string{"lab"}}).founders(); len(joined.All()) != 0 {
		t.Errorf("a member that joined knows of the founders %+v", joined.All())
	}
}

// A member that founds alone founds another cluster each time: nobody takes it for the one that was in a folder before.
func TestLoneFounderIsUsedOnce(t *testing.T) {
	c := given("10.0.0.1", func(c *Config) { c.Found = true })
	ids := map[uint64]bool{}
	for i := range 2 {
		m := &member{config: c, env: environment{Random: rand.NewChaCha8([32]byte{byte(i)})}}
		o, err := m.begin("lab")
		if err != nil {
			t.Fatal(err)
		}
		ids[o.cluster], ids[o.self] = true, true
		if founders := (&identity{Cluster: o.cluster, Founding: o.founding}).founders(); founders.Get(o.self) == nil || len(founders.All()) != 1 {
			t.Errorf("the founders are %+v", founders.All())
		}
	}
	if len(ids) != 4 {
		t.Errorf("two clusters and their members have %d ids", len(ids))
	}
}

// Flags that say another beginning than the folder had are ignored, and that is said once.
func TestFlagsThatTheFolderKnowsBetter(t *testing.T) {
	founded := func(names ...string) []string { return originOf("lab", "", "n1", names).founding }
	list := func(names ...string) (l []Founder) {
		for _, n := range names {
			l = append(l, Founder{n, n + ":2380"})
		}
		return l
	}
	at := func(told, listens string) Config {
		return Config{Name: "n1", InitialCluster: []Founder{{"n1", told}}, AdvertisePeer: told, ListenPeer: listens, advertisesEntry: true}
	}
	said := at("10.0.0.1:2380", "10.0.0.4:2380")
	said.advertisesEntry = false
	for name, one := range map[string]struct {
		founding []string
		config   Config
		text     string
	}{
		"the same, in another order":          {founded("n1", "n2"), Config{InitialCluster: list("n2", "n1")}, ""},
		"other founders":                      {founded("n1", "n2"), Config{InitialCluster: list("n1", "n3")}, "the cluster was founded by n1,n2"},
		"founders, where this one has joined": {[]string{"lab"}, Config{InitialCluster: list("n1")}, "this member joined an existing cluster"},
		"--join, where it has joined":         {[]string{"lab"}, Config{Join: []string{"a:1"}}, ""},
		"--found, where it has founded":       {founded("n1"), Config{Found: true}, ""},
		"--found, where several have":         {founded("n1", "n2"), Config{Found: true}, "the cluster was founded by n1,n2"},
		"--found, where it has joined":        {[]string{"lab"}, Config{Found: true}, "this member joined an existing cluster"},
		"--join, where it has founded":        {founded("n1"), Config{Join: []string{"a:1"}}, "the cluster was founded by n1"},
		"the founders, and it has joined":     {[]string{"lab"}, Config{InitialCluster: list("n2", "n3")}, "--initial-cluster names n2, n3, but not this member"},
		"a command line that is wrong":        {founded("n1"), Config{BeginFault: errors.New("no list")}, "no list"},
		"no address":                          {founded("n1"), Config{Found: true, AdvertisePeer: "", ListenPeer: ":2380"}, "--listen-peer :2380 listens on all addresses"},
		"a seed, and nothing to join":         {founded("n1"), Config{Seed: func(context.Context) (*backup.Reader, error) { return nil, nil }}, "give --join too"},
		"nothing":                             {founded("n1", "n2"), Config{}, ""},
		"an address that it has left":         {founded("n1"), at("10.0.0.1:2380", "10.0.0.4:2380"), "members_are_told=10.0.0.1:2380 listens=10.0.0.4:2380"},
		"an address that was given":           {founded("n1"), said, ""},
		"the address where it listens":        {founded("n1"), at("10.0.0.1:2380", "10.0.0.1:2380"), ""},
		"its name, and all addresses":         {founded("n1"), at("host1:2380", "0.0.0.0:2380"), ""},
		"its name, and its address":           {founded("n1"), at("host1:2380", "10.0.0.1:2380"), ""},
	} {
		var logged bytes.Buffer
		if one.config.Name = "n1"; one.config.ListenPeer == "" {
			one.config.AdvertisePeer = "n1:2380"
		}
		m := &member{config: one.config, folder: &folder{identity: identity{Founding: one.founding}}, logger: slog.New(slog.NewTextHandler(&logged, nil))}
		m.noteDifferences()
		if lines := strings.Count(logged.String(), "\n"); one.text == "" && lines != 0 || one.text != "" && (lines != 1 || !strings.Contains(logged.String(), one.text)) {
			t.Errorf("%s: %s", name, &logged)
		}
	}
}

// The folder of a removed member never starts again, whatever is lost with the power; nor does one whose certificates are of
// another trust domain.
func TestFoldersThatDoNotStart(t *testing.T) {
	who, begin := founding("n1", "n2")
	fs := simdisk.New(1)
	f, err := openFolder(fs, "data", who, begin, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	var refused *UsageError
	if err := f.identify(owner{"n1", "other"}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "belongs to a member of the cluster test, but the certificates belong to other") {
		t.Errorf("with another's certificates: %v", err)
	}
	if err := f.remove(); err != nil {
		t.Fatal(err)
	}
	fs.Crash(simdisk.Prefix)
	if _, err := openFolder(fs, "data", who, begin, rand.NewChaCha8([32]byte{})); !errors.Is(err, actor.ErrRemoved) || !strings.Contains(err.Error(), "move the folder data away") {
		t.Errorf("the folder of a removed member: %v", err)
	}
	if err := refuseForeign(fs, "data", who); !errors.Is(err, actor.ErrRemoved) {
		t.Errorf("before anything is made: %v", err)
	}
}

// A folder that was made of a backup or of a file of etcd belongs to the cluster of its first start: with etcd's command line also if it is
// that of one of several members.
func TestFirstStartOfAMadeFolder(t *testing.T) {
	for _, c := range []struct {
		token, domain  string
		founders       []string
		started, takes bool
	}{
		{"migrated 0123", "secret", []string{"n1"}, false, true},
		{"restored x", "secret", []string{"n1"}, false, true},
		{"restored x", etcdDomain, []string{"n1", "n2"}, false, true},
		{"restored x", "secret", []string{"n1", "n2"}, false, false},
		{"restored x", "secret", []string{"n1"}, true, false},
		{"restored x", etcdDomain, []string{"n1", "n2"}, true, false},
		{"token 0123", "secret", []string{"n1"}, false, false},
		{"token 0123", etcdDomain, []string{"n1"}, false, false},
	} {
		fs, first := simdisk.New(1), originOf("local", c.token, "n1", c.founders)
		begin := func() (origin, error) { return first, nil }
		f, err := openFolder(fs, "data", owner{"n1", "local"}, begin, rand.NewChaCha8([32]byte{}))
		if err == nil && c.started {
			err = f.boot([16]byte{1})
		}
		if err != nil {
			t.Fatal(err)
		}
		f.lock.Close()
		f, err = openFolder(fs, "data", owner{"n1", c.domain}, begin, rand.NewChaCha8([32]byte{}))
		if refused := (*UsageError)(nil); (err == nil) != c.takes || err != nil && !errors.As(err, &refused) {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		if f.Cluster != first.cluster || f.Member != first.self {
			t.Errorf("%+v: another cluster or member", c)
		}
		if err := f.boot([16]byte{1}); err != nil {
			t.Fatal(err)
		}
		f.lock.Close()
		if _, err = openFolder(fs, "data", owner{"n1", "local"}, begin, rand.NewChaCha8([32]byte{})); err == nil {
			t.Errorf("%+v: after the start, the folder is another cluster's, too", c)
		}
	}
}

// told is a transport that keeps whom it was told of.
type told struct {
	nobody
	peers []peer.Peer
}

func (t *told) SetPeers(all []peer.Peer) { t.peers = all }

// What was given on the command line is tried beside what is known; one that has joined, and has nothing yet, knows what it
// was told then.
func TestAddressesThatAreTried(t *testing.T) {
	welcome := peerframe.Welcome{Members: []kv.Member{{ID: 1, Name: "n1", Peers: []string{"a:1"}}}}
	m := &member{folder: &folder{identity: identity{Member: 2}}, welcome: welcome, config: Config{Name: "n2", InitialCluster: []Founder{{"n1", "b:1"}, {"n2", "b:2"}, {"n9", "b:9"}}}}
	transport := &told{}
	m.transport = transport
	p := peers{transport, m}
	p.SetMembers(index.Members{})
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 [a:1 b:1]}]" {
		t.Errorf("with nothing: %s", got)
	}
	members := index.Founders(map[string]uint64{"n1": 1, "n2": 2})
	members, refused := members.Announce(&kv.Member{ID: 2, Name: "n2", Boot: 1, Peers: []string{"b:2"}})
	if refused != nil {
		t.Fatal(refused)
	}
	p.SetMembers(members)
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 [b:1]} {2 n2 [b:2]}]" {
		t.Errorf("with records: %s", got)
	}
	if got := members.Get(1).Peers; len(got) != 0 {
		t.Errorf("the records hold %v", got)
	}
}

// The snapshot that a new member begins with may be of before it was added: who was added meanwhile too, and leads now, it knows
// by what it was told; and one of its own name, whose place it takes, is nobody to talk to.
func TestPeersBeforeTheAddition(t *testing.T) {
	told5 := peerframe.Welcome{Members: []kv.Member{{ID: 2, Name: "n2", Peers: []string{"moved:2"}}, {ID: 4, Name: "n4", Peers: []string{"b:4"}}, {ID: 5, Name: "n3", Peers: []string{"b:3"}}}}
	m := &member{folder: &folder{identity: identity{Member: 5}}, welcome: told5, config: Config{Name: "n3"}}
	transport := &told{}
	m.transport = transport
	members := index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3})
	for _, one := range []kv.Member{{ID: 2, Name: "n2", Boot: 1, Peers: []string{"b:2"}}, {ID: 3, Name: "n3", Boot: 1, Peers: []string{"b:3"}}} {
		next, refused := members.Announce(&one)
		if refused != nil {
			t.Fatal(refused)
		}
		members = next
	}
	peers{transport, m}.SetMembers(members)
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 []} {2 n2 [b:2 moved:2]} {4 n4 [b:4]} {5 n3 [b:3]}]" {
		t.Errorf("it talks to %s", got)
	}
	for _, change := range []kv.MemberChange{{Kind: kv.RemoveMember, ID: 3}, {Kind: kv.AddLearner, ID: 4, Name: "n4", Peers: []string{"c:4"}}, {Kind: kv.RemoveMember, ID: 4}, {Kind: kv.AddLearner, ID: 5, Name: "n3", Peers: []string{"b:3"}}} {
		next, refused := members.Change(&change, 0)
		if refused != nil {
			t.Fatal(refused)
		}
		members = next
		peers{transport, m}.SetMembers(members)
	}
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 []} {2 n2 [b:2]} {5 n3 [b:3]}]" {
		t.Errorf("as a member it talks to %s", got)
	}
}

// calls is a transport with given connections.
type calls struct {
	told
	status []peer.PeerStatus
}

func (c *calls) Status() []peer.PeerStatus { return c.status }

// Who joins is told of members, and learns from the log that one of them was removed before it knows itself to be added.
func TestToldOfAMemberThatWasRemoved(t *testing.T) {
	transport := &told{}
	welcome := peerframe.Welcome{Members: []kv.Member{{ID: 1, Name: "n1", Peers: []string{"a:1"}}, {ID: 3, Name: "n3", Peers: []string{"a:3"}}}}
	m := &member{transport: transport, folder: &folder{identity: identity{Member: 9}}, config: Config{Name: "n9"}, welcome: welcome}
	members := index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3})
	peers{transport, m}.SetMembers(members)
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 [a:1]} {2 n2 []} {3 n3 [a:3]}]" {
		t.Errorf("before it: %s", got)
	}
	members, refused := members.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: 3}, 0)
	if refused != nil {
		t.Fatal(refused)
	}
	peers{transport, m}.SetMembers(members)
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 [a:1]} {2 n2 []}]" {
		t.Errorf("behind it: %s", got)
	}
}

// A newcomer is a peer until the records know it, or that it was removed; and there are not endlessly many.
func TestNewcomers(t *testing.T) {
	transport := &told{}
	m := &member{transport: transport, folder: &folder{identity: identity{Member: 1}}, config: Config{Name: "n1"}}
	p := peers{transport, m}
	founders := index.Founders(map[string]uint64{"n1": 1})
	p.SetMembers(founders)
	for _, id := range []uint64{8, 1, 9, 8} {
		peerHandler{m}.meet(fmt.Sprint("n", id), id)
	}
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 []} {8 n8 []} {9 n9 []}]" {
		t.Errorf("the peers are %s", got)
	}
	added, refused := founders.Change(&kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}, 0)
	if refused != nil {
		t.Fatal(refused)
	}
	p.SetMembers(added)
	if got := fmt.Sprint(transport.peers); got != "[{1 n1 []} {8 n8 [h8:1]} {9 n9 []}]" {
		t.Errorf("the peers are %s", got)
	}
	for _, change := range []kv.MemberChange{{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"h9:1"}}, {Kind: kv.RemoveMember, ID: 9}} {
		if added, refused = added.Change(&change, 0); refused != nil {
			t.Fatal(refused)
		}
	}
	p.SetMembers(added)
	for id := range uint64(100) {
		peerHandler{m}.meet("n", 100+id)
	}
	if n := len(transport.peers); n != 2+limits.Members+limits.Learners || slices.ContainsFunc(transport.peers, func(p peer.Peer) bool { return p.ID == 9 }) {
		t.Errorf("%d peers: %v", n, transport.peers)
	}
}

// memberWith is n1, which has applied these changes to n1, n2 and n3.
func memberWith(t *testing.T, changes ...[]byte) *member {
	t.Helper()
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}))
	for i, c := range changes {
		results, err := state.ApplyChange(uint64(i+1), 2, inEnvelope(uint64(i+1), c), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results[0].Err)
		}
	}
	m := &member{startup: &wire.Start{}, config: Config{Name: "n1"}, status: &actor.Status{}, folder: &folder{identity: identity{Cluster: 77, Member: 1}}, logger: slog.New(slog.DiscardHandler)}
	m.opening.start = m.startup
	m.actors.admission = actor.NewAdmission(&actor.Admission{Self: 1, Status: m.status}, nil)
	actor.NewApplier(actor.ApplierConfig{State: state, Status: m.status}) // publishes it
	return m
}

// What a member that is no peer hears: that it was removed, that its name is another one's, or that nobody knows it.
func TestStrangers(t *testing.T) {
	members := memberWith(t, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 3}).Bytes).status.View().Members()
	for _, one := range []struct {
		name string
		id   uint64
		code peerframe.RefusalCode
		text string
	}{
		{"n3", 3, peerframe.Removed, "was removed from the cluster, according to n1"},
		{"n2", 22, peerframe.Behind, "has the ID 0000000000000002 in the member list of n1, not 0000000000000016"},
		{"n2", 2, peerframe.Behind, "n1 has just learned of the member n2 (0000000000000002): it accepts the next connection"},
		{"n8", 8, peerframe.Behind, "the member n8 (0000000000000008) is not in the member list"},
	} {
		got, newcomer := judgeStranger(members, actor.RaftStatus{Leader: 2, Role: "follower"}, "n1", one.name, one.id)
		if got.Code != one.code || !strings.Contains(got.Text, one.text) || newcomer {
			t.Errorf("%s %d: %+v", one.name, one.id, got)
		}
		if got, newcomer := judgeStranger(members, actor.RaftStatus{Role: "follower"}, "n1", one.name, one.id); newcomer != (one.id != 3) || got == nil {
			t.Errorf("%s %d, without a leader: %+v, %v", one.name, one.id, got, newcomer)
		}
	}
	if got := wireRefusal(&actor.Refusal{Removed: true, Leads: true}); got.Code != peerframe.RemovedByLeader {
		t.Errorf("a leader says %v", got)
	}
}

// Who asks to join gets an id only where it was added and has not joined yet.
func TestWhoMayJoin(t *testing.T) {
	m := memberWith(t,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"h9:1"}}).Bytes,
		index.AppendAnnounce(nil, &kv.Member{ID: 9, Name: "n9", Boot: 1, Folder: [16]byte{9}, Process: [16]byte{9}, Peers: []string{"h9:2"}}).Bytes,
		bound(8, 8))
	h := peerHandler{m}
	running := &calls{}
	m.transport = running
	led := actor.RaftStatus{Leader: 2, Role: "follower"}
	got, refusal := h.judgeJoiner(peerframe.JoinRequest{Name: "n8", Folder: [16]byte{8}}, led)
	if refusal != nil || got.Cluster != 77 || got.ID != 8 || len(got.Members) != 5 || !slices.Equal(got.Members[4].Peers, []string{"h9:2"}) {
		t.Errorf("one that was added: %+v, %v", got, refusal)
	}
	for _, c := range []struct {
		name, at string
		runs     uint64
		code     peerframe.RefusalCode
		text     string
	}{
		{"n7", "", 0, peerframe.Refused, "run `qkv member add n7 --peer HOST:PORT`"},
		{"n9", "h9:3", 0, peerframe.Taken, "run `qkv member remove 0000000000000009`, then `qkv member add n9 --peer h9:3`"}, // a learner without its disk
		{"n9", "h9:3", 8, peerframe.Taken, "run `qkv member remove 0000000000000009`, then `qkv member add n9 --peer h9:3`"},
		{"n9", "h9:3", 9, peerframe.Refused, "n9 has joined already, with another data folder (09000000, this one is 07000000), and was connected a moment ago, so two hosts have one name"},
	} {
		running.status = []peer.PeerStatus{{Peer: peer.Peer{ID: 2}}, {Peer: peer.Peer{ID: c.runs}, Connected: true}}
		request := peerframe.JoinRequest{Name: c.name, Folder: [16]byte{7}}
		if c.at != "" {
			request.Addresses = []string{c.at}
		}
		if _, refusal := h.judgeJoiner(request, led); refusal == nil || refusal.Code != c.code || !strings.Contains(refusal.Text, c.text) {
			t.Errorf("%+v: %+v", c, refusal)
		}
		if _, refusal := h.judgeJoiner(request, actor.RaftStatus{}); refusal == nil || refusal.Code != c.code || strings.Contains(refusal.Text, "qkv member") || len(refusal.Text) > limits.PeerReasonBytes ||
			c.runs != 9 && (!strings.Contains(refusal.Text, "docs/emergencies.md") || !strings.Contains(refusal.Text, "`qkv recover --accept-loss --data-dir DIR`")) {
			t.Errorf("%+v, without a leader, who could not change the members: %+v", c, refusal)
		}
	}
}

// Who has died before it could write down its folder is known to those that met it: nobody with an empty folder is that member. It
// itself may ask again.
func TestWhoWasMetHasJoined(t *testing.T) {
	m := memberWith(t, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes)
	m.transport = &calls{}
	m.actors.admission = actor.NewAdmission(&actor.Admission{Self: 1, Status: m.status}, []actor.Known{{Member: 8, Folder: [16]byte{8}, Boot: 1}})
	for _, id := range []uint64{0, 8} {
		_, refusal := (peerHandler{m}).judgeJoiner(peerframe.JoinRequest{Name: "n8", ID: id, Folder: [16]byte{7}}, actor.RaftStatus{Leader: 2})
		if refusal == nil || refusal.Code != peerframe.Taken || !strings.Contains(refusal.Text, "with another data folder (08000000, this one is 07000000)") {
			t.Errorf("one with the id %d: %+v", id, refusal)
		}
	}
}

// bound is the command that binds a member to the folder that begins with a byte.
func bound(id uint64, folder byte) []byte {
	return new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.BindMember, ID: id, Folder: [16]byte{folder}}).Bytes
}

// Two processes join under one name, each at another member: the asked members have the id bound to one folder, and only that process
// gets the id. A member whose own log does not show the binding yet gives it to neither.
func TestTwoProcessesOfOneName(t *testing.T) {
	add := new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes
	ask := func(m *member, folder byte) *peerframe.Refusal {
		_, refusal := (peerHandler{m}).judgeJoiner(peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}, ID: 8, Folder: [16]byte{folder}}, actor.RaftStatus{Leader: 2})
		return refusal
	}
	before := memberWith(t, add)
	before.transport = &calls{}
	before.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 100, MustPost: 100})
	proposed := make(posted, 100)
	run := actor.NewRuntime()
	actor.Spawn(run, before.actors.consensus, proposed)
	defer run.Stop()
	for folder := range byte(2) {
		if refusal := ask(before, 1+folder); refusal == nil || refusal.Code != peerframe.Behind {
			t.Errorf("an unbound id was given to the folder %d: %+v", 1+folder, refusal)
		}
	}
	var commands []kv.Command
	select {
	case m := <-proposed:
		commands = m.(actor.Propose).Proposal.Commands
	case <-time.After(wait):
		t.Fatal("no binding was proposed")
	}
	if len(commands) != 1 || !bytes.HasSuffix(commands[0].Bytes, []byte{0xc4, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Fatalf("%+v was proposed", commands)
	}
	after := memberWith(t, add, commands[0].Bytes)
	after.transport = &calls{}
	if refusal := ask(after, 1); refusal != nil {
		t.Errorf("the bound one is refused: %+v", refusal)
	}
	if refusal := ask(after, 2); refusal == nil || refusal.Code != peerframe.Taken || !strings.Contains(refusal.Text, "`qkv member remove 0000000000000008`, then") {
		t.Errorf("the other one: %+v", refusal)
	}
	if _, err := after.status.View().Members().Change(&kv.MemberChange{Kind: kv.BindMember, ID: 8, Folder: [16]byte{2}}, 0); err == nil || err.Code != kv.MemberExists {
		t.Errorf("the id was bound again: %v", err)
	}
}

// A member that was just started applies its log anew, in which a name may still have the id of a member that was removed: it tells
// nobody that id before it knows that it is behind no more.
func TestWhoMayJoinIsNotToldByOneThatIsBehind(t *testing.T) {
	m := memberWith(t, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes,
		index.AppendAnnounce(nil, &kv.Member{ID: 1, Name: "n1", Boot: 1, Folder: [16]byte{1}, Process: [16]byte{1}, Peers: []string{"h1:1"}}).Bytes, bound(8, 8))
	m.transport = &calls{}
	for _, c := range []struct {
		boot, leader uint64
		told         bool
	}{{1, 2, true}, {1, 0, false}, {2, 2, false}} {
		m.folder.Boot, m.process = c.boot, [16]byte{byte(c.boot)}
		_, refusal := (peerHandler{m}).judgeJoiner(peerframe.JoinRequest{Name: "n8", Folder: [16]byte{8}}, actor.RaftStatus{Leader: c.leader})
		if c.told != (refusal == nil) || !c.told && refusal.Code != peerframe.Behind {
			t.Errorf("%+v: %+v", c, refusal)
		}
	}
}

// While a lost member is replaced by one in its place, both stand in the records: the host that is started again waits.
func TestWhoMayJoinInPlace(t *testing.T) {
	m := memberWith(t,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes,
		index.AppendAnnounce(nil, &kv.Member{ID: 8, Name: "n8", Boot: 1, Folder: [16]byte{8}, Process: [16]byte{8}, Peers: []string{"h8:2"}}).Bytes,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 9, Peers: []string{"h8:1"}}).Bytes)
	running := &calls{}
	m.transport = running
	for connected, want := range map[bool]peerframe.RefusalCode{false: peerframe.Taken, true: peerframe.Refused} {
		running.status = []peer.PeerStatus{{Peer: peer.Peer{ID: 8}, Connected: connected}}
		for _, leader := range []uint64{2, 0} {
			_, refusal := (peerHandler{m}).judgeJoiner(peerframe.JoinRequest{Name: "n8", Addresses: []string{"h8:1"}}, actor.RaftStatus{Leader: leader})
			if refusal == nil || refusal.Code != want || !strings.Contains(refusal.Text, "a member n8 already exists") ||
				strings.Contains(refusal.Text, "`qkv member remove 0000000000000008`") != (leader != 0 && !connected) {
				t.Errorf("n8 runs: %v, the leader is %d: %+v", connected, leader, refusal)
			}
		}
	}
}

// Who asks to join and may not shows in the status of those that it asked, until it may, or asks no more.
func TestWhoWaitsToJoinShows(t *testing.T) {
	m := memberWith(t, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 9, Peers: []string{"h9:1"}}).Bytes)
	asks := func(name, at string) {
		(peerHandler{m}).Join(peerframe.JoinRequest{Name: name, Addresses: []string{at}})
	}
	shown := func() (all []string) {
		for _, a := range m.status.Alarms() {
			all = append(all, string(a.Name)+" "+a.Subject)
		}
		return all
	}
	asks("n9", "h7:1")
	if got := m.status.Alarms(); len(got) != 1 || got[0].Name != kv.JoinNotice || !strings.Contains(got[0].Text, "n9 asks to join, from h7:1") || !strings.Contains(got[0].Text, "n1 has no leader") {
		t.Errorf("who was not added asks: %+v", got)
	}
	for range turnedAwayLooks - 1 {
		m.forgetTurnedAway()
	}
	asks("n9", "h7:1")
	m.forgetTurnedAway()
	if got := shown(); !slices.Equal(got, []string{"JOIN n9"}) {
		t.Errorf("it asks again: %q", got)
	}
	if asks("n9", "h9:1"); len(shown()) != 0 {
		t.Errorf("it may join: %q", shown())
	}
	for i := range 20 {
		asks(fmt.Sprint("m", i), "h7:1")
	}
	if n := len(shown()); n != limits.Members+limits.Learners {
		t.Errorf("of many that ask %d are shown", n)
	}
	for range turnedAwayLooks {
		m.forgetTurnedAway()
	}
	if len(shown())+len(m.contacts.turnedAway) != 0 {
		t.Errorf("nobody asks any more: %q", shown())
	}
}

// datedCertificate is a member's certificate with a validity.
type datedCertificate struct{ from, to time.Time }

func (datedCertificate) Problem() string { return "" }
func (d datedCertificate) Certificate() *x509.Certificate {
	return &x509.Certificate{NotBefore: d.from}
}
func (d datedCertificate) NotAfter() time.Time { return d.to }

// TestRefusedCertificate checks the alarm CERT and the readiness of a member whose certificate other members refuse, or whose clock shows
// that it is not valid.
func TestRefusedCertificate(t *testing.T) {
	m, now := memberWith(t), time.Now()
	others := len(m.status.View().Members().All()) - 1
	valid := datedCertificate{now.Add(-time.Hour), now.Add(time.Hour)}
	if err := m.trusted(valid); err != nil || others < 2 {
		t.Fatalf("no member refuses it, of %d: %v", others, err)
	}
	for _, wrong := range []datedCertificate{{now.Add(time.Hour), now.Add(2 * time.Hour)}, {now.Add(-2 * time.Hour), now.Add(-time.Hour)}} {
		if err := m.trusted(wrong); err == nil || !strings.Contains(err.Error(), "not valid by this host's clock") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	h := peerHandler{m}
	h.Distrusted(2, "it has expired")
	h.Distrusted(2, "it has expired")
	if a := m.status.Alarms(); len(a) != 1 || a[0].Name != kv.CertAlarm || !strings.Contains(a[0].Text, "it has expired") {
		t.Errorf("refused by one: %+v", a)
	}
	if err := m.trusted(valid); err != nil {
		t.Errorf("one of %d refuses it, which may itself be wrong: %v", others, err)
	}
	for id := uint64(3); id < 3+uint64(others); id++ {
		h.Distrusted(id, "it has expired")
	}
	if err := m.trusted(valid); err == nil || !strings.Contains(err.Error(), "other members refuse") {
		t.Errorf("refused by most: %v", err)
	}
	for range turnedAwayLooks {
		m.forgetTurnedAway()
	}
	if a, err := m.status.Alarms(), m.trusted(valid); len(a) != 0 || err != nil {
		t.Errorf("no member refuses it any more: %+v, %v", a, err)
	}
}

// toldOf is a way to the others that keeps what it is to bring them.
type toldOf struct {
	transport
	frames map[uint64][]byte
}

func (t *toldOf) Send(to uint64, _ peerframe.Class, frame []byte, _ bool) { t.frames[to] = frame }

// TestMemberOfAnotherClusterShows: a member of another cluster that calls shows as REFUSED until it calls no more.
func TestMemberOfAnotherClusterShows(t *testing.T) {
	m := memberWith(t)
	for range turnedAwayLooks {
		(peerHandler{m}).TurnedAway("n7", "cluster ID mismatch")
		m.forgetTurnedAway()
	}
	if got := m.status.Alarms(); len(got) != 1 || got[0].Name != kv.RefusedAlarm || got[0].Text != "n7 is refused: cluster ID mismatch" {
		t.Errorf("it calls: %+v", got)
	}
	for range turnedAwayLooks {
		m.forgetTurnedAway()
	}
	if got := m.status.Alarms(); len(got) != 0 {
		t.Errorf("it calls no more: %+v", got)
	}
}

// A copy of a member's folder that was refused shows in the status of who refused it, until it comes no more; and in the log and
// the status of the one whose folder it is.
func TestCopyShows(t *testing.T) {
	m, way := memberWith(t), &toldOf{frames: map[uint64][]byte{}}
	m.transport = way
	for range turnedAwayLooks {
		(peerHandler{m}).Copied(2, "two processes are n2")
		m.forgetTurnedAway()
	}
	if got := m.status.Alarms(); len(got) != 1 || got[0].Name != kv.RefusedAlarm || got[0].Member != 2 || got[0].Text != "two processes are n2" {
		t.Errorf("a copy runs: %+v", got)
	}
	for range turnedAwayLooks {
		m.forgetTurnedAway()
	}
	if got := m.status.Alarms(); len(got) != 0 {
		t.Errorf("no copy runs any more: %+v", got)
	}

	var said bytes.Buffer
	original := memberWith(t)
	original.folder.Member, original.logger = 2, slog.New(slog.NewTextHandler(&said, nil))
	for range 2 {
		(peerHandler{original}).Receive(1, &peerframe.MemberIdentity{}, peerframe.Urgent, slices.Clone(way.frames[2]))
	}
	if got := original.status.Alarms(); len(got) != 1 || got[0].Name != kv.RefusedAlarm || got[0].Member != 2 || got[0].Text != "two processes are n2" {
		t.Errorf("the one that was copied shows %+v", got)
	}
	if n := strings.Count(said.String(), "two processes are n2"); n != 1 {
		t.Errorf("the one that was copied says it %d times: %s", n, said.String())
	}
}

// Who was added without a name is known by its address, and by its id once it was told that; it cannot take another one's name.
func TestWhoMayJoinWithoutAName(t *testing.T) {
	h := peerHandler{memberWith(t,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Peers: []string{"h8:1"}}).Bytes,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 9, Peers: []string{"h9:1"}}).Bytes,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 10, Peers: []string{"h10:1"}}).Bytes,
		new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 10}).Bytes, bound(8, 7), bound(9, 7))}
	for _, c := range []struct {
		name, at string
		told     uint64
		id       uint64
		refusal  string
	}{
		{"any", "h9:1", 0, 9, ""},
		{"any", "h7:1", 0, 0, "was not added to the cluster, according to n1: run `qkv member add any --peer h7:1`"},
		{"any", "h7:1", 9, 9, ""}, // it has moved
		{"any", "h8:1", 9, 9, ""}, // to where another one was to be
		{"any", "h9:1", 10, 0, "was removed from the cluster"},
		{"any", "h7:1", 1, 0, "was not added to the cluster"}, // the id of a member that has a name
		{"n1", "h9:1", 0, 0, "a member n1 already exists"},
		{"n1", "h7:1", 9, 0, "a member n1 already exists"},
	} {
		got, refusal := h.judgeJoiner(peerframe.JoinRequest{Name: c.name, Addresses: []string{c.at}, ID: c.told, Folder: [16]byte{7}}, actor.RaftStatus{Leader: 2})
		if got.ID != c.id || (refusal == nil) != (c.refusal == "") || refusal != nil && !strings.Contains(refusal.Text, c.refusal) {
			t.Errorf("%s at %s: %+v, %v", c.name, c.at, got, refusal)
		}
	}
}

// posted passes on the messages that an actor gets.
type posted chan actor.ConsensusMessage

func (p posted) Handle(_ actor.Time, batch []actor.ConsensusMessage) bool {
	for _, m := range batch {
		p <- m
	}
	return false
}

// Each connection tells consensus where the peer's log ends, by its handshake. A later process that connects shows that the process before
// it has died; a later connection of the same process does not.
func TestConsensusIsToldOfConnections(t *testing.T) {
	m := memberWith(t)
	m.transport = &calls{}
	m.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 100, MustPost: 100})
	runtime, told := actor.NewRuntime(), make(posted, 100)
	defer runtime.Stop()
	actor.Spawn(runtime, m.actors.consensus, told)
	m.actors.admission = actor.NewAdmission(&actor.Admission{Self: 1, Status: m.status, Remember: func([]actor.Known) error { return nil }}, nil)
	for i, one := range []struct {
		process byte
		last    uint64
		died    bool
	}{{7, 1, false}, {7, 3, false}, {8, 4, true}, {8, 4, false}} {
		its := peerframe.MemberIdentity{Folder: [16]byte{2}, Boot: uint64(one.process), Process: [16]byte{one.process}, Last: one.last}
		if err := m.actors.admission.Admit(2, its); err != nil {
			t.Fatal(err)
		}
		(peerHandler{m}).Connected(2)
		want := []actor.ConsensusMessage{actor.Connected{Peer: 2, Last: one.last}}
		if one.died {
			want = slices.Insert(want, 0, actor.ConsensusMessage(actor.PeerDied{Peer: 2}))
		}
		for _, next := range want {
			if got := <-told; got != next {
				t.Errorf("connection %d, of process %d: consensus is told %#v, want %#v", i+1, one.process, got, next)
			}
		}
	}
}

// A refusal says the same at the member that is refused: what it means, and that a leader says so.
func TestRefusalsKeepTheirMeaning(t *testing.T) {
	m := memberWith(t)
	m.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 100, MustPost: 100})
	runtime, told := actor.NewRuntime(), make(posted, 100)
	defer runtime.Stop()
	actor.Spawn(runtime, m.actors.consensus, told)
	for _, r := range []actor.Refusal{
		{}, {Removed: true}, {Removed: true, Leads: true}, {Forgot: true}, {Forgot: true, Leads: true}, {Forgot: true, Suspended: true},
	} {
		r.Text = fmt.Sprintf("%+v", r)
		peerHandler{m}.Refused(2, *wireRefusal(&r))
		if got := <-told; got != actor.ConsensusMessage(actor.Refused{Peer: 2, Refusal: r}) {
			t.Errorf("consensus is told %+v, want %s", got, r.Text)
		}
	}
}

// A member's start goes on by what is applied and confirmed: a member that has applied nothing lists no members, and only a confirmed read index
// opens the rest. With --serve-stale, keys are read as soon as the folder's log is applied again.
func TestStagesOfAStart(t *testing.T) {
	put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes
	for name, c := range map[string]struct {
		m       *member
		applyTo uint64
		stage   wire.Stage
	}{
		"nothing applied":  {memberWith(t), 0, wire.StageReplaying},
		"while it replays": {memberWith(t, put, put), 3, wire.StageReplaying},
		"all is replayed":  {memberWith(t, put, put), 2, wire.StageReplayed},
	} {
		m := c.m
		m.process, m.applyTo, m.actors.consensus = [16]byte{1}, c.applyTo, actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 100, MustPost: 100})
		for range 2 {
			m.open()
		}
		if n := m.actors.consensus.Waiting(); n != 1 {
			t.Errorf("%s: %d read indexes are under way, want 1", name, n)
		}
		serves := func(stale bool) (all []bool) {
			m.startup.Stale = stale
			for _, need := range []wire.Need{wire.NeedNothing, wire.NeedReplayed, wire.NeedKeys, wire.NeedCurrent} {
				all = append(all, m.startup.Serves(need))
			}
			return all
		}
		replayed := c.stage == wire.StageReplayed
		if got := serves(false); !slices.Equal(got, []bool{true, replayed, false, false}) || m.startup.Word() != wire.Starting {
			t.Errorf("%s: it serves %v, %q", name, got, m.startup.Word())
		}
		if got := serves(true); !slices.Equal(got, []bool{true, replayed, replayed, false}) || (m.startup.Word() == wire.Stale) != replayed {
			t.Errorf("%s with --serve-stale: it serves %v, %q", name, got, m.startup.Word())
		}
		m.opening.Complete([]kv.Completion{{Request: 1, Kind: kv.ReadReady, Result: kv.Result{Err: kv.Errorf(kv.Unavailable, "no leader")}}})
		if m.startup.Current() {
			t.Errorf("%s: a read index that failed has ended the start", name)
		}
		if m.open(); m.actors.consensus.Waiting() != 2 {
			t.Errorf("%s: a read index that failed is not repeated", name)
		}
		m.opening.Complete([]kv.Completion{{Request: 1, Kind: kv.ReadReady}})
		if got := serves(false); slices.Contains(got, false) || m.startup.Word() != "" || m.startup.Reached(wire.StageListed) {
			t.Errorf("%s, after a read index: it serves %v, %q", name, got, m.startup.Word())
		}
		if m.open(); m.startup.Reached(wire.StageListed) { // this process has not announced itself
			t.Errorf("%s: the start is over although the members list no such process", name)
		}
	}
}

// A member that has joined and got nothing before its process ended must be told again where the cluster is.
func TestJoinerThatGotNothing(t *testing.T) {
	fs := simdisk.New(1)
	var asked []uint64
	folders := map[[16]byte]bool{}
	env := environment{
		FS: fs, Random: rand.NewChaCha8([32]byte{}), Driver: actor.NewRuntime(), Yield: func() {}, Limits: limits.Defaults(),
		Transport: func(*folder, [16]byte) (transport, error) { return nil, errors.New("so far") },
		Join: func(_ []string, id uint64, folder [16]byte) (peerframe.Welcome, error) {
			asked, folders[folder] = append(asked, id), true
			return peerframe.Welcome{Cluster: 77, ID: 9}, nil
		},
	}
	c := given("10.0.0.1", func(c *Config) { c.Join = []string{"10.0.0.2:2380"} })
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]uint64{{0}, {0, 9}} { // the second time it says who it is
		if _, err := build(c, "lab", env, nil); err == nil || err.Error() != "so far" || !slices.Equal(asked, want) {
			t.Fatalf("%v; it asked as %d, and not %d", err, asked, want)
		}
	}
	if len(folders) != 1 || folders[[16]byte{}] {
		t.Fatalf("it asked with the folders %v", folders)
	}
	c.Join = nil
	var refused *UsageError
	if _, err := build(c, "lab", env, nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "give --join again") {
		t.Errorf("without --join: %v", err)
	}
}

// A snapshot says twice who its members are, and is damaged where it says two things.
func TestSnapshotOfOtherMembers(t *testing.T) {
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2}))
	if _, err := state.Apply(1, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	for at, voters := range [][]uint64{{1, 2}, {1, 2, 3}, {1}, nil} {
		fs := simdisk.New(1)
		if err := fs.MkdirAll("data/snap"); err != nil {
			t.Fatal(err)
		}
		of := snapshot.Meta{Index: 1, Term: 1, ConfState: actor.ConfStateBytes(actor.ConfStateOf(index.Configuration{Voters: voters}))}
		_, err := snapshot.Save(fs, "data/snap", of, state.ViewToSave(), nil)
		must(t, err)
		loaded, meta, err := snapshot.LoadIn(index.NewReserve(), fs, fs, "data/snap/"+snapshot.Name(1, 1), limits.Defaults().Index)
		if err == nil {
			_, err = configurationIn(loaded, meta)
		}
		if (err == nil) != (at == 0) || err != nil && !errors.Is(err, damage.ErrDamaged) {
			t.Errorf("of voters %v: %v", voters, err)
		}
	}
}

// Where an operator has said that a member is, the flags of another one do not say otherwise.
func TestPlacedByAnOperator(t *testing.T) {
	members, given := index.Founders(map[string]uint64{"n1": 1, "n2": 2}), []Founder{{"n2", "flags:2"}}
	if change := unplaced(members, given); change == nil || change.ID != 2 {
		t.Fatalf("of one that has no address: %+v", change)
	}
	members, refused := members.Change(&kv.MemberChange{Kind: kv.UpdateMember, ID: 2, Peers: []string{"operator:2"}}, 0)
	if refused != nil {
		t.Fatal(refused)
	}
	if change := unplaced(members, given); change != nil {
		t.Errorf("of one that has an address: %+v", change)
	}
}
