package backup

import (
	"encoding/hex"
	"fmt"
	"strings"

	"qkv/snapshot/backup/store"
)

// The names in a backup.
const (
	markName   = store.Marker
	filesDir   = "parts"
	listsDir   = "lists"
	logDir     = "log"
	lostFound  = "lost+found/" // a file system's own folder
	digits     = 20            // of the largest uint64
	saveSuffix = ".snap"

	packedSuffix    = ".zst"
	encryptedSuffix = ".age"
)

func listName(number uint64) string { return fmt.Sprintf("%s/%0*d", listsDir, digits, number) }

// span names a slice of the log: its entries, and the SHA-256 of its bytes.
type span struct {
	first, last uint64
	sha         [32]byte
}

func (s span) name() string {
	return fmt.Sprintf("%s/%0*d-%0*d-%x", logDir, digits, s.first, digits, s.last, s.sha)
}

// fileName returns the name of a file of bases: its identity, the hash of the stored bytes, and the number of the list for which it was stored.
func fileName(of File) string {
	suffix := packedSuffix
	if of.Encrypted {
		suffix += encryptedSuffix
	}
	return fmt.Sprintf("%s/%x-%x-%d%s", filesDir, of.ID, of.Sum, of.Number, suffix)
}

// parseList parses the name of a list in its folder.
func parseList(name string) (number uint64, ok bool) {
	_, _ = fmt.Sscanf(name, "%d", &number)
	return number, listName(number) == listsDir+"/"+name
}

// parseSpan parses the name of a slice of the log in its folder.
func parseSpan(name string) (s span, ok bool) {
	var sha []byte
	_, _ = fmt.Sscanf(name, "%d-%d-%x", &s.first, &s.last, &sha)
	if len(sha) != len(s.sha) || s.first == 0 || s.last < s.first {
		return s, false
	}
	s.sha = [32]byte(sha)
	return s, s.name() == logDir+"/"+name
}

// parseFile parses the name of a base's file in its folder, which does not tell all of the file.
func parseFile(name string) (of File, ok bool) {
	words := strings.Split(name, "-")
	if len(words) != 3 {
		return of, false
	}
	of.Encrypted = strings.HasSuffix(name, encryptedSuffix)
	for i, hash := range []*[32]byte{&of.ID, &of.Sum} {
		b, _ := hex.DecodeString(words[i])
		copy(hash[:], b)
	}
	_, _ = fmt.Sscanf(words[2], "%d", &of.Number)
	return of, fileName(of) == filesDir+"/"+name
}

func isList(name string) bool { _, ok := parseList(name); return ok }

func isSpan(name string) bool { _, ok := parseSpan(name); return ok }

func isFile(name string) bool { _, ok := parseFile(name); return ok }
