package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostsSecret runs the commands of README.md and docs/hosts.md for a cluster secret word by word, on hosts with networks of their own:
// the secret, three hosts, a client, a fourth host, the rotation.
func TestHostsSecret(t *testing.T) {
	if !fullVariant() {
		t.Skip("hosts with the addresses of docs/hosts.md: QKV_FULL=1; TestProcessSecret has addresses on loopback")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	if !h.separate {
		t.Skip("hosts with the addresses of docs/hosts.md need networks of their own: run it as root")
	}
	h.ip("addr add 10.0.0.254/24 dev qkv0")
	d := &documented{hosts: h, page: pageText(t, "docs/hosts.md"), serving: map[int]*exec.Cmd{}}
	for host := range 5 { // the first one is where commands are run
		must(t, os.MkdirAll(filepath.Join(d.folder(host), "lib"), 0o700))
		if host > 0 {
			d.network(host)
		}
	}
	copied := func(name string, from int, to ...int) {
		t.Helper()
		for _, host := range to {
			must(t, exec.Command("cp", "-a", "-T", filepath.Join(d.folder(from), name), filepath.Join(d.folder(host), name)).Run())
		}
	}
	secret := section(t, d.page, "## The cluster secret")
	found := d.line(secret, "qkv serve --name n1")
	if at := d.line(pageText(t, "README.md"), "qkv serve --name n1"); at != found {
		t.Errorf("README.md has %s, and docs/hosts.md %s", at, found)
	}
	d.run(1, d.line(secret, "qkv cert secret -o qkv-secret"))
	copied("qkv-secret", 1, 2, 3, 4)
	for host := 1; host <= 3; host++ {
		head, tail, _ := strings.Cut(found, "--initial-cluster")
		head = strings.ReplaceAll(strings.ReplaceAll(head, "n1", fmt.Sprint("n", host)), "10.0.0.1:", fmt.Sprintf("10.0.0.%d:", host))
		d.serve(host, head+"--initial-cluster"+tail)
	}
	d.run(1, d.line(secret, "qkv cert client"))
	copied("qkv-admin", 1, 0)
	d.environment = strings.Fields(strings.TrimPrefix(d.line(secret, "export QKV_ENDPOINTS"), "export "))
	d.voters("n1", "n2", "n3")
	d.run(0, d.line(secret, "qkv status"))
	d.run(0, "qkv put greeting hello")
	d.serve(4, d.line(secret, "qkv serve --name n4"))
	d.voters("n1", "n2", "n3", "n4")
	d.until("qkv get greeting", "hello")

	d.run(0, "qkv member remove n4")
	d.voters("n1", "n2", "n3")
	stale := newTLSEtcdClient(t, filepath.Join(d.folder(0), "qkv-admin"), "10.0.0.1:2379") // it is not restarted
	stale.puts(t)
	renew := "qkv cert renew --secret-file qkv-secret --certs-dir qkv-admin"
	for _, line := range []string{"qkv cert secret -o qkv-secret --rotate", renew} {
		if !strings.Contains(strings.Join(strings.Fields(secret), " "), "`"+line+"`") {
			t.Errorf("docs/hosts.md does not have %s any more", line)
		}
		d.run(1, line)
	}
	copied("qkv-admin/ca.crt", 1, 0)
	restarted := newTLSEtcdClient(t, filepath.Join(d.folder(0), "qkv-admin"), "10.0.0.1:2379")
	restarted.puts(t)
	copied("qkv-secret", 1, 2, 3)
	d.until("qkv put greeting again")
	restarted.puts(t)
	copied("qkv-admin/client-admin.crt", 1, 0)
	d.until("qkv put greeting renewed")
	for host := 1; host <= 3; host++ {
		d.run(host, "sed -i 2d qkv-secret")
	}
	for host := 1; host <= 3; host++ { // ends connections of the old secret
		d.lose(host, false)
		head, tail, _ := strings.Cut(found, "--initial-cluster")
		head = strings.ReplaceAll(strings.ReplaceAll(head, "n1", fmt.Sprint("n", host)), "10.0.0.1:", fmt.Sprintf("10.0.0.%d:", host))
		d.serve(host, head+"--initial-cluster"+tail)
		d.until("qkv status --check")
	}
	d.voters("n1", "n2", "n3")
	restarted.puts(t)
	stale.refuses(t)
	d.run(1, renew)
	copied("qkv-admin/ca.crt", 1, 0)
	newTLSEtcdClient(t, filepath.Join(d.folder(0), "qkv-admin"), "10.0.0.1:2379").puts(t)
	d.until("qkv status --check")
	// The host of the removed member still has the old secret: it cannot join any more.
	must(t, os.RemoveAll(filepath.Join(d.folder(4), "lib", "qkv")))
	d.serve(4, d.line(secret, "qkv serve --name n4"))
	_ = d.serving[4].Wait()
	if said := string(readFile(t, filepath.Join(d.folder(4), "log"))); !strings.Contains(said, "the same cluster secret") {
		t.Errorf("n4 with the old secret says %s", said)
	}
	d.voters("n1", "n2", "n3")
	t.Logf("figures: %d lines of README.md and docs/hosts.md were run word by word", d.lines)
}
