package bench

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

// Housed is a cluster whose members' data folders are on this host.
type Housed interface {
	// Folders are the members' data folders.
	Folders() []string
}

// statBlock is the unit of stat's count of blocks, whatever the file system's is.
const statBlock = 512

// disk notes the most that the files of a member take of the disk.
func (j *job) disk(name string) {
	h, can := j.cluster.(Housed)
	if !can {
		return
	}
	most := int64(0)
	for _, folder := range h.Folders() {
		most = max(most, blocksBelow(folder))
	}
	if most > 0 {
		j.set(name, float64(most))
	}
}

// blocksBelow is what the files below a folder take of the disk; one that goes meanwhile takes nothing.
func blocksBelow(folder string) (bytes int64) {
	_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += s.Blocks * statBlock
			}
		}
		return nil
	})
	return bytes
}
