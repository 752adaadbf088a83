package client_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"qkv/internal/testlong"
)

// Who imports the client gets no more than what it needs: quic-go, msgpack, golang.org/x and qkv's own wire.
func TestClosure(t *testing.T) {
	testlong.Skip(t)
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "qkv/net/client").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	own := []string{"qkv/net/client", "qkv/net/wire", "qkv/index/kv", "qkv/internal/buffers", "qkv/internal/codec", "qkv/internal/election", "qkv/internal/figures", "qkv/internal/pack", "qkv/internal/limits"}
	others := []string{"github.com/quic-go/quic-go", "github.com/vmihailenco/", "golang.org/x/"}
	for _, path := range strings.Fields(string(out)) {
		if slices.Contains(own, path) || slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(path, p) }) {
			continue
		}
		t.Errorf("net/client depends on %s: what every program that uses qkv would carry; move what is needed of it into net/wire or index/kv, or do without", path)
	}
}
