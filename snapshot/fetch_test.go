package snapshot

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	iofs "io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// pieces passes bytes on in pieces, from the offset of a file that comes up to an end.
func pieces(b []byte, end int) func(*Incoming) error {
	return func(to *Incoming) error {
		for at := int(to.Offset()); at < end; at = int(to.Offset()) {
			if err := to.Write(b[at:min(at+1000, end)]); err != nil {
				return err
			}
		}
		return nil
	}
}

func fetched(fs disk.FS, of *Reader, from func(*Incoming) error) error {
	return Fetch(fs, "d", "", of.Name(), of.Size(), of.SHA(), from)
}

// A fetch that breaks goes on with what has come, and only a whole file with the right bytes gets its name.
func TestFetch(t *testing.T) {
	from, b := sent(t, blocks())
	fs, away := newDisk(t), errors.New("it is away")
	third := len(b) / 3
	if err := fetched(fs, from, func(to *Incoming) error { return errors.Join(pieces(b, third)(to), away) }); !errors.Is(err, away) {
		t.Fatal(err)
	}
	wantFiles(t, fs, "d", receiving(from.Name(), from.SHA()))
	if err := fetched(fs, from, pieces(b, 2*third)); err == nil || !strings.Contains(err.Error(), "bytes have arrived") {
		t.Errorf("two thirds are there, and it is published: %v", err)
	}
	began := int64(0)
	if err := fetched(fs, from, func(to *Incoming) error {
		began = to.Offset()
		return pieces(b, len(b))(to)
	}); err != nil || began == 0 || began > int64(2*third) {
		t.Fatalf("it goes on at %d: %v", began, err)
	}
	wantFiles(t, fs, "d", from.Name())
	if got := slurp(t, fs, "d/"+from.Name()); !bytes.Equal(got, b) {
		t.Error("it has other bytes")
	}
	if err := fetched(fs, from, func(*Incoming) error { return away }); !errors.Is(err, iofs.ErrExist) {
		t.Errorf("a published file is fetched again: %v", err)
	}
}

// An earlier process may have received all of a file. It is published without another member, which may be away.
func TestFetchOfAWholeFile(t *testing.T) {
	from, b := sent(t, blocks())
	fs := newDisk(t)
	i, err := BeginIncoming(fs, "d", from.Name(), from.Size(), from.SHA(), nil)
	if err == nil {
		err = i.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
	if err := fetched(fs, from, func(*Incoming) error { return errors.New("it is away") }); err != nil {
		t.Error(err)
	}
	wantFiles(t, fs, "d", from.Name())
}

// Wherever a byte is wrong, the file is not published. What has come is removed, another sender's bytes count from the first one on, and
// bytes of an earlier process are no better.
func TestFetchOfWrongBytes(t *testing.T) {
	from, b := sent(t, blocks())
	for at := 0; at < len(b); at += 1 + len(b)/50 {
		fs, wrong := newDisk(t), slices.Clone(b)
		wrong[at] ^= 1
		err := fetched(fs, from, func(to *Incoming) error {
			err := pieces(wrong, len(b))(to)
			if to.Offset() != 0 {
				t.Errorf("byte %d is wrong, and it goes on at %d", at, to.Offset())
			}
			return err
		})
		if !errors.Is(err, damage.ErrOtherBytes) {
			t.Fatalf("byte %d is wrong: %v", at, err)
		}
		wantFiles(t, fs, "d")
		half := func(to *Incoming) error { return errors.Join(pieces(wrong, len(b)/2)(to), errors.New("it ends")) }
		if err := fetched(fs, from, half); err == nil {
			t.Fatal("half of it is published")
		}
		if err := fetched(fs, from, pieces(b, len(b))); err != nil && !errors.Is(err, damage.ErrOtherBytes) {
			t.Fatalf("byte %d was wrong, and the sound bytes do not follow: %v", at, err)
		} else if err != nil {
			err = fetched(fs, from, pieces(b, len(b)))
			if err != nil {
				t.Fatal(err)
			}
		}
		wantFiles(t, fs, "d", from.Name())
	}
}

// The disk fails while wrong bytes make way: the file is not there, and nothing else happens.
func TestFetchToAFailedDisk(t *testing.T) {
	from, b := sent(t, blocks())
	fs, wrong := newDisk(t), slices.Clone(b)
	wrong[len(b)/2] ^= 1
	err := fetched(fs, from, func(to *Incoming) error {
		fs.Fail(simdisk.Fault{Err: syscall.EIO, Op: simdisk.OpCreate, Call: 1})
		return pieces(wrong, len(b))(to)
	})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("written to a failed disk: %v", err)
	}
	wantFiles(t, fs, "d")
}

// A file of the folder of snapshots is opened for writing in two places: one takes a file that comes, and one saves a file of this member.
// No other place could check before it publishes.
func TestWhoOpensFilesForWriting(t *testing.T) {
	opens := map[string]string{
		"snapshot/receive.go":             "a file that comes",
		"snapshot/save.go":                "a file of this member's state",
		"snapshot/backup/store/folder.go": "an object of a backup",
		"node/slots.go":                   "the folder's identity, written in place",
		"log/next.go":                     "a spare segment",
		"log/segment.go":                  "a segment",
		"log/recover.go":                  "the newest segment",
	}
	found, root, files := map[string]string{}, "..", token.NewFileSet()
	if err := filepath.WalkDir(root, func(path string, d iofs.DirEntry, err error) error {
		name := strings.TrimPrefix(filepath.ToSlash(path), root+"/")
		if err == nil && d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "simdisk" || d.Name() == "lab") {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			of, is := call.Fun.(*ast.SelectorExpr)
			if !is || of.Sel.Name != "OpenWritable" && (of.Sel.Name != "Create" || len(call.Args) != 1) {
				return true
			}
			if on, is := of.X.(*ast.Ident); !is || on.Name != "os" {
				found[name] = opens[name]
			}
			return true
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(found, opens) {
		t.Errorf("files are opened for writing in %v, want %v", found, opens)
	}
}
