package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"pgregory.net/rapid"

	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

func TestMain(m *testing.M) {
	minio.DefaultRetryUnit, minio.DefaultRetryCap = time.Millisecond, 5*time.Millisecond
	os.Exit(m.Run())
}

// tester is a testing.TB or a rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test if an error has not all of the words; without words, if there is an error.
func wants(t testing.TB, what string, err error, words ...string) {
	t.Helper()
	if len(words) == 0 && err != nil || len(words) > 0 && err == nil {
		t.Fatalf("%s: %v, and wanted %q", what, err, words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%s: %v, which does not say %q", what, err, word)
		}
	}
}

// holds fails the test if an object has not this content; nil: if it is there.
func holds(t testing.TB, s Store, name string, content []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), name, 0, math.MaxInt64)
	if content == nil && errors.Is(err, iofs.ErrNotExist) {
		return
	}
	if err != nil || content == nil || !bytes.Equal(got, content) {
		t.Fatalf("%s has %d bytes, wanted %d: %v", s.Path(name), len(got), len(content), err)
	}
}

// model is what a store must hold.
type model struct {
	t     *rapid.T
	store Store
	all   map[string][]byte
}

// anyName draws a name that is likely to be drawn again.
func (m *model) anyName() string {
	name := rapid.StringOfN(rapid.SampledFrom([]rune("a+ %&'=?#~日é")), 1, 3, -1).Draw(m.t, "name")
	return path.Join(rapid.SampledFrom([]string{"", "parts", "log+ü"}).Draw(m.t, "folder"), name)
}

func (m *model) name() string {
	if len(m.all) > 0 && rapid.Bool().Draw(m.t, "there") {
		return rapid.SampledFrom(slices.Sorted(maps.Keys(m.all))).Draw(m.t, "object")
	}
	return m.anyName()
}

func (m *model) put(*rapid.T) {
	name, content := m.name(), rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(m.t, "content")
	if rapid.IntRange(0, 9).Draw(m.t, "large") == 0 {
		content = bytes.Repeat(append(content, 7), 100_000)
	}
	must(m.t, m.store.Put(context.Background(), name, content))
	m.all[name] = content
}

// create makes an object that is not there. Its own bytes are no refusal.
func (m *model) create(*rapid.T) {
	name, content := m.name(), rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(m.t, "content")
	there, is := m.all[name]
	err := m.store.Create(context.Background(), name, content)
	if refused := is && !bytes.Equal(there, content); errors.Is(err, iofs.ErrExist) != refused || !refused && err != nil {
		m.t.Fatalf("create of %q, which is there: %v: %v", name, is, err)
	}
	if !is {
		m.all[name] = content
	}
}

func (m *model) get(*rapid.T) {
	name := m.name()
	content, there := m.all[name]
	edges := []int64{0, 1, int64(len(content)) - 1, int64(len(content)), int64(len(content)) + 1, int64(len(content)) / 2}
	offset := max(0, rapid.SampledFrom(edges).Draw(m.t, "offset"))
	most := max(0, rapid.SampledFrom(append(edges, math.MaxInt64-offset)).Draw(m.t, "most"))
	got, err := m.store.Get(context.Background(), name, offset, most)
	if !there {
		if !errors.Is(err, iofs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			m.t.Fatalf("get of %q, which is not there: %v", name, err)
		}
		return
	}
	from := min(offset, int64(len(content)))
	want := content[from:]
	want = want[:min(most, int64(len(want)))]
	if err != nil || !bytes.Equal(got, want) {
		m.t.Fatalf("get of %q from %d, at most %d: %d bytes, wanted %d: %v", name, offset, most, len(got), len(want), err)
	}
}

func (m *model) delete(*rapid.T) {
	names := rapid.SliceOfNDistinct(rapid.Custom(func(*rapid.T) string { return m.name() }), 0, 3, rapid.ID[string]).Draw(m.t, "names")
	must(m.t, m.store.Delete(context.Background(), names...))
	for _, name := range names {
		delete(m.all, name)
	}
}

func (m *model) list(*rapid.T) {
	m.check("", rapid.SampledFrom([]string{"parts", "log+ü", "none"}).Draw(m.t, "list"))
}

// check compares the lists of folders.
func (m *model) check(folders ...string) {
	for _, folder := range folders {
		var want []Info
		for name, content := range m.all {
			if dir, base := path.Split(name); strings.TrimSuffix(dir, "/") == folder {
				want = append(want, Info{base, int64(len(content))})
			}
		}
		for _, one := range folders {
			inside := func(name string) bool { return strings.HasPrefix(name, one+"/") }
			if folder == "" && one != "" && slices.ContainsFunc(slices.Collect(maps.Keys(m.all)), inside) {
				want = append(want, Info{one + "/", 0})
			}
		}
		slices.SortFunc(want, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
		got, err := m.store.List(context.Background(), folder)
		got = slices.DeleteFunc(got, func(one Info) bool { // a folder of files stays
			return (strings.HasSuffix(one.Name, "/") || one.Name == Marker) && !slices.Contains(want, one)
		})
		if err != nil || !slices.Equal(got, want) {
			m.t.Fatalf("list of %q: %v, wanted %v: %v", folder, got, want, err)
		}
	}
}

// testModel compares stores with the model. Each one that open returns is empty.
func testModel(t *testing.T, open func() Store) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: rt, store: open(), all: map[string][]byte{}}
		rt.Repeat(map[string]func(*rapid.T){"put": m.put, "create": m.create, "get": m.get, "delete": m.delete, "list": m.list})
		m.check("", "parts", "log+ü", "none")
	})
}

// testMany uses a store by many goroutines, which has more objects than a page of a list then, if there are more than 1,000.
func testMany(t *testing.T, s Store, objects int) {
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := worker; i < objects; i += 4 {
				if err := s.Put(t.Context(), fmt.Sprintf("many/%04d", i), []byte{byte(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	all, err := s.List(t.Context(), "many")
	must(t, err)
	var names []string
	for i, info := range all {
		if want := fmt.Sprintf("%04d", i); info.Name != want || info.Bytes != 1 {
			t.Fatalf("object %d of the list is %v, wanted %s", i, info, want)
		}
		names = append(names, "many/"+info.Name)
	}
	if len(names) != objects {
		t.Fatalf("the list has %d objects", len(names))
	}
	must(t, s.Delete(t.Context(), names...))
	if all, err := s.List(t.Context(), "many"); err != nil || len(all) > 0 {
		t.Fatalf("%d objects are left: %v", len(all), err)
	}
}

func TestFolder(t *testing.T) {
	marked := func(s Store) Store {
		must(t, s.Create(t.Context(), Marker, nil))
		return s
	}
	testModel(t, func() Store { return marked(OpenFolder(simdisk.New(1), "to/b")) })
	testMany(t, marked(OpenFolder(disk.OS(), t.TempDir())), 100)
}

func TestS3(t *testing.T) {
	testlong.Skip(t)
	server := newServer(t)
	runs := 0
	testModel(t, func() Store {
		runs++
		return server.open(fmt.Sprintf("a b+%%/%d", runs))
	})
	testMany(t, server.open(""), 1100)
}

func TestOpen(t *testing.T) {
	s3Environment(t)
	for address, want := range map[string]string{
		"s3://bucket":             "s3://bucket",
		"s3://bucket/":            "s3://bucket",
		"S3://bucket/a/b":         "s3://bucket/a/b",
		"s3://bucket/a/b/":        "s3://bucket/a/b",
		"s3://bucket/a b+%20?#/é": "s3://bucket/a b+%20?#/é",
		"/mnt/backup/":            "/mnt/backup",
		"./s3:":                   "s3:",
		"./gs://a":                "gs:/a",
		"dir/x://y":               "dir/x:/y",
	} {
		s, err := Open(simdisk.New(1), address)
		must(t, err)
		if s.Path("") != want || s.Path("x/y") != want+"/x/y" {
			t.Errorf("%s is opened as %s, with the object %s", address, s.Path(""), s.Path("x/y"))
		}
	}
	for address, words := range map[string][]string{
		"":                         {"empty", "s3://BUCKET/PREFIX"},
		"gs://bucket/x":            {"gs://", "folders and to s3://", "./gs://"},
		"https://host/x":           {"folders and to s3://"},
		"s3:/bucket/x":             {"no address of a bucket", "./s3:/bucket/x"},
		"s3:bucket":                {"no address of a bucket"},
		"s3://":                    {"bucket", "s3://BUCKET/PREFIX"},
		"s3:///x":                  {"bucket", "s3://BUCKET/PREFIX"},
		"s3://bad,bucket/x":        {"bad,bucket"},
		"s3://key:geheim@bucket/x": {"AWS_SECRET_ACCESS_KEY"},
		"s3://bucket/../x":         {"../x", ".."},
		"s3://bucket/a/..":         {".."},
		"s3://bucket/..":           {".."},
		"s3://bucket/.":            {"empty part, or ."},
		"s3://bucket/a/./b":        {"empty part, or ."},
		"s3://bucket//a":           {"empty part"},
		"s3://bucket/a//b":         {"empty part"},
		"s3://bucket/a//":          {"empty part"},
		"s3://bucket/a\xff":        {`a\xff`, "no text"},
		"s3://bucket/a\nb":         {`a\nb`, "no text"},
		"s3://bucket/" + strings.Repeat("a", 801): {"801 bytes"},
		"a\x00b": {"zero byte"},
	} {
		_, err := Open(simdisk.New(1), address)
		wants(t, address, err, words...)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error has the secret: %v", err)
		}
	}
}

// TestFolderCrashes: at every call of the disk, a kill or a power failure leaves each object whole or absent, and as it was acknowledged.
func TestFolderCrashes(t *testing.T) {
	on, calls := simdisk.New(1), 0
	must(t, on.MkdirAll("to"))
	must(t, on.SyncDir("."))
	s := OpenFolder(on, "to/b")
	acked := map[string][]byte{}    // nil: deleted
	possible := map[string][]byte{} // in the works; nil: it is being deleted
	check := func(on *simdisk.Disk, how string) {
		s := OpenFolder(on, "to/b")
		for _, name := range []string{"parts/a", "parts/b", "log/c"} {
			got, err := s.Get(t.Context(), name, 0, math.MaxInt64)
			want, known := acked[name]
			other, begun := possible[name]
			switch {
			case err == nil && want != nil && bytes.Equal(got, want), err == nil && other != nil && bytes.Equal(got, other):
			case errors.Is(err, iofs.ErrNotExist) && (!known || want == nil || begun && other == nil):
			default:
				t.Fatalf("%s, call %d: %s has %d bytes, acknowledged are %d: %v", how, calls, name, len(got), len(want), err)
			}
		}
		must(t, s.Prepare())
		must(t, s.Put(t.Context(), "parts/again", []byte("again"))) // the work goes on
		holds(t, s, "parts/again", []byte("again"))
	}
	at := func(simdisk.Op, string) {
		calls++
		for v := range simdisk.Variants {
			clone := on.Clone(uint64(calls)<<8 + uint64(v))
			clone.Crash(v)
			check(clone, v.String())
		}
		clone := on.Clone(uint64(calls))
		clone.Kill()
		check(clone, "kill")
	}
	must(t, s.Create(t.Context(), Marker, nil))
	on.SetHook(at)
	put := func(name string, bytesOf int) {
		possible[name] = bytes.Repeat([]byte(name[len(name)-1:]), bytesOf)
		must(t, s.Put(t.Context(), name, possible[name]))
		acked[name] = possible[name]
		delete(possible, name)
	}
	remove := func(names ...string) {
		for _, name := range names {
			possible[name] = nil
		}
		must(t, s.Delete(t.Context(), names...))
		for _, name := range names {
			acked[name] = nil
			delete(possible, name)
		}
	}
	put("parts/a", 5000)
	put("parts/b", 1)
	put("log/c", 9000)
	put("parts/a", 7000) // another size
	made := []byte("made")
	possible["log/c"] = made
	if err := s.Create(t.Context(), "log/c", made); !errors.Is(err, iofs.ErrExist) {
		t.Errorf("made although it is there: %v", err)
	}
	delete(possible, "log/c")
	remove("log/c")
	possible["log/c"] = made
	must(t, s.Create(t.Context(), "log/c", made))
	acked["log/c"] = made
	delete(possible, "log/c")
	remove("parts/b", "parts/none")
	put("parts/b", 3)
	remove("parts/a", "log/c")
	at(simdisk.OpAny, "the end")
	if calls < 40 {
		t.Errorf("only %d calls", calls)
	}
}

// Prepare makes the names in the folder itself durable, and those in the folders below: a process may have ended before it did so.
func TestPrepareMakesNamesDurable(t *testing.T) {
	for v := range simdisk.Variants {
		on := simdisk.New(1)
		must(t, on.MkdirAll("to"))
		must(t, on.SyncDir("."))
		s := OpenFolder(on, "to/b")
		must(t, s.Create(t.Context(), Marker, nil))
		must(t, s.Put(t.Context(), "log/a", []byte("a")))
		for _, name := range []string{"mark", "log/b"} {
			f, err := on.Create("to/b/" + name)
			must(t, err)
			must(t, errors.Join(f.Sync(), f.Close()))
		}
		must(t, s.Prepare())
		on.Crash(v)
		for _, name := range []string{"mark", "log/b"} {
			if _, err := s.Get(t.Context(), name, 0, 1); err != nil {
				t.Errorf("%v: %v", v, err)
			}
		}
	}
}

// The file system of a folder has no hard links: the place is refused in words.
func TestFolderWithoutLinks(t *testing.T) {
	for _, err := range []error{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		on := simdisk.New(1)
		on.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpLink, Err: err})
		err := OpenFolder(on, "to/b").Create(t.Context(), Marker, nil)
		if wants(t, "a create", err, "to/b has no hard links", "use another place"); !errors.Is(err, ErrUnfenced) {
			t.Error(err)
		}
	}
}
