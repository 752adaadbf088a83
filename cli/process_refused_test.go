package cli

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/cli/form"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

// TestProcessRefused: what cannot work is refused at once, by a line that says what is wrong and what to do, and
// nothing is changed by it.
func TestProcessRefused(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1, "--initial-cluster-token", "one")
	m := c.members[0]
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)

	t.Run("an address in use", func(t *testing.T) {
		other := newProcesses(t, 3).members[0]
		free := other.listen
		other.listen = m.listen
		other.refuses(form.ExitFailed, "cannot listen for clients", m.listen, "another process")
		noFiles(t, other.dataDir, "LOCK", "identity", "wal")

		busy := freeSocket(t)
		other.listen = free
		for i, word := range other.arguments {
			other.arguments[i] = strings.ReplaceAll(word, other.listenPeer, busy)
		}
		other.listenPeer = busy
		other.refuses(form.ExitFailed, busy)
		noFiles(t, other.dataDir, "LOCK", "identity", "wal")
	})
	t.Run("a data folder in use", func(t *testing.T) {
		other, free := *m, freeAddresses(t, 1)
		other.listen = free[0]
		other.refuses(form.ExitFailed, m.dataDir, "in use by another process", "--data-dir")
	})
	c.qkv("get", "greeting").exits(t, form.ExitOK) // the member that has them does not suffer
	m.stop()
	before := treeOf(t, m.dataDir)

	t.Run("a data folder of another member", func(t *testing.T) {
		other := *m
		other.name = "n2"
		other.arguments = []string{"--initial-cluster-token", "one"}
		other.refuses(form.ExitUsage, m.dataDir, "belongs to the member "+m.name, "this is n2")

		three := newProcesses(t, 3)
		first, second := three.members[0], *three.members[1]
		first.start()
		first.says("qkv serves")
		first.stop()
		second.dataDir = first.dataDir
		before := treeOf(t, first.dataDir)
		second.refuses(form.ExitUsage, first.dataDir, "belongs to the member n1", "this is n2", "--data-dir")
		if after := treeOf(t, first.dataDir); after != before {
			t.Errorf("the data folder was changed:\n%s\nbefore:\n%s", after, before)
		}
	})
	if after := treeOf(t, m.dataDir); after != before {
		t.Errorf("the data folder was changed:\n%s\nbefore:\n%s", after, before)
	}
	t.Run("a newer format", func(t *testing.T) {
		identity := filepath.Join(m.dataDir, "identity")
		right := readFile(t, identity)
		newer := slices.Clone(right)
		for slot := newer; len(slot) > 0; slot = slot[limits.FolderFileBytes:] {
			if binary.LittleEndian.Uint32(slot[8:]) != 1 {
				t.Fatalf("the identity begins with % x: the format is not where it was", slot[:24])
			}
			binary.LittleEndian.PutUint32(slot[8:], 2)
			damage.Seal(slot[:damage.PreludeBytes+binary.LittleEndian.Uint32(slot[16:])])
		}
		must(t, os.WriteFile(identity, newer, 0o600))
		m.refuses(form.ExitUsage, identity, "written by a newer qkv", "format version is 2")
		must(t, os.WriteFile(identity, right, 0o600))
	})
	m.start()
	if got := c.qkv("get", "greeting"); got.stdout != "hello\n" {
		t.Errorf("after all that: %+v", got)
	}
}

// freeSocket is an address that is in use until the test ends.
func freeSocket(t *testing.T) string {
	t.Helper()
	address := freeAddresses(t, 1)[0]
	socket := listenAt(t, address)
	t.Cleanup(func() { _ = socket.Close() })
	return address
}

// noFiles fails the test when a folder has files of these names.
func noFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was made", filepath.Join(dir, name))
		}
	}
}

// treeOf is the names and the contents of all files in a folder. That it was locked is no change.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		all.WriteString(path + " " + crcOf(content) + "\n")
		return err
	}))
	return all.String()
}

func crcOf(b []byte) string {
	return form.Hex(uint64(crc32.ChecksumIEEE(b)))
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}

// TestProcessTrust: certificates that are expired, of another CA or of the wrong kind open no door.
func TestProcessTrust(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := t.TempDir()
	certs := filepath.Join(dir, "certs")
	long := time.Now().AddDate(-8, 0, 0)
	old := wire.Maker{Now: func() time.Time { return long }, Rand: form.CertMaker().Rand}
	_, err := old.CreateCA(certs, "prod")
	must(t, err)
	for _, name := range []string{"n1", "n2", "n3"} {
		_, err = form.CertMaker().CreateMember(certs, name, nil)
		must(t, err)
	}
	_, err = form.CertMaker().CreateClient(certs, "admin")
	must(t, err)
	_, err = old.CreateMember(certs, "expired", nil)
	must(t, err)
	_, err = old.CreateClient(certs, "expired")
	must(t, err)
	others := filepath.Join(dir, "others")
	_, err = form.CertMaker().CreateCA(others, "prod")
	must(t, err)
	for _, name := range []string{"n1", "n2", "n3"} {
		_, err = form.CertMaker().CreateMember(others, name, nil)
		must(t, err)
	}

	c := newProcesses(t, 3, "--certs-dir", certs)
	for _, m := range c.members {
		m.start()
	}
	c.members[0].says("leader", "role=")
	c.members[2].says("leader", "role=") // the founders have met
	c.members[2].kill()
	asAdmin := []string{"--certs-dir", certs, "--client", "admin", "--timeout", processWait.String()}
	put := func(arguments ...string) answered { return c.qkv(append([]string{"put", "k", "v"}, arguments...)...) }
	put(asAdmin...).exits(t, form.ExitOK)

	t.Run("an expired certificate of a member", func(t *testing.T) {
		m := newProcesses(t, 1, "--certs-dir", certs).members[0]
		m.name = "expired"
		m.refuses(form.ExitUsage, "member-expired.crt", "expired", "qkv cert")
	})
	t.Run("an expired certificate of a client", func(t *testing.T) {
		put("--certs-dir", certs, "--client", "expired").exits(t, form.ExitUsage, "client-expired.crt", "expired")
	})
	t.Run("a client at the peers' port", func(t *testing.T) {
		credentials, err := wire.LoadClient(certs, "admin", time.Now)
		must(t, err)
		m := c.members[0]
		expected := wire.Identity{Class: wire.ClassMember, Name: m.name}
		ctx, cancel := context.WithTimeout(t.Context(), processWait)
		defer cancel()
		conn, err := quic.DialAddr(ctx, m.listenPeer, wire.ClientTLS(credentials, wire.ProtocolPeer, expected), nil)
		if err == nil { // the server refuses after the client is done
			<-conn.Context().Done()
			err = context.Cause(conn.Context())
		}
		if err = wire.Explain(err); !strings.Contains(err.Error(), "refused this certificate") {
			t.Errorf("a client at the peers' port: %v", err)
		}
		m.says("qkv://prod/client/admin", "member")
	})
	t.Run("a member of another CA", func(t *testing.T) {
		m := c.members[2]
		for i, word := range m.arguments {
			if word == certs {
				m.arguments[i] = others
			}
		}
		before := len(m.lines())
		m.start()
		m.says("cannot connect to a peer", "another CA")
		c.members[0].says("WARN", "another CA")
		if said := m.lines()[before:]; strings.Contains(said, "role=follower") {
			t.Errorf("it became a follower:\n%s", said)
		}
	})
	put(asAdmin...).exits(t, form.ExitOK)
}
