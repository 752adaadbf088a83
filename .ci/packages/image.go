package main

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// programDir is the folder of the program in an image, and all of its PATH.
const programDir = "usr/local/bin/"

// image makes the image of a target: the program, its second name etcd, and a folder for data. deploy/Dockerfile makes the same.
func (r *release) image(t target) error {
	program, err := os.ReadFile(r.path(t))
	if err != nil {
		return err
	}
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	base, err := r.layer(
		file{name: "tmp/", mode: 0o1777}, file{name: "usr/share/licenses/qkv/LICENSE", content: license, mode: 0o644}, file{name: "var/lib/qkv/", mode: 0o700},
	)
	if err != nil {
		return err
	}
	top, err := r.layer(file{name: programDir + "qkv", content: program, mode: 0o755}, file{name: programDir + "etcd", link: "qkv"})
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, base, top)
	if err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, r.imageConfig(t, image))
	if err != nil {
		return err
	}
	reference, err := name.NewTag(r.home["image"] + ":" + r.version)
	if err != nil {
		return err
	}
	to := r.path(t) + ".image.tar"
	if err := tarball.WriteToFile(to, reference, image); err != nil {
		return err
	}
	oci := mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	r.images = append(r.images, oci)
	return os.Chtimes(to, r.moment, r.moment)
}

// imageConfig says how an image is started. It names no user: kubeadm's static pod runs etcd as root, in a folder of root's. Whoever starts
// it otherwise names a user; the folder for data must belong to that user.
func (r *release) imageConfig(t target, image v1.Image) *v1.ConfigFile {
	config, _ := image.ConfigFile() // of an image in memory
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = t.system, t.arch, v1.Time{Time: r.moment}
	config.History = []v1.History{{Created: config.Created, CreatedBy: "qkv packages"}, {Created: config.Created, CreatedBy: "qkv packages"}}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + programDir + "qkv"}, Cmd: []string{"serve"}, WorkingDir: "/var/lib/qkv",
		Env:          []string{"PATH=/usr/local/bin", "QKV_DATA_DIR=/var/lib/qkv/data"},
		Volumes:      map[string]struct{}{"/var/lib/qkv": {}},
		ExposedPorts: map[string]struct{}{"2379/tcp": {}, "2379/udp": {}, "2380/tcp": {}, "2380/udp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title": "qkv", "org.opencontainers.image.version": r.version, "org.opencontainers.image.revision": r.commit,
			"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.created": r.moment.Format(time.RFC3339),
			"org.opencontainers.image.source": r.home["repository"], "org.opencontainers.image.documentation": r.home["documentation"],
		},
	}
	return config
}

// file is a file, a folder (its name ends in a slash) or a link of a layer.
type file struct {
	name, link string
	content    []byte
	mode       fs.FileMode
}

// layer makes a layer of files that belong to root.
func (r *release) layer(files ...file) (v1.Layer, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	made := map[string]bool{}
	for _, f := range files {
		for i, c := range f.name { // the folders above
			if above := f.name[:i+1]; c == '/' && above != f.name && !made[above] {
				made[above] = true
				if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: above, Mode: 0o755, ModTime: r.moment, Format: tar.FormatPAX}); err != nil {
					return nil, err
				}
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Linkname: f.link, Size: int64(len(f.content)), Mode: int64(f.mode), ModTime: r.moment, Format: tar.FormatPAX}
		switch {
		case f.link != "":
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		case f.name[len(f.name)-1] == '/':
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

// layout writes the images of all targets as one image, in the layout that registries and other tools read.
func (r *release) layout() error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range r.images {
		config, err := image.ConfigFile()
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture},
		}})
	}
	path, err := layout.Write(filepath.Join(r.out, "image"), empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version}))
}
