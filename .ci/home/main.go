// Command home writes the addresses of this project into the files that name them. The addresses are in .ci/home/home.json:
//
//	module          the path of the Go module, as in go.mod
//	repository      the URL of the repository
//	image           the name of the image in its registry, without a tag
//	security        the mail address for reports of vulnerabilities, and of the packages' maintainers
//	documentation   the URL of the folder with the pages of docs
//
// An address at example.invalid is not set yet, and neither is a module path without a host. Run it in the root folder of the repository:
//
//	go run ./.ci/home                         write the addresses into the files of the table places; `make home`
//	go run ./.ci/home -check                  fail if a file has another address; `make lint`
//	go run ./.ci/home -release                fail also if an address is not set; `make packages` for a release
//	go run ./.ci/home -path HOST/OWNER/qkv    rename the module; `make path`
//
// .ci/packages reads the file itself, and adds the addresses to the packages, the images and the SBOMs.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// homeFile has the addresses.
const homeFile = ".ci/home/home.json"

// names are the names of the addresses.
var names = []string{"documentation", "image", "module", "repository", "security"}

// places are the files that name an address: the only group of a pattern is the address.
var places = []struct{ file, pattern, name string }{
	{"go.mod", `(?m)^module (\S+)$`, "module"},
	{"SECURITY.md", `(?m)^Write to <(\S+)>`, "security"},
	{"SECURITY.md", `private reporting of\s+<(\S+)>`, "repository"},
	{"deploy/Dockerfile", `image\.source=(\S+)`, "repository"},
	{"deploy/Dockerfile", `image\.documentation=(\S+)`, "documentation"},
	{"deploy/kubernetes/statefulset.yaml", ` image: (\S+):`, "image"},
	{"deploy/package/qkv.service", `(?m)^Documentation=.* (https:\S+)/packages\.md$`, "documentation"},
	{"docs/README.md", `at <(\S+)>`, "documentation"},
	{"docs/packages.md", ` (\S+):[0-9.]+ serve\n`, "image"},
}

func main() {
	check := flag.Bool("check", false, "fail if a file has another address")
	release := flag.Bool("release", false, "fail also if an address is not set")
	path := flag.String("path", "", "rename the module to this `path`")
	flag.Parse()
	var err error
	switch {
	case *check || *release:
		err = agrees(".", *release)
	case slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-path") }):
		err = renameHere(*path)
	default:
		err = write(".")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "home:", err)
		os.Exit(1)
	}
}

// load reads the addresses.
func load(root string) (home map[string]string, err error) {
	text, err := os.ReadFile(filepath.Join(root, homeFile))
	if err == nil {
		err = json.Unmarshal(text, &home)
	}
	if err == nil && !slices.Equal(slices.Sorted(maps.Keys(home)), names) {
		err = fmt.Errorf("it has other names than %s", strings.Join(names, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", homeFile, err)
	}
	return home, nil
}

// save writes the addresses into their file.
func save(root string, home map[string]string) error {
	text, err := json.MarshalIndent(home, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, homeFile), append(text, '\n'), 0o644)
}

// filled returns the text of each place's file with the addresses in it.
func filled(root string, home map[string]string) (texts map[string]string, err error) {
	texts = map[string]string{}
	for _, p := range places {
		if _, read := texts[p.file]; !read {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p.file)))
			if err != nil {
				return nil, err
			}
			texts[p.file] = string(text)
		}
		at := regexp.MustCompile(p.pattern).FindAllStringSubmatchIndex(texts[p.file], -1)
		if len(at) != 1 {
			return nil, fmt.Errorf("%s has %d places for the %s, not one: they match %s", p.file, len(at), p.name, p.pattern)
		}
		texts[p.file] = texts[p.file][:at[0][2]] + home[p.name] + texts[p.file][at[0][3]:]
	}
	return texts, nil
}

// write writes the addresses into the files. The module's path is not one of them: only a renaming changes all of its places.
func write(root string) error {
	home, err := load(root)
	if err != nil {
		return err
	}
	if home["module"], err = moduleOf(root); err != nil {
		return err
	}
	texts, err := filled(root, home)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if err == nil {
			err = os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(texts[name]), 0o644)
		}
	}
	return err
}

// agrees fails if a file has another address than the home file. For a release, it also fails if an address is not set, or if the module
// replaces another, which its importers would not.
func agrees(root string, release bool) error {
	home, err := load(root)
	if err != nil {
		return err
	}
	texts, err := filled(root, home)
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name))); err != nil || string(text) != texts[name] {
			problems = append(problems, errors.Join(err, fmt.Errorf("%s has another address than %s: run `make home`, or `make path` for the module", name, homeFile)))
		}
	}
	if strings.Contains("\n"+texts["go.mod"], "\nreplace ") {
		problems = append(problems, errors.New("go.mod has a replace, which programs that import the module ignore: require a version that is published"))
	}
	for _, name := range names {
		if release && !isSet(name, home[name]) {
			problems = append(problems, fmt.Errorf("the %s is %q, which is not set: edit %s, or use `make path` for the module", name, home[name], homeFile))
		}
	}
	return errors.Join(problems...)
}

// isSet reports whether the owner has set an address.
func isSet(name, address string) bool {
	return address != "" && !strings.Contains(address, "example.invalid") && (name != "module" || modulePath.MatchString(address))
}
