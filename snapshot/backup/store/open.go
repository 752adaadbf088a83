package store

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"qkv/log/disk"
)

// Open returns the store of an address: s3://BUCKET/PREFIX, or the name of a folder. It makes nothing, and asks no server.
func Open(on disk.FS, address string) (Store, error) {
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case address == "":
		return nil, errors.New("the address of the store is empty: give a folder, or s3://BUCKET/PREFIX")
	case found && strings.EqualFold(scheme, "s3"):
		bucket, prefix, _ := strings.Cut(rest, "/")
		return openS3(bucket, prefix)
	case found && !strings.Contains(scheme, "/"):
		return nil, fmt.Errorf("%s:// is no store: qkv writes to folders and to s3://BUCKET/PREFIX; for a folder of that name give ./%s://PATH", scheme, scheme)
	case len(address) >= 3 && strings.EqualFold(address[:3], "s3:"):
		return nil, fmt.Errorf("%s is no address of a bucket: give s3://BUCKET/PREFIX; for a folder of that name give ./%s", address, address)
	case strings.ContainsRune(address, 0):
		return nil, fmt.Errorf("the name of the folder %q has a zero byte", address)
	}
	return OpenFolder(on, address), nil
}

// backupPrefixMost bounds the prefix in a bucket: with the name of an object behind it, a key may have 1,024 bytes.
const backupPrefixMost = 800

// cleanPrefix returns a prefix without the slash at its end, or its fault. Nothing else is corrected: another spelling
// would be another place in the bucket.
func cleanPrefix(prefix string) (string, error) {
	prefix = strings.TrimSuffix(prefix, "/")
	switch {
	case prefix == "":
		return "", nil
	case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, unicode.IsControl):
		return "", fmt.Errorf("the prefix %q has bytes that are no text", prefix)
	case path.IsAbs(prefix) || path.Clean(prefix) != prefix || prefix == "." || prefix == ".." || strings.HasPrefix(prefix, "../"):
		return "", fmt.Errorf("the prefix %q has an empty part, or . or ..: give one as in backups/qkv", prefix)
	case len(prefix) > backupPrefixMost:
		return "", fmt.Errorf("the prefix has %d bytes, more than %d", len(prefix), backupPrefixMost)
	}
	return prefix, nil
}
