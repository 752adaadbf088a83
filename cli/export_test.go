package cli

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/internal/limits"
	"qkv/net/server"
)

// exportedLine returns a line of an export without what another cluster has differently: revisions, and the time left of a lease.
func exportedLine(t *testing.T, text string) string {
	t.Helper()
	var k keys.ExportedKey
	must(t, json.Unmarshal([]byte(text), &k))
	p, err := k.Put()
	must(t, err)
	return fmt.Sprintf("%q=%q %x %v", p.Key, p.Value, p.Lease, p.Ttl > 0)
}

// TestRoundTrip: keys of any bytes come out of one cluster and into another one as they were, a second time too. With QKV_FULL=1 they are
// a million.
func TestRoundTrip(t *testing.T) {
	n := 3000
	if os.Getenv("QKV_FULL") != "" {
		n = 1_000_000
	}
	var lines strings.Builder
	for i := range n {
		text, value := fmt.Sprintf("key/%07d", i), fmt.Sprintf("value <%d>\n", i)
		switch i % 5 {
		case 0: // bytes that are no text
			key := base64.StdEncoding.EncodeToString([]byte(text + "\xff\x00"))
			fmt.Fprintf(&lines, `{"key_base64":%q,"value_base64":"AP8="}`+"\n", key)
		case 1:
			fmt.Fprintf(&lines, `{"key":%q,"value":""}`+"\n", text)
		case 2:
			fmt.Fprintf(&lines, `{"key":%q,"value":%q,"lease_hex":"%x","ttl":600}`+"\n", text, value, i%100+1)
		default:
			fmt.Fprintf(&lines, `{"key":%q,"value":%q}`+"\n", text, value)
		}
	}
	input := lines.String()
	var exports [2]string
	for i := range exports {
		b := newRig(t, nil)
		for range 2 {
			code, out, stderr := b.qkv(t, input, "import", "--timeout", "1m")
			if code != 0 || !strings.HasPrefix(out, fmt.Sprintf("imported %d keys, ", n)) || stderr != "" {
				t.Fatalf("%d %s %s", code, out, stderr)
			}
		}
		code, out, stderr := b.qkv(t, "", "export", "--timeout", "1m")
		if code != 0 || !strings.HasPrefix(stderr, fmt.Sprintf("exported %d keys at revision ", n)) {
			t.Fatalf("%d %s", code, stderr)
		}
		exports[i], input = out, out
	}
	one, two := bufio.NewScanner(strings.NewReader(exports[0])), bufio.NewScanner(strings.NewReader(exports[1]))
	count := 0
	for one.Scan() && two.Scan() {
		count++
		if a, b := exportedLine(t, one.Text()), exportedLine(t, two.Text()); a != b {
			t.Fatalf("line %d: %s, and then %s", count, a, b)
		}
	}
	if count != n || two.Scan() {
		t.Errorf("%d lines of %d", count, n)
	}
}

// TestImport: what of its input is stored, left out and refused.
func TestImport(t *testing.T) {
	b := newRig(t, nil)
	for _, tt := range []struct {
		input       string
		flags       string
		code        int
		out, stderr string
	}{
		{"", "", 0, "imported 0 keys, 0 leases granted\n", ""},
		{`{"key":"a","value":"1"}` + "\n" + `{"key":"a","value":"2"}`, "", 0, "imported 2 keys, 0 leases granted\n", ""}, // one key in two transactions
		{`{"key":"a","value":"1"}` + "\n" + `{"key":"b","value":"2"}`, "--skip 1", 0, "imported 1 keys, 0 leases granted\n", ""},
		{`{"key":"a","value":"1"}`, "--skip 9", 0, "imported 0 keys, 0 leases granted\n", ""},
		{`{"key":"gone","value":"1","lease_hex":"77"}`, "", 0, "imported 0 keys, 0 leases granted\n", "1 keys were left out: their lease has ended, or its line has no ttl\n"},
		{`{"key":"l","value":"1","lease":119,"ttl":60}` + "\n" + `{"key":"m","value":"1","lease_hex":"77"}`, "", 0, "imported 2 keys, 1 leases granted\n", ""},
		{`{"key":"","value":"1"}`, "", 2, "", "line 1: the key has 0 bytes"},
		{`{"key":"k","value":"1","value_base64":""}`, "", 2, "", "line 1: it needs value or value_base64, and not both"},
		{`{"key":"k","value":null}`, "", 2, "", "line 1: it needs value or value_base64, and not both"},
		{`{"key":"k","value_base64":"?"}`, "", 2, "", "line 1: value_base64: illegal base64"},
		{"{\"key\":\"k\xff\",\"value\":\"1\"}", "", 2, "", "line 1: it is not UTF-8"},
		{`{"key":"k","value":"1","lease_hex":"x"}`, "", 2, "", `"x" names no lease`},
		{`{"key":"k","value":"1","ttl":-1}`, "", 2, "", "ttl -1 is below zero"},
		{`{"key":"k",`, "", 2, "", "line 1: unexpected end of JSON input"},
		{`[{"Key":"consul","Value":"Mg=="},{"Key":"k"}]`, "", 2, "", "line 2: it needs value or value_base64"},
		{`[{"Key":"consul","Value":"Mg=="}`, "", 2, "", "line 2: EOF; `qkv import --skip 1`"},
		{`{"key":"` + strings.Repeat("k", limits.KeyBytes+1) + `","value":"1"}`, "", 2, "", "a key has 1 to"},
	} {
		code, out, stderr := b.qkv(t, tt.input, append([]string{"import"}, strings.Fields(tt.flags)...)...)
		if code != tt.code || out != tt.out || !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
			t.Errorf("%.80s %s:\n got %d %q %q\nwant %d %q %q", tt.input, tt.flags, code, out, stderr, tt.code, tt.out, tt.stderr)
		}
	}
	b.expect(t, 0, "2\n", "", "get", "a")
	b.expect(t, 0, "2\n", "", "get", "consul")
	b.expect(t, 3, "", "not found", "get", "gone")
}

// TestImportFits: members that take small requests get more transactions, and a value that fits none is named.
func TestImportFits(t *testing.T) {
	b := newRig(t, func(c *server.Config) { c.MaxRequestBytes = 4 << 10 })
	var input strings.Builder
	for i := range 9 {
		fmt.Fprintf(&input, `{"key":"k%d","value":%q}`+"\n", i, strings.Repeat("v", 1000))
	}
	if code, out, stderr := b.qkv(t, input.String(), "import"); code != 0 || out != "imported 9 keys, 0 leases granted\n" {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	large := fmt.Sprintf(`{"key":"large","value":%q}`, strings.Repeat("v", 5000))
	if code, _, stderr := b.qkv(t, large, "import"); code != form.ExitFailed || !strings.Contains(stderr, "lines 1 to 1: ") || !strings.Contains(stderr, "over the limit of 4096") {
		t.Errorf("%d %s", code, stderr)
	}
}
