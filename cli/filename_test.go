package cli

import (
	"path"
	"strings"
	"testing"
)

// What a file cannot be called is escaped, all else is the key as it is.
func TestFileNames(t *testing.T) {
	long := strings.Repeat("n", 300)
	for _, tt := range []struct{ key, name, besideFolder string }{
		{"a", "a", "%a%"},
		{"a/b", "a/b", "a/%b%"},
		{"größe/two words", "größe/two words", ""},
		{"50%/a%20b", "50%/a%20b", ""},
		{"...", "...", ""},
		{"", "%", "%%"},
		{"e/", "e/%", "e/%%"},
		{"c//d", "c/%/d", ""},
		{"/absolute", "%/absolute", ""},
		{"../up", "%../up", ""},
		{"a/./b", "a/%./b", ""},
		{"%a", "%%25a", "%%25a%"},
		{"%a%", "%%25a%25", ""},
		{"zero\x00byte", "%zero%00byte", ""},
		{long, "%" + long[:252] + "%~/%" + long[252:], "%" + long[:252] + "%~/%" + long[252:] + "%"},
		{long[:255], long[:255], ""},
		{long[:251] + "\x00" + long[:3], "%" + long[:251] + "%~/%%00nnn", ""},
		{strings.Repeat("a/", 70), strings.Repeat("a/", 63) + "%" + strings.Repeat("a%2F", 7), ""},
	} {
		name, beside := fileName(tt.key, false), fileName(tt.key, true)
		if name != tt.name || tt.besideFolder != "" && beside != tt.besideFolder {
			t.Errorf("%.40q: %.80q and %.80q, want %.80q and %.80q", tt.key, name, beside, tt.name, tt.besideFolder)
		}
	}
	for _, foreign := range []string{"%!export", "%a", "%%41", "%a%2f", "%a%0", "a/%~", "%b%~", "%%a"} {
		if key, ok := keyOf(foreign); ok {
			t.Errorf("%q is taken for the key %q", foreign, key)
		}
	}
}

// Every key has two names that no other key has, of parts that a file can be called, and is read back from both.
func FuzzFileName(f *testing.F) {
	for _, key := range []string{"a", "a/b", "e/", "c//d", "%", "%~", "%a%", "\x00", "..", "a/%2F", strings.Repeat("%", 600), strings.Repeat("/", 2040)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		for _, name := range []string{fileName(key, false), fileName(key, true)} {
			if got, ok := keyOf(name); !ok || got != key {
				t.Fatalf("%q is written as %q and read as %q, %v", key, name, got, ok)
			}
			parts := strings.Split(name, "/")
			for _, part := range parts {
				if part == "" || part == "." || part == ".." || len(part) > 255 || strings.ContainsRune(part, 0) {
					t.Fatalf("%q: the name %q of %d bytes", key, part, len(part))
				}
			}
			if path.Clean(name) != name || len(parts) > filePartsMost+3*len(key)/250+1 {
				t.Fatalf("%q: %q", key, name)
			}
		}
	})
}
