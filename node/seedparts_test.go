package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// twoBases is a backup of the cluster 7 with two bases, and the parts of the newer one. The disk has them in "member".
func twoBases(t *testing.T) (on *simdisk.Disk, place store.Store, parts []snapshot.Part) {
	t.Helper()
	on = simdisk.New(1)
	place = store.OpenFolder(on, "backup")
	must(t, errors.Join(on.MkdirAll("member"), on.MkdirAll("backup")))
	l := limits.Defaults().Index
	l.ExtentBytes = 4 << 10
	s := index.NewState(l)
	s.Found(index.Founders(map[string]uint64{"n1": 1}))
	s.Stored(0, 0, nil) // it is saved in parts
	w, err := backup.Write(t.Context(), place, true, backup.Cluster{ID: 7, Name: "test"}, 1)
	must(t, err)
	open := func(name string) backup.Source {
		r, err := snapshot.Open(on, "member/"+name)
		must(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	_, err = s.Apply(1, 1, nil, nil)
	must(t, err)
	var shelf *snapshot.Shelf
	for range 2 {
		for range 60 {
			at, _ := s.Applied()
			put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{byte(at)}, 200)}).Bytes
			_, err := s.Apply(at+1, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: int64(at)}, [][]byte{put}), nil)
			must(t, err)
		}
		at, _ := s.Applied()
		shelf, err = snapshot.Save(on, "member", snapshot.Meta{Cluster: 7, Member: 1, Index: at, Term: 1, Version: "test"}, s.ViewToSave(), shelf)
		must(t, err)
		c, err := w.Base(open(snapshot.Name(at, 1)), func(p snapshot.Part) backup.Source { return open(p.Name()) })
		for done := false; err == nil && !done; {
			done, err = c.Step(t.Context(), 1<<20)
		}
		must(t, err)
	}
	return on, place, shelf.Parts()
}

// A joining member takes the parts of the newest base. One that it has stays, and one that came in part goes on where it ended.
func TestSeedTakesTheRest(t *testing.T) {
	on, place, parts := twoBases(t)
	if len(parts) < 4 {
		t.Fatalf("the newest base has the parts %v", parts)
	}
	content := func(dir string, p snapshot.Part) []byte {
		f, err := on.Open(dir + "/" + p.Name())
		must(t, err)
		defer f.Close()
		b := make([]byte, p.Bytes)
		_, err = f.ReadAt(b, 0)
		must(t, err)
		return b
	}
	must(t, on.MkdirAll("n2/snap"))
	for i, p := range parts[:2] {
		b := content("member", p)
		err := snapshot.Fetch(on, "n2/snap", "", p.Name(), p.Bytes, p.SHA, func(to *snapshot.Incoming) error { return to.Write(b[:len(b)-i]) })
		if whole := i == 0; (err == nil) != whole {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	read := 0
	s := &storage{folder: &folder{fs: on, dir: "n2", identity: identity{Cluster: 7}}, logger: slog.New(slog.DiscardHandler)}
	s.repairs.seed = func() (*backup.Reader, error) { read++; return backup.Open(t.Context(), place) }
	r := &recovered{}
	r.interrupted.Parts = slices.Clone(parts[:1])
	must(t, s.seed(r))
	if read != 1 || !slices.Equal(r.interrupted.Parts, parts) {
		t.Errorf("it waits for the snapshot of %v, and the newest base has %v", r.interrupted.Parts, parts)
	}
	names, err := on.List("n2/snap")
	must(t, err)
	if len(names) != len(parts) {
		t.Fatalf("the folder has %v, and the newest base %d parts", names, len(parts))
	}
	for _, p := range parts {
		if !bytes.Equal(content("n2/snap", p), content("member", p)) {
			t.Errorf("%s has other bytes", p.Name())
		}
	}
}

// A seed that was interrupted goes on at the next start with the parts that it has taken, also if the seed cannot be used any more: the leader
// sends the others. A member with a snapshot removes parts that it does not list.
func TestInterruptedSeedKeepsItsParts(t *testing.T) {
	on, _, parts := twoBases(t)
	var paths []string
	must(t, on.MkdirAll("n2/snap"))
	for _, p := range parts[:2] {
		f, err := on.Open("member/" + p.Name())
		must(t, err)
		b := make([]byte, p.Bytes)
		_, err = f.ReadAt(b, 0)
		must(t, errors.Join(err, f.Close()))
		must(t, snapshot.Fetch(on, "n2/snap", "", p.Name(), p.Bytes, p.SHA, func(to *snapshot.Incoming) error { return to.Write(b) }))
		paths = append(paths, "n2/snap/"+p.Name())
	}
	s := &storage{folder: &folder{fs: on, dir: "n2", identity: identity{Cluster: 7, Founding: []string{"lab"}}}, logger: slog.New(slog.DiscardHandler)}
	for _, seed := range []func() (*backup.Reader, error){nil, func() (*backup.Reader, error) { return nil, errors.New("its place is away") }} {
		s.repairs.seed = seed
		r := &recovered{}
		must(t, s.removeParts(r, paths))
		if !slices.EqualFunc(r.interrupted.Parts, parts[:2], func(a, b snapshot.Part) bool { return a.SHA == b.SHA }) {
			t.Errorf("it goes on with the parts %v, and has %v", r.interrupted.Parts, parts[:2])
		}
	}
	must(t, s.removeParts(&recovered{snapshots: []snapshot.Info{{}}}, paths))
	if left, err := on.List("n2/snap"); err != nil || len(left) > 0 {
		t.Errorf("beside a snapshot, the parts %v stay: %v", left, err)
	}
}

// The backup of another cluster ends the first start alone.
func TestSeedOfAnotherClusterLater(t *testing.T) {
	on, place, _ := twoBases(t)
	must(t, on.MkdirAll("n2/snap"))
	for boot, refused := range []bool{true, false} {
		f := &folder{fs: on, dir: "n2", identity: identity{Cluster: 8, Boot: uint64(boot)}}
		s := &storage{folder: f, logger: slog.New(slog.DiscardHandler)}
		s.repairs.seed = func() (*backup.Reader, error) { return backup.Open(t.Context(), place) }
		r := &recovered{}
		if err := s.seed(r); (err != nil) != refused || len(r.interrupted.Parts) > 0 {
			t.Errorf("after %d starts: %v, with %d parts of the other cluster", boot, err, len(r.interrupted.Parts))
		}
	}
}

// A member with a backup of its own takes what it lacks from the seed.
func TestSeedComesBeforeTheOwnBackup(t *testing.T) {
	_, place, _ := twoBases(t)
	c := Config{Seed: func(ctx context.Context) (*backup.Reader, error) { return backup.Open(ctx, place) }}
	c.Backup.Store = store.OpenFolder(simdisk.New(1), "own")
	from, err := c.backup(t.Context())()
	must(t, err)
	if from.Path != place.Path("") {
		t.Errorf("it reads %s, and its seed is %s", from.Path, place.Path(""))
	}
}
