package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

// Endpoint carries out the requests of the dashboard, as package etcd carries out those of its clients. Each method is permitted or refused
// by the user in its context.
type Endpoint interface {
	// Identify returns the context of a request with its user, or the reason why the request may see nothing.
	Identify(r *http.Request) (context.Context, error)
	// Login returns the token of a user, for the header Authorization.
	Login(ctx context.Context, user, password string) (token string, err error)
	// User returns the user of a context.
	User(ctx context.Context) User
	// Permits returns why the user may not make a request in a View, or nil.
	Permits(ctx context.Context, v *index.View, need kv.Access, q index.Toucher) error
	// Read calls step with the newest View until it is done. The first View has everything that was acknowledged before. Each step is one
	// turn among all long reads, and the user is permitted in its View.
	Read(ctx context.Context, need kv.Access, q index.Toucher, step func(v *index.View) (done bool, err error)) error
	// Write applies a transaction.
	Write(ctx context.Context, t *kv.Txn) (kv.Result, error)
	// Watch calls f with the changes of a range, until ctx ends or f fails.
	Watch(ctx context.Context, key, end []byte, f func([]Event) error) error
	// TimesLeft returns the remaining times of leases, by the leader's clock.
	TimesLeft(ctx context.Context, leases []int64) ([]kv.LeaseTime, error)
	// Clients returns the connected clients.
	Clients() []Client
	// SlowWatches returns the watches of etcd's clients that have not read their events, at most limits.DashboardClients of them. Watches
	// that wait longest come first.
	SlowWatches() []SlowWatch
	// Cluster returns the state of all members; the result may be some seconds old, and must not be changed.
	Cluster(ctx context.Context) *Cluster
}

// User describes the user of a request.
type User struct {
	Auth   bool    `json:"auth"` // authentication is enabled
	Name   string  `json:"name"`
	Admin  bool    `json:"admin"`
	Ranges []Range `json:"ranges"` // the permitted keys; none if Admin or not Auth
}

// Range is a permitted range of keys.
type Range struct {
	Key   []byte `json:"key"`
	End   []byte `json:"end"`
	Read  bool   `json:"read"`
	Write bool   `json:"write"`
}

// Event is a change, without its value.
type Event struct {
	Key      []byte `json:"key"`
	Deleted  bool   `json:"deleted"`
	Revision int64  `json:"revision"`
	Version  int64  `json:"version"`
	Lease    int64  `json:"-"`
	Size     int    `json:"size"`
}

// Client is the sum of all connections of one client to this member.
type Client struct {
	Name        string `json:"name"` // in its certificate, or its address
	API         string `json:"api"`  // qkv or etcd
	Connections int64  `json:"connections"`
	Requests    int64  `json:"requests"` // under way
	Watches     int64  `json:"watches"`
	Waiting     int64  `json:"waiting"` // bytes that the client has not read
}

// SlowWatch is a watch whose client reads its events more slowly than they come.
type SlowWatch struct {
	Client string `json:"client"`
	Key    []byte `json:"key"`
	End    []byte `json:"end"`
	For    int64  `json:"for"`    // in seconds: how long events have waited for the client
	Behind int64  `json:"behind"` // revisions that the client has not got, at least
	Unread int64  `json:"unread"` // bytes of its stream
}

// ask is one request for data of the dashboard. Its Touches lists the keys that its user must be permitted to read.
type ask interface {
	index.Toucher
	step(v *index.View) (done bool, err error)
	answer() any
}

// asks are the requests for data, all under /ui/api/, each with the access that it needs. There is no request without a row.
var asks = map[string]struct {
	access kv.Access
	begin  func(url.Values) (ask, error)
}{
	"tree":    {kv.AccessRead, newTree},
	"search":  {kv.AccessRead, newSearch},
	"usage":   {kv.AccessRead, newUsage},
	"history": {kv.AccessRead, newHistory},
	"changes": {kv.AccessRead, newChanges},
	"times":   {kv.AccessNone, newTimes},
}

// handlers are the other pages under /ui/api/ for an identified user. Each checks by itself what its user may do. It answers, or returns why not.
var handlers = map[string]func(*dashboard, context.Context, http.ResponseWriter, *http.Request) error{
	"GET user":     (*dashboard).user,
	"GET overview": (*dashboard).overview,
	"GET value":    (*dashboard).value,
	"GET live":     (*dashboard).live,
	"GET holders":  (*dashboard).holders,
	"GET clients":  (*dashboard).clients,
	"POST revert":  (*dashboard).revert,
}

//go:embed assets
var assets embed.FS

// dashboard is the pages under /ui/.
type dashboard struct{ Endpoint }

// dashboard adds the pages. All of them have the headers of protect.
func (s *site) dashboard(of Endpoint) {
	d := &dashboard{of}
	add := func(pattern string, as access, f http.HandlerFunc) { s.handle(pattern, as, protect(f)) }
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err)
	}
	for name, of := range map[string][]string{
		"{$}": {"index.html"}, "ui.css": {"vendor/uplot.css", "app.css"}, "licence": {"vendor/uplot.LICENSE"},
		"ui.js": {"vendor/uplot.js", "basics.js", "values.js", "overview.js", "keys.js", "time.js", "live.js", "app.js"},
	} {
		add("GET /ui/"+name, open, content(files, of))
	}
	add("GET /ui", open, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ui/", http.StatusMovedPermanently) })
	for name, one := range asks {
		add("GET /ui/api/"+name, itself, programmatic(d.identified(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return d.ask(ctx, w, r, one.access, one.begin)
		})))
	}
	for pattern, f := range handlers {
		method, name, _ := strings.Cut(pattern, " ")
		add(method+" /ui/api/"+name, itself, programmatic(d.identified(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return f(d, ctx, w, r)
		})))
	}
	add("POST /ui/api/login", itself, programmatic(d.login))
}

// content serves embedded files, one behind the other: fewer requests paint the page sooner. A browser that has them asks by their checksum.
func content(files fs.FS, names []string) http.HandlerFunc {
	var text []byte
	for _, name := range names {
		one, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err)
		}
		text = append(append(text, one...), '\n')
	}
	kind := map[string]string{"html": "text/html", "js": "text/javascript", "css": "text/css", "LICENSE": "text/plain"}[names[0][strings.LastIndexByte(names[0], '.')+1:]]
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", kind+"; charset=utf-8")
		_, _ = w.Write(text)
	}
}

// policy lets the page load its own files and data, and nothing else. No other page may frame it. Scripts may not write HTML from text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// protect adds the headers that protect the page in a browser.
func protect(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		f(w, r)
	}
}

// pageHeader is sent by the page's script with each request for data. A form or a link of another page cannot send it, and a script of
// another page would need a permission that this port never gives (CORS).
const pageHeader = "X-Qkv-Dashboard"

// programmatic refuses requests that the page's script did not make, or that f refuses.
func programmatic(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(pageHeader) == "" {
			http.Error(w, "this path is for the script of the dashboard, which sends the header "+pageHeader+": open /ui/", http.StatusForbidden)
			return
		}
		if err := f(w, r); err != nil {
			refuse(w, err)
		}
	}
}

// identified refuses requests whose user is not known.
func (d *dashboard) identified(f func(context.Context, http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, err := d.Identify(r)
		if err != nil {
			return err
		}
		return f(ctx, w, r)
	}
}

// ask answers a request for data.
func (d *dashboard) ask(ctx context.Context, w http.ResponseWriter, r *http.Request, need kv.Access, begin func(url.Values) (ask, error)) error {
	q, err := begin(r.URL.Query())
	if err == nil {
		err = d.Read(ctx, need, q, q.step)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, q.answer())
	return nil
}

// refuse writes an error as JSON.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if known, ok := errors.AsType[*kv.Error](err); ok {
		switch known.Code {
		case kv.UserEmpty, kv.BadToken, kv.AuthFailed, kv.AuthOld:
			code = http.StatusUnauthorized
		case kv.NotAllowed:
			code = http.StatusForbidden
		case kv.Compacted, kv.FutureRevision:
			code = http.StatusGone
		case kv.Unavailable, kv.Unknown, kv.Overloaded, kv.Amnesia, kv.Corrupt:
			code = http.StatusServiceUnavailable
		default:
			code = http.StatusBadRequest
		}
		err = errors.New(known.Message)
	}
	writeJSON(w, code, map[string]string{"error": err.Error()})
}

func (d *dashboard) user(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, d.User(ctx))
	return nil
}

// login answers with a token. The page keeps it in the session storage of its tab.
func (d *dashboard) login(w http.ResponseWriter, r *http.Request) error {
	var q struct{ User, Password string }
	if err := readJSON(w, r, &q); err != nil {
		return err
	}
	token, err := d.Login(r.Context(), q.User, q.Password)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"token": token})
	return nil
}

// dashboardRequest bounds the body of a request: a name with a password, or a key with two revisions.
const dashboardRequest = 64 << 10

func readJSON(w http.ResponseWriter, r *http.Request, to any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, dashboardRequest)).Decode(to); err != nil {
		return kv.Errorf(kv.BadRequest, "the request is no JSON of the dashboard: %v", err)
	}
	return nil
}

// scope is the range of keys of a request, at a revision. It is embedded in the requests that read keys.
type scope struct {
	key, end []byte // a single key without end
	revision int64  // 0: the newest when the request begins
}

// Touches implements index.Toucher.
func (s *scope) Touches(f func(kv.Touch) bool) bool { return f(kv.Touch{Key: s.key, End: s.end}) }

// pin keeps the revision of the first View, and refuses a future revision.
func (s *scope) pin(v *index.View) error {
	switch newest := v.Revision(); {
	case s.revision == 0:
		s.revision = newest
	case s.revision > newest:
		return kv.Errorf(kv.FutureRevision, "revision %d is not there, the newest is %d", s.revision, newest)
	}
	return nil
}

// prefixScope returns the scope of all keys below the parameter prefix.
func prefixScope(q url.Values) (s scope, prefix []byte) {
	prefix = []byte(q.Get("prefix"))
	of := (&kv.Usage{Prefix: prefix}).Range()
	return scope{of.Key, of.End, number(q, "revision", 0)}, prefix
}

// keyScope returns the scope of the one key in the parameter key.
func keyScope(q url.Values) (scope, error) {
	s := scope{key: []byte(q.Get("key")), revision: number(q, "revision", 0)}
	if len(s.key) == 0 {
		return s, kv.Errorf(kv.EmptyKey, "the request has no key")
	}
	return s, nil
}

// number returns a parameter, or the value for a missing or wrong one.
func number(q url.Values, name string, or int64) int64 {
	if n, err := strconv.ParseInt(q.Get(name), 10, 64); err == nil && n >= 0 {
		return n
	}
	return or
}

// nothing is a request that touches no keys.
type nothing struct{}

// Touches implements index.Toucher.
func (nothing) Touches(func(kv.Touch) bool) bool { return true }

// milliseconds converts nanoseconds since 1970 for the page; 0 is not known.
func milliseconds(wall int64, ok bool) int64 {
	if !ok {
		return 0
	}
	return wall / int64(time.Millisecond)
}
