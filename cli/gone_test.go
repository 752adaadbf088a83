package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// removed are commands, flags and words that 0.3.0 has no more, as regular expressions, each with the places that may name it: pages where
// it is etcd's, and what foreign.go answers to an old word. Another new row is written for each thing that goes.
var removed = []struct {
	name   string
	places []string
}{
	{`qkv alarm`, nil},
	{`alarm (list|disarm)`, []string{"docs/etcd.md", "old words"}},
	{`move-leader`, []string{"docs/from-etcd.md"}},
	{`qkv verify|op of verification`, nil},
	{`qkv top`, nil},
	{`qkv audit|audit-(strict|log-bytes|log-files)|alarm AUDIT`, nil},
	{`config show`, nil},
	{`upgrade check`, nil},
	{`(user|role) show`, nil},
	{`auth status`, nil},
	{`backup inspect`, nil},
	{`qkv backup (run|save)|qkv-backup\.service|QKV_SERVE_BACKUP`, nil},
	{`inspect (wal|snapshot|part|segment)`, nil},
	{`demo --(split|logs)`, nil},
	{`qkv bench (quick|gate|echo|kube|failover|vs-etcd)`, nil},
	{`bench (disk|run) [^` + "`" + `]*--(profile|warm-up|steps)|[Ee]mulate[sd]? (a )?disk`, nil},
	{`-w fields|--write-out fields`, nil},
	{`--(sort-by|order|min-mod-rev|max-mod-rev|min-create-rev|max-create-rev)`, []string{"docs/from-etcd.md"}},
	{`--ignore-(value|lease)`, nil},
	{`lease grant [^` + "`" + `]*--id`, nil},
	{`qkv txn -i|txn --interactive`, nil},
	{`--allow-empty`, nil},
	{`--bcrypt-cost`, []string{"docs/etcd.md", "CHANGELOG.md", "qkv etcd"}},
	{`auth-token-ttl`, []string{"docs/etcd.md", "qkv etcd"}},
	{`watch-progress-notify-interval`, []string{"docs/etcd.md", "qkv etcd"}},
	{`history-drop-after`, nil},
	{`segment-bytes|backup-every`, nil},
	{`--web\b`, nil},
	{`--listen-metrics-urls`, []string{"docs/etcd.md", "docs/monitoring.md", "qkv etcd"}},
	{`QKV_(DEL_PREFIX|WRITE_OUT|AUDIT_LOG_BYTES|AUDIT_LOG_FILES|BCRYPT_COST|AUTH_TOKEN_TTL|WEB)\b`, []string{"CHANGELOG.md"}},
	{`docs/kubernetes\.md`, nil},
}

// TestGone: no page, no help text, no answer to an old word, and no line about the newest version in the CHANGELOG names what went.
func TestGone(t *testing.T) {
	texts := map[string]string{"SECURITY.md": pageText(t, "SECURITY.md"), "CONTRIBUTING.md": pageText(t, "CONTRIBUTING.md")}
	for _, page := range docPages(t) {
		texts[page] = pageText(t, page)
	}
	texts["CHANGELOG.md"] = section(t, pageText(t, "CHANGELOG.md"), "## [")
	for _, answers := range []map[string]string{form.ForeignCommands, form.ForeignFlags} {
		for _, answer := range answers {
			texts["old words"] += answer + "\n"
		}
	}
	var visit func(path string, commands []*cli.Command)
	visit = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			path := path + " " + c.Name
			var help bytes.Buffer
			form.WriteHelp(&help, path, c)
			texts[path] = help.String()
			visit(path, c.Subcommands)
		}
	}
	visit("qkv", newApp().Commands)
	if len(texts) < 100 {
		t.Fatalf("only %d texts are read", len(texts))
	}
	for place, text := range texts {
		text = strings.Join(strings.Fields(text), " ") // a name may end a line
		for _, g := range removed {
			if found := regexp.MustCompile(g.name).FindString(text); found != "" && !slices.Contains(g.places, place) {
				t.Errorf("%s still names %q", place, found)
			}
		}
	}
}
