package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// countedFS notes what is read of its files, and how.
type countedFS struct {
	disk.FS
	calls *[]string
}

type countedFile struct {
	disk.File
	calls *[]string
}

func (c countedFS) Open(name string) (disk.File, error) {
	f, err := c.FS.Open(name)
	return countedFile{f, c.calls}, err
}

func (c countedFile) ReadAt(p []byte, off int64) (int, error) {
	*c.calls = append(*c.calls, fmt.Sprintf("cache %d+%d", off, len(p)))
	return c.File.ReadAt(p, off)
}

func (c countedFile) ReadMedium(p []byte, off int64) (int, error) {
	*c.calls = append(*c.calls, fmt.Sprintf("medium %d+%d", off, len(p)))
	return c.File.ReadMedium(p, off)
}

func (c countedFile) Prefetch(off, n int64) {
	*c.calls = append(*c.calls, fmt.Sprintf("prefetch %d+%d", off, n))
}

// Medium reads in small reads from the medium only, and asks before each of them.
func TestMedium(t *testing.T) {
	d := simdisk.New(1)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1024) // 16 KiB
	f := create(t, d, "file", string(want))
	must(t, f.Datasync())
	must(t, f.Close())
	var calls []string
	left, ended := 5, errors.New("ended")
	m := disk.Medium(countedFS{d, &calls}, 4096, func(bytes int) error {
		calls = append(calls, fmt.Sprint("before ", bytes))
		if left--; left < 0 {
			return ended
		}
		return nil
	})
	f, err := m.Open("file")
	must(t, err)
	f.Prefetch(0, 4096)
	p := make([]byte, 9000)
	if n, err := f.ReadAt(p, 4096); n != len(p) || err != nil || !bytes.Equal(p, want[4096:][:9000]) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := f.ReadMedium(p, 8192); n != 8192 || !errors.Is(err, ended) {
		t.Errorf("%d bytes before the end: %v", n, err)
	}
	must(t, f.Close())
	if say := []string{
		"before 4096", "medium 4096+4096", "before 4096", "medium 8192+4096", "before 808", "medium 12288+808",
		"before 4096", "medium 8192+4096", "before 4096", "medium 12288+4096", "before 808",
	}; !slices.Equal(calls, say) {
		t.Errorf("%q", calls)
	}
	if disk.Gone(d, "file") || !disk.Gone(d, "other") {
		t.Error("one file is there, and the other is not")
	}
}
