package kv

import (
	"strings"
	"testing"
)

// TestHashCostIsBounded: no command and no loaded user has a hash whose check would take minutes.
func TestHashCostIsBounded(t *testing.T) {
	rest := strings.Repeat("a", 53)
	for hash, want := range map[string]bool{
		"$2a$10$" + rest: true, "$2a$14$" + rest: true, "$2b$04$" + rest: true, "": true,
		"$2a$15$" + rest: false, "$2a$31$" + rest: false, "$2$31$" + rest: false, "$2b$99$" + rest: false,
	} {
		for _, kind := range []AuthChangeKind{UserAdd, UserChangePassword} {
			c := AuthChange{Kind: kind, User: "u", Password: []byte(hash)}
			if err := c.Check(Bounds{}); (err == nil) != want {
				t.Errorf("%.8s: %v", hash, err)
			}
		}
	}
}
