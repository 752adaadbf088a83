package index

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
)

// changeUsers makes changes of users and roles as root, or by a member itself while authentication is off.
func changeUsers(t *testing.T, s *State, changes ...string) {
	t.Helper()
	for _, one := range changes {
		h := Head{By: s.View().By("root")}
		results := batch(t, s, 1, h.AppendAuthChange(nil, authChangeOf(strings.Fields(one))).Bytes)
		if results[0].Err != nil {
			t.Fatalf("%s: %v", one, results[0].Err)
		}
	}
}

// withUsers is a state with authentication, and a user u of role a.
func withUsers(t *testing.T) *State {
	s := founded()
	changeUsers(t, s, "user-add root r", "grant-role root root", "user-add u first", "role-add a", "permit a both a b", "grant-role u a", "enable")
	return s
}

// A login of a history that was thrown away is never valid again in the cluster that goes on from an earlier state: neither
// by its epoch, nor by its auth revision, nor by its key, whatever the new cluster changes.
func TestCutEndsLogins(t *testing.T) {
	lost, kept := withUsers(t), withUsers(t)
	if lost.View().Digest() != kept.View().Digest() {
		t.Fatal("two states with the same log differ")
	}
	changeUsers(t, lost, "password u stolen", "role-add b")
	stolen, _ := lost.View().Auth().User("u")
	revision := lost.View().Auth().Revision()

	kept.Refound(9, Founders(map[string]uint64{"n1": 99}), 0)
	a := kept.View().Auth()
	if user, _ := a.User("u"); string(user.Password) != "first" || !a.Enabled() {
		t.Errorf("the users are not those of the restored moment: %+v", user)
	}
	if *a.Secret() == *lost.View().Auth().Secret() {
		t.Error("the new cluster has the old one's key of tokens")
	}
	for range 3 {
		user, _ := kept.View().Auth().User("u")
		by := kv.Principal{Name: "u", Auth: kept.View().Auth().Revision(), Login: stolen.Epoch}
		if err := kept.View().Permits(by, kv.AccessNone, nil); err == nil || user.Epoch == stolen.Epoch {
			t.Errorf("at auth revision %d, the user's epoch %d, a login of the lost history at epoch %d is valid", kept.View().Auth().Revision(), user.Epoch, stolen.Epoch)
		}
		by = kv.Principal{Name: "u", Auth: revision} // a JWT
		if err := kept.View().Permits(by, kv.AccessNone, nil); err == nil || err.Code != kv.AuthOld {
			t.Errorf("a request at auth revision %d of the lost history: %v", revision, err)
		}
		changeUsers(t, kept, "password u new")
	}

	again, other := withUsers(t), withUsers(t)
	again.Refound(9, Founders(map[string]uint64{"n1": 99}), 0)
	other.Refound(10, Founders(map[string]uint64{"n1": 99}), 0)
	if *again.View().Auth().Secret() != *a.Secret() || *other.View().Auth().Secret() == *a.Secret() {
		t.Error("the key does not follow from the old one and the cluster")
	}
	if err := kept.Check(); err != nil {
		t.Error(err)
	}
}

// A cluster without users, too, goes on above the auth revisions of the lost history: with users of its own it refuses the JWTs of others.
func TestCutEndsLoginsOfUnknownUsers(t *testing.T) {
	lost, kept := withUsers(t), founded()
	batch(t, kept, 1)
	kept.Refound(9, Founders(map[string]uint64{"n1": 99}), 0)
	changeUsers(t, kept, "user-add root r", "grant-role root root", "user-add u first", "enable")
	by := kv.Principal{Name: "u", Auth: lost.View().Auth().Revision()}
	if err := kept.View().Permits(by, kv.AccessNone, nil); err == nil || err.Code != kv.AuthOld {
		t.Errorf("a request at auth revision %d of the lost history: %v", by.Auth, err)
	}
}

// A state that has left out revisions moves as a snapshot of etcd does, record by record, and leaves out the same. It has the same history,
// also where nothing or not all was made between two restores.
func TestImportOfSkippedRevisions(t *testing.T) {
	for _, commands := range [][]int{{0, 3}, {5, 4, 2}, {2, 0, 3}, {1, 1, 1, 1}} {
		source := founded()
		for i, n := range commands {
			if i > 0 {
				source.SkipRevisions(0)
			}
			for j := range n {
				batch(t, source, 1, put(fmt.Sprint("k", j%2), fmt.Sprint(i, j)))
			}
		}
		s := founded()
		m, err := NewImport(s, 0, func() int64 { return 1 })
		if err != nil {
			t.Fatal(err)
		}
		from := source.View()
		from.Records(func(key []byte, one *Version) bool {
			err = m.Add(&SourceRecord{Key: key, Version: *one})
			return err == nil
		})
		if err == nil {
			err = m.End()
		}
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			t.Fatalf("%v: %v", commands, err)
		}
		var want, got []string
		note := func(to *[]string) func(e *kv.Event) bool {
			return func(e *kv.Event) bool {
				*to = append(*to, fmt.Sprintf("%d.%d %s=%s", e.KV.ModRevision, e.Sub, e.KV.Key, e.KV.Value))
				return true
			}
		}
		if err := errors.Join(from.Events(1, note(&want)), s.View().Events(1, note(&got))); err != nil || !slices.Equal(got, want) || s.Revision() != source.Revision() {
			t.Errorf("%v: revision %d of %q, want %d of %q: %v", commands, s.Revision(), got, source.Revision(), want, err)
		}
	}
	m, err := NewImport(founded(), 0, func() int64 { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	one := SourceRecord{Key: []byte("k"), Version: Version{Mod: 2 + CutDistance + 1, Create: 2 + CutDistance + 1, Version: 1}}
	if err = m.Add(&one); err == nil {
		err = m.End()
	}
	if err == nil || !strings.Contains(err.Error(), "the source lacks the revisions between") {
		t.Errorf("a source without one revision: %v", err)
	}
}

// Two clusters begin with the same state, one after the other. The later one refuses what the earlier one gave away: its positions of
// watches, and its logins. Its revisions go on above those of the earlier one.
func TestCutAboveAnEarlierCut(t *testing.T) {
	const wall, minute = 1_800_000_000_000_000_000, 60_000_000_000
	restored := func(cluster uint64, wall int64) *State {
		s := withUsers(t)
		s.Refound(cluster, Founders(map[string]uint64{"n1": cluster}), wall)
		s.SkipRevisions(wall)
		return s
	}
	earlier := restored(9, wall)
	for range 100 {
		batch(t, earlier, 1, (&Head{By: earlier.View().By("root")}).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
		changeUsers(t, earlier, "password u stolen")
	}
	later := restored(10, wall+minute)
	v, seen := later.View(), earlier.Revision()
	if later.Revision() <= seen {
		t.Errorf("the later cluster begins at revision %d, the earlier one was at %d", later.Revision(), seen)
	}
	if _, err := v.Watchable(seen + 1); err == nil || err.Code != kv.Compacted {
		t.Errorf("a watch from revision %d of the earlier cluster: %v", seen+1, err)
	}
	by := kv.Principal{Name: "u", Auth: earlier.View().Auth().Revision()} // a JWT
	if err := v.Permits(by, kv.AccessNone, nil); err == nil || err.Code != kv.AuthOld {
		t.Errorf("a request at auth revision %d of the earlier cluster: %v", by.Auth, err)
	}
	if err := later.Check(); err != nil {
		t.Error(err)
	}
}

// The first revision of a batch has a time of its own, also if a gap comes before it.
func TestTimeBehindAGap(t *testing.T) {
	s := founded()
	now := int64(0)
	m, err := NewImport(s, 0, func() int64 { now += 1e9; return now })
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range []int64{2, 2 + CutDistance + 1} {
		one := SourceRecord{Key: fmt.Append(nil, mod), Version: Version{Mod: mod, Create: mod, Version: 1}}
		if err := errors.Join(m.Add(&one), m.End()); err != nil {
			t.Fatal(err)
		}
	}
	for revision := range s.Times() {
		if s.gaps.skip(revision) != revision {
			t.Errorf("revision %d has a time, and was never made", revision)
		}
	}
}
