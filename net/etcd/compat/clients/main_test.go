package clients

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

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

// timeout decides only when something is missing for good.
const timeout = 90 * time.Second

// env is what a test gets: members, a client of all of them, and a part of the keys for itself.
type env struct {
	*clientv3.Client
	cluster *member.Cluster
	ctx     context.Context
	prefix  string
	t       testing.TB
}

// story is one test of one package of the client.
type story struct {
	name string
	tell func(*testing.T, *env)
}

// each tells the stories to one member, and to three.
func each(t *testing.T, stories []story) {
	for _, count := range []int{1, 3} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			cluster := member.Start(t, *against, count)
			for _, one := range stories {
				t.Run(one.name, func(t *testing.T) {
					one.tell(t, newEnv(t, cluster, one.name+"/"))
				})
			}
		})
	}
}

func newEnv(t testing.TB, cluster *member.Cluster, prefix string) *env {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	e := &env{cluster: cluster, ctx: ctx, prefix: prefix, t: t}
	e.Client = e.another()
	return e
}

// another is one more client, of the members that are named, or of all.
func (e *env) another(endpoints ...string) *clientv3.Client {
	e.t.Helper()
	if len(endpoints) == 0 {
		endpoints = e.cluster.Endpoints()
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: timeout, Context: e.ctx, Logger: zap.NewNop()})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (e *env) key(name string) string { return e.prefix + name }

// put puts, and returns the revision.
func (e *env) put(name, value string, options ...clientv3.OpOption) int64 {
	e.t.Helper()
	r, err := e.Put(e.ctx, e.key(name), value, options...)
	must(e.t, err)
	return r.Header.Revision
}

// get is the value of a key; nothing if there is none.
func (e *env) get(name string, options ...clientv3.OpOption) string {
	e.t.Helper()
	r, err := e.Get(e.ctx, e.key(name), options...)
	must(e.t, err)
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
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

// fails wants an error with this text.
func fails(t testing.TB, what string, err, wanted error) {
	t.Helper()
	if err == nil || err.Error() != wanted.Error() {
		t.Fatalf("%s: got %v, want %v", what, err, wanted)
	}
}
