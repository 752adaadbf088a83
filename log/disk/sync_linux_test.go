package disk

import (
	"testing"
	"unsafe"
)

// What a descriptor has written is synced by it: there are file systems that keep it apart.
func TestSyncIsOfWhoWrote(t *testing.T) {
	made, err := OS().Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	f := made.(*osFile)
	room := make([]byte, 2*DirectBytes)
	pages := room[int(-uintptr(unsafe.Pointer(&room[0]))&(DirectBytes-1)):][:DirectBytes]
	if _, err := f.WriteAt(pages[:7], 3); err != nil { // before there is a second descriptor
		t.Fatal(err)
	}
	if err := f.WritePages(pages, 0); err != nil {
		t.Fatal(err)
	}
	if fdToo, err := f.syncPast(); !fdToo || err != nil {
		t.Errorf("what was written before the second descriptor was there is synced: %v; %v", fdToo, err)
	}
	for what, one := range map[string]struct {
		write       func() error
		past, fdToo bool
	}{
		"nothing":        {func() error { return nil }, false, true},
		"pages":          {func() error { return f.WritePages(pages, 0) }, true, false},
		"bytes":          {func() error { _, err := f.WriteAt(pages[:7], 3); return err }, false, true},
		"odd pages":      {func() error { return f.WritePages(pages[:7], 0) }, false, true},
		"pages and more": {func() error { _, _ = f.WriteAt(pages[:7], 3); return f.WritePages(pages, 0) }, true, true},
		"zeros":          {func() error { _ = f.WriteZeros(DirectBytes, 0); return f.WritePages(pages, 0) }, true, true},
		"room":           {func() error { _ = f.Reserve(8 * DirectBytes); return f.WritePages(pages, 0) }, true, true},
		"another length": {func() error { _ = f.Truncate(9 * DirectBytes); return f.WritePages(pages, 0) }, true, true},
	} {
		if err := f.WritePages(pages, 0); err != nil {
			t.Fatal(err)
		}
		if f.past.cannot {
			t.Skip("this file system has only one way to write")
		}
		if err := f.Datasync(); err != nil {
			t.Fatal(err)
		}
		f.past.fdToo = false
		if err := one.write(); err != nil {
			t.Fatal(err)
		}
		past := f.past.wrote
		fdToo, err := f.syncPast()
		if err != nil || past != one.past || fdToo != one.fdToo {
			t.Errorf("%s: the second descriptor is synced: %v, the first: %v; %v", what, past, fdToo, err)
		}
		if err := f.Sync(); err != nil || f.past.wrote {
			t.Errorf("%s: after a sync something is left: %v", what, err)
		}
	}
}
