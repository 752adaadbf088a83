package wire

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/internal/limits"
)

func TestHome(t *testing.T) {
	for _, c := range []struct{ qkv, xdg, home, want string }{
		{"/q", "/x", "/h", "/q"},
		{"", "/x", "/h", "/x/qkv"},
		{"", "", "/h", "/h/.config/qkv"},
		{"", "relative", "/h", "/h/.config/qkv"},
		{"", "", "", ""},
	} {
		values := map[string]string{"QKV_HOME": c.qkv, "XDG_CONFIG_HOME": c.xdg, "HOME": c.home}
		got, err := Home(func(name string) string { return values[name] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	got, err := Home(func(string) string { return "here" })
	if wd, _ := os.Getwd(); err != nil || got != filepath.Join(wd, "here") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLocalCAIsMadeOnce(t *testing.T) {
	home, data := filepath.Join(t.TempDir(), "a", "qkv"), filepath.Join(t.TempDir(), "n1")
	m := maker(noon)
	admin, err := m.LocalClient(home)
	must(t, err)
	if admin.Identity.String() != "qkv://local/client/admin" {
		t.Errorf("%v", admin.Identity)
	}
	ca := read(t, home+"/certs/ca.crt")
	member, err := m.LocalMember(home, data, "n1")
	must(t, err)
	if member.Identity.String() != "qkv://local/member/n1" {
		t.Errorf("%v", member.Identity)
	}
	if a, b := handshake(t, ClientTLS(admin, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)); a != nil || b != nil {
		t.Errorf("%v, %v", a, b)
	}
	// Again: nothing changes.
	before := read(t, data+"/certs/member-n1.crt") + read(t, data+"/certs/member-n1.key") + read(t, home+"/certs/client-admin.crt")
	_, err = m.LocalMember(home, data, "n1")
	must(t, err)
	_, err = m.LocalClient(home)
	must(t, err)
	after := read(t, data+"/certs/member-n1.crt") + read(t, data+"/certs/member-n1.key") + read(t, home+"/certs/client-admin.crt")
	if before != after || read(t, home+"/certs/ca.crt") != ca {
		t.Error("something was made again")
	}
	// A member's key that is damaged is named, with what makes another one.
	key := data + "/certs/member-n1.key"
	must(t, os.Truncate(key, 10))
	if _, err = m.LocalMember(home, data, "n1"); err == nil || !strings.Contains(err.Error(), "remove "+key) {
		t.Errorf("a damaged key: %v", err)
	}
	must(t, os.Remove(key))
	_, err = m.LocalMember(home, data, "n1")
	must(t, err)
	for _, dir := range []string{home, home + "/certs", data + "/certs"} {
		info, err := os.Stat(dir)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", dir, info.Mode())
		}
	}
	noLeftovers(t, home, data+"/certs", home+"/certs")
}

func noLeftovers(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		found, err := os.ReadDir(dir)
		must(t, err)
		for _, f := range found {
			if strings.Contains(f.Name(), "tmp") {
				t.Errorf("%s was left in %s", f.Name(), dir)
			}
		}
	}
}

// Many at once: one makes the CA, and all use it.
func TestLocalCARace(t *testing.T) {
	for range 5 {
		home, data := filepath.Join(t.TempDir(), "qkv"), t.TempDir()
		const racers = 16
		var members [racers]*Credentials
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				m := maker(noon)
				var err error
				if i%2 == 0 {
					members[i], err = m.LocalClient(home)
				} else {
					members[i], err = m.LocalMember(home, data, "n1") // even one key
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		for i := 0; i+1 < racers; i += 2 {
			admin, member := members[i], members[i+1]
			if a, b := handshake(t, ClientTLS(admin, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)); a != nil || b != nil {
				t.Fatalf("%v, %v", a, b)
			}
		}
		noLeftovers(t, home, home+"/certs", data+"/certs")
	}
}

// After half of its life a certificate is made again, for the same key.
func TestLocalCertificatesAreRenewed(t *testing.T) {
	home, data := filepath.Join(t.TempDir(), "qkv"), t.TempDir()
	first, err := maker(noon).LocalMember(home, data, "n1")
	must(t, err)
	same, err := maker(noon.Add(180*day)).LocalMember(home, data, "n1")
	must(t, err)
	if !same.Certificate().Equal(first.Certificate()) {
		t.Error("renewed within the first half of its life")
	}
	key := read(t, data+"/certs/member-n1.key")
	for _, days := range []time.Duration{183, 800} {
		next, err := maker(noon.Add(days*day)).LocalMember(home, data, "n1")
		must(t, err)
		if next.Certificate().Equal(first.Certificate()) {
			t.Errorf("not renewed after %d days", days)
		}
	}
	if read(t, data+"/certs/member-n1.key") != key {
		t.Error("the key was made again")
	}
	_, err = maker(noon.AddDate(0, 3, 0)).LocalClient(home)
	must(t, err)
	// The CA does not expire.
	late, err := maker(noon.AddDate(100, 0, 0)).LocalMember(home, data, "n1")
	must(t, err)
	if text := late.Problem(); text != "" {
		t.Error(text)
	}
}

// A member whose local CA was removed gets a certificate of the new one.
func TestLocalCAMadeAnew(t *testing.T) {
	home, data := filepath.Join(t.TempDir(), "qkv"), t.TempDir()
	m := maker(noon)
	_, err := m.LocalMember(home, data, "n1")
	must(t, err)
	must(t, os.RemoveAll(home+"/certs"))
	admin, err := m.LocalClient(home)
	must(t, err)
	member, err := m.LocalMember(home, data, "n1")
	must(t, err)
	if a, b := handshake(t, ClientTLS(admin, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)); a != nil || b != nil {
		t.Errorf("%v, %v", a, b)
	}
	// Another name in the same data folder gets its own.
	other, err := m.LocalMember(home, data, "n2")
	if err != nil || other.Identity.Name != "n2" {
		t.Errorf("%v %v", other, err)
	}
}

// A folder of keys is believed only when it is the own user's, and nobody else may enter.
func TestLocalCAIsPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkPrivate(dir, os.Geteuid()); err != nil {
		t.Error(err)
	}
	err := checkPrivate(dir, os.Geteuid()+1)
	wantError(t, err, "belongs to user "+strconv.Itoa(os.Geteuid()), "set QKV_HOME")
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	must(t, checkPrivate(dir, os.Geteuid())) // a volume's fsGroup gives that access, and it is removed
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("it has mode %v, %v", info.Mode(), err)
	}
}

func TestLocalCARefuses(t *testing.T) {
	home := filepath.Join(t.TempDir(), "qkv")
	m := maker(noon)
	_, err := m.LocalClient(home)
	must(t, err)
	must(t, os.Chmod(home+"/certs", 0o755))
	_, err = m.LocalClient(home)
	wantError(t, err, "has mode 0755", "chmod 700")
	must(t, os.Chmod(home+"/certs", 0o700))
	must(t, os.Remove(home+"/certs/ca.key"))
	_, err = m.LocalMember(home, t.TempDir(), "n1")
	wantError(t, err, "ca.key is missing", "remove")
	must(t, os.RemoveAll(home+"/certs"))
	_, err = m.CreateCA(home+"/certs", "prod")
	must(t, err)
	_, err = m.LocalClient(home)
	wantError(t, err, `holds the CA of the cluster "prod" instead of the local one`)
	must(t, os.RemoveAll(home+"/certs"))
	must(t, os.WriteFile(home+"/certs", nil, 0o600))
	_, err = m.LocalClient(home)
	wantError(t, err, "should be the folder of the local CA, but is a file")
	_, err = m.LocalMember(home, t.TempDir(), "a\tb")
	wantError(t, err, "control character")
	must(t, os.RemoveAll(home+"/certs"))
	data := t.TempDir()
	must(t, os.MkdirAll(data+"/certs/member-n2.crt", 0o700))
	_, err = m.LocalMember(home, data, "n2")
	wantError(t, err, data+"/certs/member-n2.crt", "a folder has that name", "move it away")
}

// TestHomeBeside checks that members without a home find one folder beside their data folders, and that a folder which
// another user could change is refused.
func TestHomeBeside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	home, err := HomeBeside(filepath.Join(dir, "n1.etcd"))
	must(t, err)
	again, err := HomeBeside(filepath.Join(dir, "n2.etcd") + "/")
	must(t, err)
	if home != filepath.Join(dir, "qkv-home") || again != home {
		t.Errorf("%s and %s", home, again)
	}
	must(t, checkPrivate(home, os.Geteuid()))
	must(t, os.Chmod(home, 0o755))
	_, err = HomeBeside(filepath.Join(dir, "n1.etcd"))
	wantError(t, err, "has mode 0755", "set QKV_HOME")
	must(t, os.Chmod(home, 0o700))
	must(t, os.Rename(home, home+"-moved"))
	must(t, os.Symlink(home+"-moved", home))
	_, err = HomeBeside(filepath.Join(dir, "n1.etcd"))
	wantError(t, err, "is a symbolic link", "set QKV_HOME")
}

// TestLocalNames checks that members of the local CA know each other by names that no file and no URI could hold as they
// are, and that one is never taken for the other.
func TestLocalNames(t *testing.T) {
	home, m := t.TempDir(), maker(noon)
	long := strings.Repeat("/", limits.NameBytes-1)
	for _, name := range []string{strings.Repeat("n", 253), "rack 1/../münchen", "a%2Fb", "-", long + "a"} {
		data := filepath.Join(t.TempDir(), "data")
		for range 2 { // made, and then found
			one, err := m.LocalMember(home, data, name)
			must(t, err)
			other, err := m.LocalMember(home, filepath.Join(t.TempDir(), "data"), long+"b")
			must(t, err)
			if one.Identity.Name != name {
				t.Errorf("%q is %v", name, one.Identity)
			}
			if a, b := handshake(t, other.Dial(ProtocolPeer, name, ""), one.Accept()); a != nil || b != nil {
				t.Errorf("%q: %v, %v", name, a, b)
			}
			if a, _ := handshake(t, other.Dial(ProtocolPeer, long+"c", ""), one.Accept()); a == nil {
				t.Errorf("%q was taken for another member", name)
			}
		}
		if names := namesIn(filepath.Join(data, certsFolder), ClassMember); len(names) != 1 || names[0] != name {
			t.Errorf("%q: the folder holds the certificates of %q", name, names)
		}
	}
}
