package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The address of a store that qkv does not know is no folder: it is refused, and no folder of its name is made.
func TestBackupToAnAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{"backup run --to gs://bucket/path", "backup save https://bucket/path", "backup list gs://bucket/path", "serve --backup gs://bucket/path"} {
		var out, messages bytes.Buffer
		code := run(t.Context(), append([]string{"qkv"}, strings.Fields(line)...), nil, &out, &messages)
		if code != exitUsage || !strings.Contains(messages.String(), "qkv writes to folders and to s3://BUCKET/PREFIX") {
			t.Errorf("%s: exit code %d, %s", line, code, &messages)
		}
	}
	if names, err := os.ReadDir("."); err != nil || len(names) > 0 {
		t.Errorf("there are %v, %v", names, err)
	}
}
