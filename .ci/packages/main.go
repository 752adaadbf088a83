// Command packages builds what a release of qkv consists of, from Go modules alone: no packaging tool, no container daemon and no network
// besides the Go module proxy. Run it from this folder; `make packages` does.
//
//	go run .                 everything, into dist/ of the repository
//	go run . -quick          amd64 of Linux alone, and a build of the client for macOS and Windows that is thrown away
//	go run . -out FOLDER     into another folder
//
// The result, for the version V:
//
//	qkv-V-linux-amd64                     static programs: linux, darwin and windows, amd64 and arm64
//	qkv-V-linux-amd64.cdx.json            the modules in a program and their licences: a CycloneDX SBOM
//	qkv_V_amd64.deb, qkv-V-1.x86_64.rpm   packages, as deploy/package/nfpm.yaml describes them; for arm64, too
//	qkv-V-linux-amd64.image.tar           an image for `docker load`; for arm64, too
//	image/                                both images as one OCI layout
//	SHA256SUMS                            of all files, for sha256sum -c
//
// The same commit gives the same bytes on any host with the same version of Go: paths are trimmed, and every time is the commit's
// (or SOURCE_DATE_EPOCH).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "only amd64 of Linux, and whether the client builds for macOS and Windows")
	root := flag.String("root", "../..", "the `folder` of the repository")
	out := flag.String("out", "", "the `folder` of the result (default: dist in the repository)")
	flag.Parse()
	if *out == "" {
		*out = filepath.Join(*root, "dist")
	}
	if err := packages(*root, *out, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

// packages builds everything into an empty folder.
func packages(root, out string, quick bool) error {
	begun := time.Now()
	r, err := newRelease(root, out)
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.built)
	for _, t := range targets {
		switch {
		case !quick || t == hostTarget:
			err = r.program(t)
		case t.arch == "arm64" && t.system != "linux":
			err = r.compile(t, os.DevNull)
		}
		if err != nil {
			return err
		}
	}
	if err := r.documents(); err != nil {
		return err
	}
	for _, t := range targets {
		if t.system == "linux" && (!quick || t == hostTarget) {
			if err := errors.Join(r.linuxPackages(t), r.image(t)); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(r.layout(), r.sums()); err != nil {
		return err
	}
	fmt.Printf("packages: qkv %s in %s, %.0f s\n", r.version, out, time.Since(begun).Seconds())
	return nil
}
