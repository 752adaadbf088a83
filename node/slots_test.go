package node

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/actor"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// exampleFolder returns a folder with every small file in it.
func exampleFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{fs: simdisk.New(1), dir: "data", identity: identity{
		Cluster: 0xc0ffee, Member: 1 << 63, Name: "n1", Folder: [16]byte{1, 2}, Boot: 300, ResetKey: [32]byte{3},
		Past: []byte("pppppppp"), Founding: []string{"local", "token", "n1", "n2"},
	}}
	if err := errors.Join(f.fs.MkdirAll("data"), f.publish(),
		f.suspend(actor.Suspension{By: 9, Reason: "it forgot", Differs: true}),
		f.remember([]actor.Known{{Member: 2, Folder: [16]byte{2}, Boot: 7, Process: [16]byte{3}, Owed: 12}, {Member: 3}}),
		f.write("scrub", codec.Append(nil, &scrubbed{Begun: 1 << 60, Ended: true, Sound: filesRead{Wall: 1 << 59, Files: 3, Bytes: 1 << 20}}))); err != nil {
		t.Fatal(err)
	}
	return f
}

// raw returns a file's bytes.
func (f *folder) raw(t *testing.T, name string) []byte {
	t.Helper()
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 2*slotBytes)
	if _, err := file.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func slotOfVersion(version uint32, number uint64, content []byte) []byte {
	f := slotFormat
	f.Version = version
	return slotOf(f, number, content)
}

// overwrite replaces a file's bytes.
func (f *folder) overwrite(t *testing.T, name string, b []byte) {
	t.Helper()
	file, err := f.fs.OpenWritable(f.path(name))
	if err == nil {
		_, err = file.WriteAt(b, 0)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// smallFiles are the ways to read each small file.
var smallFiles = map[string]func(f *folder) (any, error){
	"identity": func(f *folder) (any, error) {
		read := &folder{fs: f.fs, dir: f.dir}
		err := read.whose()
		return read.identity, err
	},
	"suspension": func(f *folder) (any, error) { return f.suspended() },
	"peers":      func(f *folder) (any, error) { return f.known() },
}

// The bytes of the small files. -rewrite writes the golden file anew.
func TestGoldenSmallFiles(t *testing.T) {
	const name = "testdata/folder.txt"
	f := exampleFolder(t)
	var b strings.Builder
	for _, file := range []string{"identity", "suspension", "peers", "scrub"} {
		raw := f.raw(t, file)
		s, err := slotFormat.Read(file, 0, raw[:slotBytes])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s", file, hex.Dump(raw[:damage.PreludeBytes+len(s.Content)]))
	}
	if flag.Lookup("rewrite").Value.String() == "true" {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || b.String() != string(want) {
		t.Errorf("small files are not those of %s any more (%v):\n%s", name, err, b.String())
	}
}

// A small file with a field that this qkv does not know is a newer qkv's: it is refused, and not called corrupt. Without a field that an
// older one did not write, it is read.
func TestSmallFilesGrow(t *testing.T) {
	for name, read := range smallFiles {
		f := exampleFolder(t)
		s, err := slotFormat.Read(name, 0, f.raw(t, name)[:slotBytes])
		if err != nil {
			t.Fatal(err)
		}
		newer := append(bytes.Clone(s.Content), "\xa3new\x01"...)
		newer[0]++ // the map's count
		if err := f.write(name, newer); err != nil {
			t.Fatal(err)
		}
		var refused *UsageError
		if _, err := read(f); !errors.As(err, &refused) || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "written by a newer qkv") || !strings.Contains(err.Error(), `"new"`) {
			t.Errorf("%s with a field more: %v", name, err)
		}
	}
	f := exampleFolder(t)
	if err := f.write("suspension", []byte("\x81\xa1r\xa1x")); err != nil {
		t.Fatal(err)
	}
	if q, err := f.suspended(); err != nil || q != (actor.Suspension{Reason: "x"}) {
		t.Errorf("with fields less: %+v, %v", q, err)
	}
}

// A file of a format that is not known is a newer qkv's: nothing calls it corrupt, or writes over it. One that begins otherwise is
// damaged, or of a qkv before 0.2.0.
func TestSmallFilesOfOtherFormats(t *testing.T) {
	for name, read := range smallFiles {
		f := exampleFolder(t)
		s, err := slotFormat.Read(name, 0, f.raw(t, name)[:slotBytes])
		if err != nil {
			t.Fatal(err)
		}
		half := slotOfVersion(slotFormat.Version+1, 9, s.Content)
		f.overwrite(t, name, half) // the newer half only: its writer has crashed
		var refused *UsageError
		if _, err := read(f); !errors.As(err, &refused) || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "written by a newer qkv") || !strings.Contains(err.Error(), "format version is 2") {
			t.Errorf("%s of format 2: %v", name, err)
		}
		damaged, repaired := f.repair(name)
		if err := f.write(name, nil); damaged || repaired != nil || err == nil {
			t.Errorf("%s of format 2 was written over: %v, %v, %v", name, damaged, repaired, err)
		}
		old := make([]byte, slotBytes)
		copy(old, "qkvfile\n\x00\x00\x00\x01")
		f.overwrite(t, name, append(old, old...))
		if _, err := read(f); !errors.As(err, &refused) || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "written by qkv 0.2 or older") || !strings.Contains(err.Error(), "migrate from-etcd --snapshot") {
			t.Errorf("%s of qkv 0.2: %v", name, err)
		}
		older := append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, s.Content...)
		f.overwrite(t, name, append(older, make([]byte, 2*slotBytes-len(older))...))
		if _, err := read(f); err == nil || !strings.Contains(err.Error(), "0.2 or older") || !strings.Contains(err.Error(), "docs/upgrading.md") {
			t.Errorf("%s of a qkv before 0.2.0: %v", name, err)
		}
	}
}

// Without peers a member cannot tell a replaced data folder of another member from the one that it knows: a file that is missing is
// refused as an emptied one is.
func TestPeersMustBeThere(t *testing.T) {
	for name, harm := range map[string]func(f *folder) error{
		"missing": func(f *folder) error { return f.fs.Remove(f.path("peers")) },
		"emptied": func(f *folder) error { f.overwrite(t, "peers", make([]byte, 2*slotBytes)); return nil },
	} {
		f := exampleFolder(t)
		if err := harm(f); err != nil {
			t.Fatal(err)
		}
		_, err := f.known()
		if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "data/peers at byte 0: ") || !strings.Contains(err.Error(), "put back") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A start that a small file of a newer qkv ends is not counted: a service manager may try it hundreds of times, and the past by which
// other members recognize the folder holds limits.PeerPastBytes.
func TestRefusedStartsAreNotCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	a.stop(t)
	for _, name := range []string{"suspension", "peers"} {
		f := &folder{fs: disk.OS(), dir: dir}
		before, whole := f.raw(t, "identity"), f.raw(t, name)
		s, err := slotFormat.Read(name, 0, whole[:slotBytes])
		if err != nil {
			t.Fatal(err)
		}
		half := slotOfVersion(slotFormat.Version+1, s.Number+1, s.Content)
		f.overwrite(t, name, append(half, half...))
		if a, err := startAlone(t, dir); err == nil || !strings.Contains(err.Error(), name+": its format version is 2") {
			t.Errorf("%s of a newer qkv: %v", name, err)
			if err == nil {
				a.stop(t)
			}
		}
		if !bytes.Equal(f.raw(t, "identity"), before) {
			t.Errorf("%s of a newer qkv: the start was counted", name)
		}
		f.overwrite(t, name, whole)
	}
}
