package wire

import (
	"os"
	"strings"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func (c *clock) maker() Maker { m := maker(c.t); m.Now = c.now; return m }

// shaken lets a client and a member shake hands by configurations that were made once.
type shaken struct {
	member, client *Credentials
	try            func() (atClient, atServer error)
}

func ends(t *testing.T, memberDir, clientDir string, c *clock) shaken {
	t.Helper()
	member, err := LoadMember(memberDir, "n1", c.now)
	must(t, err)
	client, err := LoadClient(clientDir, "alice", c.now)
	must(t, err)
	dialling, accepting := ClientTLS(client, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)
	return shaken{member, client, func() (error, error) { return handshake(t, dialling, accepting) }}
}

func (s shaken) good(t *testing.T, when string) {
	t.Helper()
	if a, b := s.try(); a != nil || b != nil {
		t.Fatalf("%s: %v, %v", when, a, b)
	}
}

func (s shaken) bad(t *testing.T, when string) {
	t.Helper()
	if a, b := s.try(); a == nil || b == nil {
		t.Fatalf("%s: the handshake went well", when)
	}
}

// copied replaces a file as an operator's copy does.
func copied(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.WriteFile(to, []byte(read(t, from)), 0o600))
}

// Certificates expire and are renewed on disk: the next handshake is by the new ones, at both ends, and a change that is
// half done harms nobody.
func TestHandshakesFollowTheFiles(t *testing.T) {
	c := &clock{noon}
	m := c.maker()
	m.Lifetime = time.Hour
	ca, here, there := t.TempDir(), t.TempDir(), t.TempDir()
	_, err := maker(noon).CreateCA(ca, "prod")
	must(t, err)
	_, err = m.CreateMember(ca, "n1", []string{"10.0.0.1", "n1.example.org"})
	must(t, err)
	_, err = m.CreateClient(ca, "alice")
	must(t, err)
	for _, name := range []string{"ca.crt", "member-n1.crt", "member-n1.key"} {
		copied(t, ca+"/"+name, here+"/"+name)
	}
	for _, name := range []string{"ca.crt", "client-alice.crt", "client-alice.key"} {
		copied(t, ca+"/"+name, there+"/"+name)
	}
	s := ends(t, here, there, c)
	s.good(t, "at first")
	if text := s.member.Problem(); text != "" {
		t.Errorf("at first: %s", text)
	}

	c.t = noon.Add(45 * time.Minute)
	wantText(t, s.member.Problem(), here+"/member-n1.crt expires at 2026-11-20 13:00:00Z, in 15m0s", "qkv cert renew", "without a restart")
	s.good(t, "near the end")
	c.t = noon.Add(61 * time.Minute)
	wantText(t, s.member.Problem(), "expired at 2026-11-20 13:00:00Z: existing connections continue, new ones are refused")
	s.bad(t, "after the end")

	must(t, m.Renew(ca, ca+"/member-n1.crt"))
	must(t, m.Renew(ca, ca+"/client-alice.crt"))
	copied(t, ca+"/member-n1.crt", here+"/member-n1.crt")
	s.bad(t, "the client's is not renewed yet")
	copied(t, ca+"/client-alice.crt", there+"/client-alice.crt")
	s.good(t, "renewed")
	if text := s.member.Problem(); text != "" || !s.member.NotAfter().Equal(noon.Add(121*time.Minute)) {
		t.Errorf("%v: %s", s.member.NotAfter(), text)
	}
	if hosts := strings.Join(hostsIn(s.member.Certificate()), " "); hosts != "localhost n1.example.org 127.0.0.1 ::1 10.0.0.1" {
		t.Errorf("renewed for %s", hosts)
	}

	// Another pair, copied one file after the other.
	_, err = m.CreateMember(ca+"/..", "n1", nil)
	wantError(t, err, "no CA")
	must(t, os.Remove(ca+"/member-n1.crt"))
	must(t, os.Remove(ca+"/member-n1.key"))
	_, err = m.CreateMember(ca, "n1", nil)
	must(t, err)
	before := s.member.Certificate()
	copied(t, ca+"/member-n1.crt", here+"/member-n1.crt")
	s.good(t, "between the two files")
	if !s.member.Certificate().Equal(before) {
		t.Error("half of a pair is in use")
	}
	wantText(t, s.member.Problem(), "the changed files cannot be used", "member-n1.key is not the key of")
	copied(t, ca+"/member-n1.key", here+"/member-n1.key")
	s.good(t, "after both")
	if s.member.Certificate().Equal(before) || s.member.Problem() != "" {
		t.Errorf("not taken up: %s", s.member.Problem())
	}

	// Somebody else's files are not taken up, nor is a folder that went away.
	_, err = m.CreateMember(ca, "n2", nil)
	must(t, err)
	for _, suffix := range []string{".crt", ".key"} {
		copied(t, ca+"/member-n2"+suffix, here+"/member-n1"+suffix)
	}
	s.good(t, "another member's files")
	wantText(t, s.member.Problem(), `is the certificate of qkv://prod/member/n2, not of "n1"`)
	must(t, os.RemoveAll(here))
	s.good(t, "no files")
	wantText(t, s.member.Problem(), "cannot be used")
}

func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

// A running member and a client move to another trust domain of the same name, as a restart would let them.
func TestHandshakesFollowTheCA(t *testing.T) {
	c := &clock{noon}
	dir, fresh := folder(t, "prod", noon), folder(t, "prod", noon)
	s := ends(t, dir, dir, c)
	s.good(t, "the old CA")
	old := read(t, dir+"/ca.crt")
	must(t, os.WriteFile(dir+"/ca.crt", []byte(old+read(t, fresh+"/ca.crt")), 0o600))
	s.good(t, "both CAs")
	for _, name := range []string{"member-n1", "client-alice"} {
		for _, suffix := range []string{".key", ".crt"} {
			copied(t, fresh+"/"+name+suffix, dir+"/"+name+suffix)
		}
		s.good(t, name+" by the new CA")
	}
	copied(t, fresh+"/ca.crt", dir+"/ca.crt")
	s.good(t, "the new CA")
	foreign := ends(t, fresh, fresh, c)
	if a, b := handshake(t, ClientTLS(s.client, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(foreign.member, ProtocolClient, ClassClient)); a != nil || b != nil {
		t.Errorf("%v, %v", a, b)
	}
}

// A CA that ends before what it signed, or with it, is what an operator hears of.
func TestTheCAExpires(t *testing.T) {
	c := &clock{noon}
	m := c.maker()
	m.Lifetime = 100 * day
	dir := t.TempDir()
	_, err := m.CreateCA(dir, "prod")
	must(t, err)
	_, err = maker(noon).CreateMember(dir, "n1", nil)
	must(t, err)
	member, err := LoadMember(dir, "n1", c.now)
	must(t, err)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{69 * day, ""},
		{71 * day, "the CA in " + dir + "/ca.crt expires at 2027-02-28 12:00:00Z, in 29 days: make a new CA"},
		{101 * day, "the CA in " + dir + "/ca.crt expired at 2027-02-28 12:00:00Z"},
	} {
		c.t = noon.Add(step.after)
		if text := member.Problem(); !strings.HasPrefix(text, step.want) || (text == "") != (step.want == "") {
			t.Errorf("after %v: %q, want %q", step.after, text, step.want)
		}
	}
}

// What the local CA has signed is renewed in a process that runs on, for years, at both ends.
func TestLocalCertificatesAreRenewedInUse(t *testing.T) {
	c := &clock{noon}
	home, data := t.TempDir()+"/qkv", t.TempDir()
	member, err := c.maker().LocalMember(home, data, "n1")
	must(t, err)
	client, err := c.maker().LocalClient(home)
	must(t, err)
	s := shaken{member: member, client: client}
	dialling, accepting := ClientTLS(client, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)
	s.try = func() (error, error) { return handshake(t, dialling, accepting) }
	made := map[string]bool{}
	for range 36 { // three years
		c.t = c.t.Add(30 * day)
		s.good(t, c.t.String())
		made[member.Certificate().SerialNumber.String()] = true
		if text := member.Problem(); text != "" {
			t.Fatalf("%v: %s", c.t, text)
		}
	}
	if len(made) < 5 || len(made) > 7 {
		t.Errorf("%d certificates in three years", len(made))
	}
	// Without its CA's key nothing can be renewed: that is said in time, and tried no more than once a minute.
	must(t, os.Rename(home+"/certs/ca.key", home+"/ca.key"))
	c.t = member.NotAfter().Add(-29 * day)
	wantText(t, member.Problem(), "expires", "in 29 days", "ca.key is missing")
	s.good(t, "not renewed")
	must(t, os.Rename(home+"/ca.key", home+"/certs/ca.key"))
	c.t = c.t.Add(renewalPause)
	if text := member.Problem(); text != "" {
		t.Errorf("%s", text)
	}
	// A CA that was made anew by somebody else is followed by all.
	must(t, os.RemoveAll(home+"/certs"))
	_, err = c.maker().LocalClient(home)
	must(t, err)
	s.good(t, "another local CA")
}

func TestRenewRefuses(t *testing.T) {
	dir, foreign := folder(t, "prod", noon), folder(t, "test", noon)
	m := maker(noon)
	wantError(t, m.Renew(dir, dir+"/ca.crt"), "a CA certificate, which cannot be renewed")
	wantError(t, m.Renew(dir, foreign+"/member-n1.crt"), "qkv://test/member/n1", `the CA in `+dir+` belongs to the cluster "prod"`)
	wantError(t, m.Renew(dir, dir+"/member-n9.crt"), "no such file")
	wantError(t, m.Renew(t.TempDir(), dir+"/member-n1.crt"), "no CA in")
}

// Files that are replaced while they are read are read again: what was read is what was there before.
func TestFilesReplacedWhileTheyAreRead(t *testing.T) {
	c := &clock{noon}
	dir := folder(t, "prod", noon)
	member, err := LoadMember(dir, "n1", c.now)
	must(t, err)
	before := member.Certificate()
	readAll := member.read
	member.read = func() (*keys, error) {
		all, err := readAll()
		member.read = readAll
		must(t, c.maker().Renew(dir, dir+"/member-n1.crt"))
		return all, err
	}
	c.t = noon.Add(day)
	must(t, os.Chtimes(dir+"/ca.crt", c.t, c.t)) // the files have changed
	must(t, member.refresh())
	if !member.Certificate().Equal(before) {
		t.Fatal("it was read too late")
	}
	if must(t, member.refresh()); member.Certificate().Equal(before) {
		t.Error("what came while the files were read is not in use")
	}
}

// What could not be used for the time being is used later, also when its files do not change any more: here a certificate that comes to
// a host whose clock is behind that of the one where it was made.
func TestFilesThatCannotBeUsedYet(t *testing.T) {
	c := &clock{noon}
	dir := folder(t, "prod", noon)
	member, err := LoadMember(dir, "n1", c.now)
	must(t, err)
	before := member.Certificate()
	must(t, maker(noon.Add(day)).Renew(dir, dir+"/member-n1.crt"))
	wantError(t, member.refresh(), "not yet valid")
	if !member.Certificate().Equal(before) {
		t.Fatal("it is in use before its time")
	}
	c.t = noon.Add(day + time.Minute)
	if must(t, member.refresh()); member.Certificate().Equal(before) {
		t.Error("it is not in use")
	}
}
