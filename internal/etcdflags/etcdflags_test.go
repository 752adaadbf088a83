package etcdflags

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestLines reads lines as they stand in testdata/lines.txt: `file` is --config-file's content from there on, ETCD_ words are
// variables, and all others are the line. What is printed is what differs from an empty line, the notes, and the error with the
// exit code. Its refusals are compared with etcd's own in net/etcd/compat.
func TestLines(t *testing.T) {
	content := ""
	datadriven.RunTest(t, "testdata/lines.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "file":
			content = d.Input
			return ""
		case "line":
			var words, environment []string
			for word := range strings.FieldsSeq(d.Input) {
				if strings.HasPrefix(word, "ETCD_") {
					environment = append(environment, word)
				} else {
					words = append(words, word)
				}
			}
			c, err := Parse(words, environment, func(name string) ([]byte, error) {
				if name != "etcd.yml" {
					return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
				}
				return []byte(content), nil
			})
			if err == nil {
				c.Resolve("10.1.2.3")
				err = cmp.Or(c.Fault, c.CheckBootstrap())
			}
			return describe(t, c, err)
		}
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
		return ""
	})
}

// describe prints a configuration and what was wrong with it.
func describe(t *testing.T, c *Config, err error) string {
	var b strings.Builder
	var syntax *SyntaxError
	switch {
	case errors.As(err, &syntax):
		fmt.Fprintf(&b, "exit 2: %v\n", err)
	case errors.Is(err, ErrHelp), errors.Is(err, ErrVersion):
		return err.Error() + "\n"
	case err != nil:
		fmt.Fprintf(&b, "exit 1: %v\n", err)
	default:
		usual, bad := Parse(nil, nil, nil)
		if bad != nil {
			t.Fatal(bad)
		}
		usual.Resolve("")
		all, plain := reflect.ValueOf(*c), reflect.ValueOf(*usual)
		for i := range all.NumField() {
			name := all.Type().Field(i).Name
			if value := all.Field(i).Interface(); name != "Notes" && !reflect.DeepEqual(value, plain.Field(i).Interface()) {
				fmt.Fprintf(&b, "%s %+v\n", name, printable(value))
			}
		}
	}
	for _, n := range c.Notes {
		if strings.Contains(n.Text, "default name") || strings.Contains(n.Text, "using default") {
			continue
		}
		fmt.Fprintf(&b, "%s: %s", map[bool]string{true: "warn", false: "info"}[n.Warn], n.Text)
		for i := 0; i < len(n.More); i += 2 {
			fmt.Fprintf(&b, "; %v %v", n.More[i], n.More[i+1])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func printable(value any) any {
	if members, ok := value.([]Member); ok {
		var all []string
		for _, m := range members {
			all = append(all, m.Name+" at "+m.URLs.String())
		}
		return strings.Join(all, ", ")
	}
	return value
}

// TestTable holds what the table must be: each flag once, with a reason where it does not apply, and a flag that is there in
// place of one that went.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range table {
		for _, s := range g.specs {
			switch {
			case seen[s.name]:
				t.Errorf("--%s is in the table twice", s.name)
			case s.now != "" && (specOf(s.now) == nil || s.use != removed):
				t.Errorf("--%s is called --%s now, which is none", s.name, s.now)
			case s.now == "" && s.usage == "":
				t.Errorf("--%s has no words", s.name)
			}
			seen[s.name] = true
		}
	}
}

// TestAppliedFlagsChangeSomething gives each flag that applies another value: one that nothing reads would show here.
func TestAppliedFlagsChangeSomething(t *testing.T) {
	other := map[kind]string{text: "x", onOff: "true", count: "70", count32: "70", whole64: "70", span: "70s", list: "x", urls: "http://10.9.9.9:99"}
	special := map[string]string{
		"bcrypt-cost":           "12",
		"initial-cluster-state": "existing", "auto-compaction-mode": "revision", "auto-compaction-retention": "5", "log-level": "debug",
		"log-format": "console", "tls-min-version": "TLS1.3", "tls-max-version": "TLS1.3", "initial-cluster": "default=http://10.9.9.9:99",
		"election-timeout": "700", "enable-grpc-gateway": "false",
	}
	for _, g := range table {
		for _, s := range g.specs {
			if s.use != applies {
				continue
			}
			value, ok := special[s.name]
			if !ok {
				value = other[s.kind]
			}
			words := []string{"--advertise-client-urls=http://a:1", "--auto-compaction-retention=7"}
			usual, err := Parse(words, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(append(words, "--"+s.name+"="+value), nil, nil)
			if err != nil {
				t.Errorf("--%s=%s: %v", s.name, value, err)
				continue
			}
			c.Notes, usual.Notes = nil, nil
			if reflect.DeepEqual(c, usual) {
				t.Errorf("--%s=%s changes nothing", s.name, value)
			}
		}
	}
}

// FuzzFile reads any file.
func FuzzFile(f *testing.F) {
	f.Add([]byte("name: a\nlog-outputs: [stderr]\npeer-transport-security: {cert-file: x, allowed-cn: [a]}\n"))
	f.Add([]byte(`{"heartbeat-interval": 100, "watch-progress-notify-interval": 5000000000}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Parse([]string{"--config-file", "x"}, nil, func(string) ([]byte, error) { return content, nil })
		if err == nil {
			c.Resolve("10.1.2.3")
			_ = c.CheckBootstrap()
		}
	})
}
