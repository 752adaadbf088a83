package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The address of an object store is no folder: a backup to it is refused, and no folder of its name is made.
func TestBackupToAnAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{"backup run --to s3://bucket/path", "backup save s3://bucket/path", "backup save --single-file gs://bucket/file"} {
		var out, messages bytes.Buffer
		code := run(t.Context(), append([]string{"qkv"}, strings.Fields(line)...), nil, &out, &messages)
		if code != exitUsage || !strings.Contains(messages.String(), "is an address") {
			t.Errorf("%s: exit code %d, %s", line, code, &messages)
		}
	}
	if names, err := os.ReadDir("."); err != nil || len(names) > 0 {
		t.Errorf("there are %v, %v", names, err)
	}
}
