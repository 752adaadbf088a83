package wire

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
		if err == nil || !strings.Contains(err.Error(), name+" is no file") {
			t.Errorf("a pipe: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a pipe is waited for")
	}
}
