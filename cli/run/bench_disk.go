//go:build linux

package run

// This file is `qkv bench disk`: measure what a log feels of a disk.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/bench/machine"
	"qkv/bench/result"
	"qkv/cli/form"
)

// sideDir is one --dir: a name and a folder.
type sideDir struct{ name, dir string }

// sideDirs reads --dir NAME=DIR, or DIR alone, whose name is its last part. The default is the current folder.
func sideDirs(c *cli.Context) (all []sideDir, err error) {
	given := c.StringSlice("dir")
	if len(given) == 0 {
		given = []string{"here=."}
	}
	for _, g := range given {
		name, dir, named := strings.Cut(g, "=")
		if !named {
			name, dir = filepath.Base(g), g
		}
		if name == "" || dir == "" {
			return nil, form.Usagef("--dir %q: NAME=DIR is needed, as in --dir nvme=/mnt/nvme", g)
		}
		if slices.ContainsFunc(all, func(s sideDir) bool { return s.name == name }) {
			return nil, form.Usagef("--dir %q: the name %q is taken; name them, as in --dir nvme=%s", g, name, dir)
		}
		info, err := os.Stat(dir)
		if err != nil {
			return nil, form.Usagef("--dir %q: %v", g, err)
		}
		if !info.IsDir() {
			return nil, form.Usagef("--dir %q: %s is no folder", g, dir)
		}
		all = append(all, sideDir{name, dir})
	}
	return all, nil
}

// devices describes the devices of the folders, and warns of folders that share a disk.
func devices(dirs []sideDir) (sides []result.Side, warnings []string, err error) {
	for _, d := range dirs {
		device, err := machine.Host{}.Device(d.dir)
		if err != nil {
			return nil, nil, fmt.Errorf("bench: %w", err)
		}
		for _, other := range sides {
			if machine.SameDevice(*other.Device, device) {
				warnings = append(warnings, fmt.Sprintf("%s and %s are on one device: their differences are chance", other.Name, d.name))
			}
		}
		for _, w := range device.Warnings {
			warnings = append(warnings, d.name+": "+w)
		}
		sides = append(sides, result.Side{Name: d.name, Device: &device})
	}
	return sides, warnings, nil
}

func benchDisk(ctx context.Context, c *cli.Context) error {
	if c.Int("runs") < 1 {
		return form.Usagef("--runs %d: at least one is needed", c.Int("runs"))
	}
	dirs, err := sideDirs(c)
	if err != nil {
		return err
	}
	f, err := newResult(c, result.KindDisk, dirs)
	if err != nil {
		return err
	}
	probes := bench.DiskProbes(c.Duration("duration"))
	bar := form.NewSlowProgress(c.App.ErrWriter, "probes", c.Int("runs")*len(dirs)*len(probes)+len(dirs)*int(min(1, c.Duration("steady"))))
	defer bar.End()
	at := map[string]int{}
	for round := range c.Int("runs") {
		for _, p := range probes {
			order := slices.Clone(dirs)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, d := range order {
				bar.Add(1)
				config := p.Config
				config.Dir = d.dir
				begun := time.Now()
				l, err := bench.ProbeDisk(ctx, config)
				switch {
				case ctx.Err() != nil:
					bar.End()
					return finishResult(c, f, context.Cause(ctx))
				case errors.Is(err, bench.ErrNotPossible):
					if round == 0 {
						f.Notes = append(f.Notes, fmt.Sprintf("%s: %s is %v", d.name, p.Name, bench.ErrNotPossible))
					}
					continue
				case err != nil:
					bar.End()
					return finishResult(c, f, err)
				}
				key := d.name + "\x00" + p.Name
				i, known := at[key]
				if !known {
					i = len(f.Rows)
					at[key] = i
					f.Rows = append(f.Rows, result.Row{Side: d.name, Name: p.Name, Mode: result.Probe})
				}
				f.Rows[i].Runs = append(f.Rows[i].Runs, l.Run(time.Since(begun)))
			}
		}
	}
	if steady := c.Duration("steady"); steady > 0 {
		for _, d := range dirs {
			bar.Add(1)
			begun := time.Now().UTC()
			report, err := bench.SteadyDisk(ctx, d.dir, steady)
			if err != nil {
				bar.End()
				return finishResult(c, f, cmp.Or(context.Cause(ctx), err))
			}
			run := report.Run()
			run.Begun = begun
			f.Rows = append(f.Rows, result.Row{Side: d.name, Name: result.LoadSteady, Mode: result.Closed, Runs: []result.Run{run}})
		}
	}
	bar.End()
	return writeResult(c, f)
}
