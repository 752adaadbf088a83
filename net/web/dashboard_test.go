package web

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
)

// nobody is an endpoint that identifies no user.
type nobody struct{ Endpoint }

func (nobody) Identify(*http.Request) (context.Context, error) {
	return nil, kv.Errorf(kv.UserEmpty, "no user")
}

// TestDashboardPages lists all pages of the dashboard: a new one has to be put here, on purpose. All pages but the page's own files and the
// login refuse a request whose user is not identified, and all requests for data need the script's header.
func TestDashboardPages(t *testing.T) {
	nothing := http.NotFoundHandler()
	s := newSite(&Config{Metrics: nothing, Secure: func(context.Context) bool { return true }, Dashboard: nobody{}})
	delete(s.access, "GET /version")
	delete(s.access, "GET /health")
	delete(s.access, "GET /metrics")
	files := []string{"GET /ui", "GET /ui/{$}", "GET /ui/ui.js", "GET /ui/ui.css", "GET /ui/licence"}
	data := []string{
		"GET /ui/api/tree", "GET /ui/api/search", "GET /ui/api/usage", "GET /ui/api/history", "GET /ui/api/changes", "GET /ui/api/times",
		"GET /ui/api/user", "POST /ui/api/login", "GET /ui/api/overview", "GET /ui/api/value", "GET /ui/api/live", "GET /ui/api/holders", "GET /ui/api/clients", "POST /ui/api/revert",
	}
	if got, want := slices.Sorted(maps.Keys(s.access)), slices.Sorted(slices.Values(append(files, data...))); !slices.Equal(got, want) {
		t.Errorf("the pages are %q, want %q", got, want)
	}
	for _, pattern := range data {
		method, path, _ := strings.Cut(pattern, " ")
		for _, sent := range []string{"", "1"} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader("{"))
			if sent != "" {
				r.Header.Set(pageHeader, sent)
			}
			s.mux.ServeHTTP(w, r)
			want := map[string]int{"": http.StatusForbidden, "1": http.StatusUnauthorized}[sent]
			if strings.HasSuffix(path, "/login") && sent != "" {
				want = http.StatusBadRequest // a broken request; it needs no user
			}
			if w.Code != want || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("%s with the header %q: %d %s, want %d", pattern, sent, w.Code, w.Body, want)
			}
		}
	}
	for _, pattern := range files[1:] {
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, strings.ReplaceAll(pattern[len("GET "):], "{$}", ""), nil))
		if w.Code != http.StatusOK || bytes.Contains(w.Body.Bytes(), []byte("http://")) && !strings.HasSuffix(pattern, "ui.js") {
			t.Errorf("%s: %d", pattern, w.Code)
		}
	}
}

// TestAsksTouchWhatTheyRead holds each request that reads keys to its scope: a request that touches nothing has no field that names keys.
func TestAsksTouchWhatTheyRead(t *testing.T) {
	q := url.Values{"prefix": {"app/"}, "key": {"app/1"}, "text": {"x"}, "since": {"1"}}
	for name, one := range asks {
		a, err := one.begin(q)
		if err != nil {
			t.Fatal(name, err)
		}
		var touched []kv.Touch
		a.Touches(func(x kv.Touch) bool {
			touched = append(touched, x)
			return true
		})
		_, scoped := reflect.TypeOf(a).Elem().FieldByName("scope")
		switch {
		case one.access != kv.AccessRead && (scoped || len(touched) > 0):
			t.Errorf("%s reads keys, and needs no permission for them", name)
		case one.access == kv.AccessRead && (!scoped || len(touched) != 1 || !strings.HasPrefix(string(touched[0].Key), "app/")):
			t.Errorf("%s touches %v", name, touched)
		}
	}
}

var _ index.Toucher = (*scope)(nil)
