package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// verified runs `qkv verify` with an exit code, and returns the members by name.
func (c *clusterProcess) verified(code int, args ...string) (members map[string]verifiedMember, said string) {
	c.t.Helper()
	got := c.qkv(append([]string{"verify", "-w", "json", "--timeout", processWait.String(), "--now"}, args...)...).exits(c.t, code)
	var document struct{ Members []verifiedMember }
	must(c.t, json.Unmarshal([]byte(got.stdout), &document))
	members = map[string]verifiedMember{}
	for _, m := range document.Members {
		members[m.Name] = m
	}
	return members, got.stdout + got.stderr
}

// closedSegment returns the newest segment of a member's log that is closed.
func closedSegment(t *testing.T, m *memberProcess) (name string) {
	t.Helper()
	dir, newest := filepath.Join(m.dataDir, "wal"), ""
	for line := range strings.Lines(runQkv(t, nil, "inspect", dir).stdout) {
		if file, _, found := strings.Cut(line, "  segment "); found {
			name, newest = newest, filepath.Join(dir, file)
		}
	}
	return name
}

// TestProcessVerify: a flipped byte of the older snapshot and one of a closed segment are named while the members serve, and no member but
// the one with the damage is blamed. What that member does about it makes the next verification clean.
func TestProcessVerify(t *testing.T) {
	t.Parallel()
	c := startProcesses(t, 3, "--segment-bytes", "4194304", "--history-bytes", "1048576")
	m := c.members[2]
	snaps, segments := filepath.Join(m.dataDir, "snap", "*.snap"), filepath.Join(m.dataDir, "wal", "*.wal")
	for deadline := time.Now().Add(2 * processWait); len(filesIn(t, snaps)) < 2; putMany(t, c, 400, 60_000) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has %s", m.name, filesIn(t, snaps))
		}
	}
	c.level()
	members, said := c.verified(exitOK)
	for _, one := range c.members {
		if v := members[one.name]; !v.Sound || v.Files < 3 || v.Bytes < 1<<20 || len(v.Damaged) > 0 {
			t.Fatalf("%s: %s", one.name, said)
		}
	}
	if last, _ := c.verified(exitOK, "--now=false"); last[m.name].Time != members[m.name].Time || last[m.name].Bytes != members[m.name].Bytes {
		t.Errorf("the last result is %+v, want %+v", last[m.name], members[m.name])
	}
	if table := c.qkv("verify", "--endpoints", m.listen, "--no-discovery").exits(t, exitOK).stdout; lineWith(table, m.name, "sound") == "" || strings.Count(table, "\n") != 2 {
		t.Errorf("one member:\n%s", table)
	}

	older := filesIn(t, snaps)[0]
	closed := closedSegment(t, m)
	flipBit(t, older, 1<<17)
	flipBit(t, closed, 3*4096+700)
	members, said = c.verified(exitFailed)
	for _, one := range c.members {
		if v := members[one.name]; one != m && !v.Sound || v.Error != "" {
			t.Errorf("%s: %s", one.name, said)
		}
	}
	named := map[string]string{}
	for _, f := range members[m.name].Damaged {
		named[f.Name] = f.Reason + "; " + f.Help
	}
	for file, words := range map[string][]string{
		"snap/" + filepath.Base(older): {"at byte ", "checksum", "damaged/", "qkv verify"},
		"wal/" + filepath.Base(closed): {"at byte ", "proves that it was synced", "saves two snapshots", "qkv verify"},
	} {
		for _, word := range words {
			if !strings.Contains(named[file], word) {
				t.Errorf("%s: no %q in %q", file, word, named[file])
			}
		}
	}
	if len(named) != 2 {
		t.Errorf("damaged: %v", named)
	}
	m.says("damaged snapshot", "damaged", filepath.Base(older))
	m.says("a segment of the log is damaged", filepath.Base(closed))

	for i := 0; ; i++ { // the cluster serves, and its writes let the member get rid of the damage
		c.qkv("put", "after", fmt.Sprint(i)).exits(t, exitOK)
		putMany(t, c, 20, 60_000)
		if len(filesIn(t, filepath.Join(m.dataDir, "damaged", "*"))) == 1 && !slices.Contains(filesIn(t, segments), closed) {
			break
		}
		if i == 300 {
			t.Fatalf("%s and %s are left", filesIn(t, snaps), filesIn(t, segments))
		}
	}
	members, said = c.verified(exitOK)
	if !members[m.name].Sound {
		t.Error(said)
	}
	if status := c.level(); status[2].raises("CORRUPT") {
		t.Errorf("the alarms: %v", status[2].Alarms)
	}
	m.kill()
	m.start() // without what was damaged
	c.level()
	if last, _ := c.verified(exitOK, "--now=false"); last[m.name].Time != members[m.name].Time || !last[m.name].Sound {
		t.Errorf("the last result after a restart is %+v, want %+v", last[m.name], members[m.name])
	}
	c.others(m)[0].kill()
	if members, said = c.verified(exitUnavailable); !members[m.name].Sound || members[c.others(m)[0].name].Sound {
		t.Error(said)
	}
}
