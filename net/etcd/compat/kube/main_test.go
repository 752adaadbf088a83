package kube

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"qkv/net/etcd/compat/member"
)

var against = flag.String("against", member.QKV, "the `PROGRAM` whose members are used: qkv or etcd")

// full is whether the long variants are wanted.
var full = os.Getenv("QKV_FULL") != ""

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

// timeout decides only when something is missing for good.
const timeout = 3 * time.Minute

// start starts members, and gives a client of all of them.
func start(t testing.TB, count int, arguments ...string) (*member.Cluster, *clientv3.Client) {
	t.Helper()
	cluster := member.Start(t, *against, count, arguments...)
	return cluster, client(t, cluster.Endpoints()...)
}

func client(t testing.TB, endpoints ...string) *clientv3.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Context: ctx, Logger: zap.NewNop(), DialKeepAliveTime: 30 * time.Second})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want compares what was got as it prints.
func want(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if a, b := fmt.Sprint(got), fmt.Sprint(wanted); a != b {
		t.Fatalf("%s: got %s, want %s", what, a, b)
	}
}
