package browser

import (
	"strings"
	"testing"
	"time"
)

// fleet puts content like that of a small fleet.
func fleet(c *cluster) {
	c.qkv("put", "/fleet/config/ingress", `{"replicas":3,"image":"ingress:1.4","limits":{"cpu":"500m","memory":"256Mi"},"hosts":["a.example.com","b.example.com"]}`)
	c.qkv("put", "/fleet/config/ingress", `{"replicas":5,"image":"ingress:1.5","limits":{"cpu":"500m","memory":"512Mi"},"hosts":["a.example.com","b.example.com","c.example.com"]}`)
	c.qkv("put", "/fleet/config/scheduler", "policy: spread\nnodes: 40\n")
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		c.qkv("put", "/fleet/nodes/"+name, "ready")
	}
	c.qkv("put", "greeting", "hello")
}

// TestOverview sees the verdict, a leader that dies, and its return.
func TestOverview(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	leader := c.leader()
	at := c.members[0]
	if at == leader {
		at = c.members[1]
	}
	b.size(1280, 1150, "light")
	b.visit(at, "")
	b.says("HEALTHY")
	b.says("3 of 3 voters take part")
	b.until("document.querySelector('svg.links').getAttribute('aria-label') === 'All members are connected.'")
	b.until("document.querySelectorAll('canvas').length === 2")
	b.until("document.querySelectorAll('svg.links line.good').length === 3")
	for range 4 { // two points of the charts
		load(t, c, 20_000)
		time.Sleep(3 * time.Second)
	}
	b.picture("overview")
	b.size(1280, 1150, "dark")
	b.visit(at, "")
	b.says("HEALTHY")
	b.picture("overview-dark")
	b.size(360, 780, "light")
	b.visit(at, "")
	b.says("HEALTHY")
	b.narrow()
	b.picture("overview-narrow")
	b.size(1280, 900, "light")

	c.kill(leader)
	b.says("DEGRADED")
	b.says("start " + leader.name + " again")
	b.says("no answer")
	b.picture("degraded")
	c.run(leader)
	b.says("HEALTHY")
	b.until("!document.body.innerText.includes('no answer')")
	c.kill(at)
	b.says("This member does not answer")
	b.until("document.getElementById('pill').textContent === 'NO ANSWER' && document.querySelector('.verdict').innerText.includes('the last answer')")
	c.run(at)
	b.says("HEALTHY")
	b.until("document.getElementById('lost').hidden")
}

// TestKeys walks through the tree to a key, reads its value in three ways, its history, and the difference of two versions.
func TestKeys(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	b.visit(c.members[0], "#/keys")
	b.click("ul.keys a", "▸ /")
	b.says("5 keys")
	b.click("ul.keys a", "▸ fleet/")
	b.click("ul.keys a", "▸ config/")
	b.click("ul.keys a", "ingress")
	b.until("document.querySelectorAll('.json details').length > 2")
	b.says("version 2")
	b.says("admin")
	b.click("button", "Diff")
	b.until("document.querySelector('.diff .add')?.textContent.includes('replicas')")
	b.picture("keys")
	b.click("button", "Text")
	b.until("document.querySelector('pre').textContent.startsWith('{\"replicas\":5')")
	b.click("button", "Hex")
	b.until("document.querySelector('pre').textContent.startsWith('00000000  7b 22 72')")
	b.click("button", "Revert to this")
	b.says("Revert this key?")
	b.click("#ask button", "Revert")
	b.says("1 key reverted")
	if got := c.qkv("get", "/fleet/config/ingress"); !strings.Contains(got, `"replicas":3`) {
		t.Errorf("after the revert: %s", got)
	}

	b.visit(c.members[0], "#/keys")
	b.run(typed("main input[type=search]", "NODE-2")...)
	b.click("button", "Search")
	b.says("1 key with")
	b.click("ul.keys a", "/fleet/nodes/node-2")
	b.says("ready")

	b.size(360, 780, "dark")
	b.visit(c.members[0], "#/keys?prefix=/fleet/config/&key=/fleet/config/ingress")
	b.says("created")
	b.narrow()
	b.picture("keys-narrow")
}

// TestTime moves the slider to the past, sees the keys of then and the changes since then, and reverts a prefix after a preview.
func TestTime(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	time.Sleep(2 * time.Second)
	c.qkv("put", "/fleet/config/scheduler", "policy: pack\nnodes: 40\n")
	c.qkv("del", "/fleet/nodes/node-2")
	c.qkv("put", "/fleet/nodes/node-9", "new")
	c.qkv("put", "greeting", "changed")
	b.visit(c.members[0], "#/time?prefix=/fleet/")
	b.says("Nothing changed")
	b.run(slide("Moment", 650)...)
	b.says("1 key created, 1 changed, 1 deleted below /fleet/")
	b.click("main a.key", "/fleet/config/scheduler")
	b.until("document.querySelector('.diff .del')?.textContent.includes('spread')")
	b.click("ul.keys a", "▸ nodes/")
	b.until("[...document.querySelectorAll('ul.keys a')].some((a) => a.textContent.startsWith('node-2'))")
	b.click(".crumbs a", "fleet/")
	b.says("1 key created, 1 changed, 1 deleted below /fleet/")
	b.picture("time")
	b.click("button", "Revert 3 keys")
	b.says("become as they were")
	b.picture("revert")
	b.click("#ask button", "Revert")
	b.says("3 keys reverted")
	if got := c.qkv("get", "/fleet/", "--prefix", "--keys-only"); !strings.Contains(got, "node-2") || strings.Contains(got, "node-9") {
		t.Errorf("after the revert: %s", got)
	}
	if got := c.qkv("get", "greeting"); !strings.Contains(got, "changed") {
		t.Errorf("a key outside of the prefix: %s", got)
	}

	c.qkv("put", "greeting", "newest")
	c.qkv("compact", evaluated[string](b, "get('times').then((t) => String(t.newest))")) // the page has the older history on its slider
	b.run(slide("Moment", 1)...)
	b.click("button", "Go to the oldest moment that is kept")
	b.says("older history is compacted")
	b.says("Nothing changed below /fleet/")
	b.says("▸ nodes/")

	b.size(360, 780, "light")
	b.visit(c.members[0], "#/time")
	b.says("Keys at that moment")
	b.narrow()
	b.picture("time-narrow")
}

// TestLive sees changes as they happen, pauses, filters, and sees a lock with its lease.
func TestLive(t *testing.T) {
	b := open(t)
	c := start(t, "n1", "n2", "n3")
	fleet(c)
	b.visit(c.members[0], "#/live")
	b.says("Connected.")
	c.qkv("put", "/fleet/nodes/node-4", "joins")
	b.says("/fleet/nodes/node-4")
	b.click("button", "Pause")
	c.qkv("put", "/fleet/nodes/node-5", "joins")
	b.says("1 change since then")
	b.click("button", "Go on")
	c.qkv("put", "/fleet/nodes/node-6", "joins")
	b.says("/fleet/nodes/node-6")
	lease := strings.Fields(c.qkv("lease", "grant", "300"))
	c.qkv("put", "/fleet/locks/deploy/"+strings.TrimLeft(lease[1], "0"), "ci", "--lease", lease[1])
	b.says("holds")
	b.says("of 300 s")
	b.says("Clients of n1")
	b.picture("live")
	b.visit(c.members[0], "#/live?prefix=/fleet/nodes/")
	b.says("Connected.")
	c.qkv("put", "greeting", "again")
	c.qkv("put", "/fleet/nodes/node-7", "joins")
	b.says("/fleet/nodes/node-7")
	if strings.Contains(b.text(), "greeting") {
		t.Error("a change outside of the prefix is shown")
	}
	b.size(360, 780, "dark")
	b.says("/fleet/nodes/node-7")
	b.narrow()
}
