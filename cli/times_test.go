package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

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
				cmd.Env = append(run.WithoutSettings(os.Environ()), "TZ="+zone, "ZONEINFO=/nowhere", "QKV_TIMEOUT=100ms", "QKV_ENDPOINTS=127.0.0.1:1", "QKV_HOME="+cmd.Dir)
				out, _ := cmd.CombinedOutput()
				refused := strings.Contains(string(out), "TZ="+zone)
				if got := cmd.ProcessState.ExitCode(); refused != (local && !fine) || refused && got != form.ExitUsage || got == 0 {
					t.Errorf("TZ=%s qkv %s %q: exit code %d: %s", zone, line, when, got, out)
				}
			}
		}
	}
}
