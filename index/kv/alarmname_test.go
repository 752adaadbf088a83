package kv

import "testing"

// TestSeverity: alerting rules select alarms by their severity. An unknown name, which a newer member may report, counts as an alarm.
func TestSeverity(t *testing.T) {
	for name, want := range map[AlarmName]string{NoSpaceAlarm: "alarm", RetentionAlarm: "alarm", TornNotice: "notice", "NEW": "alarm"} {
		if got := name.Severity(); got != want {
			t.Errorf("%s has the severity %q, want %q", name, got, want)
		}
	}
}
