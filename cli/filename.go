package cli

import (
	"strings"
)

// The name of a key's file, below the folder of an export, is the key itself wherever that can be: each part between
// slashes is a folder's or the file's name. A name that begins with % is a part that had to be escaped:
//
//	%TEXT   a part that is empty, . or .., begins with %, or has more than 255 bytes, a zero byte or a slash. In TEXT
//	        %25 is a %, %00 a zero byte, %2F a slash
//	%TEXT%~ the beginning of a part that is too long for one name: a folder, and the name in it goes on
//	%TEXT%  the file of a key whose plain name is a folder: of a, beside a/b
//
// A key's file is at most filePartsMost folders deep: the number of steps to make it is bounded. The last part of a key with more
// slashes contains them.
const (
	escapeByte    = '%'
	continuedMark = "%~"
	fileNameMost  = 255
	// escapedMost is the length of an escaped part in one name, with the marks around it.
	escapedMost   = fileNameMost - 1 - len(continuedMark)
	filePartsMost = 64
)

// exportTemporary is the folder in which an export writes files before they get their names. It stays, and marks that the folder
// around it was empty before the first export. In any other folder an export uses exportUnmarked, and removes it. No key has such a
// file name.
const (
	exportTemporary = "%!export"
	exportUnmarked  = "%!unmarked"
)

// lostAndFound is the folder that a new file system has in its root.
const lostAndFound = "lost+found"

var (
	escaper    = strings.NewReplacer("%", "%25", "\x00", "%00", "/", "%2F")
	unescapers = map[string]string{"25": "%", "00": "\x00", "2F": "/"}
)

// fileName returns the path of a key's file; a different path if a folder has the plain name.
func fileName(key string, isFolder bool) string {
	parts := strings.SplitN(key, "/", filePartsMost)
	last := len(parts) - 1
	for i, part := range parts {
		switch {
		case i == last && isFolder:
			parts[i] = escaped(part) + "%"
		case !plainPart(part):
			parts[i] = escaped(part)
		}
	}
	return strings.Join(parts, "/")
}

// plainPart reports whether a part of a key is a file name without escapes.
func plainPart(part string) bool {
	return part != "" && part != "." && part != ".." && part[0] != escapeByte && len(part) <= fileNameMost && !strings.ContainsAny(part, "\x00/")
}

// escaped returns a part as one name, or as several with a slash between them.
func escaped(part string) string {
	text := escaper.Replace(part)
	var b strings.Builder
	b.WriteByte(escapeByte)
	for len(text) > escapedMost {
		cut := escapedMost
		if i := strings.LastIndexByte(text[cut-2:cut], escapeByte); i >= 0 { // do not cut inside of an escape
			cut += i - 2
		}
		b.WriteString(text[:cut] + continuedMark + "/%")
		text = text[cut:]
	}
	b.WriteString(text)
	return b.String()
}

// keyOf is the inverse of fileName. ok is false for a path with an escaped part that no key has.
func keyOf(path string) (key string, ok bool) {
	if path[0] != escapeByte && !strings.Contains(path, "/%") {
		return path, true
	}
	var b strings.Builder
	continued := false
	for i, name := range strings.Split(path, "/") {
		if i > 0 && !continued {
			b.WriteByte('/')
		}
		continued = false
		if name[0] != escapeByte {
			b.WriteString(name)
			continue
		}
		name, continued = strings.CutSuffix(name[1:], continuedMark)
		if !unescape(&b, strings.TrimSuffix(name, "%")) {
			return "", false
		}
	}
	key = b.String()
	return key, path == fileName(key, false) || path == fileName(key, true)
}

// unescape appends the original of an escaped part.
func unescape(b *strings.Builder, text string) bool {
	for {
		before, rest, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return true
		}
		if len(rest) < 2 || unescapers[rest[:2]] == "" {
			return false
		}
		b.WriteString(unescapers[rest[:2]])
		text = rest[2:]
	}
}
