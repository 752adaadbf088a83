package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
)

// profileRig is a member, and a home with a file of profiles, in which FOLDER stands for the folder of the certificates and MEMBER for the
// endpoint.
func profileRig(t *testing.T, text string) (b *rig, home string) {
	t.Helper()
	b = newRig(t, nil)
	home = t.TempDir()
	text = strings.NewReplacer("MEMBER", b.flags[1], "FOLDER", b.trust.Dir).Replace(text)
	must(t, os.WriteFile(filepath.Join(home, form.ProfilesFile), []byte(text), 0o600))
	b.flags = []string{"--home", home}
	return b, home
}

// A profile has the flags for one cluster. The default one is used unless endpoints are given, and flags have priority.
func TestProfiles(t *testing.T) {
	b, home := profileRig(t, `
default: here
profiles:
  here: {endpoints: [MEMBER], certs-dir: FOLDER}
  nowhere: {endpoints: ['127.0.0.1:1'], certs-dir: FOLDER, timeout: 1s}
  bare: {endpoints: MEMBER}
`)
	member := strings.Fields(readText(t, filepath.Join(home, form.ProfilesFile)))
	endpoint := strings.Trim(member[slices.Index(member, "{endpoints:")+1], "[],")
	b.expect(t, 0, "OK\n", "", "put", "greeting", "hello")
	b.expect(t, 0, "hello\n", "", "get", "greeting", "--profile", "here")
	b.expect(t, form.ExitUnavailable, "", "the endpoints come from the profile nowhere in "+filepath.Join(home, form.ProfilesFile), "get", "greeting", "--profile", "nowhere")
	b.expect(t, 0, "hello\n", "", "get", "greeting", "--profile", "nowhere", "--endpoints", endpoint)
	b.expect(t, form.ExitUnavailable, "", "the endpoints come from --endpoints or QKV_ENDPOINTS", "get", "greeting", "--endpoints", "127.0.0.1:1", "--timeout", "1s")
	b.expect(t, form.ExitUsage, "", "--profile ther: there is no such profile in "+filepath.Join(home, form.ProfilesFile)+": it has bare, here, nowhere", "get", "greeting", "--profile", "ther")
	t.Setenv("QKV_PROFILE", "nowhere")
	b.expect(t, form.ExitUnavailable, "", "the profile nowhere", "get", "greeting", "--timeout", "1s")
	b.expect(t, 0, "hello\n", "", "get", "greeting", "--profile", "here")
	t.Setenv("QKV_PROFILE", "")
	t.Setenv("QKV_ENDPOINTS", endpoint) // then the default does not count, nor do its certificates
	b.expect(t, form.ExitNotAllowed, "", "signed by another CA", "get", "greeting", "--timeout", "1s")
}

func readText(t *testing.T, name string) string {
	t.Helper()
	return string(readFile(t, name))
}

// Faults of the file are reported with their lines, and a file never holds a password.
func TestProfileFaults(t *testing.T) {
	for text, want := range map[string]string{
		"profiles:\n  a: {endpoint: x}\n":                             `profiles.yaml:2: unknown setting "endpoint": did you mean endpoints?`,
		"profiles:\n  a: {listen: x}\n":                               `profiles.yaml:2: unknown setting "listen"`,
		"profiles:\n  a: {timeout: 5}\n":                              `profiles.yaml:2: timeout: "5" is a whole number: a time has a unit, as in 5s or 7d`,
		"default: a\nprofiles:\n  a: {timeout: soon}\n":               `profiles.yaml:3: timeout: "soon": a time has a unit, as in 5s or 7d`,
		"profiles:\n  a: {}\n  b: {user: 'ci:secret'}\n":              "profiles.yaml:3: the profile b has a password: a file of profiles holds no secrets; give user: ci and user-password-file: FILE",
		"default: b\nprofiles:\n  a: {}\n":                            `profiles.yaml:1: the default "b" is none of the profiles: a`,
		"default: a\nprofiles:\n  a: {client: ann}\n":                 "--client ann needs --certs-dir",
		"default: a\nprofiles:\n  a: {endpoints: ['http://a:1']}\n":   "leave http:// away",
		"default: a\nprofiles:\n  a: {user: ci, certs-dir: FOLDER}\n": "--user ci needs a password",
	} {
		b, home := profileRig(t, text)
		b.flags = []string{"--home", home}
		code, out, stderr := b.qkv(t, "", "get", "greeting")
		if code != form.ExitUsage || out != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "secret;") {
			t.Errorf("%q: %d %s%s, want %s", text, code, out, stderr, want)
		}
	}
}

// What belongs to a certificate or user of the profile does not count for another one.
func TestProfileOfAnotherUser(t *testing.T) {
	b, home := profileRig(t, "default: a\nprofiles:\n  a: {endpoints: [MEMBER], certs-dir: FOLDER, client: ann, user: ci, user-password-file: none}\n")
	b.expect(t, form.ExitUsage, "", "none: no such file", "get", "greeting")
	b.expect(t, form.ExitUsage, "", "--user other needs a password", "get", "greeting", "--user", "other")
	b.expect(t, form.ExitUsage, "", "client-ann", "get", "greeting", "--user", "ci:password")
	if _, _, stderr := b.qkv(t, "", "get", "greeting", "--user", "ci:password", "--certs-dir", b.trust.Dir); strings.Contains(stderr, "client-ann") {
		t.Errorf("the profile's client counts for other certificates: %s", stderr)
	}
	must(t, os.Remove(filepath.Join(home, form.ProfilesFile)))
	b.expect(t, form.ExitUsage, "", "--profile a: there is no such profile in "+filepath.Join(home, form.ProfilesFile)+": it has none", "get", "greeting", "--profile", "a")
}
