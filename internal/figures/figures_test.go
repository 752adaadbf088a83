package figures

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	seen := map[any]string{}
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, f := range Table() {
		for _, of := range []any{f.ID, f.Field(), f.Metric()} {
			if seen[of] != "" {
				t.Errorf("%v belongs to %s and to %s", of, seen[of], f.Name)
			}
			seen[of] = f.Name
		}
		if f.ID <= 0 || !name.MatchString(f.Name) || f.Help == "" || f.Help[len(f.Help)-1] != '.' {
			t.Errorf("%+v", f)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		of            ID
		field, metric string
		value         int64
		shown         any
	}{
		{Keys, "keys", "qkv_keys", 7, int64(7)},
		{Log, "log_bytes", "qkv_log_bytes", 7, int64(7)},
		{SyncP99, "sync_p99_ms", "qkv_sync_p99_seconds", int64(1500 * time.Microsecond), 1.5},
		{HistoryAge, "history_age_s", "qkv_history_age_seconds", int64(1500 * time.Millisecond), 1.5},
		{ReadsFailed, "value_reads_failed", "qkv_value_reads_failed_total", 7, int64(7)},
		{MTU, "mtu", "qkv_mtu", 7, int64(7)},
	} {
		f := Table()[slices.IndexFunc(Table(), func(f Figure) bool { return f.ID == c.of })]
		if f.Field() != c.field || f.Metric() != c.metric || f.Shown(c.value) != c.shown {
			t.Errorf("%s: %s, %s, %v", f.Name, f.Field(), f.Metric(), f.Shown(c.value))
		}
	}
}

func TestValues(t *testing.T) {
	var v Values
	if v.Get(Keys) != 0 {
		t.Error("a figure without a value")
	}
	Set(&v, Keys, 7)
	Set(&v, SyncP99, time.Second)
	Set(&v, Keys, uint64(1<<64-1))
	Set(&v, Leases, 0)
	if v.Get(Keys) != -1 || v.Count(Keys) != 1<<64-1 || v.Duration(SyncP99) != time.Second || len(v) != 4 {
		t.Errorf("%v", v)
	}
	Set(&v, Keys, 0)
	if v.Get(Keys) != 0 || v.Duration(SyncP99) != time.Second {
		t.Errorf("%v", v)
	}
	if hostile := (Values{int64(Keys)}); hostile.Get(Keys) != 0 {
		t.Error("an id without a value")
	}
}
