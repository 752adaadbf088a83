package form

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form/formtest"
)

// A local time is refused while TZ names a zone that cannot be loaded: it would be taken as UTC.
func TestZoneOfLocalTimes(t *testing.T) {
	dir := t.TempDir()
	formtest.Must(t, os.WriteFile(filepath.Join(dir, "bad"), []byte("no zone"), 0o600))
	for zone, fine := range map[string]bool{
		"": true, "UTC": true, "Europe/Berlin": true, ":Europe/Berlin": true, "Europe/Berlim": false, "CET-1CEST,M3.5.0,M10.5.0/3": false,
		"../etc/passwd": false, filepath.Join(dir, "bad"): false, filepath.Join(dir, "none"): false,
	} {
		if err := checkZone(zone); (err == nil) != fine || err != nil && (ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), zone)) {
			t.Errorf("TZ=%s: %v", zone, err)
		}
	}
}
