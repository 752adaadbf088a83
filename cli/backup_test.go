package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"qkv/cli/form"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// backupMade is how a backup for a test is made.
type backupMade struct {
	at   string
	to   []age.Recipient
	puts int // of other keys, behind the base
}

// makeBackup makes a backup of a state in memory: a base of 2026-02-03 10:00:00 local time with key=one, a lease and a user;
// at 10:00:10 key=two and another key in one entry; at 10:00:20 the key is deleted.
func makeBackup(m backupMade) error {
	dir, err := os.MkdirTemp("", "qkv-snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := index.NewState(limits.Defaults().Index)
	s.Found(index.Founders(map[string]uint64{"old": 7}))
	var entries []backup.Entry
	begin := time.Date(2026, 2, 3, 10, 0, 0, 0, time.Local)
	apply := func(second int, commands ...[]byte) error {
		e := backup.Entry{Index: uint64(len(entries)) + 1, Term: 1}
		if len(commands) > 0 {
			e.Envelope = index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 7, First: 1, Wall: begin.Add(time.Duration(second) * time.Second).UnixNano()}, commands)
		}
		entries = append(entries, e)
		_, err := s.Apply(e.Index, 1, e.Envelope, nil)
		return err
	}
	put := func(key, value string) []byte {
		return new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte(value)}).Bytes
	}
	if err := apply(0); err != nil {
		return err
	}
	if err := apply(0, index.AppendFeatureLevel(nil, index.MaxLevel).Bytes, put("key", "one"), new(index.Head).AppendGrant(nil, kv.Lease{ID: 9, TTL: 100_000}).Bytes,
		new(index.Head).AppendAuthChange(nil, &kv.AuthChange{Kind: kv.UserAdd, User: "ann", NoPassword: true}).Bytes); err != nil {
		return err
	}
	base, err := snapshotOf(dir, s)
	if err != nil {
		return err
	}
	defer base.Close()
	if err := apply(10, put("key", "two"), put("other", "1")); err != nil {
		return err
	}
	if err := apply(20, new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("key")}).Bytes); err != nil {
		return err
	}
	for i := range m.puts {
		if err := apply(20+i, put(fmt.Sprint("more ", i), "x")); err != nil {
			return err
		}
	}
	return writeBackup(m, base, entries)
}

func snapshotOf(dir string, s *index.State) (*snapshot.Reader, error) {
	at, term := s.Applied()
	if _, err := snapshot.Save(disk.OS(), dir, snapshot.Meta{Cluster: 0xabc, Member: 7, Index: at, Term: term, Version: form.Version}, s.ViewToSave(), nil); err != nil {
		return nil, err
	}
	return snapshot.Open(disk.OS(), filepath.Join(dir, snapshot.Name(at, term)))
}

func writeBackup(m backupMade, base *snapshot.Reader, entries []backup.Entry) error {
	cluster := backup.Cluster{ID: 0xabc, Name: "old", Version: form.Version}
	ctx := context.Background()
	w, err := backup.Write(ctx, store.OpenFolder(disk.OS(), m.at), true, cluster, 1, m.to...)
	if err != nil {
		return err
	}
	c, err := w.Base(base, nil) // it has no parts
	for done := false; err == nil && !done; {
		done, err = c.Step(ctx, 1<<20)
	}
	for i := 2; err == nil && i < len(entries); i++ { // each in an object of its own
		err = w.Append(ctx, entries[:i+1])
	}
	return err
}

// scriptBackup makes a backup, encrypted for the identity that it writes to a file, if one is named.
func scriptBackup(ts *testscript.TestScript, _ bool, args []string) {
	m := backupMade{at: ts.MkAbs(args[0])}
	if len(args) > 1 {
		key, err := age.GenerateX25519Identity()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte("# made for a test\n"+key.String()+"\n"), 0o600))
		m.to = append(m.to, key.Recipient())
	}
	ts.Check(makeBackup(m))
}

// A restore without a network: every form of a moment, what is printed, and what is refused.
func TestRestoreLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := filepath.Join(dir, "b")
	must(t, makeBackup(backupMade{at: b}))
	zone := time.Date(2026, 2, 3, 10, 0, 0, 0, time.Local).Format("-07:00")
	for i, one := range []struct {
		flags string
		code  int
		want  string
	}{
		{"", form.ExitOK, ": revision 5, the newest write of 2026-02-03 10:00:20 " + zone + "\n1 key, 1 lease, 1 user; a base of entry 2, and 2 entries behind it\n"},
		{"--at|2026-02-03 10:00:15", form.ExitOK, " as of 2026-02-03 10:00:15 " + zone + ": revision 4, the newest write of 2026-02-03 10:00:10 " + zone + "\n2 keys"},
		{"--at|2026-02-03 10:00", form.ExitOK, ": revision 2, the newest write of 2026-02-03 10:00:00 "},
		{"--at|2026-02-03 11:00", form.ExitOK, "the backup ends there: later writes, if there were any, are not in it"},
		{"--revision|3", form.ExitOK, " as of revision 3: revision 3, the newest write of 2026-02-03 10:00:10 " + zone + "\n1 key, "},
		{"--at|2026-02-03 09:59", form.ExitUsage, "it begins at 2026-02-03T10:00:00"},
		{"--revision|6", form.ExitUsage, "it ends with revision 5"},
		{"--revision|0", form.ExitUsage, "the first revision is 1"},
		{"--at|tomorrow", form.ExitUsage, `"tomorrow" is not a time`},
		{"--at|2226-02-03 09:59", form.ExitUsage, "is in the future"},
		{"--at|1970-01-01T00:00:00Z", form.ExitUsage, "no backup has writes of 1970"}, // 0 of a script is not the newest state
		{"--at|1441-07-16T00:00:00Z", form.ExitUsage, "no backup has writes of 1970"},
		{"--at|2026-02-03 11:00|--revision|3", form.ExitUsage, "exclude each other"},
		{"--initial-cluster|n1=h1:1,n2=h2:1", form.ExitUsage, "does not name this member, default"},
		{"--initial-cluster|n1=h1:1,default=h2:1", form.ExitOK, "run the same command on the other hosts"},
		{"--initial-cluster|n1", form.ExitUsage, "is not NAME=HOST:PORT"},
		{"--data-dir|" + b, form.ExitUsage, "is not empty"},
		{"--identity|" + b + "/backup", form.ExitUsage, "holds no age identity"},
	} {
		line := []string{"qkv", "restore", b}
		if one.flags != "" {
			line = append(line, strings.Split(one.flags, "|")...)
		}
		if !slices.Contains(line, "--data-dir") {
			line = append(line, "--data-dir", filepath.Join(dir, fmt.Sprint("data", i)))
		}
		var out, messages bytes.Buffer
		code := execute(t.Context(), line, nil, &out, &messages)
		if text := out.String() + messages.String(); code != one.code || !strings.Contains(text, one.want) {
			t.Errorf("%q: %d %s", line, code, text)
		}
	}
}

// A restore tells several hosts the same cluster, and another one with another word, or at another moment.
func TestRestoreClusters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := filepath.Join(dir, "b")
	must(t, makeBackup(backupMade{at: b}))
	seen := map[string]string{}
	for i, flags := range []string{"--name n1", "--name n2", "--name n1 --initial-cluster-token again", "--name n1 --revision 3"} {
		line := append([]string{"qkv", "restore", b, "--initial-cluster", "n1=h1:1,n2=h2:1", "--data-dir", filepath.Join(dir, fmt.Sprint(i))}, strings.Fields(flags)...)
		var out, messages bytes.Buffer
		if code := execute(t.Context(), line, nil, &out, &messages); code != form.ExitOK {
			t.Fatalf("%q: %d %s", line, code, &messages)
		}
		_, cluster, _ := strings.Cut(out.String(), "in the new cluster ")
		cluster, _, _ = strings.Cut(cluster, "\n")
		if before := seen[cluster]; (before != "") != (i == 1) {
			t.Errorf("%s made the cluster %s, as %s did", flags, cluster, before)
		}
		seen[cluster] = flags
	}
}

// A backup that a newer qkv has written is refused as a whole, also where only one of its objects is newer, and nothing is written. The version of
// a part is inside what is compressed: snapshot/backup TestNewer.
func TestRestoreOfANewerBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, pattern := range []string{"backup", "lists/*", "log/*"} {
		b := filepath.Join(dir, "b")
		must(t, makeBackup(backupMade{at: b}))
		names, err := filepath.Glob(filepath.Join(b, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		bytesOf, err := os.ReadFile(names[0])
		must(t, err)
		was := sha256.Sum256(bytesOf)
		bytesOf[8]++ // the format version
		damage.Seal(bytesOf[:damage.PreludeBytes+binary.LittleEndian.Uint32(bytesOf[16:])])
		must(t, os.Remove(names[0]))
		if name, ok := strings.CutSuffix(names[0], fmt.Sprintf("%x", was)); ok { // the log's objects are named by their content
			names[0] = name + fmt.Sprintf("%x", sha256.Sum256(bytesOf))
		}
		must(t, os.WriteFile(names[0], bytesOf, 0o600))
		data := filepath.Join(dir, "data")
		for _, line := range [][]string{{"restore", b, "--data-dir", data}, {"backup", "verify", b}} {
			var out, messages bytes.Buffer
			code := execute(t.Context(), append([]string{"qkv"}, line...), nil, &out, &messages)
			refused := fmt.Sprintf("its format version is %d, this qkv reads version %d: unknown format: it was written by a newer qkv: use that version", bytesOf[8], bytesOf[8]-1)
			if text := messages.String(); code != form.ExitUsage || !strings.Contains(text, refused) {
				t.Errorf("%q with a newer %s: %d %s", line, pattern, code, text)
			}
		}
		if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with a newer %s, the data folder is there: %v", pattern, err)
		}
		must(t, os.RemoveAll(b))
	}
}
