package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Category: "keys", Usage: "write keys as the files of a folder",
		ArgsUsage: "DIR",
		Description: "The key PREFIX/a/b becomes the file DIR/a/b, all as of one revision. The folder and its parents are made,\n" +
			"files are overwritten, nothing is removed. Files are readable by you alone. Keys that cannot be files below DIR\n" +
			"(with .., an empty part, a zero byte, or through a link) are refused and named, and the exit code is 1.",
		Flags: clientFlags(&cli.StringFlag{
			Name: "prefix", EnvVars: []string{"QKV_EXPORT_PREFIX"}, Usage: "`PREFIX` of the keys, as in /etc; without it all keys",
		}),
		Action: exportFolder,
	}
}

func exportFolder(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	return connected(c, func(s *client.Client) error {
		e := exporter{store: s, prefix: keyPrefix(c.String("prefix")), refuse: skipper(c)}
		err := e.run(c.Context, c.Args().First(), c.App.ErrWriter)
		if err != nil {
			return fmt.Errorf("export stopped after %d keys: %w", e.written, err)
		}
		fmt.Fprintf(c.App.Writer, "%d written\n", e.written)
		switch {
		case e.refused > 0 && e.slashed > 0:
			return exitf(exitFailed, "%d keys were not exported: %d are named above, and %d begin with a slash, which --prefix / takes",
				e.refused+e.slashed, e.refused, e.slashed)
		case e.refused > 0:
			return exitf(exitFailed, "%d keys were not exported: they are named above", e.refused)
		case e.slashed > 0:
			return exitf(exitFailed, "%d keys were not exported: they begin with a slash, and --prefix / takes those", e.slashed)
		default:
			return nil
		}
	})
}

// exportStore is what an export needs of the client: all pages of a range come from one revision.
type exportStore interface {
	Pages(ctx context.Context, q client.Query) iter.Seq2[client.Answer, error]
}

// exporter writes keys as files.
type exporter struct {
	store  exportStore
	prefix string
	refuse func(name, why string)

	root             *os.Root
	made             map[string]bool // folders that are there and are no links
	written, refused int
	slashed          int // refused too, but not named: they begin with a slash, and there is no prefix
}

// run writes all keys behind the prefix. The folder is made when the first page is there, not before.
func (e *exporter) run(ctx context.Context, dir string, messages io.Writer) error {
	var bar *progress
	for page, err := range e.store.Pages(ctx, prefixQuery([]byte(e.prefix))) {
		if err != nil {
			return err
		}
		if bar == nil {
			if err := e.open(dir); err != nil {
				return err
			}
			defer func() { _ = e.root.Close() }()
			bar = newProgress(messages, "export", int(page.Count))
			defer bar.end()
		}
		for _, kv := range page.KVs {
			if err := e.one(kv); err != nil {
				return err
			}
			bar.step()
		}
	}
	return nil
}

// open makes the folder. Everything below it goes through an os.Root, which does not leave it whatever happens there
// meanwhile.
func (e *exporter) open(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	e.root, e.made = root, map[string]bool{".": true}
	return err
}

// errRefused is a key that cannot be a file here; all others can still be written.
type errRefused struct{ why string }

func (e errRefused) Error() string { return e.why }

// one writes a key, or refuses it.
func (e *exporter) one(kv client.KeyValue) error {
	err := e.writeFile(string(kv.Key[len(e.prefix):]), kv.Value)
	var refused errRefused
	switch {
	case errors.As(err, &refused) && e.prefix == "" && kv.Key[0] == '/':
		e.slashed++ // perhaps all there are
		return nil
	case errors.As(err, &refused):
		e.refuse(string(kv.Key), refused.why)
		e.refused++
		return nil
	case err == nil:
		e.written++
	}
	return err
}

func (e *exporter) writeFile(name string, value []byte) error {
	if err := checkFileName(name); err != nil {
		return err
	}
	if err := e.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	switch info, err := e.root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return errRefused{"a folder is there: another key has this one as its folder"}
	case !info.Mode().IsRegular():
		return errRefused{"what is there is not a regular file"}
	}
	return e.root.WriteFile(name, value, 0o600)
}

// checkFileName refuses what is no plain path below the folder.
func checkFileName(name string) error {
	switch {
	case strings.HasPrefix(name, "/"):
		return errRefused{"behind the prefix it begins with a slash; --prefix / takes keys that begin with one"}
	case strings.ContainsRune(name, 0):
		return errRefused{"it holds a zero byte, which no file name can"}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return errRefused{"it holds .., which would leave the folder"}
		case part == "" || part == ".":
			return errRefused{fmt.Sprintf("it holds %q between slashes, which no file name can be", part)}
		case len(part) > 255:
			return errRefused{"a part of it is longer than 255 bytes, which no file name can be"}
		}
	}
	return nil
}

// makeFolder makes a folder and its parents, and refuses to go through links and files.
func (e *exporter) makeFolder(dir string) error {
	if e.made[dir] {
		return nil
	}
	if err := e.makeFolder(path.Dir(dir)); err != nil {
		return err
	}
	info, err := e.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = e.root.Mkdir(dir, 0o700)
	case err != nil:
	case info.Mode()&fs.ModeSymlink != 0:
		return errRefused{fmt.Sprintf("%s is a link: nothing is written through it", dir)}
	case !info.IsDir():
		return errRefused{fmt.Sprintf("%s is a file: another key has its name", dir)}
	}
	e.made[dir] = err == nil
	return err
}
