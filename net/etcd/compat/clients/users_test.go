package clients

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"qkv/net/etcd/compat/member"
)

// as is a client of a user, which logs in first.
func (e *env) as(name, password string) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: e.cluster.Endpoints(), DialTimeout: timeout, Context: e.ctx, Logger: zap.NewNop(), Username: name, Password: password,
	})
	if err == nil {
		e.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// mustAs is as for a login that must succeed.
func (e *env) mustAs(name, password string) *clientv3.Client {
	e.t.Helper()
	c, err := e.as(name, password)
	must(e.t, err)
	return c
}

// addUser adds a user with a role that may read and write the keys from key up to end.
func (e *env) addUser(by *clientv3.Client, name, key, end string) {
	e.t.Helper()
	_, err := by.UserAdd(e.ctx, name, name)
	must(e.t, err)
	_, err = by.RoleAdd(e.ctx, "of "+name)
	must(e.t, err)
	_, err = by.RoleGrantPermission(e.ctx, "of "+name, key, end, clientv3.PermissionType(clientv3.PermReadWrite))
	must(e.t, err)
	_, err = by.UserGrantRole(e.ctx, name, "of "+name)
	must(e.t, err)
}

// enable makes the administrator root, enables authentication and logs in.
func (e *env) enable() *clientv3.Client {
	e.t.Helper()
	_, err := e.UserAdd(e.ctx, "root", "root")
	must(e.t, err)
	_, err = e.UserGrantRole(e.ctx, "root", "root")
	must(e.t, err)
	_, err = e.AuthEnable(e.ctx)
	must(e.t, err)
	return e.mustAs("root", "root")
}

// usersStories has the tests of clientv3 in etcd's tests/integration (clientv3/user_test.go and v3_auth_test.go), which start etcd within
// their own process, and what clients with a password rely on. Each has its own cluster.
var usersStories = []story{
	{"errors", func(t *testing.T, e *env) {
		_, err := e.as("root", "123")
		must(t, err) // credentials do no harm while authentication is off
		_, err = e.UserAdd(e.ctx, "foo", "bar")
		must(t, err)
		_, err = e.UserAdd(e.ctx, "foo", "bar")
		fails(t, "again", err, rpctypes.ErrUserAlreadyExist)
		_, err = e.UserDelete(e.ctx, "not-exist-user")
		fails(t, "delete", err, rpctypes.ErrUserNotFound)
		_, err = e.UserGrantRole(e.ctx, "foo", "test-role-does-not-exist")
		fails(t, "grant", err, rpctypes.ErrRoleNotFound)
		root := e.enable()
		_, err = e.UserAdd(e.ctx, "other", "bar")
		fails(t, "without a user", err, rpctypes.ErrUserEmpty)
		_, err = e.Get(e.ctx, "abc")
		fails(t, "get without a user", err, rpctypes.ErrUserEmpty)
		_, err = e.as("wrong-id", "123")
		fails(t, "an unknown user", err, rpctypes.ErrAuthFailed)
		_, err = e.as("root", "wrong-pass")
		fails(t, "a wrong password", err, rpctypes.ErrAuthFailed)
		_, err = root.UserList(e.ctx)
		must(t, err)
	}},
	{"a user that is added after its deletion", func(t *testing.T, e *env) {
		root := e.enable()
		e.addUser(root, "foo", "k", "l")
		foo := e.mustAs("foo", "foo")
		_, err := root.UserDelete(e.ctx, "foo")
		must(t, err)
		_, err = e.Authenticate(e.ctx, "foo", "foo")
		fails(t, "the old password", err, rpctypes.ErrAuthFailed)
		_, err = root.UserAdd(e.ctx, "foo", "foo")
		must(t, err)
		_, err = foo.Put(e.ctx, "k", "v") // with a new token; the new user has no role
		fails(t, "put", err, rpctypes.ErrPermissionDenied)
		_, err = root.UserChangePassword(e.ctx, "foo", "bar2")
		must(t, err)
		_, err = e.Authenticate(e.ctx, "foo", "foo")
		fails(t, "the password from before", err, rpctypes.ErrAuthFailed)
		_, err = e.Authenticate(e.ctx, "foo", "bar2")
		must(t, err)
	}},
	{"a client logs in again by itself", func(t *testing.T, e *env) {
		root := e.enable()
		e.addUser(root, "foo", "k", "l")
		foo := e.mustAs("foo", "foo")
		_, err := root.UserChangePassword(e.ctx, "foo", "foo") // ends the token
		must(t, err)
		_, err = foo.Put(e.ctx, "k", "v")
		must(t, err)
		_, err = root.AuthDisable(e.ctx) // ends all tokens
		must(t, err)
		for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) { // a member that is behind has not disabled it yet
			if _, err = e.AuthEnable(e.ctx); err == nil || time.Since(begun) > 10*time.Second {
				break
			}
		}
		must(t, err)
		_, err = foo.Put(e.ctx, "k", "v")
		must(t, err)
		_, err = foo.Put(e.ctx, "x", "v")
		fails(t, "a key of others", err, rpctypes.ErrPermissionDenied)
	}},
	{"changes of roles and authentication while clients write", func(t *testing.T, e *env) {
		root := e.enable()
		e.addUser(root, "foo", "k", "l")
		foo := e.mustAs("foo", "foo")
		var done sync.WaitGroup
		for i := range 3 {
			done.Go(func() {
				for n := range 30 {
					if _, err := foo.Put(e.ctx, fmt.Sprintf("k%d", i), fmt.Sprint(n)); err != nil {
						t.Errorf("put %d: %v", n, err)
						return
					}
				}
			})
		}
		for i := range 10 {
			_, err := root.RoleAdd(e.ctx, fmt.Sprint("r", i))
			must(t, err)
		}
		_, err := root.AuthDisable(e.ctx)
		must(t, err)
		done.Wait()
	}},
	{"a refused watch does not end another", func(t *testing.T, e *env) {
		root := e.enable()
		e.addUser(root, "foo", "k1", "k2")
		foo := e.mustAs("foo", "foo")
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		allowed := foo.Watch(ctx, "k1", clientv3.WithRev(1), clientv3.WithCreatedNotify())
		want(t, "created", (<-allowed).Created, true)
		if refused := <-foo.Watch(ctx, "other", clientv3.WithRev(1)); refused.Err() == nil {
			t.Fatal("a watch of others' keys is not refused")
		}
		_, err := foo.Put(e.ctx, "k1", "v")
		must(t, err)
		want(t, "events", len((<-allowed).Events), 1)
	}},
	{"leases with keys of others", func(t *testing.T, e *env) {
		root := e.enable()
		e.addUser(root, "foo", "k", "l")
		foo := e.mustAs("foo", "foo")
		lease, err := foo.Grant(e.ctx, 600)
		must(t, err)
		_, err = foo.Put(e.ctx, "k", "v", clientv3.WithLease(lease.ID))
		must(t, err)
		_, err = foo.KeepAliveOnce(e.ctx, lease.ID)
		must(t, err)
		_, err = root.Put(e.ctx, "x", "v", clientv3.WithLease(lease.ID))
		must(t, err)
		_, err = foo.Put(e.ctx, "k", "v", clientv3.WithLease(lease.ID))
		fails(t, "attach", err, rpctypes.ErrPermissionDenied)
		_, err = foo.KeepAliveOnce(e.ctx, lease.ID)
		fails(t, "keep alive", err, rpctypes.ErrPermissionDenied)
		_, err = foo.Txn(e.ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("k", "v", clientv3.WithLease(lease.ID))}, nil)).Commit()
		fails(t, "attach in a nested transaction", err, rpctypes.ErrPermissionDenied)
		_, err = foo.Revoke(e.ctx, lease.ID)
		fails(t, "revoke", err, rpctypes.ErrPermissionDenied)
		_, err = root.Revoke(e.ctx, lease.ID)
		must(t, err)
	}},
}

func TestUsers(t *testing.T) {
	for _, count := range []int{1, 3} {
		for _, one := range usersStories {
			t.Run(fmt.Sprint(count, " ", one.name), func(t *testing.T) {
				one.tell(t, newEnv(t, member.Start(t, *against, count, "--bcrypt-cost", "4"), ""))
			})
		}
	}
}
