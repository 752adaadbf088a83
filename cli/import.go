package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

// importsInFlight is the number of concurrent files. The client packs waiting requests into few packets, and the members into few
// syncs. More would only cost memory: each file may be as large as a value.
const importsInFlight = 64

func importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Category: "keys", Usage: "store the files of a folder as keys",
		ArgsUsage: "DIR",
		Description: "The file DIR/a/b becomes the key PREFIX/a/b; names that begin with % are read as export writes them. A key that " +
			"already has the same value is not written again: to continue an interrupted import, run it again. Every client of the " +
			"cluster can read imported values. Therefore files and folders that other users of this host may not read are skipped, " +
			"unless DIR itself is not readable by others, was empty before an export, or --private is given. Links and special " +
			"files are skipped as well. A file fails if it is too large or unreadable, or if its name cannot be a key: each is " +
			"named on stderr, all other files are stored, and the exit code is 1. Empty files become keys; empty folders do not.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "prefix", EnvVars: []string{"QKV_IMPORT_PREFIX"}, Usage: "`PREFIX` of the keys, as in /etc; default: none, a key is the file's path in DIR"},
			&cli.BoolFlag{Name: "private", EnvVars: []string{"QKV_IMPORT_PRIVATE"}, Usage: "also store files that other users of this host may not read"},
			verboseFlag("QKV_IMPORT_VERBOSE"), writeOutFlag(),
		),
		Action: importFolder,
	}
}

func importFolder(c *cli.Context) error {
	root, err := os.OpenRoot(c.Args().First())
	if err != nil {
		return notThere(fmt.Errorf("import: %w", err), "DIR is the folder whose files become keys, as `qkv export DIR` writes it; nothing was written")
	}
	defer func() { _ = root.Close() }()
	return untilSignal(c, func(ctx context.Context, s *client.Client) error {
		skipped := newSkips(c)
		i := importer{root: root, store: s, prefix: keyPrefix(c.String("prefix")), private: c.Bool("private"), skip: skipped.add, fail: skipped.fail}
		files := i.list()
		i.bar = newProgress(c.App.ErrWriter, "import", len(files))
		err := i.run(ctx, files)
		i.bar.end()
		skipped.end()
		if err != nil {
			return fmt.Errorf("import stopped after %s: %w; the same import run again continues", i.summary(), err)
		}
		_ = writeOne(c, i.summary()+"\n", form.Document{{"written", i.written}, {"unchanged", i.equal}, {"skipped", i.skipped}, {"failed", i.failed}})
		switch {
		case i.failed == 1:
			return exitf(exitFailed, "1 file or folder was not imported, as said above; all others are stored")
		case i.failed > 1:
			return exitf(exitFailed, "%d files or folders were not imported, as said above; all others are stored", i.failed)
		}
		return nil
	})
}

// keyPrefix returns the text before a file's path in its key.
func keyPrefix(prefix string) string {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return prefix
	}
	return prefix + "/"
}

// importStore is the part of the client that an import uses; the client coalesces the calls of many goroutines.
type importStore interface {
	Get(ctx context.Context, key []byte) (pair kv.KeyValue, found bool, err error)
	Put(ctx context.Context, key, value []byte) (client.Written, error)
}

// importer stores files as keys.
type importer struct {
	root    *os.Root
	store   importStore
	prefix  string
	private bool                   // also import files that other users may not read
	skip    func(name, why string) // called for a file that is skipped on purpose
	fail    func(name, why string) // called for a file that cannot be stored
	bar     *progress

	mu                              sync.Mutex
	written, equal, skipped, failed int
}

// list walks the folder and returns the regular files that become keys; it reports all others. One goroutine calls it, before run.
func (i *importer) list() (files []string) {
	secrets := i.private
	if info, err := i.root.Stat("."); err == nil && !readByOthers(info) {
		secrets = true // a private folder named on the command line is imported on purpose
	}
	if info, err := i.root.Lstat(exportTemporary); err == nil && info.IsDir() {
		secrets = true // every client could read these keys when they were exported
	}
	_ = walk(i.root, func(name string, d fs.DirEntry, err error) error {
		if name == exportTemporary || name == exportUnmarked {
			return fs.SkipDir
		}
		if err == nil {
			var why string
			if why, err = i.unmeant(name, d, secrets); why != "" {
				i.skipOne(name, why)
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		switch {
		case err != nil:
			i.failOne(name, reason(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
		default:
			if why := i.unfit(name); why != "" {
				i.failOne(name, why)
				return nil
			}
			files = append(files, name)
		}
		return nil
	})
	return files
}

// unmeant returns why a file or folder is skipped; empty if it is imported.
func (i *importer) unmeant(name string, d fs.DirEntry, secrets bool) (why string, err error) {
	info, err := d.Info()
	key, isKeys := keyOf(name)
	switch {
	case err != nil:
		return "", err
	case d.Type()&fs.ModeSymlink != 0:
		return "a symbolic link", nil
	case !d.IsDir() && !d.Type().IsRegular():
		return "not a regular file", nil
	case !secrets && !readByOthers(info):
		return "others may not read it; --private stores it for every client to read", nil
	case !d.IsDir() && isKeys && name != fileName(key, false) && i.isFile(fileName(key, false)):
		return "the file of its key is " + fileName(key, false), nil
	}
	return "", nil
}

// unfit returns why a file name cannot be a key; empty if it can.
func (i *importer) unfit(name string) string {
	key, isKeys := keyOf(name)
	bytes := len(i.prefix) + len(key)
	switch {
	case !isKeys:
		return "its name begins with %, but export writes no such name"
	case bytes == 0:
		return "a key must not be empty: give a --prefix"
	case bytes > limits.KeyBytes:
		return fmt.Sprintf("its key would have %d bytes, over the limit of %d", bytes, limits.KeyBytes)
	}
	return ""
}

func (i *importer) isFile(name string) bool {
	info, err := i.root.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// readByOthers reports whether any user of this host may read a file, or the content of a folder.
func readByOthers(info fs.FileInfo) bool {
	if info.IsDir() {
		return info.Mode().Perm()&0o005 == 0o005
	}
	return info.Mode().Perm()&0o004 != 0
}

func (i *importer) skipOne(name, why string) {
	i.skip(path.Join(i.root.Name(), name), why)
	i.skipped++
}

// failOne may be called from any goroutine.
func (i *importer) failOne(name, why string) {
	i.fail(path.Join(i.root.Name(), name), why)
	i.mu.Lock()
	i.failed++
	i.mu.Unlock()
}

// run stores the files concurrently, and stops at the first error.
func (i *importer) run(ctx context.Context, files []string) error {
	return forEach(ctx, importsInFlight, files, i.one)
}

// one stores a file.
func (i *importer) one(ctx context.Context, name string) error {
	defer i.bar.add(1)
	value, err := i.read(name)
	if err != nil {
		i.failOne(name, reason(err))
		return nil
	}
	stored, _ := keyOf(name)
	key := []byte(i.prefix + stored)
	before, found, err := i.store.Get(ctx, key)
	if err != nil {
		return err
	}
	count := &i.equal
	if !found || !bytes.Equal(before.Value, value) {
		count = &i.written
		_, err = i.store.Put(ctx, key, value)
		if tooLarge(err) {
			i.failOne(name, err.Error())
			return nil
		}
		if err != nil {
			return err
		}
	}
	i.mu.Lock()
	*count++
	i.mu.Unlock()
	return nil
}

// errNotRegular and errLarge are the reasons of a file that passed list but fails later.
var (
	errNotRegular = errors.New("not a regular file any more")
	errLarge      = fmt.Errorf("over %d bytes, the limit of a value", limits.ValueBytes)
)

// read reads a regular file only: since the listing a pipe may have replaced the file.
func (i *importer) read(name string) ([]byte, error) {
	f, err := i.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	case info.Size() > limits.ValueBytes:
		return nil, errLarge
	}
	// Files in /proc and /sys report a size of 0 before they are read.
	value, err := io.ReadAll(io.LimitReader(f, limits.ValueBytes+1))
	if err == nil && len(value) > limits.ValueBytes {
		err = errLarge
	}
	return value, err
}

// reason returns an error without the path that its message repeats.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (i *importer) summary() string {
	s := fmt.Sprintf("%d written, %d already there", i.written, i.equal)
	if i.skipped > 0 {
		s += fmt.Sprintf(", %d skipped", i.skipped)
	}
	if i.failed > 0 {
		s += fmt.Sprintf(", %d failed", i.failed)
	}
	return s
}
