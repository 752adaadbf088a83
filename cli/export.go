package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"syscall"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

// exportSyncs is how many files are synced at a time: a file system's journal takes many in one commit.
const exportSyncs = 16

func exportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Category: "keys", Usage: "write keys as the files of a folder",
		ArgsUsage: "DIR",
		Description: "The key PREFIX/a/b becomes the file DIR/a/b, all as of one revision. What a file cannot be called is escaped by a " +
			"name that begins with %, which import reads back: of a/b and a, the second is the file %a%. Each file gets its name " +
			"when its content is on the disk, so that an export which is interrupted leaves no half file. DIR is made, for you " +
			"alone; files are readable by you alone. Nothing is removed without --delete, and with it only in a folder that was empty " +
			"or that an export made: the folder " + exportTemporary + " in it, which import leaves out, says so.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "prefix", EnvVars: []string{"QKV_EXPORT_PREFIX"}, Usage: "`PREFIX` of the keys, as in /etc; without it all keys"},
			&cli.BoolFlag{Name: "delete", EnvVars: []string{"QKV_EXPORT_DELETE"}, Usage: "remove the files in DIR that are no such key's any more, and empty folders"},
			&cli.BoolFlag{Name: "serializable", EnvVars: []string{"QKV_EXPORT_SERIALIZABLE"}, Usage: "what one member has, without asking the quorum: all that is left when a quorum is lost"},
			verboseFlag("QKV_EXPORT_VERBOSE"),
		),
		Action: exportFolder,
	}
}

func exportFolder(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	return interruptible(c, func(ctx context.Context) error {
		return open(ctx, c, func(s *client.Client) error {
			skipped := newSkips(c)
			e := exporter{store: s, prefix: keyPrefix(c.String("prefix")), refuse: skipped.add, mirror: c.Bool("delete"), serializable: c.Bool("serializable")}
			err := e.run(ctx, c.Args().First(), c.App.ErrWriter)
			skipped.end()
			var refused *exitError
			switch {
			case errors.As(err, &refused) || err != nil && e.root == nil: // run again it would be the same
				return err
			case err != nil:
				return fmt.Errorf("export stopped after %s: %w; the same export run again completes it", e.summary(), err)
			}
			fmt.Fprintln(c.App.Writer, e.summary())
			if e.refused > 0 {
				return exitf(exitFailed, "%d keys were not exported: what is in their place is no file or folder of an export", e.refused)
			}
			return nil
		})
	})
}

// exportStore is what an export needs of the client: all pages of a range come from one revision.
type exportStore interface {
	Pages(ctx context.Context, q client.Range) iter.Seq2[client.RangeResult, error]
}

// exporter writes keys as files.
//
//  1. A file that has a key's name has all of a value of that key, on the disk: it was written and synced elsewhere.
//  2. Nothing is removed before every key has its file, and nothing in a folder that no export made.
//  3. Nothing outside of the folder is touched, whatever happens in it meanwhile: all goes through an os.Root.
type exporter struct {
	store        exportStore
	prefix       string
	refuse       func(name, why string)
	mirror       bool
	serializable bool

	root    *os.Root
	folders map[string]bool // of keys, and of what was removed: they are there and are no links, and are synced in the end
	kept    map[string]bool // the files of keys, when all others are to be removed; nil: they are not

	written, equal, refused, removed int
}

// pending is a file that is written and has no name yet.
type pending struct{ temporary, key string }

// run writes all keys behind the prefix. The folder is made when the first page is there, not before.
func (e *exporter) run(ctx context.Context, dir string, messages io.Writer) (err error) {
	var bar *progress
	q := prefixQuery([]byte(e.prefix))
	q.Serializable = e.serializable
	for page, err := range e.store.Pages(ctx, q) {
		if err != nil {
			return err
		}
		if bar == nil {
			if err := e.open(dir); err != nil {
				return err
			}
			defer e.close()
			bar = newProgress(messages, "export", int(page.Count))
			defer bar.end()
		}
		if err := e.page(ctx, page.KVs); err != nil {
			return err
		}
		bar.add(len(page.KVs))
	}
	if err := e.removeOthers(); err != nil {
		return err
	}
	return e.syncFolders(ctx)
}

// open makes the folder.
func (e *exporter) open(dir string) error {
	if err := os.MkdirAll(path.Dir(path.Clean(dir)), 0o777); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	if err := e.claim(root, dir); err != nil {
		return errors.Join(err, root.Close())
	}
	e.root, e.folders = root, map[string]bool{".": true}
	return nil
}

// claim marks the folder as one of an export. One that is not, and is not empty, is never made a mirror: that removes
// all that is in it.
func (e *exporter) claim(root *os.Root, dir string) error {
	if e.mirror {
		e.kept = map[string]bool{}
		names, err := namesIn(root, ".")
		if err != nil {
			return err
		}
		if len(names) > 0 && !slices.Contains(names, exportTemporary) {
			return usagef("%s was made by no export (it has no folder %s), and --delete would remove what is in it, as %s: "+
				"is it the right one? An export without --delete marks it; nothing was changed", dir, exportTemporary, names[0])
		}
	}
	if err := root.Mkdir(exportTemporary, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return removeUnnamed(root) // of one that was killed
}

// close removes what has no name yet.
func (e *exporter) close() {
	_ = removeUnnamed(e.root)
	_ = e.root.Close()
}

func removeUnnamed(root *os.Root) error {
	names, err := namesIn(root, exportTemporary)
	for _, name := range names {
		err = errors.Join(err, root.Remove(path.Join(exportTemporary, name)))
	}
	return err
}

// page writes a page's values that are not there yet, syncs them, and only then gives them their names.
func (e *exporter) page(ctx context.Context, kvs []client.KeyValue) error {
	var files []pending
	for i, pair := range kvs {
		key := string(pair.Key[len(e.prefix):])
		there, err := e.prepare(key, pair.Value)
		var refused errRefused
		switch {
		case errors.As(err, &refused):
			e.refuse(string(pair.Key), refused.why)
			e.refused++
			continue
		case err != nil:
			return err
		case there:
			e.equal++
			continue
		}
		file := pending{path.Join(exportTemporary, strconv.Itoa(i)), key}
		if err := e.root.WriteFile(file.temporary, pair.Value, 0o600); err != nil {
			return err
		}
		files = append(files, file)
	}
	if err := forEach(ctx, exportSyncs, files, func(_ context.Context, f pending) error { return e.sync(f.temporary) }); err != nil {
		return err
	}
	for _, f := range files {
		if err := e.publish(f); err != nil {
			return err
		}
		e.written++
	}
	return nil
}

// errRefused is a key that cannot have a file here because of what is in its place; all others can still be written.
type errRefused struct{ why string }

func (e errRefused) Error() string { return e.why }

// prepare makes the key's folder, and says whether its file is there already, with this very value.
func (e *exporter) prepare(key string, value []byte) (there bool, err error) {
	if err := e.makeFolder(path.Dir(fileName(key, false))); err != nil {
		return false, err
	}
	for _, name := range []string{fileName(key, false), fileName(key, true)} {
		switch info, err := e.root.Lstat(name); {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, err
		case info.IsDir():
		case !info.Mode().IsRegular():
			return false, errRefused{"what is there is not a regular file"}
		case info.Size() != int64(len(value)):
			return false, nil
		default:
			stored, err := e.root.ReadFile(name)
			if there = err == nil && bytes.Equal(stored, value); there {
				e.keep(name)
				err = e.removeOther(key, name)
			}
			return there, err
		}
	}
	return false, errRefused{"folders are in the place of both of its names"}
}

// publish gives a file its key's name: the other one, when the plain one is a folder, of this export or from before.
func (e *exporter) publish(f pending) error {
	name := fileName(f.key, false)
	err := e.root.Rename(f.temporary, name)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) {
		name = fileName(f.key, true)
		err = e.renameTo(name, f.temporary)
	}
	if err != nil {
		return err
	}
	e.keep(name)
	return e.removeOther(f.key, name)
}

// renameTo gives a file its key's other name, which may be longer than one file's, and so in a folder of its own.
func (e *exporter) renameTo(other, from string) error {
	if err := e.makeFolder(path.Dir(other)); err != nil {
		return err
	}
	return e.root.Rename(from, other)
}

func (e *exporter) keep(name string) {
	if e.mirror {
		e.kept[name] = true
	}
}

// removeOther removes the file that a key had under its other name.
func (e *exporter) removeOther(key, name string) error {
	other := fileName(key, true)
	if other == name {
		return nil // the plain one is a folder
	}
	err := e.root.Remove(other)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// makeFolder makes a folder and its parents. A file in its place gets its key's other name; nothing is written through
// links.
func (e *exporter) makeFolder(dir string) error {
	if e.folders[dir] {
		return nil
	}
	if err := e.makeFolder(path.Dir(dir)); err != nil {
		return err
	}
	info, err := e.root.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		e.folders[dir] = true
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return errRefused{fmt.Sprintf("%s is a link: nothing is written through it", dir)}
	case err == nil:
		key, ok := keyOf(dir)
		if !ok || !info.Mode().IsRegular() {
			return errRefused{fmt.Sprintf("%s is no folder, and no file of an export", dir)}
		}
		other := fileName(key, true)
		if err := e.renameTo(other, dir); err != nil {
			return err
		}
		if e.kept[dir] {
			delete(e.kept, dir)
			e.keep(other)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := e.root.Mkdir(dir, 0o700); err != nil {
		return err
	}
	e.folders[dir] = true
	return nil
}

// removeOthers removes the files that no key has, and the folders that are empty then. Links and what else is no
// regular file stay: no export made them.
func (e *exporter) removeOthers() error {
	if !e.mirror {
		return nil
	}
	if len(e.kept)+e.refused == 0 {
		return exitf(exitFailed, "no key was found, and --delete would remove every file: is the prefix right? Nothing was changed")
	}
	var folders []string
	err := walk(e.root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == exportTemporary:
			return fs.SkipDir
		case d.IsDir():
			folders = append(folders, name)
		case d.Type().IsRegular() && !e.kept[name]:
			e.removed++
			e.folders[path.Dir(name)] = true
			return e.root.Remove(name)
		}
		return nil
	})
	slices.Reverse(folders) // what is in a folder comes before it
	for _, name := range folders {
		if name != "." && err == nil && e.root.Remove(name) == nil { // it fails where something is left
			delete(e.folders, name)
			e.folders[path.Dir(name)] = true
		}
	}
	return err
}

// syncFolders makes the names last, also those that were there: an export that was killed may have given them.
func (e *exporter) syncFolders(ctx context.Context) error {
	if e.root == nil {
		return nil
	}
	return forEach(ctx, exportSyncs, slices.Collect(maps.Keys(e.folders)), func(_ context.Context, dir string) error { return e.sync(dir) })
}

func (e *exporter) sync(name string) error {
	f, err := e.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (e *exporter) summary() string {
	s := fmt.Sprintf("%d written, %d already there", e.written, e.equal)
	if e.removed > 0 {
		s += fmt.Sprintf(", %d removed", e.removed)
	}
	return s
}
