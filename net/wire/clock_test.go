package wire

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wrongClocks are the wall clocks of a host that is wrong for a while.
var wrongClocks = map[string]time.Time{
	"1970":           time.Unix(100, 0),
	"2031":           time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC),
	"a year behind":  noon.AddDate(-1, 0, -2),
	"a year ahead":   noon.AddDate(1, 0, 2),
	"half a year":    noon.AddDate(0, 7, 0),
	"an hour behind": noon.Add(-time.Hour),
	"an hour ahead":  noon.Add(time.Hour),
}

// stay lets some minutes pass with a handshake's look at the certificate in each.
func (c *clock) stay(all ...*Credentials) {
	for range 5 {
		for _, one := range all {
			one.fresh()
		}
		c.t = c.t.Add(time.Minute)
	}
}

// TestCertificatesOutliveAWrongClock starts a host with a wrong clock, or moves its clock while it runs, and sets the clock right again:
// certificates of the local CA and of a secret are trusted at once, by members and clients, without a restart.
func TestCertificatesOutliveAWrongClock(t *testing.T) {
	for what, wrong := range wrongClocks {
		for _, boots := range []time.Time{wrong, noon} {
			c := &clock{boots}
			n1, err := c.maker().SecretMember(SecretSource{Name: "the cluster secret", Secrets: []ClusterSecret{secretOf(t, 1)}}, "n1", nil)
			must(t, err)
			n2 := secretMember(t, noon, "n2", secretOf(t, 1))
			home, data := filepath.Join(t.TempDir(), "qkv"), t.TempDir()
			member, err := c.maker().LocalMember(home, data, "n1")
			must(t, err)
			client, err := c.maker().LocalClient(home)
			must(t, err)
			for _, now := range []time.Time{wrong, noon, wrong, noon} {
				c.t = now
				c.stay(n1, member, client)
				for _, one := range []*Credentials{n1, member, client} {
					if text := one.Problem(); text != "" {
						t.Errorf("%s, booted at %v, now %v: %s", what, boots, now, text)
					}
				}
				if a, b := handshake(t, ClientTLS(client, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient)); a != nil || b != nil {
					t.Errorf("%s, booted at %v, now %v: the client and the member: %v, %v", what, boots, now, a, b)
				}
				if now != noon {
					continue
				}
				if failed := peersMeet(t, n1, n2); len(failed) > 0 {
					t.Errorf("%s, booted at %v: another member: %v", what, boots, failed)
				}
			}
		}
	}
}

// TestRenewalAfterTheClockWasSetBack checks that a certificate is renewed though the last attempt was, by the clock, in the future.
func TestRenewalAfterTheClockWasSetBack(t *testing.T) {
	c := &clock{noon.AddDate(1, 0, 0)}
	member, err := c.maker().LocalMember(filepath.Join(t.TempDir(), "qkv"), t.TempDir(), "n1")
	must(t, err)
	c.t = c.t.AddDate(0, 7, 0)
	must(t, member.refresh()) // renewed, in the future
	c.t = noon
	member.lifetime = 200 * 365 * day // makes any certificate stale
	must(t, member.refresh())
	if !member.renewalDone.Equal(noon) {
		t.Errorf("no renewal is tried until the clock reaches %v again", member.renewalDone)
	}
	if c.t = noon.Add(renewalPause / 2); member.refresh() != nil || !member.renewalDone.Equal(noon) {
		t.Error("renewed twice within the pause")
	}
}

// TestCertificateOfTheFuture checks the operator's message about files whose validity has not begun.
func TestCertificateOfTheFuture(t *testing.T) {
	dir, c := t.TempDir(), &clock{noon}
	_, err := c.maker().CreateCA(dir, "prod")
	must(t, err)
	_, err = c.maker().CreateMember(dir, "n1", nil)
	must(t, err)
	member, err := LoadMember(dir, "n1", c.now)
	must(t, err)
	c.t = noon.AddDate(-1, 0, 0)
	if text := member.Problem(); !strings.Contains(text, "is not valid before") || !strings.Contains(text, "set the clock") {
		t.Errorf("%q", text)
	}
}
