package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form/formtest"

	"qkv/internal/testlong"
)

// A local time is refused while TZ names a zone that cannot be loaded: it would be taken as UTC.
func TestZoneOfLocalTimes(t *testing.T) {
	dir := t.TempDir()
	formtest.Must(t, os.WriteFile(filepath.Join(dir, "bad"), []byte("no zone"), 0o600))
	for zone, fine := range map[string]bool{
		"": true, "UTC": true, "Europe/Berlin": true, ":Europe/Berlin": true, "Europe/Berlim": false, "CET-1CEST,M3.5.0,M10.5.0/3": false,
		"../etc/passwd": false, filepath.Join(dir, "bad"): false, filepath.Join(dir, "none"): false,
	} {
		if err := checkZone(zone); (err == nil) != fine || err != nil && (exitCode(err) != exitUsage || !strings.Contains(err.Error(), zone)) {
			t.Errorf("TZ=%s: %v", zone, err)
		}
	}
}

// Each command that takes a local time refuses it with such a TZ before it connects, and takes a time with its zone. Zones are known
// without the system's files.
func TestCommandsRefuseUnknownZones(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	saved := t.TempDir() // not a backup: a restore ends later
	for zone, fine := range map[string]bool{"Europe/Berlim": false, "Europe/Berlin": true} {
		for _, line := range []string{"get k --at", "revert p --to", "log --from", "diff p --from", "diff p --from 1 --to", "restore " + saved + " --data-dir d --name n1 --at"} {
			for when, local := range map[string]bool{"2020-01-01 11:51": true, "2020-01-01T11:51:00Z": false} {
				cmd := exec.CommandContext(t.Context(), "qkv", append(strings.Fields(line), when)...)
				cmd.Dir = t.TempDir()
				cmd.Env = append(withoutSettings(os.Environ()), "TZ="+zone, "ZONEINFO=/nowhere", "QKV_TIMEOUT=100ms", "QKV_ENDPOINTS=127.0.0.1:1", "QKV_HOME="+cmd.Dir)
				out, _ := cmd.CombinedOutput()
				refused := strings.Contains(string(out), "TZ="+zone)
				if got := cmd.ProcessState.ExitCode(); refused != (local && !fine) || refused && got != exitUsage || got == 0 {
					t.Errorf("TZ=%s qkv %s %q: exit code %d: %s", zone, line, when, got, out)
				}
			}
		}
	}
}
