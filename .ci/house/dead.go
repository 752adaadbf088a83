package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// api are the functions that the program does not call and that stay, each with its reason.
var api = map[string]string{
	"qkv/cli/local.Prefer":            "bench/lab gives its clients priority over the members with it",
	"qkv/net/client.Election.Guard":   "programs make transactions with it that only the leader may make",
	"qkv/net/client.Leader":           "programs that are no candidates ask with it for the leader",
	"qkv/net/client.LoadCredentials":  "programs load a folder of certificates with it",
	"qkv/net/client.LocalCredentials": "programs on a member's host use the local CA with it",
	"qkv/net/client.Mutex.Guard":      "programs make transactions with it that only the lock's holder may make",
	"qkv/snapshot.Reader.Name":        "tests of five packages give a snapshot to a receiver or a backup with it",
	"qkv/snapshot.Reader.ReadAt":      "tests of five packages give a snapshot to a receiver or a backup with it",
}

// dead prints the functions of the program's packages that the program cannot reach, and the exceptions that are none any more. Either
// is an error.
func dead() error {
	tool := exec.Command("go", "tool", "-modfile=.ci/tools/go.mod", "deadcode",
		"-f", `{{$in := .Path}}{{range .Funcs}}{{$in}}.{{.Name}} {{.Position}}{{"\n"}}{{end}}`, ".")
	tool.Stderr = os.Stderr
	out, err := tool.Output()
	if err != nil {
		return fmt.Errorf("deadcode: %w", err)
	}
	lines := judge(strings.Fields(string(out)), api)
	for _, line := range lines {
		fmt.Println(line)
	}
	if len(lines) > 0 {
		return fmt.Errorf("%d functions are dead, or are excepted without need", len(lines))
	}
	return nil
}

// judge compares unreachable functions, each followed by its position, with the functions that stay.
func judge(unreachable []string, stays map[string]string) (lines []string) {
	left := maps.Clone(stays)
	for f := range slices.Chunk(unreachable, 2) {
		if _, ok := left[f[0]]; !ok {
			lines = append(lines, fmt.Sprintf("%s: the program never calls %s: remove it, or move it to a test or to a package of test helpers", f[1], f[0]))
		}
		delete(left, f[0])
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lines = append(lines, fmt.Sprintf("the program calls %s: remove the exception from .ci/house/dead.go", name))
	}
	return lines
}
