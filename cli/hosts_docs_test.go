package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/run"
)

// TestHostsDocs runs the commands of docs/hosts.md and docs/emergencies.md word by word, on hosts with the addresses and folders of these
// pages: founding, a lost member, a lost quorum, a restored folder, growing and shrinking.
func TestHostsDocs(t *testing.T) {
	if !fullVariant() {
		t.Skip("hosts with the addresses of docs/hosts.md: make hosts")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	if !h.separate {
		t.Skip("hosts with the addresses of docs/hosts.md need networks of their own")
	}
	h.ip("addr add 10.0.0.254/24 dev qkv0")
	d := &documented{hosts: h, page: pageText(t, "docs/hosts.md"), emergencies: pageText(t, "docs/emergencies.md"), serving: map[int]*exec.Cmd{}}
	for host := range 5 { // the first one is where commands are run
		must(t, os.MkdirAll(filepath.Join(d.folder(host), "certs"), 0o700))
		must(t, os.MkdirAll(filepath.Join(d.folder(host), "lib"), 0o700))
		if host > 0 {
			d.network(host)
		}
	}
	certificates := section(t, d.page, "## Certificates")
	for _, line := range []string{"qkv cert ca", "qkv cert member --certs-dir certs n1", "qkv cert member --certs-dir certs n2", "qkv cert member --certs-dir certs n3", "qkv cert client"} {
		d.run(0, d.line(certificates, line))
	}
	begin := section(t, d.page, "## Starting the members")
	found := d.line(begin, "qkv serve --name n1")
	for host := 1; host <= 3; host++ {
		head, tail, _ := strings.Cut(found, "--initial-cluster")
		head = strings.ReplaceAll(strings.ReplaceAll(head, "n1", fmt.Sprint("n", host)), "10.0.0.1:", fmt.Sprintf("10.0.0.%d:", host))
		d.certificate(host, fmt.Sprint("n", host))
		d.serve(host, head+"--initial-cluster"+tail)
	}
	d.environment = strings.Fields(strings.TrimPrefix(d.line(begin, "export QKV_ENDPOINTS"), "export "))
	d.voters("n1", "n2", "n3")
	d.run(0, "qkv put greeting hello")
	emergency := section(t, d.emergencies, "Look first")
	d.until(d.line(emergency, "qkv status"))
	d.run(0, d.line(emergency, "qkv member list --serializable"))

	disk := section(t, d.page, "## When a member has lost its disk")
	d.lose(3, true)
	d.run(0, d.line(disk, "qkv member remove n3"))
	d.run(0, d.line(disk, "qkv member add n3"))
	d.serve(3, d.line(disk, "qkv serve --name n3"))
	d.run(0, d.line(disk, "qkv member list"))
	d.voters("n1", "n2", "n3")

	lost := section(t, d.emergencies, "## A lost member")
	whole, lost, _ := strings.Cut(lost, "### On the same host")
	d.lose(3, false)
	h.ip("-n d3 addr flush dev eth0")
	h.ip("-n d3 addr add 10.0.0.7/24 dev eth0")
	d.serve(3, d.line(whole, "qkv serve --name n3"))
	d.voters("n1", "n2", "n3")
	d.lose(3, true)
	h.ip("-n d3 addr flush dev eth0")
	h.ip("-n d3 addr add 10.0.0.3/24 dev eth0")
	same, another, _ := strings.Cut(lost, "### On another host")
	d.run(0, d.line(same, "qkv member remove n3"))
	d.run(0, d.line(same, "qkv member add n3"))
	d.serve(3, d.line(same, "qkv serve --name n3"))
	d.run(0, d.line(same, "qkv member list"))
	d.voters("n1", "n2", "n3")
	d.lose(3, true)
	d.run(0, d.line(another, "qkv cert member"))
	d.certificate(4, "n3-2")
	replacing := make(chan string)
	go func() { replacing <- d.run(0, d.line(another, "qkv member replace n3")) }()
	d.until("qkv member list -w json", "n3-2")
	d.serve(4, d.line(another, "qkv serve --name n3-2"))
	if said := <-replacing; !strings.Contains(said, "3 of 3") {
		t.Errorf("qkv member replace says %s", said)
	}
	d.voters("n1", "n2", "n3-2")

	quorum := section(t, d.emergencies, "## A lost quorum")
	d.lose(2, true)
	d.lose(4, true)
	d.until(d.line(quorum, "qkv status"), "NO QUORUM")
	d.run(0, d.line(quorum, "qkv export --serializable"))
	d.lose(1, false)
	d.run(1, d.line(quorum, "qkv recover --accept-loss")+" --yes") // nobody can be asked
	d.serve(1, d.line(quorum, "qkv serve --name n1"))
	d.voters("n1")
	d.until("qkv get greeting", "hello")
	d.run(0, d.line(quorum, "qkv member add n2"))
	d.serve(2, d.line(quorum, "qkv serve --name n2"))
	d.voters("n1", "n2")

	// A restored folder: the folder as it was when the member last ran is put back.
	d.run(0, d.line(disk, "qkv member add n3"))
	d.serve(3, d.line(disk, "qkv serve --name n3"))
	d.voters("n1", "n2", "n3")
	d.lose(3, false)
	data := filepath.Join(d.folder(3), "lib", "qkv")
	must(t, exec.Command("cp", "-a", data, data+"-backup").Run())
	d.serve(3, d.line(disk, "qkv serve --name n3"))
	d.run(0, "qkv put greeting again")
	d.until("qkv get greeting --serializable --no-discovery --endpoints 10.0.0.3:2379", "again") // n3 was admitted once more
	d.lose(3, false)
	must(t, os.Rename(data, data+"-last"))
	must(t, os.Rename(data+"-backup", data))
	d.serve(3, d.line(disk, "qkv serve --name n3"))
	d.until("qkv status", "AMNESIA")
	d.lose(3, false)
	must(t, os.Rename(data, data+"-restored"))
	must(t, os.Rename(data+"-last", data))
	d.serve(3, d.line(disk, "qkv serve --name n3"))
	d.until("qkv status --check")
	d.voters("n1", "n2", "n3")
	d.until("qkv get greeting", "again")

	grow := section(t, d.page, "## Adding and removing members")
	d.run(0, d.line(grow, "qkv cert member"))
	d.certificate(4, "n4")
	d.run(0, d.line(grow, "qkv member add n4"))
	d.serve(4, d.line(grow, "qkv serve --name n4"))
	d.voters("n1", "n2", "n3", "n4")
	d.run(0, d.line(grow, "qkv member remove n2"))
	d.run(0, d.line(grow, "qkv member lead n4"))
	d.voters("n1", "n3", "n4")
	d.until("qkv get greeting", "again")
	t.Logf("figures: %d lines of docs/hosts.md and docs/emergencies.md were run word by word", d.lines)
}

// documented is hosts on which lines of the documents are run.
type documented struct {
	*hosts
	page, emergencies string   // docs/hosts.md and docs/emergencies.md
	environment       []string // where commands are run
	serving           map[int]*exec.Cmd
	lines             int
}

// section is a text from some words to the next headline of the same kind.
func section(t *testing.T, text, from string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, from)
	if !ok {
		t.Fatalf("there is no %q any more", from)
	}
	mark, _, _ := strings.Cut(from, " ")
	if strings.Trim(mark, "#") != "" {
		mark = "##"
	}
	text, _, _ = strings.Cut(text, "\n"+mark+" ")
	return text
}

// line is the line of a text that begins with some words, without its comment.
func (d *documented) line(text, begin string) string {
	d.t.Helper()
	i := slices.IndexFunc(docLines(text), func(line string) bool { return strings.HasPrefix(line, begin) })
	if i < 0 {
		d.t.Fatalf("there is no %q in\n%s", begin, text)
	}
	d.lines++
	return docLines(text)[i]
}

func (d *documented) folder(host int) string {
	return filepath.Join(d.dir, fmt.Sprint("documented", host))
}

func (d *documented) network(host int) {
	d.t.Helper()
	d.ip(fmt.Sprintf("netns add d%d", host))
	d.ip(fmt.Sprintf("link add w%d type veth peer name eth0 netns d%d", host, host))
	d.ip(fmt.Sprintf("link set w%d master qkv0 up", host))
	d.ip(fmt.Sprintf("-n d%d addr add 10.0.0.%d/24 dev eth0", host, host))
	d.ip(fmt.Sprintf("-n d%d link set lo up", host))
	d.ip(fmt.Sprintf("-n d%d link set eth0 up", host))
}

// certificate copies a member's certificate from where it was made to its host.
func (d *documented) certificate(host int, name string) {
	d.t.Helper()
	for _, file := range []string{"ca.crt", "member-" + name + ".crt", "member-" + name + ".key"} {
		b := readFile(d.t, filepath.Join(d.folder(0), "certs", file))
		must(d.t, os.WriteFile(filepath.Join(d.folder(host), "certs", file), b, 0o600))
	}
}

// command is a line at a host's shell, in a folder with its certificates, and with a /var/lib of its own.
func (d *documented) command(host int, line string) *exec.Cmd {
	cmd := exec.Command("unshare", "--mount", "sh", "-c", "mount --bind lib /var/lib && exec "+line)
	if host > 0 {
		cmd = exec.Command("ip", append([]string{"netns", "exec", fmt.Sprint("d", host)}, cmd.Args...)...)
	}
	cmd.Dir = d.folder(host)
	cmd.Env = append(run.WithoutSettings(os.Environ()), "QKV_HOME="+filepath.Join(d.folder(host), "home"))
	if host == 0 {
		cmd.Env = append(cmd.Env, d.environment...)
	}
	return cmd
}

// run runs a line, which must end well, and returns what it prints.
func (d *documented) run(host int, line string) string {
	d.t.Helper()
	cmd := d.command(host, line)
	out, err := os.Create(filepath.Join(d.folder(host), "out"))
	must(d.t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err = spawn(cmd); err == nil {
		err = cmd.Wait()
	}
	said := string(readFile(d.t, out.Name()))
	if err != nil {
		d.t.Errorf("%s: %v\n%s", line, err, said)
	}
	return said
}

// serve runs a line that serves, until it is lost.
func (d *documented) serve(host int, line string) {
	d.t.Helper()
	cmd := d.command(host, line)
	out, err := os.OpenFile(filepath.Join(d.folder(host), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(d.t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(d.t, spawn(cmd))
	d.serving[host] = cmd
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// lose is a host that stops at once, and perhaps its disk.
func (d *documented) lose(host int, wiped bool) {
	d.t.Helper()
	must(d.t, d.serving[host].Process.Signal(syscall.SIGKILL))
	_ = d.serving[host].Wait()
	if wiped {
		must(d.t, os.RemoveAll(filepath.Join(d.folder(host), "lib", "qkv")))
	}
}

// until waits until a command ends well or, where there are some, says all words.
func (d *documented) until(line string, words ...string) {
	d.t.Helper()
	var said []byte
	var err error
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		said, err = d.command(0, line).Output()
		missing := func(word string) bool { return !strings.Contains(string(said), word) }
		if len(words) > 0 && !slices.ContainsFunc(words, missing) || len(words) == 0 && err == nil {
			return
		}
	}
	d.t.Fatalf("%s ends with %v and says %s, not %q%s", line, err, said, words, d.logs())
}

// voters waits until these are the members, and all have a vote and have said who they are.
func (d *documented) voters(names ...string) {
	d.t.Helper()
	var said []byte
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var answer struct{ Members []memberRecord }
		said, _ = d.command(0, "qkv member list -w json").Output()
		if json.Unmarshal(said, &answer) != nil {
			continue
		}
		var got []string
		for _, m := range answer.Members {
			if m.Role == "voter" && m.Status == "started" {
				got = append(got, m.Name)
			}
		}
		slices.Sort(got)
		if slices.Equal(got, names) && len(answer.Members) == len(names) {
			return
		}
	}
	d.t.Fatalf("the members are not %v: %s%s", names, said, d.logs())
}

// logs is what all hosts' members have said last.
func (d *documented) logs() string {
	var b strings.Builder
	for host := range 5 {
		log, _ := os.ReadFile(filepath.Join(d.folder(host), "log"))
		fmt.Fprintf(&b, "\nhost %d:\n%s", host, log[max(0, len(log)-3000):])
	}
	return b.String()
}
