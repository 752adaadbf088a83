// Command qkv-lab measures clusters of qkv and of etcd from outside, in turns: `make lab` builds it. It starts the
// members as processes of their own, and shares the loads and the results of package bench.
//
//	qkv-lab vs-etcd     the standard loads on etcd, on qkv by etcd's API, and on qkv
//	qkv-lab kube        how many nodes of Kubernetes a cluster serves
//	qkv-lab failover    for how long no put is acknowledged when members fail
//
// Each prints a table, and writes the result with -o FILE.json, of which `qkv bench report` makes pages.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"qkv/bench/machine"
	"qkv/bench/result"
)

// errUsage reports unusable arguments.
var errUsage = errors.New("see qkv-lab COMMAND -h")

func main() {
	commands := map[string]func(context.Context, []string) error{"vs-etcd": vsEtcd, "kube": kube, "failover": failover}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "qkv-lab vs-etcd, qkv-lab kube or qkv-lab failover; -h explains each")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "qkv-lab:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// list is a flag with several values, separated by commas or given again.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	*l = append(*l, strings.Split(text, ",")...)
	return nil
}

// settings are the flags of all commands.
type settings struct {
	*flag.FlagSet
	dir, etcd, qkv, output string
	port                   int
	ports                  int // in a row
}

func newSettings(name, explains string, port, ports int) *settings {
	s := &settings{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), ports: ports}
	s.StringVar(&s.dir, "data-dir", ".", "`DIR` on the disk for all members' data; temporary folders are created in it")
	s.StringVar(&s.etcd, "etcd", "", "`FILE` that is etcd "+etcdVersion+"; the word build has it built from its module")
	s.StringVar(&s.qkv, "qkv", "", "`FILE` that is qkv (default: qkv beside this program)")
	s.StringVar(&s.output, "o", "", "`FILE` for the result: .json")
	s.IntVar(&s.port, "port", port, fmt.Sprintf("first of %d `PORT`s in a row", ports))
	s.Usage = func() {
		fmt.Fprintf(s.Output(), "qkv-lab %s [flags]\n\n%s\n\n", name, explains)
		s.PrintDefaults()
	}
	return s
}

// bounds says between which values a number must be.
type bounds struct {
	name        string
	value       float64
	least, most float64
}

// parse reads the arguments.
func (s *settings) parse(args []string) error {
	if err := s.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if s.NArg() > 0 {
		return fmt.Errorf("%q is no flag: %w", s.Arg(0), errUsage)
	}
	if s.output != "" && filepath.Ext(s.output) != ".json" {
		return fmt.Errorf("-o %s: the result is a .json; qkv bench report makes others of it: %w", s.output, errUsage)
	}
	return within(bounds{"port", float64(s.port), 1, float64(65535 - s.ports)})
}

// within refuses what is out of its bounds.
func within(all ...bounds) error {
	for _, b := range all {
		if !(b.value >= b.least && b.value <= b.most) { // also NaN
			return fmt.Errorf("-%s %v: %v to %v are possible: %w", b.name, b.value, b.least, b.most, errUsage)
		}
	}
	return nil
}

// program returns the qkv to measure, and its version.
func (s *settings) program(ctx context.Context) (path, version string, err error) {
	if path = s.qkv; path == "" {
		own, err := os.Executable()
		if err != nil {
			return "", "", err
		}
		path = filepath.Join(filepath.Dir(own), "qkv")
	}
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return "", "", fmt.Errorf("%s version: %w: -qkv names a program", path, err)
	}
	version, _, _ = strings.Cut(string(out), "\n")
	return path, version, nil
}

// begin begins a result.
func (s *settings) begin(version string) (*result.File, *machine.Device, error) {
	device, err := machine.Host{}.Device(s.dir)
	if err != nil {
		return nil, nil, err
	}
	f := &result.File{
		Version: result.Version, Kind: "run", Command: append([]string{"qkv-lab"}, os.Args[1:]...),
		Begun:       time.Now().UTC().Truncate(time.Second),
		Environment: machine.Host{}.Environment(version), Notes: slices.Clone(device.Warnings),
	}
	f.Notes = append(f.Notes, f.Environment.Warnings...)
	for _, n := range f.Notes {
		fmt.Fprintln(os.Stderr, "warning:", n)
	}
	return f, &device, nil
}

// finish prints and writes a result, also after an early end: the last minute must not cost hours of measurements.
func (s *settings) finish(f *result.File, err error) error {
	if err != nil && len(f.Rows) == 0 {
		return err
	}
	if err != nil {
		f.Notes = append(f.Notes, "INCOMPLETE: it ended early: "+err.Error())
	}
	f.Environment.After = new(machine.Host{}.Pressure())
	return errors.Join(err, f.Report(os.Stdout), s.write(f))
}

// write writes a result under a temporary name first: a file is either complete or missing.
func (s *settings) write(f *result.File) error {
	if s.output == "" {
		return nil
	}
	name := s.output + ".tmp"
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Write(out), out.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return os.Rename(name, s.output)
}

// progress says what is measured next.
func progress(what string) { fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), what) }

// prefix is a prefix of keys that no other run has.
func prefix() string { return fmt.Sprintf("qkv-bench/%016x/", rand.Uint64()) }

// named returns what a flag says, or all that is possible.
func named(flag string, given, possible []string) ([]string, error) {
	for _, name := range given {
		if !slices.Contains(possible, name) {
			return nil, fmt.Errorf("-%s %q is unknown: %s: %w", flag, name, strings.Join(possible, ", "), errUsage)
		}
	}
	if len(given) == 0 {
		return possible, nil
	}
	return given, nil
}

// etcdSide builds etcd, if it must, and describes it.
func (s *settings) etcdSide(ctx context.Context, f *result.File, device *machine.Device) (*side, error) {
	binary, version, err := etcdProgram(ctx, cmp.Or(s.etcd, etcdBuilt))
	if err != nil {
		return nil, err
	}
	f.Notes = append(f.Notes, version+", with its defaults, but for a quota of 8 GiB: it syncs every write, too")
	return &side{describe: result.Side{Name: "etcd", Device: device}, program: binary, dir: s.dir, port: s.port}, nil
}
