package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pictures writes the screenshots of docs/dashboard.md.
var pictures = flag.String("pictures", "", "folder for screenshots; none are made without it")

// tab is a tab of a browser. Errors and dialogs of the page fail the test: a dialog would be a script of the store's content.
type tab struct {
	context.Context
	t testing.TB

	mu     sync.Mutex
	errors []string
}

// open starts a browser with one tab.
func open(t testing.TB) *tab {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		t.Skip("Chromium is not installed (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.NoFirstRun, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	browser, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{Context: ctx, t: t}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.note(fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case *page.EventJavascriptDialogOpening:
			b.note("a dialog: " + e.Message)
			go func() {
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			}()
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, text := range b.errors {
			t.Error("the page: " + text)
		}
	})
	b.size(1280, 900, "light")
	return b
}

func (b *tab) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errors = append(b.errors, text)
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, wait)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// size sets the window's size, and the colour scheme that the system prefers.
func (b *tab) size(wide, high int64, scheme string) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(wide, high))
	if _, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
		b.t.Fatal(err)
	}
}

// visit opens a page of the dashboard.
func (b *tab) visit(at *member, place string) {
	b.t.Helper()
	b.run(chromedp.Navigate("about:blank"), chromedp.Navigate("http://"+at.clients+"/ui/"+place))
}

// is evaluates an expression of JavaScript.
func (b *tab) is(expression string) bool {
	b.t.Helper()
	return evaluated[bool](b, "!!("+expression+")")
}

// evaluated returns the value of an expression of JavaScript, which may be a promise.
func evaluated[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, wait)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return found
}

// until waits until an expression holds.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(wait); !b.is(expression); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s; the page says\n%s", expression, b.text())
		}
	}
}

// says waits for a text on the page.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func (b *tab) text() string { return evaluated[string](b, "document.body.innerText") }

// click clicks on the first element with a selector whose text begins with this one.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll(%q)].find((e) => e.textContent.trim().startsWith(%q) && e.offsetParent !== null)", selector, text)
	b.until(find)
	b.run(chromedp.Evaluate[chromedp.Void](find + ".click()"))
}

// picture writes a screenshot, if pictures are asked for.
func (b *tab) picture(name string) {
	b.t.Helper()
	if *pictures == "" {
		return
	}
	b.run(chromedp.Sleep(300 * time.Millisecond))
	png, err := chromedp.Run(b, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, "dashboard-"+name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// narrow checks that nothing is wider than the window.
func (b *tab) narrow() {
	b.t.Helper()
	if !b.is("document.documentElement.scrollWidth <= innerWidth") {
		wide := evaluated[string](b, "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className).slice(0, 5).join(' ')")
		b.t.Errorf("the page is wider than the window: %s", strings.TrimSpace(wide))
	}
}

// typed types a text into a field.
func typed(selector, text string) []chromedp.Action[chromedp.Void] {
	empty := chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).value = ''", selector))
	return []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(selector), empty, chromedp.SendKeys(selector, text)}
}

// slide moves a slider to a thousandth of its range.
func slide(label string, to int) []chromedp.Action[chromedp.Void] {
	return []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(fmt.Sprintf("input[aria-label=%q]", label)), chromedp.Evaluate[chromedp.Void](fmt.Sprintf("(() => { const s = document.querySelector('input[aria-label=%q]'); s.value = %d; s.dispatchEvent(new Event('input')); })()", label, to))}
}
