package index

import (
	"bytes"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// twoUsers has the users a and b, who may both write the key k, and root. Its secret is 32 times the letter s.
type twoUsers struct {
	t *testing.T
	s *State
}

func newTwoUsers(t *testing.T) *twoUsers {
	u := &twoUsers{t, NewState(limits.Defaults().Index)}
	u.change(kv.AuthChange{Kind: kv.RoleAdd, Role: "r"}, kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "r", Permission: kv.Permission{Key: []byte("k"), Type: kv.PermitReadWrite}})
	for _, of := range [][2]string{{"root", kv.Root}, {"a", "r"}, {"b", "r"}} {
		u.change(kv.AuthChange{Kind: kv.UserAdd, User: of[0], NoPassword: true}, kv.AuthChange{Kind: kv.UserGrantRole, User: of[0], Role: of[1]})
	}
	u.change(kv.AuthChange{Kind: kv.AuthEnable, Secret: bytes.Repeat([]byte("s"), limits.AuthSecretBytes)})
	return u
}

// change makes changes as a member.
func (u *twoUsers) change(all ...kv.AuthChange) {
	u.t.Helper()
	for i := range all {
		u.apply(Own().AppendAuthChange(nil, &all[i]).Bytes)
	}
}

func (u *twoUsers) apply(command []byte) {
	u.t.Helper()
	results, err := u.s.Apply(u.s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: FirstLevel, Wall: 1}, [][]byte{command}), nil)
	if err != nil || results[0].Err != nil {
		u.t.Fatal(err, results)
	}
}

// TestAppliedBeforeOfUsers: an outcome that is given away without an entry of the log is for the session's user, while that user may make the
// write.
func TestAppliedBeforeOfUsers(t *testing.T) {
	u := newTwoUsers(t)
	put := func(name string) []byte {
		h := Head{By: u.s.View().By(name), Once: kv.WriteName{Session: 7, Sequence: 1, Window: 1, Opened: 1}}
		return h.AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes
	}
	u.s.numbers.clock = 1
	u.apply(put("a"))
	for _, name := range []string{"a", "b", ""} {
		if _, given := u.s.AppliedBefore(put(name)); given != (name == "a") {
			t.Errorf("%q is given the outcome: %v", name, given)
		}
	}
	u.change(kv.AuthChange{Kind: kv.UserRevokeRole, User: "a", Role: "r"})
	if _, given := u.s.AppliedBefore(put("a")); given {
		t.Error("a user who may not write any more is given the outcome")
	}
}

// TestSecretEndsWithAuthentication: a state without authentication has no secret, and neither has its snapshot.
func TestSecretEndsWithAuthentication(t *testing.T) {
	u := newTwoUsers(t)
	secret := bytes.Repeat([]byte("s"), limits.AuthSecretBytes)
	for _, want := range []bool{true, false} {
		v := u.s.ViewToSave()
		if got := v.Auth().Secret() != nil; got != want || bytes.Contains(v.AppendMeta(nil), secret) != want {
			t.Errorf("authentication is enabled: %v, and the secret is there: %v", want, got)
		}
		u.change(kv.AuthChange{Kind: kv.AuthDisable})
	}
}

// TestUserStaysWithoutPassword: as in etcd, a user who was added without a password never gets one. A change ends the user's tokens.
func TestUserStaysWithoutPassword(t *testing.T) {
	u := newTwoUsers(t)
	before, _ := u.s.View().Auth().User("a")
	u.change(kv.AuthChange{Kind: kv.UserChangePassword, User: "a", Password: []byte("hash")})
	if after, _ := u.s.View().Auth().User("a"); len(after.Password) > 0 || !after.NoPassword || after.Epoch <= before.Epoch {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestDigestHasUsers: members whose users, roles or secret differ find that out by their digests (etcd #13503, #13976, #13984).
func TestDigestHasUsers(t *testing.T) {
	seen := map[uint64]string{newTwoUsers(t).s.View().Digest(): "no change"}
	for _, c := range []kv.AuthChange{
		{Kind: kv.AuthDisable},
		{Kind: kv.UserDelete, User: "b"},
		{Kind: kv.UserRevokeRole, User: "b", Role: "r"},
		{Kind: kv.UserChangePassword, User: "b"},
		{Kind: kv.RoleGrantPermission, Role: "r", Permission: kv.Permission{Key: []byte("k"), Type: kv.PermitRead}},
	} {
		u := newTwoUsers(t)
		applied := u.s.applied
		u.change(c)
		u.s.applied = applied // the index is part of the digest, too
		if other, twice := seen[u.s.View().Digest()]; twice {
			t.Errorf("%s: the digest is that of: %s", &c, other)
		}
		seen[u.s.View().Digest()] = c.String()
	}
}

// TestNameBeyondTheLimit: a certificate can have a name that no user can have. The log never gets it.
func TestNameBeyondTheLimit(t *testing.T) {
	v := newTwoUsers(t).s.View()
	for bytes, want := range map[int]kv.Code{limits.AuthNameBytes: kv.NotAllowed, limits.AuthNameBytes + 1: kv.UserEmpty, 1 << 20: kv.UserEmpty} {
		by := v.By(strings.Repeat("n", bytes))
		if err := v.Permits(by, kv.AccessNone, nil); err == nil || err.Code != want || len(by.Name) > limits.AuthNameBytes {
			t.Errorf("a name of %d bytes: %d in the log, %v, want %v", bytes, len(by.Name), err, want)
		}
	}
}
