package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hostRoot is a copy of this host's root folder that takes changes: an overlay. Programs run in it by chroot.
type hostRoot struct {
	t   *testing.T
	dir string
}

// newHostRoot mounts the copy, in this process's own mount namespace. Its /run, /tmp, /proc and /dev are its own.
func newHostRoot(t *testing.T) *hostRoot {
	t.Helper()
	if os.Getenv(isolated) == "" {
		t.Skip("not root, or no mount namespace here")
	}
	base := t.TempDir()
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		if err := os.MkdirAll(target, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			t.Skipf("no %s can be mounted here: %v", kind, err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
	}
	changes, root := filepath.Join(base, "changes"), filepath.Join(base, "root")
	mount("tmpfs", changes, "tmpfs", 0, "mode=0755")
	upper, work := filepath.Join(changes, "upper"), filepath.Join(changes, "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+upper+",workdir="+work)
	mount("proc", filepath.Join(root, "proc"), "proc", 0, "")
	mount("tmpfs", filepath.Join(root, "run"), "tmpfs", 0, "mode=0755")
	mount("tmpfs", filepath.Join(root, "tmp"), "tmpfs", 0, "mode=1777")
	mount("/dev", filepath.Join(root, "dev"), "", syscall.MS_BIND|syscall.MS_REC, "")
	return &hostRoot{t, root}
}

func (r *hostRoot) path(name string) string { return filepath.Join(r.dir, name) }

// command returns a command that runs in the root folder.
func (r *hostRoot) command(name string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(name, arguments...)
	cmd.Path, cmd.Err = name, nil
	if !filepath.IsAbs(name) {
		cmd.Path = "/usr/bin/env"
		cmd.Args = append([]string{"env", name}, arguments...)
	}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command in the root folder; it must succeed.
func (r *hostRoot) run(name string, arguments ...string) string {
	r.t.Helper()
	out, err := r.command(name, arguments...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// copyIn copies a file to a path in the root folder.
func (r *hostRoot) copyIn(from, to string) {
	r.t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(r.path(to), content, 0o755)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// owner describes mode and owner of a path in the root folder, as in "drwx------ qkv:qkv".
func (r *hostRoot) owner(path string) string {
	r.t.Helper()
	return strings.TrimSpace(r.run("stat", "--format=%A %U:%G", path))
}

// exists reports whether a path is there in the root folder.
func (r *hostRoot) exists(path string) bool {
	_, err := os.Lstat(r.path(path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return err == nil
}

// fakeSystemctl puts a systemctl into the root folder that writes down how it is called, and makes systemd seem to run there.
func (r *hostRoot) fakeSystemctl(active bool) {
	r.t.Helper()
	code := 3
	if active {
		code = 0
	}
	text := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>/run/systemctl\ncase \"$1\" in is-active) exit %d;; esac\n", code)
	for _, err := range []error{
		os.MkdirAll(r.path("/run/systemd/system"), 0o755), os.WriteFile(r.path("/usr/local/bin/systemctl"), []byte(text), 0o755),
	} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// systemctlCalls returns the calls since the last time.
func (r *hostRoot) systemctlCalls() string {
	text, _ := os.ReadFile(r.path("/run/systemctl"))
	_ = os.Remove(r.path("/run/systemctl"))
	return string(text)
}
