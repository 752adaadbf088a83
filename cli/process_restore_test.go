package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/data"
	"qkv/cli/form"
	"qkv/internal/testlong"
)

// clusterOf returns the cluster id that `qkv restore` printed.
func clusterOf(t *testing.T, said answered) string {
	t.Helper()
	_, after, _ := strings.Cut(said.exits(t, form.ExitOK).stdout, "in the new cluster ")
	id, _, _ := strings.Cut(after, "\n")
	if len(id) != 16 {
		t.Fatalf("no cluster id: %s", said.stdout)
	}
	return id
}

// TestProcessRestoreWithSecret is the way from a cluster with certificates to one with a secret: a backup and a restore, on three hosts at
// once, and a snapshot for a lone member that others join. A folder for certificates does not start with a secret.
func TestProcessRestoreWithSecret(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	backups := backupFolder(t)
	old := startProcesses(t, 1, "--backup", backups)
	old.qkv("put", "key", "first").exits(t, form.ExitOK)
	old.qkv("put", "key", "second").exits(t, form.ExitOK)
	dir := t.TempDir()
	snapshot := filepath.Join(dir, "snapshot.db")
	old.qkv("backup", "now").exits(t, form.ExitOK)
	old.qkv("migrate", "to-etcd", "--snapshot", snapshot).exits(t, form.ExitOK)

	s := newSecretProcesses(t, 3)
	n3 := s.members[2]
	n3.environment = []string{"QKV_CERTS_DIR=" + s.certsDir} // of the commands in the same shell
	n3.arguments = append(n3.arguments, "--cluster-secret-file", s.file())
	restored := func(m *memberProcess, dataDir string, secret ...string) answered {
		t.Helper()
		list := m.arguments[slices.Index(m.arguments, "--initial-cluster")+1]
		return runQkv(t, m.environment, append([]string{"restore", backups, "--name", m.name, "--data-dir", dataDir, "--initial-cluster", list}, secret...)...)
	}
	ids := map[string]bool{}
	for _, m := range s.members[:2] {
		ids[clusterOf(t, restored(m, m.dataDir))] = true
	}
	ids[clusterOf(t, restored(n3, n3.dataDir, "--cluster-secret-file", s.file()))] = true
	if len(ids) != 1 {
		t.Fatalf("the hosts restored %d clusters: %v", len(ids), ids)
	}
	for _, m := range s.members {
		m.start()
	}
	s.level()
	if got := s.qkv("history", "key").exits(t, form.ExitOK).stdout; !strings.Contains(got, "first") || !strings.Contains(got, "second") {
		t.Errorf("the history of the restored cluster is %s", got)
	}
	s.qkv("put", "key", "third").exits(t, form.ExitOK)

	// Another secret is another cluster, and no secret another trust domain.
	foreign := filepath.Join(dir, "foreign")
	runQkv(t, nil, "cert", "secret", "--output", foreign).exits(t, form.ExitOK)
	if id := clusterOf(t, restored(n3, filepath.Join(dir, "foreign-n3"), "--cluster-secret-file", foreign)); ids[id] {
		t.Errorf("with another secret, the cluster's id is %s, too", id)
	}
	local := filepath.Join(dir, "local-n3")
	n3.environment = nil
	if id := clusterOf(t, restored(n3, local)); ids[id] {
		t.Errorf("without a secret, the cluster's id is %s, too", id)
	}
	wrong := s.another("n3", s.secrets[0])
	wrong.dataDir, wrong.arguments = local, nil
	wrong.refuses(form.ExitUsage, "belongs to a member of the cluster local", "the certificates belong to secret", "run it again with the same --certs-dir or cluster secret")
	restored(s.members[0], filepath.Join(dir, "both"), "--certs-dir", s.certsDir).exits(t, form.ExitUsage, "give only one of them")

	// A snapshot of etcd's format makes a lone member with the secret, which a second one joins without `qkv member add`.
	for name, words := range map[string][]string{
		"migrated": {"migrate", "from-etcd", "--snapshot", snapshot},
		"snapshot": {"restore", snapshot},
	} {
		lone := newSecretProcesses(t, 1)
		m := lone.members[0]
		runQkv(t, nil, append(words, "--name", "n1", "--data-dir", m.dataDir, "--cluster-secret-file", lone.file())...).exits(t, form.ExitOK)
		m.start()
		lone.level()
		if got := lone.qkv("get", "key").exits(t, form.ExitOK); got.stdout != "second\n" {
			t.Errorf("%s: the key is %q", name, got.stdout)
		}
		n2 := lone.another("n2", lone.secrets[0])
		n2.start()
		lone.members = append(lone.members, n2)
		lone.voters("n1", "n2")
		lone.nowhere()
	}
}

// TestProcessMigrateLiveWithSecret: a running source becomes the data folder of a member with a cluster secret, which a second one joins.
func TestProcessMigrateLiveWithSecret(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	source := startProcesses(t, 1)
	source.qkv("put", "key", "value").exits(t, form.ExitOK)
	s := newSecretProcesses(t, 1)
	m := s.members[0]
	work := filepath.Join(s.dir, "work")
	words := []string{
		"migrate", "from-etcd", "--endpoints", "http://" + source.members[0].listen, "--name", "n1", "--data-dir", m.dataDir,
		"--cluster-secret-file", s.file(), "--work-dir", work,
	}
	ended := make(chan answered, 1)
	go func() { ended <- runQkv(t, nil, words...) }()
	for end := time.Now().Add(processWait); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(filepath.Join(work, data.LockName)); len(text) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the migration does not lock its work folder")
		}
	}
	runQkv(t, nil, words...).exits(t, form.ExitUsage, "another process uses the work folder", "--cut-over")
	runQkv(t, nil, append(slices.Replace(slices.Clone(words), 7, 8, "elsewhere"), "--cut-over")...).exits(t, form.ExitUsage, "another process uses the work folder")
	runQkv(t, nil, append(words, "--cut-over")...).exits(t, form.ExitOK)
	(<-ended).exits(t, form.ExitOK)
	m.start()
	s.level()
	if got := s.qkv("get", "key").exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("the key is %q", got.stdout)
	}
	s.qkv("put", "key", "new").exits(t, form.ExitOK)
	n2 := s.another("n2", s.secrets[0])
	n2.start()
	s.members = append(s.members, n2)
	s.voters("n1", "n2")
	s.nowhere()
}
