package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// target is a system that a program is built for.
type target struct{ system, arch string }

// targets are all of them. Members run on Linux; on the others the program is a client.
var targets = []target{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// hostTarget is the target of a quick build, whose packages can be tried on most hosts of developers.
var hostTarget = targets[0]

// release is one build.
type release struct {
	root, out string
	built     string // a temporary folder: the parts of the packages that all targets share
	version   string
	commit    string
	home      map[string]string // the project's addresses, by their names in .ci/home
	moment    time.Time         // of every file
	images    []v1.Image
}

// versionLine is the version in the sources. Names of packages and images have it without the commit.
var versionLine = regexp.MustCompile(`(?m)^const release = "(\S+)"$`)

// newRelease empties the folder of the result. A folder with other files is refused.
func newRelease(root, out string) (*release, error) {
	text, err := os.ReadFile(filepath.Join(root, "cli", "form", "build.go"))
	if err != nil {
		return nil, err
	}
	found := versionLine.FindSubmatch(text)
	if found == nil {
		return nil, errors.New("cli/form/build.go has no line `const release = \"...\"`")
	}
	r := &release{root: root, out: out, version: string(found[1])}
	if r.home, err = homeOf(root, r.version); err != nil {
		return nil, err
	}
	if r.moment, err = momentOf(root); err != nil {
		return nil, err
	}
	if described, err := output(root, nil, "git", "describe", "--always", "--dirty", "--abbrev=12"); err == nil {
		r.commit = strings.TrimSpace(string(described))
	}
	if _, err := os.Stat(filepath.Join(out, sumsName)); err == nil {
		err = os.RemoveAll(out) // an earlier result
		if err != nil {
			return nil, err
		}
	}
	if left, _ := os.ReadDir(out); len(left) > 0 {
		return nil, fmt.Errorf("%s holds other files, such as %s: give another folder by -out", out, left[0].Name())
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	r.built, err = os.MkdirTemp("", "qkv-packages-*")
	return r, err
}

// homeOf returns the project's addresses. For a version that is no development version, all of them must be set.
func homeOf(root, version string) (home map[string]string, err error) {
	depth := "-check"
	if !strings.HasSuffix(version, "-dev") {
		depth = "-release"
	}
	if _, err := output(root, nil, "go", "run", "./.ci/home", depth); err != nil {
		return nil, fmt.Errorf("the addresses of the project are not ready for a package of %s: %w", version, err)
	}
	text, err := os.ReadFile(filepath.Join(root, ".ci", "home", "home.json"))
	if err == nil {
		err = json.Unmarshal(text, &home)
	}
	return home, err
}

// momentOf returns the time of the commit, or SOURCE_DATE_EPOCH.
func momentOf(root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		told, err := output(root, nil, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("the time of the commit is not known, and SOURCE_DATE_EPOCH is not set: %w", err)
		}
		text = strings.TrimSpace(string(told))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// output runs a command, and returns what it prints.
func output(dir string, environment []string, name string, arguments ...string) ([]byte, error) {
	cmd := exec.Command(name, arguments...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environment...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, &said)
	}
	return out, nil
}

// name returns the name of a target's program in the result.
func (r *release) name(t target) string {
	name := fmt.Sprintf("qkv-%s-%s-%s", r.version, t.system, t.arch)
	if t.system == "windows" {
		name += ".exe"
	}
	return name
}

func (r *release) path(t target) string { return filepath.Join(r.out, r.name(t)) }

// program builds a target's program and its SBOM.
func (r *release) program(t target) error {
	if err := r.compile(t, r.path(t)); err != nil {
		return err
	}
	return r.sbom(t)
}

// compile builds a target's program. The version of the repository is linked in as text: what Go records by itself depends on the folder.
func (r *release) compile(t target, to string) error {
	if to != os.DevNull {
		var err error
		if to, err = filepath.Abs(to); err != nil {
			return err
		}
	}
	_, err := output(r.root, []string{"GOOS=" + t.system, "GOARCH=" + t.arch, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0"},
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X "+r.home["module"]+"/cli/form.builtFrom="+r.commit, "-o", to, ".")
	return err
}

// documents lets the program write its manual page and its completions.
func (r *release) documents() error {
	program := r.path(hostTarget)
	if runtime.GOOS != hostTarget.system || runtime.GOARCH != hostTarget.arch {
		program = filepath.Join(r.built, "host")
		if err := r.compile(target{runtime.GOOS, runtime.GOARCH}, program); err != nil {
			return err
		}
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	for name, arguments := range map[string][]string{
		"qkv.1.gz": {"__man"}, "qkv.bash": {"completion", "bash"}, "qkv.zsh": {"completion", "zsh"}, "qkv.fish": {"completion", "fish"},
		"qkv.yaml": {"config", "example"},
	} {
		text, err := output(r.root, nil, program, arguments...)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".gz") {
			text = compressed(text)
		}
		if err := r.write(filepath.Join(r.built, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compressed returns a text as gzip, without a name and a time.
func compressed(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

func (r *release) write(name string, text []byte, mode fs.FileMode) error {
	if err := os.WriteFile(name, text, mode); err != nil {
		return err
	}
	return os.Chtimes(name, r.moment, r.moment)
}

// sumsName is the file with the checksums of a result.
const sumsName = "SHA256SUMS"

// sums writes the checksums.
func (r *release) sums() error {
	var list strings.Builder
	err := filepath.WalkDir(r.out, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(r.out, name)
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(content), filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return err
	}
	return r.write(filepath.Join(r.out, sumsName), []byte(list.String()), 0o644)
}
