package backup

import (
	"encoding/hex"
	"fmt"
)

// The names in a backup.
const (
	markName   = "backup"
	lockName   = "LOCK"
	filesDir   = "files"
	baseDir    = "base"
	logDir     = "log"
	temporary  = ".tmp"
	setAside   = ".damaged"
	digits     = 20 // of the largest uint64
	saveSuffix = ".snap"
)

func baseName(index, term uint64) string {
	return fmt.Sprintf("%s/%0*d-%0*d", baseDir, digits, index, digits, term)
}

func segmentName(first uint64) string { return fmt.Sprintf("%s/%0*d", logDir, digits, first) }

func fileName(sha [32]byte) string { return filesDir + "/" + hex.EncodeToString(sha[:]) }

// parseBase parses a manifest's name in its folder. It accepts only the names that baseName returns.
func parseBase(name string) (index, term uint64, ok bool) {
	_, _ = fmt.Sscanf(name, "%d-%d", &index, &term)
	return index, term, baseName(index, term) == baseDir+"/"+name
}

// parseSegment parses a segment's name in its folder.
func parseSegment(name string) (first uint64, ok bool) {
	_, _ = fmt.Sscanf(name, "%d", &first)
	return first, segmentName(first) == logDir+"/"+name
}

// parseFile parses the name of a base's file in its folder.
func parseFile(name string) (sha [32]byte, ok bool) {
	var b []byte
	_, _ = fmt.Sscanf(name, "%x", &b)
	copy(sha[:], b)
	return sha, fileName(sha) == filesDir+"/"+name
}
