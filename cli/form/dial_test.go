package form

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// TestClientsOfALoadBeginInTurn holds that chance does not say which members a load's clients ask.
func TestClientsOfALoadBeginInTurn(t *testing.T) {
	from := Target{Endpoints: []string{"a:1", "b:1", "c:1"}}
	var first []string
	for _, one := range from.InTurn(5) {
		config := one.config()
		if !config.InOrder {
			t.Errorf("a client begins at random: %+v", config)
		}
		if all := slices.Sorted(slices.Values(config.Endpoints)); !slices.Equal(all, from.Endpoints) {
			t.Errorf("a client has the endpoints %v, and there are %v", config.Endpoints, from.Endpoints)
		}
		first = append(first, config.Endpoints[0])
	}
	if want := []string{"a:1", "b:1", "c:1", "a:1", "b:1"}; !slices.Equal(first, want) {
		t.Errorf("clients begin at %v, want %v", first, want)
	}
	if config := from.config(); config.InOrder {
		t.Error("other commands' clients do not spread over the members")
	}
}

// An endpoint that nobody gave is not the one that etcdctl was told.
func TestEtcdctlsEndpoints(t *testing.T) {
	for variable, want := range map[string]bool{"": false, "http://10.0.0.1:2379": true} {
		t.Setenv("ETCDCTL_ENDPOINTS", variable)
		if said := (Target{Source: sourceDefault}).advice(context.DeadlineExceeded); strings.Contains(said, "ETCDCTL_ENDPOINTS is etcdctl's") != want {
			t.Errorf("with %q: %s", variable, said)
		}
		if said := (Target{Source: "home/endpoints"}).advice(context.DeadlineExceeded); strings.Contains(said, "ETCDCTL") {
			t.Errorf("with endpoints of its own: %s", said)
		}
	}
}

func TestParseEndpoints(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a:1", "a:1"},
		{"a:1,b:2", "a:1 b:2"},
		{"# comment\na:1\n\n[::1]:2 # two\n", "a:1 [::1]:2"},
		{"", "!"},
		{"# none", "!"},
		{"a", "!"},
		{":1", "!"},
		{"a:", "!"},
		{"http://a:1", "!"},
	} {
		got, err := ParseEndpoints(tt.text)
		text := strings.Join(got, " ")
		if err != nil {
			text = "!"
		}
		if text != tt.want {
			t.Errorf("%q: %q %v, want %q", tt.text, text, err, tt.want)
		}
	}
}
