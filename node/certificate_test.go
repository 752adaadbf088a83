package node

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/net/wire"
)

// A member's certificate ends in three hours: an alarm from the last third of its life on, a line in the log then, at
// its end and now and then after it; and silence after it was renewed on disk.
func TestCertificateWatch(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	maker := wire.Maker{Now: clock, Rand: rand.Reader, Lifetime: 3 * time.Hour}
	dir := t.TempDir()
	if _, err := (wire.Maker{Now: clock, Rand: rand.Reader}).CreateCA(dir, "prod"); err != nil {
		t.Fatal(err)
	}
	files, err := maker.CreateMember(dir, "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := wire.LoadMember(dir, "n1", clock)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	status := &actor.Status{}
	w := newCertificateWatch(credentials, credentials.Source, status, slog.New(slog.NewTextHandler(&said, nil)))
	w.now = clock
	var story []string
	for minutes := range 5 * 60 {
		if minutes == 250 {
			if err := maker.Renew(dir, files.Cert); err != nil {
				t.Fatal(err)
			}
		}
		said.Reset()
		w.look()
		if said.Len() > 0 {
			alarms := status.Alarms()
			raised := len(alarms) == 1 && alarms[0].Name == kv.CertAlarm
			what, _, _ := strings.Cut(said.String()[strings.Index(said.String(), "msg=")+4:], " 20")
			what = strings.ReplaceAll(strings.ReplaceAll(what, dir, "DIR"), "\n", "")
			story = append(story, fmt.Sprintf("%d %v %.70s", minutes, raised, what))
		}
		now = now.Add(time.Minute)
	}
	// The certificate was valid from five minutes before it was made.
	want := `119 true "CERT: the certificate DIR/member-n1.crt expires at
180 true "CERT: the certificate DIR/member-n1.crt expired at
190 true "CERT: the certificate DIR/member-n1.crt expired at
200 true "CERT: the certificate DIR/member-n1.crt expired at
210 true "CERT: the certificate DIR/member-n1.crt expired at
220 true "CERT: the certificate DIR/member-n1.crt expired at
230 true "CERT: the certificate DIR/member-n1.crt expired at
240 true "CERT: the certificate DIR/member-n1.crt expired at
250 false "a new certificate is in use" file=DIR/member-n1.crt until=`
	if got := strings.Join(story, "\n"); !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if alarms := status.Alarms(); len(alarms) > 0 {
		t.Errorf("after it was renewed: %+v", alarms)
	}
}
