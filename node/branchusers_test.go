package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node"
)

// withUsers is a Fill whose state has a key, the user root, and asks for users.
func withUsers(disk.FS, string) (*index.State, error) {
	s := index.NewState(limits.Defaults().Index)
	s.Found(index.Founders(map[string]uint64{"n1": 7}))
	own, secret := index.Own(), bytes.Repeat([]byte{7}, limits.AuthSecretBytes)
	commands := [][]byte{index.AppendFeatureLevel(nil, index.MaxLevel).Bytes, own.AppendPut(nil, &kv.Put{Key: []byte("secret"), Value: []byte("value")}).Bytes}
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: kv.Root, NoPassword: true},
		{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root},
		{Kind: kv.AuthEnable, Secret: secret},
	} {
		commands = append(commands, own.AppendAuthChange(nil, &c).Bytes)
	}
	for i, c := range commands {
		if _, err := s.Apply(uint64(i)+1, 1, index.AppendEnvelope(nil, index.Envelope{Level: s.Level(), Member: 7, First: uint64(i) + 1, Wall: 1}, [][]byte{c}), nil); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// branchOfUsers starts a branch of that state.
func branchOfUsers(t *testing.T, certs string) node.Config {
	addresses := freeAddresses(t, 2)
	c := node.Config{
		Name: "n1", DataDir: t.TempDir() + "/data", Home: t.TempDir(), CertsDir: certs, Native: certs == "", Listen: addresses[0], ListenPeer: addresses[1],
		HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond, MaxRequestBytes: 1 << 20,
	}
	n, err := node.Branch(t.Context(), c, withUsers, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ready, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return c
}

// A branch of a state with users: the local CA's client has all rights there, and no other user of the host finds a port without TLS.
func TestBranchWithUsers(t *testing.T) {
	c := branchOfUsers(t, "")
	local, err := wire.LocalCredentials(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.Open(t.Context(), client.Config{Endpoints: []string{c.Listen}, Credentials: local, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if got, _, err := cl.Get(t.Context(), []byte("secret")); err != nil || string(got.Value) != "value" {
		t.Errorf("the branch's own client reads %q, %v", got.Value, err)
	}
	if _, err := cl.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Errorf("the branch's own client writes: %v", err)
	}
	if plain, err := net.DialTimeout("tcp", c.Listen, time.Second); err == nil {
		t.Errorf("the branch has a TCP port: %v", plain.Close())
	}
}

// With certificates, a branch has a TCP port, by TLS alone, and a client has the rights of its user.
func TestBranchByTLS(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "certs")
	maker := wire.Maker{Now: time.Now, Rand: rand.Reader}
	_, err := maker.CreateCA(certs, "branch")
	if err == nil {
		_, err = maker.CreateMember(certs, "n1", []string{"127.0.0.1"})
	}
	for _, name := range []string{"root", "mallory", wire.LocalClientName} {
		if err == nil {
			_, err = maker.CreateClient(certs, name)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	c := branchOfUsers(t, certs)
	ca, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	ask := func(name string, plain bool) string {
		config := &tls.Config{RootCAs: roots}
		if name != "" {
			file := filepath.Join(certs, "client-"+name)
			pair, err := tls.LoadX509KeyPair(file+".crt", file+".key")
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		by := credentials.NewTLS(config)
		if plain {
			by = insecure.NewCredentials()
		}
		conn, err := grpc.NewClient(c.Listen, grpc.WithTransportCredentials(by))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: time.Second, false: time.Minute}[plain])
		defer cancel()
		got, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("secret")})
		if err != nil {
			return err.Error()
		}
		return string(got.Kvs[0].Value)
	}
	if got := ask("root", false); got != "value" {
		t.Errorf("root reads %s", got)
	}
	for name, plain := range map[string]bool{"mallory": false, wire.LocalClientName: false, "": false, "root": true} {
		if got := ask(name, plain); got == "value" {
			t.Errorf("%q reads it, plain=%v", name, plain)
		}
	}
}
