// Upgrade builds the last version from the repository's history, and runs it beside the code that is here: three members under load
// are upgraded one after the other, one goes back before the feature level is raised, and the clients of both ask the members of both.
//
//	go run ./.ci/upgrade                    the last version: the commit in .ci/upgrade/last
//	go run ./.ci/upgrade -from COMMIT       another one
//	go run ./.ci/upgrade -old BIN -new BIN  programs that are built already
//
// Where the history does not have the commit (a shallow clone) it says that nothing was run, and ends with 0.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const lastFile = ".ci/upgrade/last"

func init() { runtime.LockOSThread() } // members end with the thread that has started them

func main() {
	from := flag.String("from", "", "build the old program from `COMMIT`, in place of the one in "+lastFile)
	oldProgram := flag.String("old", "", "the old `PROGRAM`, in place of building it")
	newProgram := flag.String("new", "", "the new `PROGRAM`, in place of building it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begun := time.Now()
	dir, err := os.MkdirTemp("", "qkv-upgrade-*")
	if err == nil {
		err = upgrade(ctx, dir, *from, *oldProgram, *newProgram)
		if removal := os.RemoveAll(dir); err == nil {
			err = removal
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "upgrade FAILED: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("upgrade: %.0f s\n", time.Since(begun).Seconds())
}

// upgrade builds the two programs, and runs all stages with them in a folder.
func upgrade(ctx context.Context, dir, from, oldProgram, newProgram string) error {
	if oldProgram == "" {
		name, commit, err := lastVersion(from)
		if err != nil {
			return err
		}
		if _, err := run(ctx, "git", "cat-file", "-e", commit+"^{commit}"); err != nil {
			fmt.Printf("upgrade: NOT RUN: the history here does not have %s, the commit of %s (a shallow clone?)\n", commit, name)
			return nil
		}
		oldProgram = filepath.Join(dir, "qkv-old")
		if err := buildFrom(ctx, filepath.Join(dir, "source"), commit, oldProgram); err != nil {
			return fmt.Errorf("build %s from its commit %s: %w", name, commit, err)
		}
	}
	if newProgram == "" {
		newProgram = filepath.Join(dir, "qkv-new")
		if _, err := run(ctx, "go", "build", "-trimpath", "-o", newProgram, "."); err != nil {
			return err
		}
	}
	for _, program := range []string{oldProgram, newProgram} {
		version, err := run(ctx, program, "version")
		if err != nil {
			return err
		}
		fmt.Printf("upgrade: %s is %s", filepath.Base(program), version)
	}
	return stages(ctx, dir, oldProgram, newProgram)
}

// lastVersion returns name and commit of the last version.
func lastVersion(from string) (name, commit string, err error) {
	if from != "" {
		return from, from, nil
	}
	text, err := os.ReadFile(lastFile)
	if err != nil {
		return "", "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return "", "", fmt.Errorf("%s does not hold a version and its commit: %q", lastFile, text)
	}
	return fields[0], fields[1], nil
}

// buildFrom builds the program of a commit.
func buildFrom(ctx context.Context, source, commit, program string) error {
	if err := os.MkdirAll(source, 0o700); err != nil {
		return err
	}
	archive := source + ".tar"
	if _, err := run(ctx, "git", "archive", "-o", archive, commit); err != nil {
		return err
	}
	if _, err := run(ctx, "tar", "-xf", archive, "-C", source); err != nil {
		return err
	}
	_, err := run(ctx, "go", "-C", source, "build", "-trimpath", "-buildvcs=false", "-o", program, ".")
	return err
}

// run runs a command, and returns what it wrote; its error has that, too.
func run(ctx context.Context, name string, arguments ...string) (string, error) {
	var out bytes.Buffer
	c := exec.CommandContext(ctx, name, arguments...)
	c.Stdout, c.Stderr, c.Env = &out, &out, environment()
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, out.String())
	}
	return out.String(), nil
}

// environment is that of this process without qkv's settings, which are meant for other members.
func environment() (kept []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "QKV_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
