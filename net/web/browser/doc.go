// Package browser tests the dashboard in a real browser: headless Chromium, driven by chromedp, against three members in processes of their
// own. It is a module of its own, so that no other package needs chromedp. Without Chromium, the tests are skipped.
package browser
