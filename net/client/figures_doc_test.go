package client_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/net/client"
)

// The figures that the comments of this package and of kv name are those of the table of limits.
func TestFiguresOfTheComments(t *testing.T) {
	mib := func(bytes int) string { return fmt.Sprintf("%g MiB", float64(bytes)/(1<<20)) }
	grouped := func(n int64) string {
		text := fmt.Sprint(n)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	}
	folders := map[string][]string{
		".": {
			"at most 32 KiB", "the request of a write at most " + mib(limits.RequestBytesWritten), "in pages of up to " + mib(limits.RangePageBytes),
			"as one page of up to " + mib(limits.BodyBytes), "beyond " + mib(client.ClientWatchBytes) + " of unread events",
			"While " + grouped(limits.RequestsInflight) + " calls wait", "A TTL over " + grouped(limits.LeaseSeconds) + " s",
			fmt.Sprintf("Each list may have %d entries", limits.TxnOperations), fmt.Sprintf("A password has up to %d bytes", limits.PasswordBytes),
		},
		"../../index/kv": {fmt.Sprintf("1 byte to %d KiB", limits.KeyBytes>>10), fmt.Sprintf("after %d minutes without events", limits.WatchProgressInterval/time.Minute)},
	}
	if limits.KeyBytes != 32<<10 || limits.PagesHeld != time.Minute {
		t.Errorf("a key has %d bytes, and a stream of pages is held for %v: change the comments", limits.KeyBytes, limits.PagesHeld)
	}
	for folder, texts := range folders {
		all := comments(t, folder)
		for _, text := range texts {
			if !strings.Contains(all, text) {
				t.Errorf("%s: no comment says %q", folder, text)
			}
		}
	}
}

// comments returns the comments of a folder's files without tests, in one line.
func comments(t *testing.T, folder string) string {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		if name := file.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			var parsed *ast.File
			if parsed, err = parser.ParseFile(token.NewFileSet(), folder+"/"+name, nil, parser.ParseComments); err != nil {
				t.Fatal(err)
			}
			for _, group := range parsed.Comments {
				all = append(all, group.Text())
			}
		}
	}
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}
