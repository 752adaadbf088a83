package form

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Each kind of flag reads its values, has its default, and refuses what is out of its bounds.
func TestFlags(t *testing.T) {
	lines := []string{
		"--some: is it so",
		"--text, -t text default here $QKV_TEST_TEXT: a `WORD`, as in: a",
		"--list list: `NAME,...`",
		"--count number>=0 default 3: `N`",
		"--least number>0: `N`",
		"--age time>0 default 7d (a week): `TIME`",
		"--wait time>=0: `TIME`",
		"--valid time>=1s: `TIME`",
		"--size size default 2KiB: `SIZE`",
		"--parts numbers default 1,3: `N,...`",
		"--scale fraction default 1: `N`",
		"--out format default plain: `FORMAT` of it: plain, json or table",
		"--choice put|delete: `KIND`",
	}
	for line, want := range map[string]string{
		"":                       "false here [] 3 168h0m0s 2048 [1 3] 1 plain ",
		"--some -t x":            "true x [] 3 168h0m0s 2048 [1 3] 1 plain ",
		"--list a --list b":      "false here [a b] 3 168h0m0s 2048 [1 3] 1 plain ",
		"--count 0 --age 1d":     "false here [] 0 24h0m0s 2048 [1 3] 1 plain ",
		"--choice PUT":           "false here [] 3 168h0m0s 2048 [1 3] 1 plain put",
		"--size 1KiB --out json": "false here [] 3 168h0m0s 1024 [1 3] 1 json ",
		"--count -1":             "--count -1 must not be below zero",
		"--least 0":              "--least 0 must be above zero",
		"--age 0s":               "--age 0s must be above zero, as in 5s",
		"--wait -1s":             "--wait -1s must not be below zero",
		"--valid 1ms":            "--valid 1ms must be at least 1s",
		"--out xml":              `--out "xml" is not a format: plain, json or table`,
		"--choice no":            `--choice "no" is not one of put, delete`,
	} {
		var flags []cli.Flag
		for _, text := range lines {
			flags = append(flags, readFlags(text)[0].flag())
		}
		got := ""
		app := &cli.App{Name: "qkv", Flags: flags, Writer: io.Discard, ErrWriter: io.Discard, HideHelp: true, Action: func(c *cli.Context) error {
			got = fmt.Sprint(c.Bool("some"), " ", c.String("text"), " ", c.StringSlice("list"), " ", c.Int64("count"), " ", c.Duration("age"), " ",
				SizeOf(c, "size"), " ", c.IntSlice("parts"), " ", c.Float64("scale"), " ", c.String("out"), " ", c.String("choice"))
			return nil
		}}
		if err := app.Run(append([]string{"qkv"}, strings.Fields(line)...)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
	}
	if left, text := FlagHelp(readFlags(lines[5])[0].flag()); left != "--age TIME" || text != "TIME (default a week)" {
		t.Errorf("%q %q", left, text)
	}
}
