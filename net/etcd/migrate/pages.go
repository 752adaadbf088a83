package migrate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// The layout of a bbolt file: a page has a header, then its elements, then the keys and values of the elements in the same order. A bucket
// is a value of its parent: the id of its root page, or 0 and then, behind the bucket's header, a leaf page within the value. Numbers are
// little-endian, as etcd's platforms write them.
const (
	pageHeaderBytes   = 16 // id, flags, count, overflow
	pageElementBytes  = 16 // of a branch: position, key size, child; of a leaf: flags, position, key size, value size
	bucketHeaderBytes = 16 // root, sequence
	branchPage        = 1
	leafPage          = 2
	bucketElement     = 1
	leastPageBytes    = 512
	mostPageBytes     = 64 << 10 // the largest page of memory of etcd's platforms, whose size bbolt takes
	// treeDepth bounds the pages from a root to a leaf. A page of a tree has two children or more, so a real tree has far fewer levels. bbolt
	// descends by recursion.
	treeDepth = 64
)

// pageTable walks all pages of a bbolt file's trees before bbolt does, because bbolt follows a cycle of pages until memory is exhausted.
// The walk checks that every page is reached once and lies in the file, and that its elements lie in the page and do not overlap. A later
// reader of the file therefore reads at most as many bytes as the file has. The walk takes one bit of memory for each page.
type pageTable struct {
	file     io.ReaderAt
	pageSize int64
	pages    int64 // of the file
	visited  []uint64
	buffer   []byte
}

// childPage is a page to be visited, with the distance to the root of its tree.
type childPage struct {
	id    uint64
	depth int
}

// checkPages returns an error if the trees of a bbolt file are damaged.
func checkPages(file io.ReaderAt, size int64, db *bbolt.DB, tx *bbolt.Tx) error {
	t := pageTable{file: file, pageSize: int64(db.Info().PageSize)}
	if t.pageSize < leastPageBytes || t.pageSize > mostPageBytes || t.pageSize&(t.pageSize-1) != 0 {
		return fmt.Errorf("its pages have %d bytes, which is no power of two from %d to %d", t.pageSize, leastPageBytes, mostPageBytes)
	}
	t.pages = size / t.pageSize
	t.visited = make([]uint64, t.pages/64+1)
	waiting := []childPage{{id: uint64(tx.Cursor().Bucket().Root())}}
	for len(waiting) > 0 {
		next := waiting[len(waiting)-1]
		children, err := t.visit(next, waiting[:len(waiting)-1])
		if err != nil {
			return fmt.Errorf("page %d %w", next.id, err)
		}
		waiting = children
	}
	return nil
}

// visit checks a page, and appends its children to waiting.
func (t *pageTable) visit(p childPage, waiting []childPage) ([]childPage, error) {
	if p.id >= uint64(t.pages) {
		return nil, fmt.Errorf("is not in the file, which has %d", t.pages)
	}
	at := int64(p.id) * t.pageSize
	head, err := t.read(at, pageHeaderBytes)
	if err != nil {
		return nil, err
	}
	id, overflow := binary.LittleEndian.Uint64(head), int64(binary.LittleEndian.Uint32(head[12:]))
	switch {
	case id != p.id:
		return nil, fmt.Errorf("says that it is page %d", id)
	case overflow >= t.pages-int64(p.id):
		return nil, fmt.Errorf("has %d pages behind it, and the file ends before them", overflow)
	case p.depth > treeDepth:
		return nil, fmt.Errorf("is more than %d pages below the root of its tree", treeDepth)
	}
	for i := id; i <= id+uint64(overflow); i++ {
		if t.visited[i/64]&(1<<(i%64)) != 0 {
			return nil, errors.New("is reached twice: the tree has a circle, or two branches share a page")
		}
		t.visited[i/64] |= 1 << (i % 64)
	}
	return t.elements(at, (overflow+1)*t.pageSize, p.depth, waiting)
}

// elements checks the elements of a page, or of a page within a value, and appends their children to waiting.
func (t *pageTable) elements(at, size int64, depth int, waiting []childPage) ([]childPage, error) {
	head, err := t.read(at, min(size, pageHeaderBytes))
	if err != nil || len(head) < pageHeaderBytes {
		return nil, errors.Join(err, errors.New("has no header"))
	}
	flags, count := binary.LittleEndian.Uint16(head[8:]), int64(binary.LittleEndian.Uint16(head[10:]))
	free := pageHeaderBytes + count*pageElementBytes // lowest position of the next key
	if flags != branchPage && flags != leafPage || flags == branchPage && (count == 0 || depth < 0) || free > size {
		return nil, fmt.Errorf("has the type %d and %d elements: it is no part of a tree", flags, count)
	}
	all, err := t.read(at+pageHeaderBytes, count*pageElementBytes)
	if err != nil {
		return nil, err
	}
	var inline []int64 // position and size of buckets within this page
	for i := range count {
		e := all[i*pageElementBytes:][:pageElementBytes]
		word := func(n int) int64 { return int64(binary.LittleEndian.Uint32(e[4*n:])) }
		var begin, key, value int64
		if flags == branchPage {
			begin, key = word(0), word(1)
			waiting = append(waiting, childPage{binary.LittleEndian.Uint64(e[8:]), depth + 1})
		} else {
			begin, key, value = word(1), word(2), word(3)
		}
		begin += pageHeaderBytes + i*pageElementBytes // positions are relative to their element
		if begin < free || begin+key+value > size {
			return nil, fmt.Errorf("has an element %d that overlaps others, or goes beyond the page", i)
		}
		free = begin + key + value
		if flags == leafPage && word(0)&bucketElement != 0 {
			inline = append(inline, at+begin+key, value)
		}
	}
	for i := 0; i < len(inline); i += 2 {
		if waiting, err = t.bucket(inline[i], inline[i+1], depth, waiting); err != nil {
			return nil, err
		}
	}
	return waiting, nil
}

// bucket checks a bucket's value. The page within a value has no buckets of its own: their depth is below 0.
func (t *pageTable) bucket(at, size int64, depth int, waiting []childPage) ([]childPage, error) {
	if size < bucketHeaderBytes || depth < 0 {
		return nil, errors.New("has a bucket where none can be")
	}
	head, err := t.read(at, bucketHeaderBytes)
	if err != nil {
		return nil, err
	}
	if root := binary.LittleEndian.Uint64(head); root != 0 {
		return append(waiting, childPage{id: root}), nil
	}
	return t.elements(at+bucketHeaderBytes, size-bucketHeaderBytes, -1, waiting)
}

// read returns bytes of the file, which are valid until the next call.
func (t *pageTable) read(at, n int64) ([]byte, error) {
	if int64(len(t.buffer)) < n {
		t.buffer = make([]byte, n) // at most the elements of one page, 1 MiB
	}
	_, err := t.file.ReadAt(t.buffer[:n], at)
	return t.buffer[:n], err
}
