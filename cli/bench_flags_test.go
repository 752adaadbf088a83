package cli

import (
	"bytes"
	"strings"
	"testing"

	"qkv/cli/form"
)

// TestBenchRefuses: a benchmark does not begin with what makes it nonsense, or endless.
func TestBenchRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--rate", "NaN"},
		{"--rate", "Inf"},
		{"--rate", "1e-300"},
		{"--rate", "0"},
		{"--scale", "NaN"},
		{"--scale", "0"},
		{"--scale", "Inf"},
		{"--members", "1,1"},
		{"--members", "6"},
		{"--port", "0"},
		{"--port", "65530"},
		{"--keys", "0"},
		{"--value-bytes", "0"},
		{"--value-bytes", "99999999"},
		{"--in-flight", "-1"},
	} {
		refusesToBench(t, "run", args...)
	}
}

func refusesToBench(t *testing.T, command string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	code := execute(t.Context(), append([]string{"qkv", "bench", command}, args...), strings.NewReader(""), &said, &said)
	if code != form.ExitUsage || !strings.Contains(said.String(), args[0]) {
		t.Errorf("%s %v: %d %s", command, args, code, &said)
	}
}

// TestMaintenanceOfAnother: a server that is there is compacted and defragmented only where the user allows it, before anything is
// asked of it; members of the benchmark's own always.
func TestMaintenanceOfAnother(t *testing.T) {
	target := []string{"--target", "etcd=http://127.0.0.1:1", "--duration", "1ms"} // a suite touches the more memory, the longer its loads are
	for _, c := range []struct {
		args    []string
		refused bool
	}{
		{append([]string{"--load", "put in maintenance"}, target...), true},
		{append([]string{"--load", "all"}, target...), true},
		{append([]string{"--load", "all", "--allow-maintenance"}, target...), false},
		{append([]string{"--load", "put while quiet"}, target...), false},
		{[]string{"--load", "put in maintenance", "--dir", "a=/dev/null/none"}, false},
	} {
		var said bytes.Buffer
		code := execute(t.Context(), append([]string{"qkv", "bench", "run"}, c.args...), strings.NewReader(""), &said, &said)
		if refused := code == form.ExitUsage && strings.Contains(said.String(), "--allow-maintenance"); code == 0 || refused != c.refused {
			t.Errorf("%v: %d %s", c.args, code, &said)
		}
	}
}
