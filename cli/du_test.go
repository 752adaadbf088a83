package cli

import (
	"strings"
	"testing"

	"qkv/cli/form"
)

// TestDuOnATerminal: a person sees sizes with units, and prefixes do not command the terminal. A program gets exact numbers, and
// prefixes that are not text in base64.
func TestDuOnATerminal(t *testing.T) {
	b := newRig(t, nil)
	b.expect(t, 0, "OK\n", "", "put", "large/k", strings.Repeat("v", 5000))
	b.expect(t, 0, "OK\n", "", "put", "\x1b[2J\xff/k", "v")
	code, seen := b.onTerminal(t, 100, "du")
	if want := `PREFIX          KEYS    BYTES  VERSIONS  HISTORY  LEASED  CHANGES
large/             1  4.9 KiB         0      0 B       0        1
"\x1b[2J\xff/"     1      8 B         0      0 B       0        1
total              2  4.9 KiB         0      0 B       0        2
revision 3, changes of the last minute
`; code != form.ExitOK || seen != want {
		t.Errorf("exit code %d\n%s\nwant\n%s", code, seen, want)
	}
	const numbers = `"history_versions":0,"history_bytes":0,"leased_keys":0,"changes":`
	b.expect(t, 0, `{"revision":3,"changes_period_s":60,"groups":[`+
		`{"prefix":"large/","direct":false,"keys":1,"bytes":5007,`+numbers+`1},`+
		`{"prefix_base64":"G1sySv8v","direct":false,"keys":1,"bytes":8,`+numbers+`1}],"total":{"keys":2,"bytes":5015,`+numbers+"2}}\n", "", "du", "-w", "json")
}
