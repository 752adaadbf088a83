package wire

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// Every body of users and roles is read as it was written; the clear password is apart from the change, which the log gets.
func TestAuthRequestsReadBack(t *testing.T) {
	p := kv.Permission{Key: []byte("a/"), End: []byte("a0"), Type: kv.PermitWrite}
	changes := []Change{{Key: []byte("k"), Revision: math.MaxInt64}, {Key: []byte{0}, Revision: -1}}
	for _, x := range []struct {
		op           Op
		body         []byte
		want         AuthRequest
		serializable bool
	}{
		{
			OpAuthChange, AppendAuthChangeBody(nil, &kv.AuthChange{Kind: kv.UserAdd, User: "ci", NoPassword: true, Password: []byte("hash"), Secret: []byte("secret")}, []byte("clear")),
			AuthRequest{Change: kv.AuthChange{Kind: kv.UserAdd, User: "ci", NoPassword: true, Permission: kv.Permission{Key: []byte{}, End: []byte{}}}, Password: []byte("clear")},
			false,
		},
		{
			OpAuthChange, AppendAuthChangeBody(nil, &kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "r", Permission: p, Strict: true}, nil),
			AuthRequest{Change: kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "r", Permission: p, Strict: true}, Password: []byte{}},
			false,
		},
		{OpUsers, AppendUsersBody(nil, "ci", "a", true), AuthRequest{Name: "ci", From: "a"}, true},
		{OpRoles, AppendRolesBody(nil, "r", "b", 300, false), AuthRequest{Name: "r", From: "b", Skip: 300}, false},
		{OpAuthorsOf, AppendAuthorsBody(nil, changes, true), AuthRequest{Changes: changes}, true},
		{OpLogin, AppendLoginBody(nil, "ci", []byte("clear"), ""), AuthRequest{Name: "ci", Password: []byte("clear")}, false},
		{OpLogin, AppendLoginBody(nil, "", nil, "token"), AuthRequest{Token: "token", Password: []byte{}}, false},
		{OpAuthCheck, AppendAuthCheckBody(nil, "ci", &p, true), AuthRequest{Name: "ci", Permission: p}, true},
	} {
		var q Request
		if err := ReadRequest(frameOf(t, AppendRequest(nil, 9, x.op, time.Second, x.body)), &q); err != nil {
			t.Fatal(x.op, err)
		}
		if want := (Request{ID: 9, Op: x.op, Timeout: time.Second, Auth: &x.want, Serializable: x.serializable}); !reflect.DeepEqual(q, want) {
			t.Errorf("%s is read as %+v, %+v", x.op, q, *q.Auth)
		}
	}
}

// A member tells of a user whether it has a password, and never its hash; each answer fits what is announced for it.
func TestAuthAnswersReadBack(t *testing.T) {
	read := func(b []byte) *Response {
		t.Helper()
		p, err := ReadResponse(frameOf(t, b))
		if err != nil || p.ID != 7 || p.Code != kv.OK {
			t.Fatal(p, err)
		}
		return &p
	}
	users := []kv.User{{Name: "ci", Password: []byte("the hash"), Roles: []string{"app1", strings.Repeat("r", limits.AuthNameBytes)}, Epoch: math.MaxUint64}, {Name: "robot", NoPassword: true}}
	bytesOf := UserBytes(&users[0]) + UserBytes(&users[1])
	b := AppendAnswer(nil, 7, &Users{Revision: 12, More: true, Users: []User{UserOf(&users[0]), UserOf(&users[1])}})
	if len(b) > AnswerBytes+bytesOf || bytes.Contains(b, []byte("hash")) {
		t.Errorf("%d bytes of users, %d announced: %q", len(b), AnswerBytes+bytesOf, b)
	}
	if got, err := ReadAnswer[Users](read(b)); err != nil || got.Revision != 12 || !got.More ||
		fmt.Sprint(got.Users) != fmt.Sprint([]User{{"ci", users[0].Roles, true, false, math.MaxUint64}, {Name: "robot", NoPassword: true}}) {
		t.Error(got, err)
	}
	roles := Roles{Revision: 12, Roles: []kv.UserRole{{Name: "app1", Permissions: []kv.Permission{{Key: []byte("a"), End: []byte{0}, Type: kv.PermitReadWrite}, {Key: bytes.Repeat([]byte("k"), limits.KeyBytes)}}}, {Name: "none"}}}
	bytesOf = 32 + len("app1none") + PermissionBytes(&roles.Roles[0].Permissions[0]) + PermissionBytes(&roles.Roles[0].Permissions[1])
	b = AppendAnswer(nil, 7, &roles)
	if got, err := ReadAnswer[Roles](read(b)); err != nil || !reflect.DeepEqual(got, roles) || len(b) > AnswerBytes+bytesOf {
		t.Error(got, err, len(b), bytesOf)
	}
	self := Self{Name: "ci", Proof: ProofToken, Known: true, Roles: []string{"app1"}, Enabled: true, Revision: 3}
	if got, err := ReadAnswer[Self](read(AppendAnswer(nil, 7, &self))); err != nil || !reflect.DeepEqual(got, self) {
		t.Error(got, err)
	}
	names := Authors{[]string{"", strings.Repeat("n", limits.AuthNameBytes), "ci"}}
	if got, err := ReadAnswer[Authors](read(AppendAnswer(nil, 7, &names))); err != nil || !reflect.DeepEqual(got, names) {
		t.Error(got, err)
	}
	nameless := Authors{make([]string, limits.AuthorsAsked)} // a byte each, which is the least for its memory
	if got, err := ReadAnswer[Authors](read(AppendAnswer(nil, 7, &nameless))); err != nil || len(got.Names) != limits.AuthorsAsked {
		t.Error(len(got.Names), err)
	}
	check := AuthCheck{Allowed: true, Root: true, Grants: []Grant{{"app1", roles.Roles[0].Permissions[1]}}}
	if got, err := ReadAnswer[AuthCheck](read(AppendAnswer(nil, 7, &check))); err != nil || !reflect.DeepEqual(got, check) {
		t.Error(got, err)
	}
}

// Requests that no member can carry out are refused before anything is done for them.
func TestAuthCheckOfRequests(t *testing.T) {
	key, long := []byte("k"), strings.Repeat("n", limits.AuthNameBytes+1)
	bounds := kv.Bounds{Key: 2, Value: 2}
	for _, x := range []struct {
		op   Op
		auth AuthRequest
		want kv.Code
	}{
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserAdd}}, kv.UserEmpty},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.RoleAdd}}, kv.RoleEmpty},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserAdd, User: long}}, kv.AuthManagement},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "r", Permission: kv.Permission{Key: []byte("key")}}}, kv.KeyTooLarge},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserChangePassword, User: "u"}}, kv.BadRequest},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserDelete, User: "u"}, Password: key}, kv.BadRequest},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserAdd, User: "u", NoPassword: true}, Password: key}, kv.BadRequest},
		{OpAuthorsOf, AuthRequest{Changes: []Change{{Key: key}, {Key: []byte("key")}}}, kv.KeyTooLarge},
		{OpAuthorsOf, AuthRequest{Changes: []Change{{}}}, kv.EmptyKey},
		{OpLogin, AuthRequest{}, kv.BadRequest},
		{OpLogin, AuthRequest{Name: "u", Token: "t"}, kv.BadRequest},
		{OpLogin, AuthRequest{Name: long}, kv.AuthFailed},
		{OpAuthCheck, AuthRequest{Name: "u"}, kv.AuthManagement},

		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.AuthEnable}}, kv.OK},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserAdd, User: "u"}}, kv.OK},
		{OpAuthChange, AuthRequest{Change: kv.AuthChange{Kind: kv.UserChangePassword, User: "u"}, Password: key}, kv.OK},
		{OpAuthorsOf, AuthRequest{Changes: []Change{{Key: key, Revision: -1}}}, kv.OK},
		{OpLogin, AuthRequest{Name: "u"}, kv.OK},
		{OpLogin, AuthRequest{Token: "t"}, kv.OK},
		{OpAuthCheck, AuthRequest{Name: "u", Permission: kv.Permission{Key: key, Type: kv.PermitReadWrite}}, kv.OK},
	} {
		q, got := Request{Op: x.op, Auth: &x.auth}, kv.OK
		if err := q.Check(bounds); err != nil {
			got = err.Code
		}
		if got != x.want {
			t.Errorf("%s with %+v: %v, want %v", x.op, x.auth, got, x.want)
		}
	}
	var q Request
	err := ReadRequest(frameOf(t, AppendRequest(nil, 9, OpAuthorsOf, time.Second, AppendAuthorsBody(nil, make([]Change, limits.AuthorsAsked+1), false))), &q)
	if err == nil || !strings.Contains(err.Error(), "more than 1000 changes") {
		t.Error(err)
	}
}
