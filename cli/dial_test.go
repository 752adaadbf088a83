package cli

import (
	"slices"
	"testing"
)

// TestClientsOfALoadBeginInTurn holds that chance does not say which members a load's clients ask.
func TestClientsOfALoadBeginInTurn(t *testing.T) {
	from := target{endpoints: []string{"a:1", "b:1", "c:1"}}
	var first []string
	for _, one := range from.inTurn(5) {
		config := one.config()
		if !config.InOrder {
			t.Errorf("a client begins at random: %+v", config)
		}
		if all := slices.Sorted(slices.Values(config.Endpoints)); !slices.Equal(all, from.endpoints) {
			t.Errorf("a client has the endpoints %v, and there are %v", config.Endpoints, from.endpoints)
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
