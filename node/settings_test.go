package node

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A change of the settings counts from the next look on; one that is refused changes nothing.
func TestSettingsChange(t *testing.T) {
	var log bytes.Buffer
	m := &member{config: Config{Name: "n1", QuotaBytes: 4 << 20, HistoryBytes: HistoryAuto}, logger: slog.New(slog.NewTextHandler(&log, nil))}
	view := viewOf(t, quotaPut("key", 2<<20))
	if m.current().overQuota(view) {
		t.Error("over the quota before the change")
	}
	for _, s := range []Settings{{QuotaBytes: quotaLeast - 1}, {HistoryBytes: -2}, {HistoryAge: -1}} {
		var refused *UsageError
		if err := m.change(s); !errors.As(err, &refused) || m.current() != &m.config || log.Len() > 0 {
			t.Errorf("%+v: %v %s", s, err, &log)
		}
	}
	want := Settings{QuotaBytes: 1 << 20, HistoryBytes: 5 << 20, HistoryAge: time.Hour}
	if err := m.change(want); err != nil || m.current().settings() != want || m.current().Name != "n1" || !m.current().overQuota(view) {
		t.Errorf("%v: %+v", err, m.current())
	}
	if !strings.Contains(m.quotaText(view), "of 1.0 MiB of --quota-bytes") || m.config.QuotaBytes != 4<<20 {
		t.Errorf("%s; the configuration has %d", m.quotaText(view), m.config.QuotaBytes)
	}
	if !strings.Contains(log.String(), "from.quota_bytes=4194304") || !strings.Contains(log.String(), "to.history_age=1h0m0s") {
		t.Errorf("%s", &log)
	}
	log.Reset()
	if err := m.change(want); err != nil || log.Len() > 0 {
		t.Errorf("the same again: %v %s", err, &log)
	}
}

// A longer age bound begins the samples anew, as after a restart. A shorter one counts at once.
func TestHistoryAgesOfAnotherBound(t *testing.T) {
	view := viewOf(t, quotaPut("a", 1), quotaPut("b", 1), quotaPut("c", 1))
	var ages historyAges
	hour := int64(time.Hour)
	for at := range 3 {
		ages.look(view, time.Duration(at)*time.Minute, hour+int64(at)*int64(time.Minute), time.Minute)
	}
	if got := ages.older(time.Minute, 2*time.Minute); got != view.Revision() {
		t.Errorf("revision %d is old enough, not %d", got, view.Revision())
	}
	ages.look(view, 3*time.Minute, hour+3*int64(time.Minute), 10*time.Hour)
	if got := ages.older(10*time.Hour, 3*time.Minute); got != 0 || ages.stays != 10*time.Hour {
		t.Errorf("revision %d is old enough for the new bound", got)
	}
	ages.look(view, 4*time.Minute, hour+4*int64(time.Minute), time.Second)
	if got := ages.older(time.Second, 4*time.Minute); got < 1 {
		t.Error("no revision is old enough for a bound of a second")
	}
}
