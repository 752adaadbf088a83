package line

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"qkv/net/etcd/compat/member"
)

func TestMain(m *testing.M) {
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

// refusal is a line of the list that is refused.
type refusal struct {
	words, environment []string
	file               string
	code               int
	text               string
}

// own are the words of refusals that are qkv's alone, or have other texts.
var own = []string{"is not supported", "is now called", "is below 0", "is needed", "neither YAML nor JSON", "invalid peer-transport-security"}

var verdict = regexp.MustCompile(`(?m)^exit (\d): (.*)$`)

// refusals reads the list of lines that qkv's own tests have.
func refusals(t *testing.T) (all []refusal) {
	t.Helper()
	content, err := os.ReadFile("../../../../internal/etcdflags/testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	file := ""
	for part := range strings.SplitSeq("\n"+string(content), "\n\n") {
		command, output, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n----")
		for strings.HasPrefix(command, "#") {
			_, command, _ = strings.Cut(command, "\n")
		}
		kind, rest, _ := strings.Cut(command, "\n")
		if kind == "file" {
			file = rest
		}
		said := verdict.FindStringSubmatch(output)
		if kind != "line" || said == nil {
			continue
		}
		r := refusal{file: file, code: int(said[1][0] - '0'), text: said[2]}
		for word := range strings.FieldsSeq(rest) {
			if strings.HasPrefix(word, "ETCD_") {
				r.environment = append(r.environment, word)
			} else {
				r.words = append(r.words, word)
			}
		}
		all = append(all, r)
	}
	return all
}

// TestRefusals gives etcd the lines that qkv refuses with etcd's texts.
func TestRefusals(t *testing.T) {
	program, compared := member.Program(t, member.Etcd), 0
	for _, r := range refusals(t) {
		mine := false
		for _, words := range own {
			mine = mine || strings.Contains(r.text, words)
		}
		if mine {
			continue
		}
		compared++
		t.Run(strings.Join(append(r.environment, r.words...), " "), func(t *testing.T) {
			t.Parallel()
			code, said := refused(t, program, r)
			if code != r.code || !strings.Contains(said, r.text) {
				t.Errorf("etcd ends with %d, and qkv with %d: %s\netcd says\n%s", code, r.code, r.text, said)
			}
		})
	}
	if compared < 40 {
		t.Errorf("%d lines were compared: the list is not read as it is written", compared)
	}
	t.Logf("%d refused lines compared", compared)
}

// refused runs a line that must be refused, and returns the exit code and all that was said, without the marks of JSON.
func refused(t *testing.T, program string, r refusal) (code int, said string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "etcd.yml"), []byte(r.file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words := r.words
	if all := strings.ToLower(strings.Join(append(r.environment, words...), " ")); !strings.Contains(all, "listen") && !strings.Contains(all, "config-file") {
		words = append([]string{"--listen-peer-urls=http://127.0.0.1:0", "--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://127.0.0.1:0"}, words...)
	}
	cmd := exec.CommandContext(ctx, program, words...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, r.environment...)
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			for _, name := range []string{"msg", "error", "environment-variable"} {
				if text, ok := fields[name].(string); ok {
					line += text + ": "
				}
			}
		}
		said += line
	}
	return cmd.ProcessState.ExitCode(), said
}
