package compat

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"qkv/net/etcd/compat/member"
)

// userNames are the users of a sequence. A step's user is a place in this list.
var userNames = []string{"", "root", "u1", "u2", "u3"}

const (
	nobody   = 0
	rootUser = 1
	forged   = 9 // a token that nobody has issued
)

// noPasswordText is etcd's answer to the login of a user who has no password.
const noPasswordText = "auth: authentication failed, password was given for no password user"

// knownOfUsers is whether answers about users differ as they may: etcd answers with an error that tells of the user or costs time, or
// makes a request for which nothing needs a permission, where qkv says that the caller may not ask.
func knownOfUsers(o op, etcd, qkv answer) bool {
	switch refused := strings.TrimPrefix(qkv.text, "etcdserver: "); {
	case o.kind == kindAuthenticate && etcd.text == noPasswordText:
		return refused == "authentication failed, invalid user ID or password"
	case (o.kind == kindUserAdd || o.kind == kindUserPassword) && (strings.HasPrefix(etcd.text, "bcrypt: ") || etcd.text == noPasswordText):
		return slices.Contains([]string{"user name is empty", "invalid auth token", "permission denied"}, refused)
	case o.kind == kindTxn && etcd.code == "OK" && proto.Size(o.request) == 0:
		return refused == "user name is empty"
	}
	return false
}

// withToken is a context with the token of a user, if that user has logged in.
func (s *side) withToken(ctx context.Context, user int) context.Context {
	token := s.tokenOf(user)
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token)
}

func (s *side) tokenOf(user int) string {
	if user == forged {
		return "forged.1"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[userNames[user]]
}

// learnToken keeps the token of an answer: each side has its own.
func (s *side) learnToken(o op, answer *pb.AuthenticateResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[o.request.(*pb.AuthenticateRequest).Name] = answer.Token
	if answer.Token != "" {
		answer.Token = "token"
	}
}

// authModel is what the generator knows of users and roles: enough to log in.
type authModel struct {
	enabled   bool
	passwords map[string]string // that work
	loggedIn  map[string]bool   // users whose last token counts
}

func newAuthModel() *authModel {
	return &authModel{passwords: map[string]string{}, loggedIn: map[string]bool{}}
}

// begin is how each sequence with users begins: an administrator and three users have roles, and have logged in.
func (a *authModel) begin() []op {
	all := []op{
		{kind: kindUserAdd, request: &pb.AuthUserAddRequest{Name: "root", Password: "p1"}},
		{kind: kindUserGrant, request: &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}},
	}
	for i, role := range []string{"r1", "r2", "r3"} {
		user := userNames[2+i]
		all = append(
			all,
			op{kind: kindRoleAdd, request: &pb.AuthRoleAddRequest{Name: role}},
			op{kind: kindRoleGrant, request: &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: &authpb.Permission{
				Key: []byte(ranges[i][0]), RangeEnd: []byte(ranges[i][1]), PermType: authpb.Permission_READWRITE,
			}}},
			op{kind: kindUserAdd, request: &pb.AuthUserAddRequest{Name: user, Password: "p1"}},
			op{kind: kindUserGrant, request: &pb.AuthUserGrantRoleRequest{User: user, Role: role}},
		)
	}
	all = append(all, op{kind: kindAuthEnable, request: new(pb.AuthEnableRequest)})
	for _, name := range userNames[1:] {
		all = append(all, op{kind: kindAuthenticate, request: &pb.AuthenticateRequest{Name: name, Password: "p1"}})
	}
	return all
}

// login is the login of a user by the password that works.
func (a *authModel) login(user int) op {
	name := userNames[user]
	return op{kind: kindAuthenticate, request: &pb.AuthenticateRequest{Name: name, Password: a.passwords[name]}}
}

// learn keeps what later steps need of a request that has succeeded.
func (a *authModel) learn(request proto.Message) {
	switch q := request.(type) {
	case *pb.AuthEnableRequest:
		a.enabled = true
	case *pb.AuthDisableRequest:
		a.enabled = false
		clear(a.loggedIn)
	case *pb.AuthenticateRequest:
		a.loggedIn[q.Name] = true
	case *pb.AuthUserAddRequest:
		a.passwords[q.Name] = q.Password
	case *pb.AuthUserDeleteRequest:
		a.loggedIn[q.Name] = false
	case *pb.AuthUserChangePasswordRequest:
		a.passwords[q.Name], a.loggedIn[q.Name] = q.Password, false
		if q.HashedPassword == hashOfP1 {
			a.passwords[q.Name] = "p1"
		}
	}
}

// weights are how often each kind of request about users is taken, beside the others.
func (a *authModel) weights() []weight {
	enable := 1
	if !a.enabled {
		enable = 30
	}
	return []weight{
		{kindAuthStatus, 2},
		{kindAuthenticate, 6},
		{kindAuthEnable, enable},
		{kindAuthDisable, 1},
		{kindUserAdd, 4},
		{kindUserGet, 3},
		{kindUserList, 1},
		{kindUserDelete, 1},
		{kindUserPassword, 2},
		{kindUserGrant, 8},
		{kindUserRevoke, 3},
		{kindRoleAdd, 4},
		{kindRoleGet, 3},
		{kindRoleList, 1},
		{kindRoleDelete, 1},
		{kindRoleGrant, 10},
		{kindRoleRevoke, 4},
		{kindMemberList, 1},
		{kindAlarm, 1},
		{kindStatus, 1},
		{kindWatchOnce, 8},
	}
}

// withUser gives a step a user, who usually logs in first if the user's token does not count any more. Watches that go on are the
// administrator's: those of others end in qkv when a role is taken, and those that were created while authentication was off end when it is
// enabled. Both go on in etcd. What is done with leases is the administrator's, too: a lease without keys is its owner's in qkv, and anybody's
// in etcd.
func (g *generator) withUser(o op) op {
	if g.auth == nil {
		return o
	}
	n := g.IntN(20)
	switch {
	case o.kind == kindWatch && !g.auth.enabled:
		return op{kind: kindAuthEnable, user: rootUser, request: new(pb.AuthEnableRequest)}
	case o.kind == kindWatch || o.kind == kindClose:
	case slices.Contains([]string{kindGrant, kindRevoke, kindKeepAlive, kindTTL, kindLeases}, o.kind), strings.Contains(prototext.Format(o.request), "lease:"):
		o.user = rootUser
	case strings.HasPrefix(rpcs[o.kind].method, "/etcdserverpb.Auth/") && n < 14:
		o.user = rootUser
	case n == 0:
		o.user = nobody
	case n == 1 && g.one(3):
		o.user = forged
	case n < 7:
		o.user = rootUser
	default:
		o.user = 2 + g.IntN(len(userNames)-2)
	}
	if o.user != nobody && o.user != forged && g.auth.enabled && !g.auth.loggedIn[userNames[o.user]] && g.IntN(4) > 0 {
		return g.auth.login(o.user)
	}
	return o
}

// ranges are what permissions are granted for. No two have the same key: etcd lists a range twice that is granted again beside another one
// with its key.
var ranges = [][2]string{
	{"a", ""}, {"a/", "a0"}, {"a/2", "a/3"}, {"b", "c"}, {"c", "e"}, {"e", "\x00"}, {"\x00", "\x00"}, {"Z", "a"}, {"\xff", ""}, {"d", "d\x00"}, {"a\x00", "a/"}, {"b/1", ""},
}

// hashOfP1 is the password "p1" as a client may hash it itself.
const hashOfP1 = "JDJhJDA0JE9adkxCdjdYcjhaZVlZVDhTZVNQMXVwaVZESTRyajc2STJVUVJqOFk2OTdyT0pUT0ZpeVJH"

func (g *generator) authRequest(kind string) proto.Message {
	name := func() string { return pick(g, "u1", "u2", "u3", "u1", "u2", "u3", "new", "root", "") }
	role := func() string { return pick(g, "r1", "r2", "r3", "r1", "r2", "r3", "root", "none", "") }
	password := func() string {
		return pick(g, "p1", "p2", "p1", "p2", "", strings.Repeat("x", 72), strings.Repeat("x", 73))
	}
	switch kind {
	case kindAuthStatus:
		return new(pb.AuthStatusRequest)
	case kindAuthEnable:
		return new(pb.AuthEnableRequest)
	case kindAuthDisable:
		return new(pb.AuthDisableRequest)
	case kindUserList:
		return new(pb.AuthUserListRequest)
	case kindRoleList:
		return new(pb.AuthRoleListRequest)
	case kindMemberList:
		return &pb.MemberListRequest{Linearizable: g.one(2)}
	case kindAlarm:
		return new(pb.AlarmRequest)
	case kindStatus:
		return new(pb.StatusRequest)
	case kindWatchOnce:
		key := g.someKey()
		return createRequest(&pb.WatchCreateRequest{Key: key, RangeEnd: g.end(key)})
	case kindAuthenticate:
		q := &pb.AuthenticateRequest{Name: name()}
		if q.Password = g.auth.passwords[q.Name]; g.one(5) {
			q.Password = password()
		}
		return q
	case kindUserAdd:
		q := &pb.AuthUserAddRequest{Name: name(), Password: password()}
		if g.one(5) && q.Name != "root" {
			q.Options = &authpb.UserAddOptions{NoPassword: g.one(2)}
		}
		if g.one(8) {
			q.HashedPassword = hashOfP1
		}
		return q
	case kindUserPassword:
		q := &pb.AuthUserChangePasswordRequest{Name: name(), Password: pick(g, "p1", "p2")}
		for q.Name == "root" { // in qkv, a new password ends the watches of the logins with the old one
			q.Name = name()
		}
		if g.one(2) {
			q.Password, q.HashedPassword = pick(g, "", "p1", strings.Repeat("x", 73)), pick(g, "", hashOfP1, "!")
		}
		return q
	}
	return g.roleRequest(kind, name, role)
}

func (g *generator) roleRequest(kind string, name, role func() string) proto.Message {
	one := pick(g, ranges...)
	switch kind {
	case kindUserGet:
		return &pb.AuthUserGetRequest{Name: name()}
	case kindUserDelete:
		q := &pb.AuthUserDeleteRequest{Name: name()}
		if q.Name == "root" && !g.auth.enabled { // there would be no administrator
			q.Name = "none"
		}
		return q
	case kindUserGrant:
		return &pb.AuthUserGrantRoleRequest{User: name(), Role: role()}
	case kindUserRevoke:
		return &pb.AuthUserRevokeRoleRequest{Name: name(), Role: role()}
	case kindRoleAdd:
		return &pb.AuthRoleAddRequest{Name: role()}
	case kindRoleGet:
		return &pb.AuthRoleGetRequest{Role: role()}
	case kindRoleDelete:
		return &pb.AuthRoleDeleteRequest{Role: role()}
	case kindRoleRevoke:
		return &pb.AuthRoleRevokePermissionRequest{Role: role(), Key: []byte(one[0]), RangeEnd: []byte(one[1])}
	}
	q := &pb.AuthRoleGrantPermissionRequest{Name: role(), Perm: &authpb.Permission{
		Key: []byte(one[0]), RangeEnd: []byte(one[1]), PermType: authpb.Permission_Type(g.IntN(3)),
	}}
	switch g.IntN(30) {
	case 0:
		q.Perm = nil
	case 1:
		q.Perm.Key = nil
	case 2:
		q.Perm.RangeEnd = q.Perm.Key
	case 3:
		q.Perm.Key, q.Perm.RangeEnd = []byte("q"), []byte(clientv3.GetPrefixRangeEnd("p"))
	}
	return q
}

// TestTokenExpires waits on both sides until a token has expired, and wants the same answers before and after.
func TestTokenExpires(t *testing.T) {
	sides := [2]*side{}
	for i, program := range []string{member.Etcd, *against} {
		sides[i] = newSide(t, program, 1, "--bcrypt-cost", "4", "--auth-token-ttl", "1")
	}
	r, err := newRun(sides[0], sides[1], true, newCounts())
	if err != nil {
		t.Fatal(err)
	}
	get := op{kind: kindRange, user: 2, request: &pb.RangeRequest{Key: []byte("a")}}
	for i, s := range sides {
		deadline := time.Now().Add(timeout)
		for begun := time.Now(); ; time.Sleep(1500 * time.Millisecond) { // each use renews a token
			a := s.ask(get)
			if a.code == "Unauthenticated" {
				break
			}
			if a.code != "OK" || time.Now().After(deadline) {
				t.Fatalf("side %d, %v after the login: %v", i, time.Since(begun), a)
			}
		}
	}
	for _, o := range []op{get, r.auth.login(2), get} {
		if err := r.take(o); err != nil {
			t.Error(err)
		}
	}
	if a := sides[1].ask(get); a.code != "OK" {
		t.Errorf("after another login: %v", a)
	}
}
