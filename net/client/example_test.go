package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

// exampleCluster stands for a cluster and the folder of certificates that its client was given.
var exampleCluster struct {
	endpoint, certs string
}

// withExampleCluster runs the tests beside the examples' cluster.
type withExampleCluster struct{ *testing.M }

func (m withExampleCluster) Run() int {
	t := &exampleT{}
	defer t.end()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	exampleCluster.endpoint, exampleCluster.certs = servertest.Endpoint(s), trust.Dir
	return m.M.Run()
}

// exampleT is what servertest needs of a test, for examples.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()           {}
func (t *exampleT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (t *exampleT) Cleanup(f func())  { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "qkv-example-")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func Example() {
	credentials, err := client.LoadCredentials(exampleCluster.certs, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{exampleCluster.endpoint}, Credentials: credentials})
	if err != nil {
		fmt.Println(err) // lists why each endpoint did not answer
		return
	}
	defer c.Close()

	if _, err := c.Put(ctx, []byte("greeting"), []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	pair, found, err := c.Get(ctx, []byte("greeting"))
	fmt.Println(string(pair.Value), pair.Version, found, err)
	// Output: hello 1 true <nil>
}

func ExampleClient_Range() {
	c, ctx := exampleClient()
	defer c.Close()
	for _, name := range []string{"passwd", "hosts", "group"} {
		if _, err := c.Put(ctx, []byte("/etc/"+name), []byte("of "+name)); err != nil {
			fmt.Println(err)
			return
		}
	}
	answer, err := c.Range(ctx, kv.Range{Key: []byte("/etc/"), End: client.Prefix([]byte("/etc/")), Limit: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, pair := range answer.KVs {
		fmt.Printf("%s: %s\n", pair.Key, pair.Value)
	}
	fmt.Println("of", answer.Count)
	// Output:
	// /etc/group: of group
	// /etc/hosts: of hosts
	// of 3
}

func ExampleClient_Pages() {
	c, ctx := exampleClient()
	defer c.Close()
	for _, key := range []string{"fruit/apple", "fruit/pear", "fruit/quince"} {
		if _, err := c.Put(ctx, []byte(key), nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	keys := 0
	for page, err := range c.Pages(ctx, kv.Range{Key: []byte("fruit/"), End: client.Prefix([]byte("fruit/")), KeysOnly: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		keys += len(page.KVs)
	}
	fmt.Println(keys)
	// Output: 3
}

// A write whose outcome is not known is for the program to look into: here by reading whether it is there.
func ExampleOutcomeUnknownError() {
	c, ctx := exampleClient()
	defer c.Close()
	_, err := c.Put(ctx, []byte("order/17"), []byte("paid"))
	if errors.Is(err, client.ErrOutcomeUnknown) {
		pair, found, readErr := c.Get(ctx, []byte("order/17"))
		if readErr == nil && found && string(pair.Value) == "paid" {
			err = nil // it happened; were it not there, it could still be on its way
		}
	}
	fmt.Println(err)
	// Output: <nil>
}

// A thousand puts under way, and no goroutine for any of them.
func ExampleClient_PutAsync() {
	c, _ := exampleClient()
	defer c.Close()
	var left sync.WaitGroup
	left.Add(1000)
	for i := range 1000 {
		c.PutAsync(fmt.Appendf(nil, "n/%d", i), []byte("x"), func(w client.Written, err error) {
			if err != nil {
				fmt.Println(err)
			}
			left.Done()
		})
	}
	left.Wait()
	fmt.Println("done")
	// Output: done
}

// A member that is asked for its status answers for itself.
func ExampleAdmin_Status() {
	c, ctx := exampleClient()
	defer c.Close()
	status, err := c.Admin().Status(ctx, exampleCluster.endpoint)
	fmt.Println(status.Name, status.Role, err)
	// Output: test leader <nil>
}

// A role permits a prefix of keys, and a user gets it. The client test, whose certificate this is, is made an administrator before
// authentication is enabled: otherwise it would be refused.
func ExampleAdmin_EnableAuth() {
	c, ctx := exampleClient()
	defer c.Close()
	steps := []func() error{
		func() error { return c.Admin().AddUser(ctx, client.RootRole, "") },
		func() error { return c.Admin().GrantRole(ctx, client.RootRole, client.RootRole) },
		func() error { return c.Admin().AddUser(ctx, "test", "") },
		func() error { return c.Admin().GrantRole(ctx, "test", client.RootRole) },
		func() error { return c.Admin().AddRole(ctx, "app1") },
		func() error {
			app1 := []byte("app1/")
			return c.Admin().GrantPermission(ctx, "app1", kv.Permission{Key: app1, End: client.Prefix(app1), Type: kv.PermitReadWrite})
		},
		func() error { return c.Admin().AddUser(ctx, "ci", "a password") },
		func() error { return c.Admin().GrantRole(ctx, "ci", "app1") },
		func() error { return c.Admin().EnableAuth(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			fmt.Println(err)
			return
		}
	}
	check, err := c.Admin().CheckPermission(ctx, "ci", kv.Permission{Key: []byte("app2/x"), Type: kv.PermitWrite})
	fmt.Println(check.Allowed, err, c.Admin().DisableAuth(ctx))
	// Output: false <nil> <nil>
}

func exampleClient() (*client.Client, context.Context) {
	credentials, err := client.LoadCredentials(exampleCluster.certs, "")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Endpoints: []string{exampleCluster.endpoint}, Credentials: credentials})
	if err != nil {
		panic(err)
	}
	return c, ctx
}
