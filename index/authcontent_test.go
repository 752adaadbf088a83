package index

import (
	"fmt"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestRestoreAuth: a state with the users and roles of another store permits the same as one whose clients have made them.
func TestRestoreAuth(t *testing.T) {
	content := &AuthContent{
		Enabled: true, Revision: 40,
		Users: []kv.UserRecord{{Name: "alice", Password: []byte("hash"), Roles: []string{"app"}, Epoch: 3}, {Name: "root", NoPassword: true, Roles: []string{"root"}}},
		Roles: []kv.UserRole{{Name: "app", Permissions: []kv.Permission{{Key: []byte("a"), End: []byte("b"), Type: kv.PermitReadWrite}}}},
	}
	if faults := content.Check(); faults != nil {
		t.Fatal(faults)
	}
	s := NewState(limits.Defaults().Index)
	s.RestoreAuth(content, [limits.AuthSecretBytes]byte{1}, 0)
	v := s.View()
	a := v.Auth()
	if user, _ := a.User("alice"); !a.Enabled() || a.Revision() != 40+CutDistance || user.Epoch != a.Revision() || string(user.Password) != "hash" || a.Secret()[0] != 1 || !a.IsRoot("root") {
		t.Errorf("restored: %+v, %+v", a, user)
	}
	for _, c := range []struct {
		name, key string
		want      kv.Code
	}{{"alice", "a1", kv.OK}, {"alice", "c", kv.NotAllowed}, {"root", "c", kv.OK}, {"bob", "a1", kv.NotAllowed}, {"", "a1", kv.UserEmpty}} {
		err := v.Permits(v.By(c.name), kv.AccessWrite, &kv.Put{Key: []byte(c.key)})
		if err == nil && c.want != kv.OK || err != nil && err.Code != c.want {
			t.Errorf("%q at %s: %v, want %v", c.name, c.key, err, c.want)
		}
	}
	h := Head{By: v.By("root")}
	results, err := s.Apply(1, 1, AppendEnvelope(nil, Envelope{Level: FirstLevel, Wall: 1}, [][]byte{
		h.AppendAuthChange(nil, &kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "app", Permission: kv.Permission{Key: []byte("c")}}).Bytes,
	}), nil)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	if v = s.View(); v.Auth().Revision() != 41+CutDistance || v.Permits(v.By("alice"), kv.AccessRead, &kv.Range{Key: []byte("c")}) != nil {
		t.Errorf("after a change: revision %d", v.Auth().Revision())
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestAuthContentRefused: what a state cannot have is listed.
func TestAuthContentRefused(t *testing.T) {
	many := make([]kv.Permission, authPermissions+1)
	for i := range many {
		many[i].Key = fmt.Appendf(nil, "%d", i)
	}
	for want, c := range map[string]AuthContent{
		"the name of the user is empty":        {Users: []kv.UserRecord{{}}},
		"has the role \"x\", which does not":   {Users: []kv.UserRecord{{Name: "a", Roles: []string{"x"}}}},
		"a hash of 257: the limits":            {Users: []kv.UserRecord{{Name: "a", Password: make([]byte, limits.AuthPasswordBytes+1)}}},
		"1025 roles, over the limit of 1024":   {Users: []kv.UserRecord{{Name: "a", Roles: strings.Split(strings.Repeat("root ", 1024)+"root", " ")}}},
		"the name of the role is empty":        {Roles: []kv.UserRole{{}}},
		"the permission has no key":            {Roles: []kv.UserRole{{Name: "r", Permissions: []kv.Permission{{}}}}},
		"16385 permissions, over the limit":    {Roles: []kv.UserRole{{Name: "r", Permissions: many}}},
		"131073 users and 0 roles: the limits": {Users: make([]kv.UserRecord, authUsers+1)},
	} {
		faults := c.Check()
		if len(faults) == 0 || !strings.Contains(fmt.Sprint(faults[0]), want) {
			t.Errorf("%s: %.200v", want, faults)
		}
	}
}
