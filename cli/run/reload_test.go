package run

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/form/formtest"
	"qkv/node"
)

// Days are a unit of the settings of a member.
func TestDaysInSettings(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "history-age: 3d\n")
	if got := settingsOf(t, file).Duration("history-age"); got != 72*time.Hour {
		t.Errorf("by the file: %v", got)
	}
	if got := settingsOf(t, file, "--history-age", "2d").Duration("history-age"); got != 48*time.Hour {
		t.Errorf("by the flag: %v", got)
	}
	t.Setenv("QKV_HISTORY_AGE", "2d12h")
	if got := settingsOf(t, file).Duration("history-age"); got != 60*time.Hour {
		t.Errorf("by the variable: %v", got)
	}
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
	c.App.Metadata = map[string]any{form.GivenFlags: flags}
	s, err := readMemberSettings(c, file)
	formtest.Must(t, err)
	return s
}

// contextOf is the context of `qkv serve` without flags.
func contextOf() *cli.Context {
	c := cli.NewContext(cli.NewApp(), nil, nil)
	c.Command = &cli.Command{Flags: form.Flags("serve", words()...)}
	return c
}

// A reload takes what can be changed, names what cannot, and changes nothing if any part is refused.
func TestConfigReload(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "history-age: 1h\nlisten: 127.0.0.1:1\n")
	var log bytes.Buffer
	r := &reloading{started: settingsOf(t, file), level: form.LevelOf(contextOf()), logger: slog.New(slog.NewTextHandler(&log, nil))}
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

// A size in a file has units, too.
func TestSizesInAFile(t *testing.T) {
	for _, f := range MemberFlags() {
		name := f.Names()[0]
		if generic, is := f.(*cli.GenericFlag); !is {
			continue
		} else if _, is := generic.Value.(*form.Size); !is {
			continue
		}
		if got := settingsOf(t, formtest.File(t, "qkv.yaml", name+": 8MiB\n")).value(name); got != "8388608" {
			t.Errorf("%s: 8MiB in a file: %s", name, got)
		}
	}
}
