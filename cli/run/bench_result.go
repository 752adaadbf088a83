//go:build linux

package run

// This file is `qkv bench report`: make tables and pages of saved results.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench/machine"
	"qkv/bench/result"
	"qkv/cli/form"
)

// The formats of a benchmark's report.
const (
	reportTable  = "table"
	reportJSON   = "json"
	reportHTML   = "html"
	reportRatios = "ratios" // one table in Markdown
)

// newResult begins a file, and prints warnings to stderr before the measurement.
func newResult(c *cli.Context, kind string, dirs []sideDir) (*result.File, error) {
	if _, err := formatOf(c.String("output")); err != nil {
		return nil, err
	}
	sides, warnings, err := devices(dirs)
	if err != nil {
		return nil, err
	}
	f := &result.File{
		Version: result.Version, Kind: kind, Command: append([]string{"qkv"}, os.Args[1:]...), Begun: time.Now().UTC().Truncate(time.Second),
		Environment: machine.Host{}.Environment("qkv " + form.Version), Sides: sides, Notes: warnings,
	}
	f.Notes = append(f.Notes, f.Environment.Warnings...)
	for _, n := range f.Notes {
		fmt.Fprintln(c.App.ErrWriter, "warning:", n)
	}
	return f, nil
}

// formatOf returns the format of a file by its name; empty if unknown.
func formatOf(name string) (string, error) {
	switch filepath.Ext(name) {
	case "":
		if name == "" {
			return "", nil
		}
	case ".json":
		return reportJSON, nil
	case ".html":
		return reportHTML, nil
	case ".md":
		return reportRatios, nil
	case ".txt":
		return reportTable, nil
	}
	return "", form.Usagef("--output %q: the file name must end in .json, .html, .md or .txt", name)
}

// finishResult writes the results, also after an early end with err: the last minute must not cost hours of measurements. The
// results are then marked as incomplete.
func finishResult(c *cli.Context, f *result.File, err error) error {
	if err == nil {
		return writeResult(c, f)
	}
	err = fmt.Errorf("bench: %w", err)
	if len(f.Rows) == 0 {
		return err
	}
	f.Notes = append(f.Notes, "INCOMPLETE: it ended early: "+err.Error())
	return errors.Join(err, writeResult(c, f))
}

// writeResult prints the results, and writes them to the file of --output.
func writeResult(c *cli.Context, f *result.File) error {
	f.Environment.After = new(machine.Host{}.Pressure())
	if err := writeReport(c.App.Writer, c.String("write-out"), []*result.File{f}); err != nil {
		return err
	}
	return writeReportFile(c.String("output"), []*result.File{f})
}

// writeReportFile writes a report under a temporary name first: a file is either complete or missing.
func writeReportFile(name string, files []*result.File) (err error) {
	format, err := formatOf(name)
	if err != nil || format == "" {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(name), ".qkv-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("bench: write %s: %w", name, err), os.Remove(out.Name()))
		}
	}()
	if err := writeReport(out, format, files); err != nil {
		return errors.Join(err, out.Close())
	}
	_ = out.Chmod(0o644) // a sandbox may refuse it
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), name)
}

// writeReport writes files in a format. JSON holds one file; several files together make a report.
func writeReport(w io.Writer, format string, files []*result.File) error {
	switch format {
	case reportHTML:
		return result.Page(w, files)
	case reportJSON:
		if len(files) > 1 {
			return form.Usagef("json is the format of one file: choose another one for %d", len(files))
		}
		return files[0].Write(w)
	}
	for _, f := range files {
		write := f.Report
		if format == reportRatios {
			write = f.Ratios
		}
		if err := write(w); err != nil {
			return err
		}
	}
	return nil
}

func benchReport(c *cli.Context) error {
	if _, err := formatOf(c.String("output")); err != nil {
		return err
	}
	var files []*result.File
	for _, name := range c.Args().Slice() {
		f, err := readResult(name)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	if c.String("output") != "" {
		return writeReportFile(c.String("output"), files)
	}
	return writeReport(c.App.Writer, c.String("write-out"), files)
}

func readResult(name string) (*result.File, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = in.Close() }()
	f, err := result.Read(in)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	return f, nil
}
