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

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// exportSyncs is the number of concurrent file syncs: a file system's journal combines many into one commit.
const exportSyncs = 16

func exportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Category: "keys", Usage: "write keys as the files of a folder",
		ArgsUsage: "DIR",
		Description: "The key PREFIX/a/b becomes the file DIR/a/b, all as of one revision. A key that cannot be a file name gets an escaped " +
			"name that begins with %, which import reads back: of a/b and a, the second is the file %a%. Each file gets its name " +
			"only when its content is on the disk, so an interrupted export leaves no partial file. DIR and its files are readable " +
			"by you alone. A DIR that was not empty before the first export is refused, unless --overwrite is given. Files are removed only with --delete, and " +
			"only in a folder that was empty then: the folder " + exportTemporary + " in it marks that, and import skips it.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "prefix", EnvVars: []string{"QKV_EXPORT_PREFIX"}, Usage: "`PREFIX` of the keys, as in /etc; without it all keys"},
			&cli.BoolFlag{Name: "delete", EnvVars: []string{"QKV_EXPORT_DELETE"}, Usage: "remove the files in DIR whose key no longer exists, and empty folders"},
			&cli.BoolFlag{Name: "overwrite", EnvVars: []string{"QKV_EXPORT_OVERWRITE"}, Usage: "also write into a folder with other files, and replace those that have a key's name"},
			&cli.BoolFlag{Name: "serializable", EnvVars: []string{"QKV_EXPORT_SERIALIZABLE"}, Usage: "the keys of one member, without a quorum; the only way after the loss of a quorum"},
			verboseFlag("QKV_EXPORT_VERBOSE"), writeOutFlag(),
		),
		Action: exportFolder,
	}
}

func exportFolder(c *cli.Context) error {
	return untilSignal(c, func(ctx context.Context, s *client.Client) error {
		skipped := newSkips(c)
		e := exporter{store: s, prefix: keyPrefix(c.String("prefix")), refuse: skipped.add, mirror: c.Bool("delete"), overwrite: c.Bool("overwrite"), serializable: c.Bool("serializable")}
		err := e.run(ctx, c.Args().First(), c.App.ErrWriter)
		skipped.end()
		var refused *exitError
		switch {
		case errors.As(err, &refused) || err != nil && e.root == nil: // a second run would have the same result
			return err
		case err != nil:
			return fmt.Errorf("export stopped after %s: %w; the same export run again completes it", e.summary(), err)
		}
		_ = writeOne(c, e.summary()+"\n", form.Document{{"written", e.written}, {"unchanged", e.equal}, {"removed", e.removed}, {"failed", e.refused}})
		if e.refused > 0 {
			return exitf(exitFailed, "%d keys were not exported: something else than a file or folder of an export has their name", e.refused)
		}
		return nil
	})
}

// exportStore is the part of the client that an export uses: all pages of a range come from one revision.
type exportStore interface {
	Pages(ctx context.Context, q kv.Range) iter.Seq2[kv.RangeResult, error]
}

// exporter writes keys as files.
//
//  1. A file with a key's name holds a complete value of that key, on the disk: it was written and synced under another name.
//  2. Nothing is removed before every key has its file, and never in a folder that held other files before the first export.
//  3. Nothing outside of the folder is touched, whatever changes in it meanwhile: all access uses an os.Root.
type exporter struct {
	store        exportStore
	prefix       string
	refuse       func(name, why string)
	mirror       bool
	overwrite    bool // also in a folder that was not empty before the first export
	serializable bool

	root      *os.Root
	temporary string          // the folder for files without a name: exportTemporary or exportUnmarked
	folders   map[string]bool // folders of keys and of removed files: checked to exist and to be no links; synced at the end
	kept      map[string]bool // the files of keys, if all other files are removed; nil otherwise

	written, equal, refused, removed int
}

// pending is a written file without its final name.
type pending struct{ temporary, key string }

// run writes all keys with the prefix. It makes the folder only when the first page has arrived.
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
	if err := e.syncFolders(ctx); err != nil || e.root == nil {
		return err
	}
	return syncAbove(dir)
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

// claim marks the folder as written by exports only. A folder with other files is refused, or, with --overwrite, gets no mark. --delete
// never applies to it: it would remove those files.
func (e *exporter) claim(root *os.Root, dir string) error {
	names, err := namesIn(root, ".")
	if err != nil {
		return err
	}
	e.temporary = exportTemporary
	if other := slices.IndexFunc(names, func(name string) bool { return name != exportUnmarked && name != lostAndFound }); other >= 0 && !slices.Contains(names, exportTemporary) {
		what, instead := "an export would replace files that have a key's name", ", or --overwrite"
		if e.mirror {
			what, instead = "--delete would remove what is in it", ""
		}
		if e.mirror || !e.overwrite {
			return usagef("%s was not empty before the first export (it holds %s, and no folder %s), and %s: "+
				"is it the right one? If so, give a new folder, such as %s%s; nothing was changed", dir, names[other], exportTemporary, what, path.Join(dir, "keys"), instead)
		}
		e.temporary = exportUnmarked
	}
	if e.mirror {
		e.kept = map[string]bool{}
	}
	if err := root.Mkdir(e.temporary, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return removeUnnamed(root, e.temporary) // left over from a killed export
}

// close removes files without a final name.
func (e *exporter) close() {
	_ = removeUnnamed(e.root, e.temporary)
	if e.temporary == exportUnmarked {
		_ = e.root.Remove(exportUnmarked)
	}
	_ = e.root.Close()
}

func removeUnnamed(root *os.Root, temporary string) error {
	names, err := namesIn(root, temporary)
	for _, name := range names {
		err = errors.Join(err, root.Remove(path.Join(temporary, name)))
	}
	return err
}

// page writes those values of a page that have no file yet, syncs them, and only then gives them their names.
func (e *exporter) page(ctx context.Context, kvs []kv.KeyValue) error {
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
		file := pending{path.Join(e.temporary, strconv.Itoa(i)), key}
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

// errRefused is the error of a key whose file name is taken by something else; all other keys can still be written.
type errRefused struct{ why string }

func (e errRefused) Error() string { return e.why }

// prepare makes the key's folder, and reports whether its file already has this value.
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

// publish gives a file its key's name. If a folder has the plain name, of this export or from before, the file gets the other name.
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

// renameTo gives a file its key's other name. That name may be too long for one file name; it then needs a folder.
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

// removeOther removes the file with a key's other name.
func (e *exporter) removeOther(key, name string) error {
	other := fileName(key, true)
	if other == name {
		return nil // a folder has the plain name
	}
	err := e.root.Remove(other)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// makeFolder makes a folder and its parents. A file in its place gets its key's other name; nothing is written through links.
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

// removeOthers removes files that belong to no key, and folders that are empty then. Links and special files stay: no export made
// them.
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
		case name == exportTemporary || name == lostAndFound:
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
	slices.Reverse(folders) // the content of a folder comes before the folder
	for _, name := range folders {
		if name != "." && err == nil && e.root.Remove(name) == nil { // Remove fails if the folder is not empty
			delete(e.folders, name)
			e.folders[path.Dir(name)] = true
		}
	}
	return err
}

// syncFolders makes the file names durable, also the names of a killed export.
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
