package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// images returns the image of the OCI layout, and the one for `docker load`.
func images(t *testing.T) (oci, docker v1.Image) {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(filepath.Join(dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := outer.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("the layout has %+v, %v", list, err)
	}
	index, err := outer.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	platforms, err := index.IndexManifest()
	if err != nil || len(platforms.Manifests) != 1 || platforms.Manifests[0].Platform.String() != "linux/amd64" {
		t.Fatalf("the image is for %+v, %v", platforms, err)
	}
	if oci, err = index.Image(platforms.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	if docker, err = tarball.ImageFromPath(distFile(t, "*-linux-amd64.image.tar"), nil); err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(docker); err != nil {
		t.Error(err)
	}
	return oci, docker
}

// extract unpacks an image into a folder.
func extract(t *testing.T, image v1.Image) (dir string) {
	t.Helper()
	dir = t.TempDir()
	content := mutate.Extract(image)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = errors.Join(os.MkdirAll(to, 0o755), os.Chmod(to, h.FileInfo().Mode()))
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, to)
		default:
			var text []byte
			if text, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(to, text, h.FileInfo().Mode())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// inImage returns a command as a container of an image runs it: in its root folder, with its environment alone. The first word is looked
// up in the image's PATH.
func inImage(t *testing.T, dir string, image v1.Image, words ...string) *exec.Cmd {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: no chroot here")
	}
	cmd := &exec.Cmd{Path: words[0], Args: words, Dir: config.Config.WorkingDir, Env: config.Config.Env}
	if !strings.Contains(words[0], "/") {
		if !slices.Contains(cmd.Env, "PATH=/"+strings.TrimSuffix(programDir, "/")) {
			t.Fatalf("the image's environment is %q", cmd.Env)
		}
		cmd.Path = "/" + programDir + words[0]
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// TestImage: both images hold the same, start by their entrypoint, and have the second name etcd.
func TestImage(t *testing.T) {
	oci, docker := images(t)
	for _, image := range []v1.Image{oci, docker} {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != "amd64" || config.Config.User != "" || !config.Created.Time.Equal(built.moment) {
			t.Errorf("the image is %+v", config)
		}
		dir := extract(t, image)
		for _, c := range []struct {
			words []string
			want  string
		}{
			{append(slices.Clone(config.Config.Entrypoint), "version"), "qkv " + built.version},
			{[]string{"qkv", "version"}, "qkv " + built.version},
			{[]string{"etcd", "--version"}, "etcd Version: 3."},
		} {
			out, err := inImage(t, dir, image, c.words...).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), c.want) {
				t.Errorf("%q: %v: %s", c.words, err, out)
			}
		}
	}
}

// TestImageAsEtcd starts the image by the command line of a kubeadm static pod, with plain URLs on loopback, until its probe answers.
func TestImageAsEtcd(t *testing.T) {
	image, _ := images(t)
	dir := extract(t, image)
	data := filepath.Join(dir, "var/lib/etcd") // a mounted folder of the host
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	clients, peers, metrics := "http://"+freeAddress(t), "http://"+freeAddress(t), "http://"+freeAddress(t)
	etcd := inImage(t, dir, image, "etcd", "--advertise-client-urls="+clients, "--data-dir=/var/lib/etcd", "--feature-gates=InitialCorruptCheck=true",
		"--initial-advertise-peer-urls="+peers, "--initial-cluster=node1="+peers, "--listen-client-urls="+clients, "--listen-metrics-urls="+metrics,
		"--listen-peer-urls="+peers, "--name=node1", "--snapshot-count=10000", "--watch-progress-notify-interval=5s")
	var log strings.Builder
	etcd.Stdout, etcd.Stderr = &log, &log
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = etcd.Process.Signal(syscall.SIGTERM)
		if err := etcd.Wait(); err != nil || t.Failed() {
			t.Errorf("it ends with %v:\n%s", err, &log)
		}
	}()
	eventually(t, "the probe of kubeadm", func() error { return answers(metrics + "/readyz") })
}

// answers asks a page, which must be there.
func answers(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, response.Status, text)
	}
	return nil
}

// freeAddress returns an address on loopback that no program uses, on TCP and, most likely, on UDP.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
