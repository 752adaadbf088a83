package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/form/formtest"
	"qkv/cli/run"
	"qkv/internal/settings"
)

// configLine runs `qkv config` with arguments.
func configLine(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, messages bytes.Buffer
	code = execute(t.Context(), append([]string{"qkv", "config"}, arguments...), strings.NewReader(""), &out, &messages)
	return code, out.String(), messages.String()
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
		if code != form.ExitUsage || out != "" || !strings.HasPrefix(stderr, "qkv: "+want) {
			t.Errorf("%q: %d %s\n%s\nwant\n%s", text, code, out, stderr, want)
		}
		var checked struct{ Faults []settings.Fault }
		code, out, _ = configLine(t, "check", file, "-w", "json")
		if err := json.Unmarshal([]byte(out), &checked); err != nil || code != form.ExitUsage || len(checked.Faults) != strings.Count(want, "\n")+1 ||
			!strings.HasPrefix(want, fmt.Sprintf("%s:%d: ", file, checked.Faults[0].Line)) && checked.Faults[0].Line > 0 {
			t.Errorf("%q: %d %s: %v", text, code, out, err)
		}
		var log bytes.Buffer
		if code := execute(t.Context(), []string{"qkv", "serve", "--config", file, "--data-dir", filepath.Join(t.TempDir(), "none")}, strings.NewReader(""), &log, &log); code != form.ExitUsage {
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
	if code, _, stderr := configLine(t, "check", filepath.Join(t.TempDir(), "none.yaml")); code != form.ExitUsage || !strings.Contains(stderr, "no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}

// A value that the command line overrides is checked all the same, and does not count.
func TestConfigChecksWhatIsOverridden(t *testing.T) {
	t.Setenv("QKV_QUOTA_BYTES", "5MiB")
	file := formtest.File(t, "qkv.yaml", "quota-bytes: 2 miles\n")
	if code, _, stderr := configLine(t, "check", file); code != form.ExitUsage || !strings.Contains(stderr, `:1: quota-bytes: "2 miles"`) {
		t.Errorf("%d %s", code, stderr)
	}
}

// The example has each setting. With its comment signs removed, it is a file of settings, and its defaults are those of the flags.
func TestConfigExample(t *testing.T) {
	code, example, _ := configLine(t, "example")
	if read, err := settings.Read("example", strings.NewReader(example), form.SettingsTable(run.MemberFlags())); code != 0 || err != nil || len(read) > 0 {
		t.Errorf("as it is: %d, %v, %v", code, read, err)
	}
	active := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(example, "$1")
	read, err := settings.Read("example", strings.NewReader(active), form.SettingsTable(run.MemberFlags()))
	if err != nil || len(read) != len(form.Visible(run.MemberFlags())) {
		t.Errorf("%d settings of %d: %v\n%s", len(read), len(form.Visible(run.MemberFlags())), err, active)
	}
	for _, one := range read {
		flags := run.MemberFlags()
		at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), one.Name) })
		if at < 0 {
			t.Fatalf("%s is no flag", one.Name)
		}
		if _, err := form.ParseSize(one.Value); form.SettingKind(flags[at]) == settings.Size && err != nil {
			t.Errorf("%s: %v", one.Name, err)
		}
	}
	page := pageText(t, "docs/config.md")
	if !strings.Contains(page, "```yaml\n"+example+"```\n") {
		t.Errorf("docs/config.md does not have the output of `qkv config example`:\n%s", example)
	}
	for line := range strings.Lines(example) {
		if len(line) > run.ExampleWidth+1 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
}
