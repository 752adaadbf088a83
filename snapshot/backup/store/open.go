package store

import (
	"fmt"
	"strings"

	"qkv/log/disk"
)

// Open opens the store at an address.
func Open(on disk.FS, address string) (Store, error) {
	if scheme, _, found := strings.Cut(address, "://"); found && !strings.Contains(scheme, "/") {
		return nil, fmt.Errorf("%s:// is no store: qkv writes to folders and to s3://BUCKET/PREFIX; for a folder of that name give ./%s://...", scheme, scheme)
	}
	return OpenFolder(on, address), nil
}
