package cli

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
)

// walk visits a folder and its content like fs.WalkDir, and follows no link. Package fs refuses names that are not UTF-8, but a key
// can be any bytes.
func walk(root *os.Root, visit fs.WalkDirFunc) error {
	return walkFrom(root, ".", visit)
}

func walkFrom(root *os.Root, name string, visit fs.WalkDirFunc) error {
	info, err := root.Lstat(name)
	if err != nil {
		return visit(name, nil, err)
	}
	d := fs.FileInfoToDirEntry(info)
	if err := visit(name, d, nil); err != nil || !d.IsDir() {
		return skipped(err)
	}
	names, err := namesIn(root, name)
	if err != nil {
		if err := visit(name, d, err); err != nil {
			return skipped(err)
		}
	}
	for _, below := range names {
		if err := walkFrom(root, path.Join(name, below), visit); err != nil {
			return err
		}
	}
	return nil
}

// skipped converts a skipped folder to nil.
func skipped(err error) error {
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

// namesIn lists a folder, sorted by name.
func namesIn(root *os.Root, dir string) ([]string, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|folderOnly|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
