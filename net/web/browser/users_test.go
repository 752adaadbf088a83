package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// net sets the network between the browser and the members. Chromium 148 knows the command in its first form, where one word for all rules
// says that there is no network; later ones say it in each rule. Both are sent, and each Chromium ignores what it does not know.
func (b *tab) net(latency time.Duration, bytesPerSecond float64, offline bool) {
	b.t.Helper()
	type conditions struct {
		Offline bool                  `json:"offline"`
		Rules   []*network.Conditions `json:"matchedNetworkConditions"`
	}
	command := cdp.Command[conditions, network.EmulateNetworkConditionsByRuleResult]{Method: network.CommandEmulateNetworkConditionsByRule}
	if _, err := chromedp.Call(b, command, conditions{Offline: offline, Rules: []*network.Conditions{{
		Latency: float64(latency.Milliseconds()), DownloadThroughput: bytesPerSecond, UploadThroughput: bytesPerSecond, Offline: offline,
	}}}); err != nil {
		b.t.Fatal(err)
	}
}

// press presses keys, one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.run(chromedp.KeyEvent(key))
	}
}

// TestSlowNetwork uses the page over a network with a round trip of a second and 100 kB/s, with impatient clicks: none is done twice. Then
// requests are lost, and the page does not show an old verdict as the present one.
func TestSlowNetwork(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	at := c.members[0]
	fleet(c)
	for first := 0; first < 500; first += 100 {
		var puts strings.Builder
		for i := range 100 {
			fmt.Fprintf(&puts, "put \"many/%03d\" \"v\"\n", first+i)
		}
		c.qkvWith([]byte("\n"+puts.String()+"\n\n"), "txn")
	}
	b.visit(at, "#/keys?prefix=many/")
	b.says("More keys")
	b.net(time.Second, 100_000, false)
	more := "[...document.querySelectorAll('button')].find((b) => b.textContent === 'More keys')"
	b.run(chromedp.Evaluate[chromedp.Void](more + ".click(); " + more + ".click(); " + more + ".click()"))
	b.until("document.querySelectorAll('ul.keys li').length > 200")
	time.Sleep(2 * time.Second)
	if n := evaluated[int](b, "document.querySelectorAll('ul.keys li').length"); n != 400 {
		t.Errorf("%d keys are listed after one more page was asked for thrice, want 400", n)
	}
	b.visit(at, "#/keys?prefix=/fleet/config/&key=/fleet/config/ingress")
	b.says("Revert to this")
	revert := "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Revert to this')"
	b.run(chromedp.Evaluate[chromedp.Void](revert + ".click(); " + revert + ".click()"))
	b.says("Revert this key?")
	time.Sleep(1500 * time.Millisecond)
	b.run(chromedp.Evaluate[chromedp.Void]("document.getElementById('ask-yes').click()"))
	b.says("1 key reverted")
	b.says("version 3")
	time.Sleep(3 * time.Second)
	if text := b.text(); strings.Contains(text, "written after the preview") || strings.Contains(text, "version 4") {
		t.Errorf("the revert was made twice:\n%s", text)
	}

	b.click("button", "Revert to this") // the answer to the confirmation is lost
	b.says("Revert this key?")
	b.net(0, -1, true)
	b.run(chromedp.Evaluate[chromedp.Void]("document.getElementById('ask-yes').click()"))
	b.says("It may have made the change, or not")
	b.says("NO ANSWER")
	b.net(0, -1, false)
	b.until("document.getElementById('pill').textContent === 'HEALTHY'")
	b.click("button", "Try again")
	b.says("version 3")
	b.visit(at, "")
	b.says("HEALTHY")
	b.net(time.Minute, -1, false) // no answer, and no error either
	b.until("document.getElementById('pill').textContent === 'NO ANSWER'")
	b.says("the last answer")
	b.says("Other members: n2 at")
	b.net(0, -1, false)
	b.until("document.getElementById('pill').textContent === 'HEALTHY'")
	b.until("!document.body.innerText.includes('the last answer')")
}

// TestKeyboard goes to a key and back by keys alone.
func TestKeyboard(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	const down, right, left = "\u0301", "\u0303", "\u0302"
	b.visit(c.members[0], "")
	b.says("HEALTHY")
	b.press("2")
	b.says("greeting")
	b.press("/")
	b.until("document.activeElement.type === 'search'")
	b.until("document.querySelectorAll('ul.keys li').length === 2")
	b.press(down)
	b.until("document.activeElement.textContent.startsWith('▸ /')")
	b.press(right)
	b.until("document.activeElement.textContent.startsWith('▸ fleet/')")
	b.press("\r")
	b.until("document.activeElement.textContent.startsWith('▸ config/')")
	b.press(down)
	b.until("document.activeElement.textContent.startsWith('▸ nodes/')")
	b.press(right)
	b.until("document.activeElement.textContent.startsWith('node-1')")
	b.press(down, "\r")
	b.until("document.querySelector('h2.key')?.textContent === '/fleet/nodes/node-2'")
	b.says("ready")
	b.run(chromedp.Evaluate[chromedp.Void]("history.back()"))
	b.until("!location.hash.includes('key=')")
	b.run(chromedp.Evaluate[chromedp.Void]("document.querySelector('ul.keys a').focus()"))
	b.press(left)
	b.until("document.activeElement.textContent.startsWith('▸ config/')")
	b.press("3")
	b.says("Time travel")
	// An answer for this page that comes just now does not bring the user back to it.
	b.run(chromedp.Evaluate[chromedp.Void]("go('live'); pages.time.read()"))
	b.says("Locks and elections")
	b.press("3")
	b.says("Time travel")
	b.press("4")
	b.says("Locks and elections")
	b.press("1")
	b.says("3 of 3 voters")
}

// contrast finds texts with less contrast to their ground than WCAG AA asks for: 4.5, or 3 for large ones.
const contrast = `(() => {
	const parts = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
	const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	const found = new Set();
	const check = (e, style, text) => {
		const fore = parts(style.fill !== 'rgb(0, 0, 0)' && e instanceof SVGElement ? style.fill : style.color), back = ground(e);
		let [a, b] = [light(fore.slice(0, 3)), light(back.slice(0, 3))];
		if (a < b) [a, b] = [b, a];
		const ratio = (a + 0.05) / (b + 0.05), px = parseFloat(style.fontSize), large = px >= 24 || px >= 18.66 && Number(style.fontWeight) >= 700;
		if (ratio < (large ? 3 : 4.5)) found.add(ratio.toFixed(2) + ' ' + e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + text.trim().slice(0, 30));
	};
	for (const e of document.querySelectorAll('body *')) {
		const box = e.getBoundingClientRect();
		if (!box.width || !box.height || e.disabled || e.classList.contains('skip')) continue;
		if (e.placeholder && !e.value) check(e, getComputedStyle(e, '::placeholder'), e.placeholder);
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join('');
		if (text.trim()) check(e, getComputedStyle(e), text);
	}
	return [...found].join('\n');
})()`

// TestContrast computes the contrast of each text on each page, in both themes, and looks for what is wider than a phone.
func TestContrast(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	load(t, c, 20_000)
	c.qkv("put", "/fleet/"+strings.Repeat("long", 2500), "a key of 10 KB")
	c.qkv("put", "/fleet/"+strings.Repeat("d/", 100)+"deep", "a key with 100 parts")
	time.Sleep(time.Second)
	c.qkv("del", "/fleet/nodes/node-2")
	c.qkv("put", "/fleet/nodes/node-9", "new")
	lease := strings.Fields(c.qkv("lease", "grant", "300"))
	c.qkv("put", "/fleet/locks/deploy/"+strings.TrimLeft(lease[1], "0"), "ci", "--lease", lease[1])
	down := c.leader()
	if down == c.members[0] {
		down = c.members[1]
	}
	c.kill(down)
	for _, scheme := range []string{"light", "dark"} {
		for _, wide := range []int64{1280, 800, 360} {
			b.size(wide, 900, scheme)
			for _, one := range []struct {
				place, says string
				then        func()
			}{
				{"#/overview", "DEGRADED", nil},
				{"#/keys", "in the last minute", nil},
				{"#/keys?prefix=/fleet/", "KB", nil},
				{"#/keys?prefix=/fleet/&key=/fleet/" + strings.Repeat("long", 2500), "a key of 10 KB", nil},
				{"#/keys?prefix=/fleet/" + strings.Repeat("d/", 100), "deep", nil},
				{"#/keys?prefix=/fleet/config/&key=/fleet/config/ingress", "created", func() { b.click("button", "Diff"); b.says("From revision") }},
				{"#/keys?prefix=/fleet/config/&key=/fleet/config/scheduler", "policy", nil},
				{"#/keys?prefix=/fleet/nodes/&key=/fleet/nodes/node-2", "was deleted", nil},
				{"#/time?prefix=/fleet/nodes/", "Move the slider", func() { b.run(slide("Moment", 0)...); b.says("Revert ") }},
				{"#/time?prefix=/fleet/nodes/&at=1000", "Keys at that moment", nil},
				{"#/live", "of 300 s", func() { c.qkv("put", "greeting", "hi"); b.says("changed") }},
			} {
				if one.says == "KB" {
					one.says = "KiB)"
				}
				b.visit(c.members[0], one.place)
				b.says(one.says)
				if one.then != nil {
					one.then()
				}
				if weak := evaluated[string](b, contrast); weak != "" {
					t.Errorf("%s, %s, %d wide: too little contrast:\n%s", one.place, scheme, wide, weak)
				}
				b.narrow()
			}
		}
	}
}

// TestExactValues shows numbers that JavaScript cannot hold as they are written, and says how values differ that are the same JSON.
func TestExactValues(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	c.qkv("put", "/uid", `{"uid":12345678901234567890,"share":1.0}`)
	c.qkv("put", "/uid", `{"uid":12345678901234567891,"share":1.0}`)
	c.qkv("put", "/uid", "{\"uid\": 12345678901234567891,\n\"share\":1.0}")
	c.qkv("put", "/direction", "user\u202enimda")
	b.visit(c.members[0], "#/keys?prefix=/&key=/uid")
	b.says("uid: 12345678901234567891")
	b.says("share: 1.0")
	b.click("button", "Diff")
	b.says("the same JSON, written in another way")
	b.until("document.querySelector('.diff .del').textContent.includes('{\"uid\":123')")
	b.run(chromedp.Evaluate[chromedp.Void]("[...document.querySelectorAll('button')].filter((b) => b.textContent === 'Diff')[1].click()"))
	b.until("document.querySelector('.diff .del')?.textContent === '-   \"uid\": 12345678901234567890,'")
	b.until("document.querySelector('.diff .add')?.textContent === '+   \"uid\": 12345678901234567891,'")
	b.visit(c.members[0], "#/keys?prefix=/&key=/direction")
	b.says(`user\u202enimda`)
}

// TestHiddenTab: a tab that nobody looks at keeps no connection, since a browser has six for all of its tabs. When it is seen again, it says
// so, and links to what has changed meanwhile.
func TestHiddenTab(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	at := c.members[0]
	b.visit(at, "#/live?prefix=/fleet/")
	b.says("Connected.")
	watches := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
			r := c.ask(at, "GET", "/ui/api/overview", "", map[string]string{"X-Qkv-Dashboard": "1"})
			if strings.Contains(r.body, fmt.Sprintf(`"watches":%d,`, want)) && (want > 0 || !strings.Contains(r.body, `"watches":1,`)) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("never %d watches: %s", want, r.body)
			}
		}
	}
	hide := func(hidden bool) {
		b.run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("Object.defineProperty(document, 'hidden', { get: () => %v, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))", hidden)))
	}
	watches(1)
	time.Sleep(time.Second)
	hide(true)
	watches(0)
	c.qkv("put", "/fleet/nodes/node-8", "joins")
	time.Sleep(1100 * time.Millisecond)
	hide(false)
	b.says("The page was hidden since")
	b.until("document.querySelector('main').innerText.includes('Connected.')")
	c.qkv("put", "/fleet/nodes/node-9", "joins")
	b.says("/fleet/nodes/node-9")
	b.click("main a", "What changed meanwhile")
	b.says("Changed since then")
	b.until("document.querySelector('main').innerText.includes('/fleet/nodes/node-8')")
	b.until("location.hash.includes('at=')")
	moment := evaluated[string](b, "document.querySelector('.moment').textContent.slice(0, 19)")
	b.run(chromedp.Evaluate[chromedp.Void]("location.reload()"))
	b.until(fmt.Sprintf("document.querySelector('.moment')?.textContent.startsWith(%q)", moment))
}
