package node

import (
	"errors"
	iofs "io/fs"
	"path"
	"syscall"
	"testing"

	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// unopenable is a file system whose files cannot be opened.
type unopenable struct{ disk.FS }

func (unopenable) Open(string) (disk.File, error) { return nil, syscall.EIO }

// openedBy is a file system whose files are opened by a function.
type openedBy struct {
	disk.FS
	open func(name string) (disk.File, error)
}

func (o openedBy) Open(name string) (disk.File, error) { return o.open(path.Base(name)) }

// A branch looks elsewhere for what its folder does not have. An error of either place stays that error: a part is missing only if neither has it.
func TestBesideParts(t *testing.T) {
	own, missing := simdisk.New(1), &iofs.PathError{Op: "open", Err: iofs.ErrNotExist}
	must(t, errors.Join(own.MkdirAll("d/snap"), own.MkdirAll("other")))
	for _, name := range []string{"d/snap/own", "other/there"} {
		f, err := own.Create(name)
		must(t, errors.Join(err, f.Close()))
	}
	for _, c := range []struct {
		on    disk.FS
		name  string
		other error // of the other place
		want  error
		asked bool
	}{
		{own, "own", syscall.EIO, nil, false},
		{own, "there", nil, nil, true},
		{own, "nowhere", missing, iofs.ErrNotExist, true},
		{own, "elsewhere", syscall.ETIMEDOUT, syscall.ETIMEDOUT, true},
		{unopenable{own}, "own", nil, syscall.EIO, false},
	} {
		asked := ""
		f, err := besideParts{c.on, openedBy{open: func(name string) (disk.File, error) {
			if asked = name; c.other != nil {
				return nil, c.other
			}
			return own.Open("other/" + name)
		}}}.Open("d/snap/" + c.name)
		if !errors.Is(err, c.want) || (f == nil) != (c.want != nil) || (asked == c.name) != c.asked {
			t.Errorf("%s: %v; %q was asked for elsewhere", c.name, err, asked)
		}
		if f != nil {
			must(t, f.Close())
		}
	}
}

// inPlace has all parts in a backup.
type inPlace struct{ disk.FS }

func (inPlace) Place(name string) string { return "parts/" + path.Base(name) }

// A part that the branch has written in its own folder is its own, also while the disk cannot read it. The others are
// the backup's.
func TestPlaceBesideParts(t *testing.T) {
	own := simdisk.New(1)
	must(t, own.MkdirAll("d/snap"))
	f, err := own.Create("d/snap/own")
	must(t, errors.Join(err, f.Close()))
	for _, c := range []struct {
		on         disk.FS
		name, want string
	}{
		{own, "own", ""},
		{own, "other", "parts/other"},
		{unopenable{own}, "own", ""},
	} {
		if got := (besideParts{c.on, inPlace{}}).Place("d/snap/" + c.name); got != c.want {
			t.Errorf("%s is in the backup as %q, want %q", c.name, got, c.want)
		}
	}
}
