package testretry

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// recorder is the test that Longer serves.
type recorder struct {
	*testing.T
	errors []string
	logs   int
	ended  bool
}

func (r *recorder) Error(args ...any)   { r.errors = append(r.errors, args[0].(string)) }
func (r *recorder) Logf(string, ...any) { r.logs++ }
func (r *recorder) FailNow()            { r.ended = true; panic(r) }
func (r *recorder) longer(test func(t testing.TB, limit time.Duration)) {
	defer func() {
		if got := recover(); got != nil && got != r {
			panic(got)
		}
	}()
	Longer(r, time.Second, test)
}

// What needs more time gets it, and what fails with any fails, with all that it says.
func TestLonger(t *testing.T) {
	r := &recorder{T: t}
	var limits []time.Duration
	var order []string
	r.longer(func(t testing.TB, limit time.Duration) {
		limits = append(limits, limit)
		ctx := t.Context()
		t.Cleanup(func() {
			order = append(order, "first")
			if ctx.Err() == nil {
				t.Error("the run's context goes on")
			}
		})
		t.Cleanup(func() { order = append(order, "second") })
		if limit < 10*time.Second {
			t.Fatalf("%v is too short", limit)
		}
	})
	if !slices.Equal(limits, []time.Duration{time.Second, 5 * time.Second, 25 * time.Second}) || len(r.errors) > 0 || r.logs != 2 || r.ended {
		t.Errorf("ran with %v, %q, %d lines, ended %t", limits, r.errors, r.logs, r.ended)
	}
	if want := strings.Repeat("second first ", 3); strings.Join(order, " ")+" " != want {
		t.Errorf("cleaned up in the order %v", order)
	}

	r, limits = &recorder{T: t}, nil
	r.longer(func(t testing.TB, limit time.Duration) {
		limits = append(limits, limit)
		t.Error("one")
		t.Errorf("number %d", 2)
		t.Fatal("three")
	})
	if len(limits) != 3 || limits[2] != 25*time.Second || len(r.errors) != 3 || !r.ended {
		t.Errorf("ran with %v, %q, ended %t", limits, r.errors, r.ended)
	}
	if got := strings.Join(r.errors, " "); !strings.Contains(got, "testretry_test.go:") || !strings.Contains(got, ": number 2") {
		t.Errorf("%q", got)
	}
}
