package keys

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func TestParseCompare(t *testing.T) {
	key := []byte("k")
	for line, want := range map[string]kv.Compare{
		`mod("k") > "0"`:             {Key: key, Target: kv.CompareMod, Result: kv.Greater},
		`m("k") < "7"`:               {Key: key, Target: kv.CompareMod, Result: kv.Less, Number: 7},
		`create("k") = "7"`:          {Key: key, Target: kv.CompareCreate, Number: 7},
		`ver(k)=7`:                   {Key: key, Target: kv.CompareVersion, Number: 7},
		`version( 'k' ) != 7`:        {Key: key, Target: kv.CompareVersion, Result: kv.NotEqual, Number: 7},
		`value("k") = "a \"b\" = c"`: {Key: key, Target: kv.CompareValue, Value: []byte(`a "b" = c`)},
		`val("k") = ''`:              {Key: key, Target: kv.CompareValue, Value: []byte{}},
		`lease("k") = "1f"`:          {Key: key, Target: kv.CompareLease, Number: 31},
		`mod("a(b) c") = "-1"`:       {Key: []byte("a(b) c"), Target: kv.CompareMod, Number: -1},
	} {
		if got, err := parseCompare(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		"", "mod", `mod("k"`, `mod("k")`, `mod("k") ~ "7"`, `mod("k") == "7"`, `mod("k") = "seven"`, `mod("k") = "7" 8`, `size("k") = "7"`, `mod("k = "7"`, `mod() = "7"`,
		`lease("k") = "x"`, `mod("k") = `,
	} {
		if got, err := parseCompare(line); err == nil {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestParseOperation(t *testing.T) {
	key := []byte("k")
	for line, want := range map[string]kv.Op{
		`put k v`:                  {Put: &kv.Put{Key: key, Value: []byte("v")}},
		`put k '@a b' --prev-kv`:   {Put: &kv.Put{Key: key, Value: []byte("@a b"), PrevKV: true}},
		`put k ""`:                 {Put: &kv.Put{Key: key, Value: []byte{}}},
		`put -- k -v`:              {Put: &kv.Put{Key: key, Value: []byte("-v")}},
		`get k`:                    {Range: &kv.Range{Key: key}},
		`get k --prefix --limit 3`: {Range: &kv.Range{Key: key, End: []byte("l"), Limit: 3}},
		`del "k" --prev-kv`:        {Delete: &kv.Delete{Key: key, PrevKV: true}},
		`get k m`:                  {Range: &kv.Range{Key: key, End: []byte("m")}},
		`get k ""`:                 {Range: &kv.Range{Key: key}},
		`del k m`:                  {Delete: &kv.Delete{Key: key, End: []byte("m")}},
		`put k -`:                  {Put: &kv.Put{Key: key, Value: []byte("-")}},
		`del '' --from-key --all`:  {Delete: &kv.Delete{Key: []byte{0}, End: client.From}},
	} {
		if got, err := parseOperation(t.Context(), line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"put", "put k", "put k v w", "get", "get k --raw", "get k --endpoints x", "del ''", "status", "--help", "put --help", "put 'k v", `put k "v`, "get k --limit -1", "get k m n", "get k m --prefix", "del k m --from-key"} {
		if got, err := parseOperation(t.Context(), line); err == nil {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("east", 2*3600)
	now := time.Date(2026, 3, 4, 15, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"2026-03-04T10:00:00Z":      "2026-03-04T12:00:00+02:00",
		"2026-03-04T10:00:00+01:00": "2026-03-04T11:00:00+02:00",
		"2026-03-03 23:59":          "2026-03-03T23:59:00+02:00",
		"2026-03-03 23:59:58":       "2026-03-03T23:59:58+02:00",
		"15:29":                     "2026-03-04T15:29:00+02:00",
		"00:00:01":                  "2026-03-04T00:00:01+02:00",
	} {
		if got, err := form.ParseTime(text, now); err != nil || got.In(zone).Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"15:31": "is in the future", "2027-01-01T00:00:00Z": "is in the future", "yesterday": "is not a time", "25:00": "is not a time", "": "is not a time",
	} {
		if got, err := form.ParseTime(text, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// A point in the history is a revision, a time, or how long ago that was; nothing of it is to come.
func TestParsePoint(t *testing.T) {
	now := time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC)
	for word, want := range map[string]struct {
		revision int64
		ago      time.Duration
	}{"42": {42, -1}, "5m": {0, 5 * time.Minute}, "1h30m": {0, 90 * time.Minute}, "0s": {0, 0}, "15:00": {0, 30 * time.Minute}} {
		revision, at, err := ParsePoint(word, now)
		if err != nil || revision != want.revision || at.IsZero() != (want.ago < 0) || !at.IsZero() && now.Sub(at) != want.ago {
			t.Errorf("%s: revision %d, %v, %v", word, revision, at, err)
		}
	}
	for _, word := range []string{"-5m", "0", "5 m", "soon", "15:31"} {
		if revision, at, err := ParsePoint(word, now); err == nil {
			t.Errorf("%s: revision %d, %v", word, revision, at)
		}
	}
}
