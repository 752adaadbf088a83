package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

// TestAdverseFlippedBits: while a member is down, one bit flips in one of its files, of every kind in turn. It comes
// back and is level, or it refuses to start and names the file, or the damage; it never serves what was not written.
func TestAdverseFlippedBits(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	rounds := variant(1, 8)
	c := startProcesses(t, 3, "--segment-bytes", "4194304")
	m := c.members[2]
	for deadline := time.Now().Add(processWait); len(filesIn(t, filepath.Join(m.dataDir, "snap", "*.snap"))) < 2; {
		putMany(t, c, 32, 1<<20)
		if time.Now().After(deadline) {
			t.Fatalf("%s has not two snapshots", m.name)
		}
	}
	l := startMeter(c, "flips", c.clients(2), 8, 4<<10, 5*time.Millisecond) // goes on by the other two
	outcomes := map[string]int{}
	for range rounds {
		for _, kind := range []string{"identity", "peers", "wal/*.wal", "snap/*.snap", "certs/*.crt", "certs/*.key"} {
			l.acknowledges(processWait)
			m.kill()
			names := filesIn(t, filepath.Join(m.dataDir, kind))
			if len(names) == 0 {
				t.Errorf("there is no file of the kind %s", kind)
				continue
			}
			name := names[len(names)-1]
			if strings.HasPrefix(kind, "wal") { // not one that was made ahead
				name, _, _ = lastFrame(t, filepath.Join(m.dataDir, "wal"))
			}
			kept := filepath.Join(t.TempDir(), "folder")
			copyFolderAs(t, m.dataDir, kept)
			info, err := os.Stat(name)
			must(t, err)
			offset := rand.Int64N(info.Size())
			flipBit(t, name, offset)
			outcome := c.flipped(m, name, offset)
			outcomes[kind+" "+outcome]++
			if outcome == "refused" { // as it was, so that the next kind finds a member that is level
				must(t, os.RemoveAll(m.dataDir))
				copyFolderAs(t, kept, m.dataDir)
				m.start()
				c.await("level with its files as they were", func(members []cluster.MemberStatus) bool { return caughtUp(members, m.name) })
			}
			must(t, os.RemoveAll(kept))
		}
	}
	var told []string
	for outcome, n := range outcomes {
		told = append(told, fmt.Sprintf("%s %d", outcome, n))
	}
	slices.Sort(told)
	t.Logf("figures: one bit of a file flipped %d times: %s", 6*rounds, strings.Join(told, ", "))
	l.nothingLost()
	c.level()
}

// flipped starts a member one of whose files has a flipped bit, and says what became of it.
func (c *clusterProcess) flipped(m *memberProcess, name string, offset int64) string {
	c.t.Helper()
	before := len(m.lines())
	m.start()
	for deadline := time.Now().Add(processWait); ; time.Sleep(20 * time.Millisecond) {
		switch members := c.status(); {
		case !m.running():
			said := m.lines()[before:]
			code := m.cmd.ProcessState.ExitCode()
			if code != form.ExitFailed && code != form.ExitUsage || !strings.Contains(said, filepath.Base(name)) {
				c.t.Errorf("a bit of %s at %d: it ended with %d and says\n%s", name, offset, code, said)
			}
			return "refused"
		case caughtUp(members, m.name):
			return "level"
		case slices.ContainsFunc(members, func(s cluster.MemberStatus) bool { return s.Name == m.name && raises(s, "AMNESIA") }):
			m.kill() // the end of the log was hit, and looks torn: the others know better
			return "refused"
		case time.Now().After(deadline):
			c.t.Fatalf("a bit of %s at %d: not level after %v: %s\n%s", name, offset, processWait, run.Describe(members, nil), m.tail(20))
		}
	}
}
