package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// dist is the quick result that all tests look at, and built the release that it comes from.
var (
	dist  string
	built *release
)

// isolated is set in the environment of the process that runs the tests in a mount namespace of its own.
const isolated = "QKV_TEST_ISOLATED"

// TestMain builds the quick result. As root it runs the tests in a mount namespace of its own, so that no mount outlives them.
func TestMain(m *testing.M) {
	if os.Getenv(isolated) == "" && os.Geteuid() == 0 {
		again := exec.Command("/proc/self/exe", os.Args[1:]...)
		again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
		again.Env = append(os.Environ(), isolated+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		err := again.Run()
		var ended *exec.ExitError
		switch {
		case errors.As(err, &ended):
			os.Exit(ended.ExitCode())
		case err == nil:
			os.Exit(0)
		}
		fmt.Println("no mount namespace here:", err)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "qkv-dist-*")
	if err == nil {
		defer os.RemoveAll(folder)
		dist = filepath.Join(folder, "dist")
		err = packages("../..", dist, true)
	}
	if err == nil {
		built, err = newRelease("../..", filepath.Join(folder, "again"))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(built.built)
	return m.Run()
}

// file returns the path of the one file of the result that matches.
func distFile(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d files match %s: %v %v", len(found), pattern, found, err)
	}
	return found[0]
}

// run runs a command, which must succeed, and returns what it prints.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	out, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// needs skips a test, by its name and the tool's, where a tool is missing.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
}

// TestSums: the list of checksums has every file of the result, and each sum is right.
func TestSums(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(dist, sumsName))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(content)); sum != want {
			t.Errorf("%s has the sum %s, and the list says %s", name, want, sum)
		}
		listed = append(listed, name)
	}
	_ = filepath.WalkDir(dist, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dist, path)
		if !d.IsDir() && name != sumsName && !slices.Contains(listed, name) {
			t.Errorf("%s is not in the list", name)
		}
		return err
	})
	for _, want := range []string{"qkv-*-linux-amd64", "qkv_*_amd64.deb", "qkv-*.x86_64.rpm", "*-linux-amd64.image.tar", "*-linux-amd64.cdx.json", "image/index.json"} {
		distFile(t, want)
	}
}

// TestSBOM: the SBOM has exactly the modules that Go has recorded in the program, each with its version.
func TestSBOM(t *testing.T) {
	program := distFile(t, "qkv-*-linux-amd64")
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range info.Deps {
		want = append(want, m.Path+" "+m.Version)
	}
	want = append(want, "std "+info.GoVersion)
	text, err := os.ReadFile(program + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	var got []string
	licensed := 0
	for _, c := range *bom.Components {
		got = append(got, c.Name+" "+c.Version)
		if c.Evidence != nil && c.Evidence.Licenses != nil || c.Licenses != nil {
			licensed++
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the SBOM has %q, and the program %q", got, want)
	}
	if licensed < len(got)*3/4 {
		t.Errorf("%d of %d modules have a licence", licensed, len(got))
	}
	if m := bom.Metadata; m.Component.Name != built.home["module"] || m.Component.Version != "v"+built.version {
		t.Errorf("the SBOM is of %s %s", m.Component.Name, m.Component.Version)
	}
	t.Logf("%d modules, %d with a licence", len(got), licensed)
}

// TestSameBytes: the sources in another folder give the same program, and the same program gives the same packages and images.
func TestSameBytes(t *testing.T) {
	copied := t.TempDir()
	run(t, "sh", "-c", "cd ../.. && tar cf - --exclude=./dist --exclude=./.git . | tar xf - -C "+copied)
	again := *built
	again.root, again.out = copied, filepath.Join(t.TempDir(), "again")
	if err := os.Mkdir(again.out, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return again.program(hostTarget) }, again.documents, func() error { return again.linuxPackages(hostTarget) },
		func() error { return again.image(hostTarget) }, again.layout, again.sums,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	first, err := os.ReadFile(filepath.Join(dist, sumsName))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(again.out, sumsName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("first:\n%sthen:\n%s", first, second)
	}
}

// TestHome: the packages name the project's addresses. A release is refused while one of them is not set, and a development version is not.
func TestHome(t *testing.T) {
	needs(t, "dpkg-deb")
	want := "Homepage: " + built.home["repository"] + "\nMaintainer: The qkv maintainers <" + built.home["security"] + ">\n"
	if got := run(t, "dpkg-deb", "--field", distFile(t, "*.deb"), "Homepage", "Maintainer"); got != want {
		t.Errorf("the deb has %s", got)
	}
	oci, _ := images(t)
	config, err := oci.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"source": "repository", "documentation": "documentation"} {
		if got := config.Config.Labels["org.opencontainers.image."+name]; got == "" || got != built.home[want] {
			t.Errorf("the image's %s is %q", name, got)
		}
	}
	copied := t.TempDir()
	run(t, "sh", "-c", "cd ../.. && tar cf - --exclude=./dist --exclude=./.git . | tar xf - -C "+copied)
	home := filepath.Join(copied, ".ci", "home", "home.json")
	text, err := os.ReadFile(home)
	if err == nil {
		err = os.WriteFile(home, bytes.ReplaceAll(text, []byte(built.home["security"]), []byte("security@example.invalid")), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, "sh", "-c", "cd "+copied+" && go run ./.ci/home")
	if _, err := homeOf(copied, "0.3.0"); err == nil || !strings.Contains(err.Error(), `the security is "security@example.invalid", which is not set`) {
		t.Errorf("a release without a security contact: %v", err)
	}
	if _, err := homeOf(copied, "0.3.0-dev"); err != nil {
		t.Error(err)
	}
}

// TestFolderOfOthers: a folder with other files is not emptied.
func TestFolderOfOthers(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "thesis.txt")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := packages("../..", folder, true); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

// TestRPM reads the rpm by rpm itself.
func TestRPM(t *testing.T) {
	needs(t, "rpm")
	file := distFile(t, "*.x86_64.rpm")
	content := run(t, "rpm", "-qplv", "--nosignature", file)
	for _, want := range []string{"/usr/bin/qkv", "/usr/lib/systemd/system/qkv.service", "/usr/share/man/man1/qkv.1.gz", "/usr/share/zsh/site-functions/_qkv", "/usr/share/licenses/qkv/LICENSE"} {
		if !strings.Contains(content, want) {
			t.Errorf("the rpm lacks %s:\n%s", want, content)
		}
	}
	if got := run(t, "rpm", "-qpc", "--nosignature", file); got != "/etc/qkv/qkv.env\n/etc/qkv/qkv.yaml\n" {
		t.Errorf("its configuration is %q", got)
	}
	if got := run(t, "rpm", "-qp", "--nosignature", "--requires", "--scripts", file); !strings.Contains(got, "shadow-utils") || !strings.Contains(got, "useradd --system") {
		t.Errorf("its needs and scripts are %s", got)
	}
}

// eventually waits until a check passes.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
