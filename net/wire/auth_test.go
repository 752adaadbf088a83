package wire

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

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
	users := []kv.UserRecord{{Name: "ci", Password: []byte("the hash"), Roles: []string{"app1", strings.Repeat("r", limits.AuthNameBytes)}, Epoch: math.MaxUint64}, {Name: "robot", NoPassword: true}}
	bytesOf := UserBytes(&users[0]) + UserBytes(&users[1])
	b := AppendAnswer(nil, 7, &List[kv.User]{Revision: 12, More: true, All: []kv.User{UserOf(&users[0]), UserOf(&users[1])}})
	if len(b) > AnswerBytes+bytesOf || bytes.Contains(b, []byte("hash")) {
		t.Errorf("%d bytes of users, %d announced: %q", len(b), AnswerBytes+bytesOf, b)
	}
	if got, err := ReadAnswer[List[kv.User]](read(b)); err != nil || got.Revision != 12 || !got.More ||
		fmt.Sprint(got.All) != fmt.Sprint([]kv.User{{Name: "ci", Roles: users[0].Roles, HasPassword: true, Epoch: math.MaxUint64}, {Name: "robot", NoPassword: true}}) {
		t.Error(got, err)
	}
	roles := List[kv.UserRole]{Revision: 12, All: []kv.UserRole{{Name: "app1", Permissions: []kv.Permission{{Key: []byte("a"), End: []byte{0}, Type: kv.PermitReadWrite}, {Key: bytes.Repeat([]byte("k"), limits.KeyBytes)}}}, {Name: "none"}}}
	bytesOf = 32 + len("app1none") + PermissionBytes(&roles.All[0].Permissions[0]) + PermissionBytes(&roles.All[0].Permissions[1])
	b = AppendAnswer(nil, 7, &roles)
	if got, err := ReadAnswer[List[kv.UserRole]](read(b)); err != nil || !reflect.DeepEqual(got, roles) || len(b) > AnswerBytes+bytesOf {
		t.Error(got, err, len(b), bytesOf)
	}
	self := kv.Self{Name: "ci", Proof: kv.ProofToken, Known: true, Roles: []string{"app1"}, Enabled: true, Revision: 3}
	if got, err := ReadAnswer[kv.Self](read(AppendAnswer(nil, 7, &self))); err != nil || !reflect.DeepEqual(got, self) {
		t.Error(got, err)
	}
	names := List[string]{All: []string{"", strings.Repeat("n", limits.AuthNameBytes), "ci"}}
	if got, err := ReadAnswer[List[string]](read(AppendAnswer(nil, 7, &names))); err != nil || !reflect.DeepEqual(got, names) {
		t.Error(got, err)
	}
	nameless := List[string]{All: make([]string, limits.AuthorsAsked)} // a byte each, which is the least for its memory
	if got, err := ReadAnswer[List[string]](read(AppendAnswer(nil, 7, &nameless))); err != nil || len(got.All) != limits.AuthorsAsked {
		t.Error(len(got.All), err)
	}
	check := kv.AuthCheck{Allowed: true, Root: true, Grants: []kv.Grant{{Role: "app1", Permission: roles.All[0].Permissions[1]}}}
	if got, err := ReadAnswer[kv.AuthCheck](read(AppendAnswer(nil, 7, &check))); err != nil || !reflect.DeepEqual(got, check) {
		t.Error(got, err)
	}
}

// Requests that no member can carry out are refused before anything is done for them.
func TestAuthCheckOfRequests(t *testing.T) {
	key, long := []byte("k"), strings.Repeat("n", limits.AuthNameBytes+1)
	bounds := kv.Bounds{Key: 2, Value: 2}
	for _, x := range []struct {
		op   Op
		ask  Ask
		want kv.Code
	}{
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserAdd}}, kv.UserEmpty},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.RoleAdd}}, kv.RoleEmpty},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: long}}, kv.AuthManagement},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "r", Permission: kv.Permission{Key: []byte("key")}}}, kv.KeyTooLarge},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserChangePassword, User: "u"}}, kv.BadRequest},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserDelete, User: "u"}, Password: key}, kv.BadRequest},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: "u", NoPassword: true}, Password: key}, kv.BadRequest},
		{OpAuthorsOf, Ask{Changes: []kv.Change{{Key: key}, {Key: []byte("key")}}}, kv.KeyTooLarge},
		{OpAuthorsOf, Ask{Changes: []kv.Change{{}}}, kv.EmptyKey},
		{OpLogin, Ask{}, kv.BadRequest},
		{OpLogin, Ask{Name: "u", Token: "t"}, kv.BadRequest},
		{OpLogin, Ask{Name: long}, kv.AuthFailed},
		{OpAuthCheck, Ask{Name: "u"}, kv.AuthManagement},

		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.AuthEnable}}, kv.OK},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: "u"}}, kv.OK},
		{OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserChangePassword, User: "u"}, Password: key}, kv.OK},
		{OpAuthorsOf, Ask{Changes: []kv.Change{{Key: key, Revision: -1}}}, kv.OK},
		{OpLogin, Ask{Name: "u"}, kv.OK},
		{OpLogin, Ask{Token: "t"}, kv.OK},
		{OpAuthCheck, Ask{Name: "u", Permission: kv.Permission{Key: key, Type: kv.PermitReadWrite}}, kv.OK},
	} {
		q, got := Request{Op: x.op, Ask: &x.ask}, kv.OK
		if err := q.Check(bounds); err != nil {
			got = err.Code
		}
		if got != x.want {
			t.Errorf("%s with %+v: %v, want %v", x.op, x.ask, got, x.want)
		}
	}
}
