package backup

import (
	"encoding/hex"
	"fmt"
	"strings"
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

	encryptedSuffix = ".age"
)

func baseName(index, term uint64) string {
	return fmt.Sprintf("%s/%0*d-%0*d", baseDir, digits, index, digits, term)
}

func segmentName(first uint64) string { return fmt.Sprintf("%s/%0*d", logDir, digits, first) }

func fileName(of File) string {
	name := filesDir + "/" + hex.EncodeToString(of.SHA[:])
	if of.Encrypted {
		name += encryptedSuffix
	}
	return name
}

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

// isFile reports whether a name in its folder is that of a base's file.
func isFile(name string) bool {
	sha, encrypted := strings.CutSuffix(name, encryptedSuffix)
	b, _ := hex.DecodeString(sha)
	return len(b) == 32 && filesDir+"/"+name == fileName(File{SHA: [32]byte(b), Encrypted: encrypted})
}
