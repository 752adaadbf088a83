package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pipe in the place of a certificate is refused, and not waited for: a handshake looks at the files, too.
func TestCertificateThatIsAPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ca.crt")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		_, err := readCertificates(name)
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil || !strings.Contains(err.Error(), name+" is a folder, a pipe or a device") {
			t.Errorf("a pipe: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a pipe is waited for")
	}
}

// A folder in the place of a key is named as that, and not as a key that others can read.
func TestKeyThatIsAFolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ca.key")
	must(t, os.Mkdir(name, 0o755))
	_, err := readKey(name)
	wantError(t, err, name+" is a folder")
}

// A certificate and a key never stand under their names in part, also when the command that makes them is killed: they are written
// under other names, and then renamed or linked.
func TestFilesAppearWhole(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	must(t, err)
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY)
	must(t, err)
	m := maker(noon)
	_, err = m.CreateCA(dir, "prod")
	must(t, err)
	made, err := m.CreateMember(dir, "n1", nil)
	must(t, err)
	must(t, m.Renew(dir, made.Cert))
	b := make([]byte, 64<<10)
	n, err := unix.Read(fd, b)
	must(t, err)
	written := 0
	for b = b[:n]; len(b) > 0; written++ {
		length := unix.SizeofInotifyEvent + binary.NativeEndian.Uint32(b[12:])
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:length], "\x00"))
		if !strings.HasPrefix(name, ".tmp-") {
			t.Errorf("%s is written under its final name", name)
		}
		b = b[length:]
	}
	if written < 5 {
		t.Errorf("%d writes were seen", written)
	}
}

// Without hard links a new file still never replaces another one, and a failed rename leaves no name behind.
func TestNewFileWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	gone, name := filepath.Join(dir, "gone"), filepath.Join(dir, "name")
	if err := (osFiles{}).renameNew(gone, name); err == nil {
		t.Error("a file that is not there was renamed")
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the name is taken after a failed rename: %v", err)
	}
	must(t, os.WriteFile(name, []byte("first"), 0o600))
	if err := (osFiles{}).renameNew(gone, name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a taken name: %v", err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "first" {
		t.Errorf("the first file is %q, %v", text, err)
	}
}
