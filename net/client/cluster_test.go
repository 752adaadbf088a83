package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testport"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// ofCluster is a member that says that it belongs to a cluster, and names members with their addresses.
func ofCluster(cluster uint64, name string, members ...kv.Member) *servertest.Member {
	m := servertest.NewMember()
	m.SetStatus(kv.Status{Name: name, Cluster: cluster, Role: "leader", Members: members})
	return m
}

// Endpoints of two clusters in one list are an error, whichever answers first; one that is down is none, and one that
// the cluster itself names is not even asked.
func TestSeveralClusters(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	one := servertest.Endpoint(servertest.Start(t, trust, ofCluster(1, "n1"), nil))
	same := servertest.Endpoint(servertest.Start(t, trust, ofCluster(1, "n2"), nil))
	other := servertest.Endpoint(servertest.Start(t, trust, ofCluster(2, "n3"), nil))
	naming := servertest.Endpoint(servertest.Start(t, trust, ofCluster(1, "n4", kv.Member{ID: 3, Name: "n3", Clients: []string{other}}), nil))
	for _, tt := range []struct {
		endpoints []string
		any, ok   bool
	}{
		{endpoints: []string{one, same}, ok: true},
		{endpoints: []string{one, closedPort(t), same}, ok: true},
		{endpoints: []string{one, same, other}},
		{endpoints: []string{other, one}},
		{endpoints: []string{other, one}, any: true, ok: true},
		{endpoints: []string{naming, other}, ok: true},
	} {
		c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: tt.endpoints, InOrder: true, Credentials: trust.Client, AnyCluster: tt.any, DialStagger: wait})
		if err == nil {
			_ = c.Close()
		}
		if tt.ok != (err == nil) || !tt.ok && (!errors.Is(err, client.ErrSeveralClusters) || !strings.Contains(err.Error(), other+" (n3) is in cluster 0000000000000002")) {
			t.Errorf("%v: %v", tt.endpoints, err)
		}
	}
}

// A client does not leave the cluster of its first connection for one that answers later.
func TestClientStaysInItsCluster(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	socket, err := testport.Listen("", listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	down := socket.LocalAddr().String()
	_ = socket.Close()
	m := servertest.Start(t, trust, ofCluster(1, "n1"), nil)
	c := open(t, trust, servertest.Endpoint(m), down)
	servertest.Start(t, trust, ofCluster(2, "n2"), func(c *server.Config) { c.Address = down })
	_ = m.Close()
	testretry.Longer(t, time.Second, func(t testing.TB, limit time.Duration) {
		_, _, err := c.Get(ctxOf(t, limit), []byte("key"))
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, client.ErrSeveralClusters) {
			t.Errorf("a get of a client whose cluster is gone: %v", err)
		}
	})
}

// A client whose cluster was replaced at its address, as by a restore, says so in every form: calls fail at once, watches and leases end.
// As long as a member of its own cluster answers, the client stays there.
func TestReplacedCluster(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	socket, err := testport.Listen("", listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	address := socket.LocalAddr().String()
	_ = socket.Close()
	at := func(c *server.Config) { c.Address = address }
	status := kv.Status{Name: "n1", Cluster: 1, Role: "leader"}
	old := servertest.NewCluster(map[string]uint64{"n1": 1})
	old.SetStatus(status)
	server := servertest.Start(t, trust, old, at)
	second := servertest.Start(t, trust, ofCluster(1, "n2"), nil)
	alone, both := open(t, trust, address), open(t, trust, address, servertest.Endpoint(second))
	ctx := ctxOf(t, wait)
	watch := must[*client.Watcher](t)(alone.Watch(ctx, kv.Watch{Key: []byte("k")}))
	lease := must[client.Lease](t)(alone.Grant(ctx, time.Hour, client.GrantOptions{}))
	keep := alone.KeepAlive(lease.ID, lease.TTL, time.Now().Add(-40*time.Minute+time.Second))

	_ = server.Close()
	servertest.Start(t, trust, ofCluster(2, "n1"), at)
	replaced := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, client.ErrClusterReplaced) || errors.Is(err, client.ErrSeveralClusters) || !strings.Contains(err.Error(), "restart this program") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = watch.Next()
	replaced("a watch", err)
	begun := time.Now()
	_, err = alone.Put(ctx, []byte("k"), []byte("v"))
	replaced("a put", err)
	if !errors.Is(err, client.ErrUnavailable) || time.Since(begun) > wait/2 {
		t.Errorf("a put was refused after %v: %v", time.Since(begun), err)
	}
	select {
	case <-keep.Lost():
		replaced("a lease", keep.Err())
	case <-ctx.Done():
		t.Error("a lease of the replaced cluster is held on")
	}
	if _, _, err := both.Get(ctx, []byte("k")); err != nil {
		t.Errorf("a member of the old cluster answers: %v", err)
	}
}
