package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestDocsEtcd does what docs/etcd.md says, word by word, at ports of its own: one member, three with certificates, and a fourth.
func TestDocsEtcd(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	text, err := os.ReadFile("../docs/etcd.md")
	must(t, err)
	port, err := freePorts(2)
	must(t, err)
	dir := t.TempDir()
	c := &clusterProcess{t: t, home: filepath.Join(dir, "home")}
	ports := strings.NewReplacer(":2379", fmt.Sprintf(":%d", port), ":2380", fmt.Sprintf(":%d", port+1), "certs/", filepath.Join(dir, "certs")+"/",
		"--certs-dir certs", "--certs-dir "+filepath.Join(dir, "certs"))
	var secure []string // the line of n1 with certificates, of which the others follow
	ran := map[string]int{}
	for _, line := range docLines(string(text)) {
		words := strings.Fields(ports.Replace(line))
		switch {
		case words[0] == "qkv" && words[1] == "cert":
			ran["cert"]++
			c.qkv(words[1:]...).exits(t, form.ExitOK)
		case words[0] == "qkv" && slices.Contains(words, "existing"):
			ran["existing"]++
			c.qkv("member", "add", "n4", "--peer", fmt.Sprintf("127.0.0.4:%d", port+1)).exits(t, form.ExitOK)
			// The rest of the line is as above, and what it says itself comes behind that.
			line := append(slices.Concat([]string{"etcd"}, ofMember(secure, 4, port)), words[2:]...)
			c.documented(dir, "n4", line).says("ready to serve client requests")
		case words[0] == "qkv" && slices.Contains(words, "--peer-cert-file"):
			ran["three"]++
			secure = words[2:]
			for i := range 3 {
				c.documented(dir, fmt.Sprintf("n%d", i+1), append([]string{"etcd"}, ofMember(secure, i+1, port)...))
			}
			for _, m := range c.members {
				m.says("ready to serve client requests")
			}
			c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
		case words[0] == "qkv":
			ran["one"]++
			m := c.documented(dir, "alone", append(words[1:], "--data-dir", filepath.Join(dir, "alone.etcd")))
			m.says("ready to serve client requests")
			c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
			m.stop()
			c.members = nil
		}
	}
	if fmt.Sprint(ran) != "map[cert:5 existing:1 one:1 three:1]" {
		t.Errorf("the page is not read as it is written: %v", ran)
	}
}

// ofMember is the line of n1 for another member: its name, its address in its own URLs, and its certificates.
func ofMember(line []string, number, port int) (words []string) {
	for i, word := range line {
		if i > 0 && line[i-1] == "--initial-cluster" {
			words = append(words, word)
			continue
		}
		words = append(words, strings.NewReplacer("n1", fmt.Sprintf("n%d", number), "127.0.0.1", host(number-1), "member-n1", fmt.Sprintf("member-n%d", number)).Replace(word))
	}
	return words
}

// documented starts a member of the page.
func (c *clusterProcess) documented(dir, name string, line []string) *memberProcess {
	c.t.Helper()
	if !slices.Contains(line, "--data-dir") {
		line = append(line, "--data-dir", filepath.Join(dir, name+".etcd"))
	}
	if name == "n4" {
		c.qkv("cert", "member", "--certs-dir", filepath.Join(dir, "certs"), "n4", "127.0.0.4").exits(c.t, form.ExitOK)
	}
	m := &memberProcess{
		t: c.t, name: name, log: filepath.Join(dir, name+".log"), line: line,
		environment: []string{"QKV_HOME=" + c.home, "QKV_SEGMENT_BYTES=1048576"},
	}
	for i, word := range line {
		if word == "--listen-client-urls" {
			_, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(line[i+1], "http://"), "https://"))
			must(c.t, err)
			m.listen = net.JoinHostPort("127.0.0.1", port)
			if strings.Contains(line[i+1], "127.0.0.") {
				m.listen = strings.TrimPrefix(strings.TrimPrefix(line[i+1], "http://"), "https://")
			}
		}
	}
	c.members = append(c.members, m)
	c.t.Cleanup(m.cleanUp)
	m.start()
	return m
}
