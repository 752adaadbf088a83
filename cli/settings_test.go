package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/form/formtest"

	"github.com/urfave/cli/v2"

	"qkv/internal/settings"
	"qkv/node"
)

// configLine runs `qkv config` with arguments.
func configLine(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, messages bytes.Buffer
	code = run(t.Context(), append([]string{"qkv", "config"}, arguments...), strings.NewReader(""), &out, &messages)
	return code, out.String(), messages.String()
}

// The command line has priority over the environment, the environment over the file, and the file over the default.
func TestConfigPrecedence(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "name: of-file\nlisten: 127.0.0.1:1\nlisten-peer: 127.0.0.1:2\nquota-bytes: 3GiB\nfound: true\nlog-level: WARN\njoin: [a:1, b:2]\n")
	t.Setenv("QKV_LISTEN", "127.0.0.1:11")
	t.Setenv("QKV_LISTEN_PEER", "127.0.0.1:12")
	t.Setenv("QKV_FOUND", "false")
	s := settingsOf(t, file, "--listen-peer", "127.0.0.1:22", "--history-age=7h")
	for name, want := range map[string]string{
		"name": "of-file", "listen": "127.0.0.1:11", "listen-peer": "127.0.0.1:22", "quota-bytes": "3221225472", "found": "false", "log-level": "warn",
		"join": "a:1,b:2", "history-age": "7h0m0s", "election-timeout": "1s", "enable-pprof": "false", "certs-dir": "",
	} {
		if got := s.value(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
}

// The values of a file reach the member as those of the command line do.
func TestConfigOfTheMember(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "name: n1\ndata-dir: /data\ninitial-cluster: ['n1=127.0.0.1:2380', 'n2=127.0.0.1:4380']\nhistory-bytes: 64MiB\nhistory-age: 2h\naudit-log: a.jsonl\n")
	s := settingsOf(t, file)
	got, err := s.member(nil)
	formtest.Must(t, err)
	if got.Name != "n1" || got.DataDir != "/data" || len(got.InitialCluster) != 2 || got.InitialCluster[1] != (node.Founder{Name: "n2", Address: "127.0.0.1:4380"}) ||
		got.HistoryBytes != 64<<20 || got.HistoryAge != 2*time.Hour || got.AuditLog != "a.jsonl" || got.QuotaBytes != 2<<30 {
		t.Errorf("%+v", got)
	}
}

// settingsOf reads a file as a member with these flags does.
func settingsOf(t *testing.T, file string, flags ...string) *memberSettings {
	t.Helper()
	c := contextOf()
	c.App.Metadata = map[string]any{givenFlags: flags}
	s, err := readMemberSettings(c, file)
	formtest.Must(t, err)
	return s
}

// contextOf is the context of `qkv serve` without flags.
func contextOf() *cli.Context {
	c := cli.NewContext(cli.NewApp(), nil, nil)
	c.Command = serveCommand()
	return c
}

// Each fault of a file is reported with its line and the name that was probably meant, and nothing starts.
func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"lisen: a:1\nquota-byte: 1\n":                    "F:1: unknown setting \"lisen\": did you mean listen?\nF:2: unknown setting \"quota-byte\": did you mean quota-bytes?",
		"listen: [a:1]\n":                                "F:1: listen: this is a list: a text is needed, in quotes if it looks like something else",
		"history-age: 5 minutes\n":                       `F:1: history-age: "5 minutes": a time has a unit, as in 5s or 7d`,
		"quota-bytes: 2GB of\n":                          `F:1: quota-bytes: "2GB of": a size is a number of bytes, or has a unit, as in 512MiB`,
		"log-level: loud\nlog-format: JSON\n":            `F:1: log-level "loud" is not one of debug, info, warn, error`,
		"config: other.yaml\n":                           "F:1: config cannot stand in a file: it names the file itself",
		"name: n1\nquota-bytes: 5\n":                     "F:2: --quota-bytes 5: must be at least 1048576 bytes, or 0 for no quota",
		"heartbeat-interval: 1s\nelection-timeout: 2s\n": "F:2: --election-timeout 2s is below 5 times --heartbeat-interval 1s: one late heartbeat would start an election; raise the first or lower the second",
		"name: n1\nname: n2\n":                           `F:2: "name" is given twice: first in line 1`,
		"found: true\njoin: a:1\n":                       "F:1: --initial-cluster founds a cluster of several members, --found a cluster of this member alone, --join joins an existing cluster",
		"listen: 10.0.0.1:2379\n":                        "F:1: --listen 10.0.0.1:2379 is not on loopback",
		"name: &n n1\n":                                  "F:1: anchors and aliases (& and *) are not supported: write the value out",
	} {
		file := formtest.File(t, "qkv.yaml", text)
		want = strings.ReplaceAll(want, "F:", file+":")
		code, out, stderr := configLine(t, "check", file)
		if code != exitUsage || out != "" || !strings.HasPrefix(stderr, "qkv: "+want) {
			t.Errorf("%q: %d %s\n%s\nwant\n%s", text, code, out, stderr, want)
		}
		var checked struct{ Faults []settings.Fault }
		code, out, _ = configLine(t, "check", file, "-w", "json")
		if err := json.Unmarshal([]byte(out), &checked); err != nil || code != exitUsage || len(checked.Faults) != strings.Count(want, "\n")+1 ||
			!strings.HasPrefix(want, fmt.Sprintf("%s:%d: ", file, checked.Faults[0].Line)) && checked.Faults[0].Line > 0 {
			t.Errorf("%q: %d %s: %v", text, code, out, err)
		}
		var log bytes.Buffer
		if code := run(t.Context(), []string{"qkv", "serve", "--config", file, "--data-dir", filepath.Join(t.TempDir(), "none")}, strings.NewReader(""), &log, &log); code != exitUsage {
			t.Errorf("%q: serve ends with %d: %s", text, code, &log)
		}
	}
	file := formtest.File(t, "qkv.yaml", "name: n1\nfound: true\n")
	if code, out, stderr := configLine(t, "check", file); code != 0 || out != file+": OK, 2 settings\n" || stderr != "" {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	if code, out, _ := configLine(t, "check", file, "-w", "json"); code != 0 || out != fmt.Sprintf(`{"file":%q,"settings":2,"faults":[]}`, file)+"\n" {
		t.Errorf("%d %s", code, out)
	}
	if code, _, stderr := configLine(t, "check", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage || !strings.Contains(stderr, "no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}

// A value that the command line overrides is checked all the same, and does not count.
func TestConfigChecksWhatIsOverridden(t *testing.T) {
	t.Setenv("QKV_QUOTA_BYTES", "5MiB")
	file := formtest.File(t, "qkv.yaml", "quota-bytes: 2 miles\n")
	if code, _, stderr := configLine(t, "check", file); code != exitUsage || !strings.Contains(stderr, `:1: quota-bytes: "2 miles"`) {
		t.Errorf("%d %s", code, stderr)
	}
}

// The example has each setting. With its comment signs removed, it is a file of settings, and its defaults are those of the flags.
func TestConfigExample(t *testing.T) {
	code, example, _ := configLine(t, "example")
	if read, err := settings.Read("example", strings.NewReader(example), settingsTable(memberFlags())); code != 0 || err != nil || len(read) > 0 {
		t.Errorf("as it is: %d, %v, %v", code, read, err)
	}
	active := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(example, "$1")
	read, err := settings.Read("example", strings.NewReader(active), settingsTable(memberFlags()))
	if err != nil || len(read) != len(visible(memberFlags())) {
		t.Errorf("%d settings of %d: %v\n%s", len(read), len(visible(memberFlags())), err, active)
	}
	for _, one := range read {
		flags := memberFlags()
		at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), one.Name) })
		if at < 0 {
			t.Fatalf("%s is no flag", one.Name)
		}
		if _, err := parseSize(one.Value); settingKind(flags[at]) == settings.Size && err != nil {
			t.Errorf("%s: %v", one.Name, err)
		}
	}
	page := pageText(t, "docs/config.md")
	if !strings.Contains(page, "```yaml\n"+example+"```\n") {
		t.Errorf("docs/config.md does not have the output of `qkv config example`:\n%s", example)
	}
	for line := range strings.Lines(example) {
		if len(line) > exampleWidth+1 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
}

// A reload takes what can be changed, names what cannot, and changes nothing if any part is refused.
func TestConfigReload(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "history-age: 1h\nlisten: 127.0.0.1:1\n")
	var log bytes.Buffer
	r := &reloading{started: settingsOf(t, file), level: levelOf(contextOf()), logger: slog.New(slog.NewTextHandler(&log, nil))}
	var got []node.Settings
	take := func(s node.Settings) error {
		got = append(got, s)
		return nil
	}
	reload := func(text string, change func(node.Settings) error) string {
		t.Helper()
		formtest.Must(t, os.WriteFile(file, []byte(text), 0o600))
		log.Reset()
		r.reload(change)
		return log.String()
	}
	said := reload("history-age: 2h\nquota-bytes: 3MiB\nlog-level: debug\nlisten: 127.0.0.1:2\nname: n2\n", take)
	want := node.Settings{QuotaBytes: 3 << 20, HistoryBytes: node.HistoryAuto, HistoryAge: 2 * time.Hour}
	if len(got) != 1 || got[0] != want || r.level.Level() != slog.LevelDebug {
		t.Errorf("%+v, not %+v; level %v", got, want, r.level)
	}
	if !strings.Contains(said, `changed="history-age, quota-bytes, log-level"`) || !strings.Contains(said, `need a restart of this member" settings="name, listen"`) {
		t.Errorf("%s", said)
	}
	for _, bad := range []string{"history-age: 3h\nlog-level: loud\n", "history-age: 3h\nnome: n1\n", "history-age: 3h\nquota-bytes: 5\n", "history-age: [\n"} {
		if said := reload(bad, take); len(got) != 1 || r.level.Level() != slog.LevelDebug || !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "the settings stay as they are") {
			t.Errorf("%q: %+v %s", bad, got, said)
		}
	}
	refused := errors.New("refused by the member")
	if said := reload("log-level: warn\n", func(node.Settings) error { return refused }); r.level.Level() != slog.LevelDebug || !strings.Contains(said, refused.Error()) {
		t.Errorf("%s", said)
	}
	if said := reload("listen: 127.0.0.1:1\n", take); r.level.Level() != slog.LevelInfo || !strings.Contains(said, `changed="history-age, quota-bytes, log-level"`) || strings.Contains(said, "restart") {
		t.Errorf("back to the defaults: %s", said)
	}
	formtest.Must(t, os.Remove(file))
	log.Reset()
	r.reload(take)
	if !strings.Contains(log.String(), "no such file") || len(got) != 2 {
		t.Errorf("without the file: %s", &log)
	}
}
