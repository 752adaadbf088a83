package disk

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is no file is refused at once: a named pipe would be waited for until somebody opens its other end.
func TestOpenWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(name string) error{
		"pipe":   func(name string) error { return unix.Mkfifo(name, 0o600) },
		"folder": func(name string) error { return os.Mkdir(name, 0o700) },
		"device": func(name string) error { return os.Symlink("/dev/null", name) },
		"socket": func(name string) error {
			l, err := net.Listen("unix", name)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
	} {
		name = dir + "/" + name
		if err := make(name); err != nil {
			t.Fatal(err)
		}
		for _, open := range []func(string) (File, error){OS().Open, OS().OpenWritable} {
			within(t, name, func() {
				if f, err := open(name); !errors.Is(err, ErrNotRegular) {
					t.Errorf("%s: %v, %v", name, f, err)
				}
			})
		}
	}
	within(t, "directories", func() {
		if err := OS().SyncDir(dir + "/pipe"); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("sync what is no directory: %v", err)
		}
		if _, err := OS().List(dir + "/pipe"); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("list what is no directory: %v", err)
		}
		if l, err := OS().Lock(dir + "/folder/LOCK"); err != nil {
			t.Error(err)
		} else if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// within fails a test that waits for ever.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s is waited for", what)
	}
}

// A file that is opened so that no pipe is waited for works as any other one.
func TestOpenBlocks(t *testing.T) {
	name := t.TempDir() + "/f"
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := name + ".link"
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	f, err := OS().Open(link)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.FcntlInt(uintptr(f.(*osFile).fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}
