package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers itself
)

// linuxPackages makes the deb and the rpm of a target.
func (r *release) linuxPackages(t target) error {
	for from, name := range map[string]string{r.path(t): "qkv", r.sbomPath(t): "qkv.cdx.json"} {
		to := filepath.Join(r.built, name)
		content, err := os.ReadFile(from)
		if err == nil {
			err = r.write(to, content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	for _, format := range []string{"deb", "rpm"} {
		if err := r.linuxPackage(t, format); err != nil {
			return fmt.Errorf("the %s of %s: %w", format, t.arch, err)
		}
	}
	return nil
}

func (r *release) linuxPackage(t target, format string) error {
	values := map[string]string{"VERSION": r.version, "ARCH": t.arch, "BUILT": r.built, "SECURITY": r.home["security"], "REPOSITORY": r.home["repository"]}
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(r.root, "deploy", "package", "nfpm.yaml"), func(name string) string { return values[name] })
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info.MTime = r.moment
	for _, c := range info.Contents { // their times are the commit's, whatever the checkout's are
		if !filepath.IsAbs(c.Source) {
			c.Source = filepath.Join(r.root, c.Source)
		}
		if c.FileInfo == nil {
			return fmt.Errorf("%s has no mode", c.Destination)
		}
		c.FileInfo.MTime = r.moment
	}
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = filepath.Join(r.root, *script)
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	var content bytes.Buffer
	if err := packager.Package(info, &content); err != nil {
		return err
	}
	return r.write(filepath.Join(r.out, packager.ConventionalFileName(info)), content.Bytes(), 0o644)
}
