package snapshot

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// usersState is a state with users, roles, and versions with and without authors.
func usersState(t *testing.T) *index.State {
	s := index.NewState(limits.Defaults().Index)
	s.Found(index.Founders(map[string]uint64{"n1": 7}))
	apply(t, s, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("before"), Value: []byte("nobody's")}).Bytes, index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	by := func(name string) *index.Head { return &index.Head{By: s.View().By(name)} }
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: kv.Root, Password: []byte("a hash")},
		{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root},
		{Kind: kv.UserAdd, User: "ci", NoPassword: true},
		{Kind: kv.RoleAdd, Role: "app"},
		{Kind: kv.UserGrantRole, User: "ci", Role: "app"},
		{Kind: kv.RoleGrantPermission, Role: "app", Permission: kv.Permission{Key: []byte("app/"), End: []byte("app0"), Type: kv.PermitReadWrite}},
		{Kind: kv.AuthEnable, Secret: bytes.Repeat([]byte{7}, limits.AuthSecretBytes)},
	} {
		apply(t, s, by(kv.Root).AppendAuthChange(nil, &c).Bytes)
	}
	apply(t, s, by("ci").AppendPut(nil, &kv.Put{Key: []byte("app/1"), Value: []byte("ci's")}).Bytes, by("ci").AppendPut(nil, &kv.Put{Key: []byte("app/2")}).Bytes)
	apply(t, s, by(kv.Root).AppendPut(nil, &kv.Put{Key: []byte("app/1"), Value: []byte("root's")}).Bytes, by(kv.Root).AppendDelete(nil, &kv.Delete{Key: []byte("app/2")}).Bytes)
	return s
}

// TestGoldenUsers: a snapshot has users, roles, authors and the auth revision (etcd #13503, #13976, #13984). All later versions must load the golden file to the same state.
func TestGoldenUsers(t *testing.T) {
	s, path := usersState(t), filepath.Join("testdata", "users.snap")
	fs := newDisk(t)
	saved := slurp(t, fs, saveView(t, fs, "d", s.ViewToSave(), 1))
	if *golden {
		if err := os.WriteFile(path, saved, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, saved) {
		t.Errorf("the same state is saved as other bytes: %v", err)
	}
	loaded, _, err := Load(disk.OS(), path, limits.Defaults().Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Check(); err != nil {
		t.Error(err)
	}
	sameView(t, loaded.ViewToSave(), s.ViewToSave())
	v := loaded.View()
	for _, c := range []struct {
		key      string
		revision int64
		author   string
	}{{"before", 2, ""}, {"app/1", 3, "ci"}, {"app/2", 4, "ci"}, {"app/1", 5, kv.Root}, {"app/2", 6, kv.Root}} {
		if got := v.AuthorOf([]byte(c.key), c.revision); got != c.author {
			t.Errorf("%s was changed at revision %d by %q, want %q", c.key, c.revision, got, c.author)
		}
	}
	if u, ok := v.Auth().User("ci"); !ok || !u.NoPassword || len(u.Roles) != 1 || !v.Auth().Enabled() || v.Auth().Secret()[31] != 7 {
		t.Errorf("the user ci is %+v, found %v; enabled %v", u, ok, v.Auth().Enabled())
	}
}
