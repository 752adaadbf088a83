package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// script is a text that would run in a page that shows text as HTML.
const script = `<img src=x onerror=alert(1)><script>alert(2)</script>`

// TestHostileText shows keys, values, member names and certificate names that are HTML: all are text on each page, and none runs.
func TestHostileText(t *testing.T) {
	b := open(t)
	c := start(t, "<b>n1", "n2<script>", "n3")
	c.qkv("put", "<script>alert(1)</script>", script)
	c.qkv("put", "/json", `{"<script>alert(3)</script>":"`+strings.ReplaceAll(script, `"`, `\"`)+`"}`)
	c.qkv("put", "/json", `{"changed":"`+script+`"}`)
	c.qkv("put", "/\u202egnp.exe", "a name that is shown backwards")
	c.qkvWith([]byte("\xff\x00\x01"), "put", "/binary", "-")
	none := func() {
		t.Helper()
		if b.is("document.querySelector('main script, main img, main b:not(strong)')") {
			t.Error("text became an element")
		}
	}
	b.visit(c.members[0], "")
	b.says("HEALTHY")
	b.says("n2<script>")
	none()
	b.visit(c.members[0], "#/keys")
	b.click("ul.keys a", "▸ <script>alert(1)<")
	b.click("ul.keys a", "script>")
	b.says(script)
	none()
	b.visit(c.members[0], "#/keys?prefix=/")
	b.click("ul.keys a", "json")
	b.click("button", "Diff")
	b.until("document.querySelector('.diff .add')?.textContent.includes('onerror')")
	none()
	b.says(`\u202egnp.exe`)
	b.click("ul.keys a", "binary")
	b.says("00000000  ff 00 01")
	b.visit(c.members[0], "#/time?prefix=<script>")
	b.run(slide("Moment", 0)...)
	b.says("1 key created")
	none()
	b.visit(c.members[0], "#/live")
	b.says("Connected.")
	c.qkv("put", "<script>alert(4)</script>", script)
	b.says("<script>alert(4)</script>")
	none()
}

// TestOtherSites sends requests as a page of another site, as another name of this host (DNS rebinding) and without the page's header, and
// looks at the headers that keep the page out of frames.
func TestOtherSites(t *testing.T) {
	c := start(t, "n1", "n2", "n3")
	c.qkv("put", "greeting", "hello")
	at := c.members[0]
	ours := map[string]string{"X-Qkv-Dashboard": "1"}
	with := func(name, value string) map[string]string {
		return map[string]string{"X-Qkv-Dashboard": "1", name: value}
	}
	for _, one := range []struct {
		what   string
		header map[string]string
		code   int
	}{
		{"the page's own request", ours, http.StatusOK},
		{"a form or a link of another page", nil, http.StatusForbidden},
		{"a script of another site", with("Origin", "http://evil.example.com"), http.StatusForbidden},
		{"a page without an origin", with("Origin", "null"), http.StatusForbidden},
		{"a page of another port of this host", with("Origin", "http://127.0.0.1:1"), http.StatusForbidden},
		{"a script of another site, as the browser marks it", with("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"another name of this host", with("Host", "evil.example.com"), http.StatusMisdirectedRequest},
	} {
		for _, path := range []string{"/ui/api/tree", "/ui/api/value?key=greeting", "/ui/api/user", "/ui/api/live"} {
			if path == "/ui/api/live" && one.code == http.StatusOK {
				continue // it does not end
			}
			if r := c.ask(at, http.MethodGet, path, "", one.header); r.code != one.code || one.code != http.StatusOK && strings.Contains(r.body, "hello") {
				t.Errorf("%s at %s: %d %s", one.what, path, r.code, r.body)
			}
		}
		if one.code == http.StatusOK {
			continue
		}
		if r := c.ask(at, http.MethodPost, "/ui/api/revert", `{"Key":"Z3JlZXRpbmc=","To":1,"Seen":2}`, one.header); r.code != one.code {
			t.Errorf("%s reverts: %d %s", one.what, r.code, r.body)
		}
	}
	if got := c.qkv("get", "greeting"); !strings.Contains(got, "hello") {
		t.Errorf("a refused revert was made: %s", got)
	}
	for _, path := range []string{"/ui/", "/ui/ui.js", "/ui/api/user"} {
		h := c.ask(at, http.MethodGet, path, "", ours).header
		for name, want := range map[string]string{"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s has %s: %q", path, name, h.Get(name))
			}
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s allows other origins", path)
		}
	}
	b := open(t)
	b.visit(at, "")
	b.says("HEALTHY")
	if !b.is("performance.getEntriesByType('resource').every((e) => new URL(e.name).host === location.host)") {
		t.Error("the page asks another host")
	}
	for _, forbidden := range []string{"document.body.innerHTML = '<b>text</b>'", "document.createElement('img').setAttribute('onerror', 'alert(1)')"} {
		if !b.is("(() => { try { " + forbidden + "; return false; } catch { return true; } })()") {
			t.Errorf("the policy allows %s", forbidden)
		}
	}
}

// TestUsers logs in by the page as a user of one prefix: the page and its requests have that prefix alone, and change nothing.
func TestUsers(t *testing.T) {
	c := start(t, "n1", "n2", "n3")
	at := c.members[0]
	c.qkv("put", "/team/a", "one")
	c.qkv("put", "/team/a", "two")
	c.qkv("put", "/secret/a", "hidden")
	c.qkv("put", "/secret/a", "hidden too")
	c.qkvWith([]byte("root-password\n"), "user", "add", "boss", "--password-file", "-")
	c.qkv("user", "grant", "boss", "root")
	c.qkvWith([]byte("team-password\n"), "user", "add", "ann", "--password-file", "-")
	c.qkv("role", "add", "team")
	c.qkv("role", "grant", "team", "--prefix", "/team/", "--read")
	c.qkv("user", "grant", "ann", "team")
	c.qkv("user", "add", "root", "--role", "root")
	c.qkv("user", "add", "admin")
	c.qkv("user", "grant", "admin", "root")
	c.qkv("auth", "enable")

	login := func(user, password string) (token string) {
		body, _ := json.Marshal(map[string]string{"User": user, "Password": password})
		r := c.ask(at, http.MethodPost, "/ui/api/login", string(body), map[string]string{"X-Qkv-Dashboard": "1"})
		var found struct{ Token string }
		_ = json.Unmarshal([]byte(r.body), &found)
		return found.Token
	}
	if login("ann", "wrong") != "" || login("ann", "") != "" || login("", "") != "" || login("nobody", "team-password") != "" {
		t.Error("a wrong password logs in")
	}
	ann := login("ann", "team-password")
	if ann == "" {
		t.Fatal("ann cannot log in")
	}
	as := func(token string) map[string]string {
		h := map[string]string{"X-Qkv-Dashboard": "1"}
		if token != "" {
			h["Authorization"] = "Bearer " + token
		}
		return h
	}
	secret := []string{"tree", "tree?prefix=/secret/", "search?text=a", "search?prefix=/secret/&text=a", "usage?prefix=/secret/", "usage", "history?key=/secret/a", "value?key=/secret/a", "changes?since=1", "changes?since=1&key=/secret/a", "live", "live?prefix=/secret/", "clients"}
	for _, path := range secret {
		for token, code := range map[string]int{"": http.StatusUnauthorized, "made.up": http.StatusUnauthorized, ann: http.StatusForbidden} {
			if r := c.ask(at, http.MethodGet, "/ui/api/"+path, "", as(token)); r.code != code || strings.Contains(r.body, "hidden") || strings.Contains(r.body, "L3NlY3JldC9h") {
				t.Errorf("%s with the token %.8q: %d %s", path, token, r.code, r.body)
			}
		}
	}
	for _, path := range []string{"overview", "times", "holders", "user"} {
		if r := c.ask(at, http.MethodGet, "/ui/api/"+path, "", as("")); r.code != http.StatusUnauthorized {
			t.Errorf("%s without a user: %d %s", path, r.code, r.body)
		}
		if r := c.ask(at, http.MethodGet, "/ui/api/"+path, "", as(ann)); r.code != http.StatusOK || strings.Contains(r.body, "secret") {
			t.Errorf("%s as ann: %d %s", path, r.code, r.body)
		}
	}
	for _, key := range []string{"L3RlYW0vYQ==", "L3NlY3JldC9h"} {
		if r := c.ask(at, http.MethodPost, "/ui/api/revert", fmt.Sprintf(`{"Key":%q,"To":2,"Seen":5}`, key), as(ann)); r.code != http.StatusForbidden {
			t.Errorf("ann reverts %s: %d %s", key, r.code, r.body)
		}
	}
	if r := c.ask(at, http.MethodGet, "/ui/api/value?key=/team/a", "", as(ann)); r.body != "two" {
		t.Errorf("ann reads her own key: %d %s", r.code, r.body)
	}

	b := open(t)
	b.visit(at, "#/keys")
	b.says("Log in")
	b.picture("login")
	b.run(typed("#login-name", "ann")...)
	b.run(typed("#login-password", "wrong")...)
	b.click("#login button", "Log in")
	b.says("the name or the password is wrong")
	b.run(typed("#login-password", "team-password")...)
	b.click("#login button", "Log in")
	b.click("ul.keys a", "▸ /team/")
	b.click("ul.keys a", "a")
	b.says("two")
	b.visit(at, "#/keys")
	b.says("You may read these keys")
	b.run(typed("main input[type=search]", "a")...)
	b.click("button", "Search")
	b.says("1 key with “a” among 1 key")
	b.click("ul.keys a", "/team/a")
	b.says("two")
	if b.is("[...document.querySelectorAll('button')].some((b) => b.textContent.startsWith('Revert'))") {
		t.Error("a user who may not write sees a button to revert")
	}
	if b.is("document.cookie") {
		t.Error("the page has a cookie")
	}
	b.visit(at, "#/live")
	b.says("An administrator sees the clients")
	b.visit(at, "#/keys?prefix=/secret/")
	b.says("may not read")
	c.qkvWith([]byte("another-password\n"), "user", "password", "ann")
	b.until("document.getElementById('login').open")
	b.press("\x1b", "\x1b")
	b.until("document.getElementById('login').open")
	b.run(typed("#login-name", "boss")...)
	b.run(typed("#login-password", "root-password")...)
	b.click("#login button", "Log in")
	b.click("ul.keys a", "a") // the page is read again as the other user
	b.says("hidden too")
	c.qkv("auth", "disable")
	b.until("!session.auth")
}

// TestLarge reads a value of 1 MiB and a member that is slow to answer.
func TestLarge(t *testing.T) {
	c := start(t, "n1", "n2", "n3")
	c.qkvWith(bytes.Repeat([]byte("0123456789abcde\n"), 1<<16), "put", "/large", "-")
	b := open(t)
	b.visit(c.members[0], "#/keys?prefix=/&key=/large")
	b.says("Show all of 1.0 MiB")
	b.click("button", "Show all")
	b.until("document.querySelector('pre').textContent.length === 1 << 20")
}
