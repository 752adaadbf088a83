package form

import (
	"testing"
)

// A size is a whole number of bytes, or a number with a unit; nothing else, and nothing that is no whole number of bytes.
func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1073741824": 1 << 30, "-7": -7, "12B": 12, "1GiB": 1 << 30, "1.5 MiB": 3 << 19, "64mib": 64 << 20, "2Gi": 2 << 30, "3KB": 3000, "2 TiB": 2 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "GiB", "1.5", "many", "1XiB", "1 G B", "1e3", "NaNGiB", "InfGiB", "9223372036854775808", "8388608TiB", "0.3KiB", "1GiB1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d bytes", text, got)
		}
	}
}
