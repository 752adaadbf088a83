package migrate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// treeOf is a snapshot with several levels of pages, some of them with overflow, with the id of the root page of its keys.
func treeOf(t *testing.T) (file []byte, pageSize int, root uint64) {
	t.Helper()
	c := &content{}
	for i := range int64(3000) {
		size := 10
		if i%500 == 7 {
			size = 20_000
		}
		c.pairs = append(c.pairs, pairOf("k", 2, 2+i, 1+i, 0, strings.Repeat("v", size)))
	}
	name := c.write(t)
	db, err := bbolt.Open(name, 0o400, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error {
		root = uint64(tx.Bucket([]byte("key")).Root())
		return nil
	})
	file, err = os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file, db.Info().PageSize, root
}

// TestHostilePages: trees that are none are refused with the page, before bbolt follows them, and without memory for what is not there.
func TestHostilePages(t *testing.T) {
	whole, pageSize, root := treeOf(t)
	le := binary.LittleEndian
	page := func(b []byte, id uint64) []byte { return b[int(id)*pageSize:][:pageSize] }
	top := page(whole, root)
	if le.Uint16(top[8:]) != branchPage || le.Uint16(top[10:]) < 3 {
		t.Fatalf("the root has the type %d and %d elements", le.Uint16(top[8:]), le.Uint16(top[10:]))
	}
	child := func(b []byte, i int) []byte { return page(b, root)[pageHeaderBytes+i*pageElementBytes+8:][:8] }
	leaf := le.Uint64(child(whole, 0))
	open := func(b []byte) error {
		name := t.TempDir() + "/db"
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(name, true)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Check(t.Context(), nil)
	}
	if err := open(whole); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, want string
		change     func(b []byte)
	}{
		{"a page is its own child", "is reached twice", func(b []byte) { le.PutUint64(child(b, 1), root) }},
		{"a page is its own last child", "is reached twice", func(b []byte) { le.PutUint64(child(b, int(le.Uint16(top[10:]))-1), root) }},
		{"two branches share a page", "is reached twice", func(b []byte) { copy(child(b, 1), child(b, 2)) }},
		{"a page overflows into another one", "is reached twice", func(b []byte) { le.PutUint32(page(b, leaf)[12:], 20) }},
		{"a page overflows beyond the file", "the file ends before them", func(b []byte) { le.PutUint32(page(b, leaf)[12:], 1<<31) }},
		{"a page overflows to one page behind the file", "the file ends before them", func(b []byte) {
			le.PutUint32(page(b, leaf)[12:], uint32(uint64(len(b)/pageSize)-leaf))
		}},
		{"a child is not in the file", "is not in the file", func(b []byte) { le.PutUint64(child(b, 1), 1<<62) }},
		{"a page has another's id", "says that it is page", func(b []byte) { le.PutUint64(page(b, leaf), root) }},
		{"a page has no type", "is no part of a tree", func(b []byte) { le.PutUint16(page(b, leaf)[8:], 0x10) }},
		{"a branch has no child", "is no part of a tree", func(b []byte) { le.PutUint16(page(b, root)[10:], 0) }},
		{"more elements than fit", "is no part of a tree", func(b []byte) { le.PutUint16(page(b, leaf)[10:], 60_000) }},
		{"a value goes beyond its page", "goes beyond the page", func(b []byte) { le.PutUint32(page(b, leaf)[pageHeaderBytes+12:], 1<<30) }},
		{"a page's last value goes one byte beyond it", "goes beyond the page", func(b []byte) {
			at := pageHeaderBytes + (int(le.Uint16(page(b, leaf)[10:]))-1)*pageElementBytes
			last := page(b, leaf)[at:]
			begin, end := at+int(le.Uint32(last[4:])+le.Uint32(last[8:])), (1+int(le.Uint32(page(b, leaf)[12:])))*pageSize
			le.PutUint32(last[12:], uint32(end-begin+1))
		}},
		{"two elements share their bytes", "overlaps others", func(b []byte) {
			first, second := page(b, leaf)[pageHeaderBytes:], page(b, leaf)[pageHeaderBytes+pageElementBytes:]
			le.PutUint32(second[4:], le.Uint32(first[4:])-pageElementBytes)
		}},
		{"a record is a bucket", "page", func(b []byte) { le.PutUint32(page(b, leaf)[pageHeaderBytes:], bucketElement) }},
	} {
		b := bytes.Clone(whole)
		c.change(b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := open(b)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "is damaged: page ") {
			t.Errorf("%s: %v", c.what, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", c.what, used, len(b))
		}
	}
}

// TestPageSizes: a file whose first page has a right checksum, and says a page size that bbolt never has, is refused with that size.
func TestPageSizes(t *testing.T) {
	whole, pageSize, _ := treeOf(t)
	const at, sumAt = pageHeaderBytes + 8, pageHeaderBytes + 56 // of a file's first page
	if said := binary.LittleEndian.Uint32(whole[at:]); int(said) != pageSize {
		t.Fatalf("the file says %d, and its pages have %d bytes", said, pageSize)
	}
	for _, size := range []uint32{0, 256, 3 << 10, 128 << 10} {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(b[at:], size)
		sum := fnv.New64a()
		_, _ = sum.Write(b[pageHeaderBytes:sumAt])
		binary.LittleEndian.PutUint64(b[sumAt:], sum.Sum64())
		name := t.TempDir() + "/db"
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(name, true)
		if err == nil {
			_ = f.Close()
		}
		if want := fmt.Sprintf("is damaged: its pages have %d bytes", size); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), want) {
			t.Errorf("pages of %d bytes: %v", size, err)
		}
	}
}

// TestDeepPages: a chain of branches with one child each is refused; bbolt would descend it by recursion.
func TestDeepPages(t *testing.T) {
	whole, pageSize, root := treeOf(t)
	le := binary.LittleEndian
	top := whole[int(root)*pageSize:][:pageSize]
	chain := func(levels int) error {
		b := bytes.Clone(whole[:len(whole)/pageSize*pageSize])
		first := uint64(len(b) / pageSize)
		for i := range levels {
			p := make([]byte, pageSize)
			copy(p, top)
			le.PutUint64(p, first+uint64(i))
			if i < levels-1 {
				le.PutUint16(p[10:], 1)
				le.PutUint64(p[pageHeaderBytes+8:], first+uint64(i)+1)
			}
			b = append(b, p...)
		}
		le.PutUint64(b[int(root)*pageSize+pageHeaderBytes+8:], first)
		le.PutUint16(b[int(root)*pageSize+10:], 1)
		name := t.TempDir() + "/db"
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(name, true)
		if err == nil {
			_ = f.Close()
		}
		return err
	}
	if err := chain(treeDepth - 1); err != nil { // its leaves are treeDepth below the root
		t.Errorf("%d levels: %v", treeDepth, err)
	}
	if err := chain(treeDepth); !errors.Is(err, ErrFile) || !strings.Contains(fmt.Sprint(err), "below the root") {
		t.Errorf("%d levels: %v", treeDepth+1, err)
	}
}
