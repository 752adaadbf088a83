package backup

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The names in a backup.
const (
	markName   = "backup"
	filesDir   = "parts"
	baseDir    = "moments"
	Moments    = baseDir + "/" // begins the name of each manifest: with it, a base counts
	logDir     = "log"
	lostFound  = "lost+found/" // a file system's own folder
	digits     = 20            // of the largest uint64
	saveSuffix = ".snap"

	encryptedSuffix = ".age"
)

func baseName(index, term uint64) string {
	return fmt.Sprintf("%s/%0*d-%0*d", baseDir, digits, index, digits, term)
}

// span names an object of the log: its entries, and the SHA-256 of its bytes.
type span struct {
	first, last uint64
	sha         [32]byte
}

func (s span) name() string {
	return fmt.Sprintf("%s/%0*d-%0*d-%x", logDir, digits, s.first, digits, s.last, s.sha)
}

func fileName(of File) string {
	name := filesDir + "/" + hex.EncodeToString(of.ID[:])
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

// parseSpan parses the name of an object of the log in its folder.
func parseSpan(name string) (s span, ok bool) {
	var sha []byte
	_, _ = fmt.Sscanf(name, "%d-%d-%x", &s.first, &s.last, &sha)
	if len(sha) != len(s.sha) || s.first == 0 || s.last < s.first {
		return s, false
	}
	s.sha = [32]byte(sha)
	return s, s.name() == logDir+"/"+name
}

func isBase(name string) bool { _, _, ok := parseBase(name); return ok }

func isSpan(name string) bool { _, ok := parseSpan(name); return ok }

// isFile reports whether a name in its folder is that of a base's file.
func isFile(name string) bool {
	sha, encrypted := strings.CutSuffix(name, encryptedSuffix)
	b, _ := hex.DecodeString(sha)
	return len(b) == 32 && filesDir+"/"+name == fileName(File{ID: [32]byte(b), Encrypted: encrypted})
}
