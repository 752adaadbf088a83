package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"testing"

	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// simulated is the storage on a disk that loses what was not synced. Its folder is durable.
type simulated struct {
	*simdisk.Disk
	made int
}

// simulatedFile writes in order.
type simulatedFile struct {
	disk.File
	at int64
}

func (f *simulatedFile) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, f.at)
	f.at += int64(n)
	return n, err
}

func (f *simulatedFile) Chmod(fs.FileMode) error { return nil }

func (s *simulated) createTemp(dir string) (newFile, error) {
	s.made++
	f, err := s.Create(path.Join(dir, fmt.Sprint(".tmp-", s.made)))
	return &simulatedFile{File: f}, err
}

func (s *simulated) rename(from, to string) error { return s.Rename(from, to) }

func (s *simulated) renameNew(from, to string) error {
	if f, err := s.Open(to); err == nil {
		return errors.Join(fs.ErrExist, f.Close())
	}
	return s.Rename(from, to)
}

func (s *simulated) remove(name string) error { return s.Remove(name) }
func (s *simulated) syncDir(dir string) error { return s.SyncDir(dir) }

// content returns what a file holds, and whether it exists.
func content(t *testing.T, on *simdisk.Disk, name string) (string, bool) {
	t.Helper()
	f, err := on.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	return string(b), true
}

// Whenever a process that writes a certificate, a key or a secret is killed, or the power fails: each name has its whole old or new content,
// and the new one once the write was acknowledged. A certificate always has its key. A failed call is reported, and leaves the old content.
func TestCrashWhileFilesAreWritten(t *testing.T) {
	before := storage
	defer func() { storage = before }()
	key, err := maker(noon).newKey()
	must(t, err)
	der := []byte("certificate")
	pem := string(encodeCertificate(der))
	keyPEM, err := encodeKey(key)
	must(t, err)
	// The folder "to" exists on the real disk in no test, so MkdirAll is the only call that leaves the simulated one.
	real := t.TempDir()
	t.Chdir(real)
	id := Identity{Cluster: "prod", Class: ClassClient, Name: "admin"}
	old, next := []ClusterSecret{secretOf(t, 1)}, []ClusterSecret{secretOf(t, 2), secretOf(t, 1)}
	lines := func(all []ClusterSecret) (text string) {
		for _, s := range all {
			text += s.Reveal() + "\n"
		}
		return text
	}
	for what, one := range map[string]struct {
		old, new map[string]string
		write    func() error
	}{
		"a pair": {nil, map[string]string{"to/client-admin.key": string(keyPEM), "to/client-admin.crt": pem}, func() error {
			_, err := Maker{}.writePair("to", id, der, key)
			return err
		}},
		"a certificate that is renewed": {
			map[string]string{"to/n.crt": "old certificate"},
			map[string]string{"to/n.crt": pem},
			func() error { return replaceFile("to/n.crt", []byte(pem), certMode) },
		},
		"a new secret": {nil, map[string]string{"to/secret": lines(old)}, func() error { return WriteSecrets("to/secret", old, false) }},
		"a rotated secret": {
			map[string]string{"to/secret": lines(old)},
			map[string]string{"to/secret": lines(next)},
			func() error {
				return publish("to/secret", []byte(lines(next)), keyMode, storage.rename) // WriteSecrets keeps the owner of a real file
			},
		},
	} {
		fresh := func() *simdisk.Disk {
			on := simdisk.New(1)
			must(t, errors.Join(on.MkdirAll("to"), on.SyncDir(".")))
			for name, text := range one.old {
				f, err := on.Create(name)
				must(t, err)
				_, err = f.WriteAt([]byte(text), 0)
				must(t, errors.Join(err, f.Sync(), f.Close(), on.SyncDir("to")))
			}
			return on
		}
		check := func(on *simdisk.Disk, when string, finished bool) {
			t.Helper()
			there := map[string]bool{}
			for name, want := range one.new {
				got, exists := content(t, on, name)
				was, existed := one.old[name]
				there[path.Ext(name)] = exists
				if isNew, isOld := exists && got == want, exists == existed && got == was; !isNew && (finished || !isOld) {
					t.Fatalf("%s, %s: %s is there: %v, with %d bytes of %d", what, when, name, exists, len(got), len(want))
				}
			}
			if there[certSuffix] && what == "a pair" && !there[keySuffix] {
				t.Fatalf("%s, %s: the certificate has no key", what, when)
			}
		}
		on, calls, finished := fresh(), uint64(0), false
		at := func(op simdisk.Op, name string) {
			calls++
			for v := range simdisk.Variants + 1 {
				on := on.Clone(calls<<8 + uint64(v))
				if v == simdisk.Variants {
					on.Kill()
				} else {
					on.Crash(v)
				}
				check(on, fmt.Sprintf("%d before call %d (%v %s)", v, calls, op, name), finished)
			}
		}
		on.SetHook(at)
		storage = &simulated{Disk: on}
		must(t, one.write())
		finished = true
		at(simdisk.OpAny, "the end")
		if names, err := on.List("to"); err != nil || len(names) != len(one.new) {
			t.Errorf("%s: %q are left, %v", what, names, err)
		}
		for n := int64(1); ; n++ {
			on := fresh()
			on.Fail(simdisk.Fault{Err: syscall.EIO, Call: n})
			storage = &simulated{Disk: on}
			err := one.write()
			if on.Armed() > 0 {
				must(t, err)
				break
			}
			on.ClearFaults()
			if check(on, fmt.Sprintf("call %d fails", n), err == nil); err != nil && !strings.Contains(err.Error(), "to") && !strings.Contains(err.Error(), "syncdir .") {
				t.Errorf("%s: %v", what, err)
			}
			on.Crash(0)
			check(on, fmt.Sprintf("a crash after call %d failed with %v", n, err), err == nil)
		}
	}
}
