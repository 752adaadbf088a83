package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAccessOfPages lists all pages with their access: a new one has to be put here, on purpose.
func TestAccessOfPages(t *testing.T) {
	want := map[string]access{
		"/v3/":                     itself,
		"GET /debug/pprof/":        administrator,
		"GET /debug/pprof/cmdline": administrator,
		"GET /debug/pprof/profile": administrator,
		"GET /debug/pprof/symbol":  administrator,
		"GET /debug/pprof/trace":   administrator,
		"GET /version":             open,
		"GET /health":              open,
		"GET /metrics":             open,
		"GET /livez":               open,
		"GET /livez/readable":      open,
	}
	nothing := http.NotFoundHandler()
	c := &Config{
		Gateway: nothing, Metrics: nothing, Profiles: true, Secure: func(context.Context) bool { return true },
		Probes:        []Probe{{Name: "livez", Checks: []Check{{Name: "readable"}}}},
		Administrator: func(*http.Request) error { return errors.New("not you") },
	}
	s := newSite(c)
	if !maps.Equal(s.access, want) {
		t.Errorf("the pages are %v", s.access)
	}
	for pattern, of := range s.access {
		if of != administrator {
			continue
		}
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, pattern[len("GET "):], nil))
		if w.Code != http.StatusForbidden || w.Body.String() != "not you\n" {
			t.Errorf("%s: %d %s", pattern, w.Code, w.Body)
		}
	}
}
