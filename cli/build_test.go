package cli

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestBuildNeedsNoLibc: `make build` links nothing dynamically, so that the program starts in an image that has no libc.
func TestBuildNeedsNoLibc(t *testing.T) {
	list := exec.Command("make", "--no-print-directory", "--dry-run", "build")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Skipf("no make here: %v", err)
	}
	command := strings.TrimSpace(string(out))
	if !strings.HasPrefix(command, "CGO_ENABLED=0 ") || !strings.Contains(command, "'-s -w ") || !strings.HasSuffix(command, " -o qkv .") {
		t.Fatalf("make build runs: %s", command)
	}
	if !fullVariant() {
		t.Skip("the program is built and started in an empty root folder: QKV_FULL=1")
	}
	root := t.TempDir()
	program := filepath.Join(root, "qkv")
	build := exec.Command("sh", "-c", strings.TrimSuffix(command, " -o qkv .")+" -o "+program+" .")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := elf.Open(program)
	must(t, err)
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) || file.Section(".symtab") != nil {
		t.Error("the program needs a dynamic linker, or has symbols")
	}
	if os.Geteuid() != 0 {
		t.Skip("a root folder can only be changed by root")
	}
	if out, err := exec.Command("chroot", root, "/qkv", "version").CombinedOutput(); err != nil || !strings.Contains(string(out), form.Version) {
		t.Errorf("in a root folder with nothing else: %v %s", err, out)
	}
}

// TestBuildElsewhere type-checks the client program of macOS and Windows with all packages that it imports. A file of Linux that is imported
// there without the constraint `//go:build linux` fails it.
func TestBuildElsewhere(t *testing.T) {
	testlong.Skip(t)
	for _, system := range []string{"darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			check := exec.Command("go", "vet", "..")
			check.Env = append(os.Environ(), "GOOS="+system, "GOARCH=arm64", "CGO_ENABLED=0")
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("the program does not compile for %s, where qkv is a client: %v\n%s", system, err, out)
			}
		})
	}
}
