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

	"qkv/log/limits"
	"qkv/net/client"
)

// importsInFlight is how many files are on their way at a time. The client packs what waits into few packets, and
// the members into few syncs; more would only cost memory: each may be as large as a value.
const importsInFlight = 64

func importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Category: "keys", Usage: "store the files of a folder as keys",
		ArgsUsage: "DIR",
		Description: "The file DIR/a/b becomes the key PREFIX/a/b. What is stored already with the same value is not written\n" +
			"again, so that an import which was interrupted is continued by running it again. Links, special, unreadable\n" +
			"and too large files are skipped and named on stderr. Empty files are keys; empty folders are nothing.",
		Flags: clientFlags(&cli.StringFlag{
			Name: "prefix", EnvVars: []string{"QKV_IMPORT_PREFIX"}, Usage: "`PREFIX` of the keys, as in /etc; without it a key is the file's path in DIR",
		}),
		Action: importFolder,
	}
}

func importFolder(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	root, err := os.OpenRoot(c.Args().First())
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer func() { _ = root.Close() }()
	return connected(c, func(s *client.Client) error {
		i := importer{root: root, store: s, prefix: keyPrefix(c.String("prefix")), skip: skipper(c)}
		files := i.list()
		i.bar = newProgress(c.App.ErrWriter, "import", len(files))
		err := i.run(c.Context, files)
		i.bar.end()
		if err != nil {
			return fmt.Errorf("import stopped after %s: %w; the same import run again continues", i.summary(), err)
		}
		fmt.Fprintln(c.App.Writer, i.summary())
		return nil
	})
}

// keyPrefix is what stands before a file's path in its key.
func keyPrefix(prefix string) string {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return prefix
	}
	return prefix + "/"
}

// skipper returns the function that names on stderr what is left out.
func skipper(c *cli.Context) func(name, why string) {
	var mu sync.Mutex
	return func(name, why string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(c.App.ErrWriter, "skipped %s: %s\n", printable([]byte(name), len(name)), why)
	}
}

// importStore is what an import needs of the client, which packs the calls of many goroutines together.
type importStore interface {
	Get(ctx context.Context, key []byte) (kv client.KeyValue, found bool, err error)
	Put(ctx context.Context, key, value []byte) (client.Written, error)
}

// importer stores files as keys.
type importer struct {
	root   *os.Root
	store  importStore
	prefix string
	skip   func(name, why string)
	bar    *progress

	mu                      sync.Mutex
	written, equal, leftOut int
}

// list walks the folder and returns the regular files in it; it names all others.
func (i *importer) list() (files []string) {
	_ = fs.WalkDir(i.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			i.leaveOut(name, reason(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
		case d.Type()&fs.ModeSymlink != 0:
			i.leaveOut(name, "a symbolic link")
		case !d.Type().IsRegular():
			i.leaveOut(name, "not a regular file")
		case len(i.prefix)+len(name) > limits.KeyBytes:
			i.leaveOut(name, fmt.Sprintf("its key would have %d bytes, over the limit of %d", len(i.prefix)+len(name), limits.KeyBytes))
		default:
			files = append(files, name)
		}
		return nil
	})
	return files
}

func (i *importer) leaveOut(name, why string) {
	i.skip(path.Join(i.root.Name(), name), why)
	i.mu.Lock()
	i.leftOut++
	i.mu.Unlock()
}

// run stores the files, many at a time, and stops at the first error.
func (i *importer) run(ctx context.Context, files []string) error {
	return forEach(ctx, importsInFlight, files, i.one)
}

// one stores a file.
func (i *importer) one(ctx context.Context, name string) error {
	defer i.bar.step()
	value, err := i.read(name)
	if err != nil {
		i.leaveOut(name, reason(err))
		return nil
	}
	key := []byte(i.prefix + name)
	stored, found, err := i.store.Get(ctx, key)
	if err != nil {
		return err
	}
	count := &i.equal
	if !found || !bytes.Equal(stored.Value, value) {
		count = &i.written
		_, err = i.store.Put(ctx, key, value)
		if tooLarge(err) {
			i.leaveOut(name, err.Error())
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

// errNotRegular and errLarge are why a file that looked right is left out after all.
var (
	errNotRegular = errors.New("not a regular file any more")
	errLarge      = fmt.Errorf("over %d bytes, the limit of a value", limits.ValueBytes)
)

// read reads a file, and nothing else: what was a file when the folder was listed may be a pipe by now.
func (i *importer) read(name string) ([]byte, error) {
	f, err := i.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
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
	// Files in /proc and /sys have no size before they are read.
	value, err := io.ReadAll(io.LimitReader(f, limits.ValueBytes+1))
	if err == nil && len(value) > limits.ValueBytes {
		err = errLarge
	}
	return value, err
}

// reason is an error without the path that its message repeats.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (i *importer) summary() string {
	s := fmt.Sprintf("%d written, %d already there", i.written, i.equal)
	if i.leftOut > 0 {
		s += fmt.Sprintf(", %d skipped", i.leftOut)
	}
	return s
}
