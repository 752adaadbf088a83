package store

import (
	"fmt"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"qkv/internal/testport"
)

// startVersitygw starts versitygw with a folder on this disk: it keeps extended attributes, which a file system in memory may not have.
func startVersitygw(t *testing.T) *server {
	t.Helper()
	programs := os.Getenv("QKV_COMPAT_BIN")
	if programs == "" {
		t.Skip("versitygw is not built: make compat builds it")
	}
	dir, err := os.MkdirTemp(".", "versitygw-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	addresses, err := testport.Unused(1)
	must(t, err)
	address := &url.URL{Scheme: "http", Host: addresses[0]}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	program := exec.Command(filepath.Join(programs, "versitygw"), "--port", address.Host, "--access", "id", "--secret", "secret", "--quiet", "--keep-alive", "posix", dir)
	program.Stdout, program.Stderr = log, log
	must(t, program.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = program.Wait() }()
	t.Cleanup(func() {
		_ = program.Process.Kill()
		<-ended
		if text, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("versitygw: %s %v", text, err)
		}
		_ = log.Close()
	})
	server := newServerBefore(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(address)
		r.Out.Host = r.In.Host // it is signed
	}, ErrorLog: quiet})
	s := server.open("")
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := s.client.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{})
		if err == nil {
			return server
		}
		select {
		case <-ended:
			t.Fatalf("versitygw ended: %v", err)
		default:
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("versitygw is not ready: %v", err)
		}
	}
}

// TestVersitygw: what holds with the fake server holds with a real one, which checks signatures and content, and syncs what it keeps.
func TestVersitygw(t *testing.T) {
	server := startVersitygw(t)
	runs := 0
	testModel(t, func() Store {
		runs++
		return server.open(fmt.Sprintf("a b+%%/%d", runs))
	})
	testMany(t, server.open(""), 1100)
	t.Logf("%d requests", server.requests.Load())
}

// TestVersitygwRefusals are errors of a real server, and faults on the way to it.
func TestVersitygwRefusals(t *testing.T) {
	server := startVersitygw(t)
	s, content := server.open("p"), []byte("content")
	for _, c := range []struct {
		name  string
		fault fault
		times int64
		words []string
	}{
		{"cut once", cutRequest, 1, nil},
		{"lost answer", loseAnswer, 1, nil},
		{"damaged", corrupt, 1, []string{"changed on their way", "BadDigest"}},
	} {
		server.fail("PUT", c.times, c.fault)
		wants(t, c.name, s.Put(t.Context(), c.name, content), c.words...)
		server.fault.Store(nil)
		must(t, s.Put(t.Context(), c.name, content))
		holds(t, s, c.name, content)
	}
	must(t, s.Put(t.Context(), "parts/there", content))
	for _, c := range []struct {
		variable, value string
		words           []string
	}{
		{"AWS_SECRET_ACCESS_KEY", "wrong", []string{"credentials", "SignatureDoesNotMatch"}},
		{"AWS_ACCESS_KEY_ID", "wrong", []string{"credentials", "AWS_ACCESS_KEY_ID"}},
		{"AWS_ACCESS_KEY_ID", "", []string{"no credentials"}},
		{"AWS_REGION", "eu-west-3", []string{"region", "AWS_REGION", "us-east-1"}},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			for name, call := range calls(server.open("p"), content) {
				wants(t, name, call(t.Context()), c.words...)
			}
		})
	}
	none, err := openS3("none", "p")
	must(t, err)
	for name, call := range calls(none, content) {
		wants(t, name, call(t.Context()), "bucket none does not exist")
	}
	holds(t, s, "parts/there", content)
}
