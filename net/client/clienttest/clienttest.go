// Package clienttest gives the tests of an application a member in memory: the real state machine behind the real endpoint on loopback, in
// the test's own process. It has revisions, transactions, watches, leases that expire, locks, elections, users and history, and each error
// is a member's. It has no consensus and no disk: what depends on those (backups, Verify, a change of the leader, figures of the host) is
// not there, and nothing survives the test.
//
// The client's certificate has the name test. Before a test enables authentication, it gives the users root and test the role root. There
// is no client of another user. The member cannot fail: to test failures, let the code take an interface, and return
// [client.UnavailableError] or [client.OutcomeUnknownError] in the client's place.
//
//	func TestRegister(t *testing.T) {
//		c := clienttest.Start(t)
//		if err := register(t.Context(), c); err != nil { // the application's own function
//			t.Fatal(err)
//		}
//		pair, found, err := c.Get(t.Context(), []byte("services/web"))
//		...
//	}
//
// Lock sessions and candidates exclude each other as in a cluster, also if they share the one client.
package clienttest

import (
	"testing"

	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// leaseLeast is the shortest TTL in seconds, as with the default timeout of an election.
const leaseLeast = 2

// Start starts a member with an empty store, and returns a client of it. Both end with the test, which fails if the member cannot start.
// Each call makes a member of its own, on a free port of loopback: parallel tests do not meet. Leases have at least 2 s.
func Start(tb testing.TB) *client.Client {
	tb.Helper()
	trust, member := servertest.NewTrust(tb), servertest.NewMember()
	member.Sessions.Store(true)
	member.ExpireLeases(tb)
	s := servertest.Start(tb, trust, member, func(c *server.Config) { c.LeaseLeast = leaseLeast })
	c, err := client.Open(tb.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Client})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}
