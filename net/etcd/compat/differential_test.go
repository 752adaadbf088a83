package compat

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/net/etcd/compat/member"
)

var (
	requests = flag.Int("requests", 12000, "how many `N` requests the differential test sends to one member, half of them with users; and a quarter of that to three")
	seed     = flag.Uint64("seed", 0, "the `SEED` of one sequence; 0: chosen at random, and printed")
	against  = flag.String("against", member.QKV, "the `PROGRAM` that is compared with etcd: qkv or etcd")
	length   = flag.Int("length", 1500, "how many `N` requests a sequence has")
	atOnce   = flag.Int("at-once", 2, "how many `N` sequences run beside each other")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

// TestDifferential sends random sequences to etcd and to qkv, and wants the same answers and events.
func TestDifferential(t *testing.T) {
	differential(t, 1, *requests/2, false)
}

// TestDifferentialThree is the same with three members, and requests to all of them.
func TestDifferentialThree(t *testing.T) {
	differential(t, 3, *requests/8, false)
}

// TestDifferentialUsers sends sequences with users and roles: as an administrator, as users, and without a token, while users and roles
// change, and authentication is disabled and enabled.
func TestDifferentialUsers(t *testing.T) {
	differential(t, 1, *requests/2, true)
}

// TestDifferentialUsersThree is the same with three members: a token of one member counts at each.
func TestDifferentialUsersThree(t *testing.T) {
	differential(t, 3, *requests/8, true)
}

func differential(t *testing.T, members, requests int, users bool) {
	c := newCounts()
	first := *seed
	if first == 0 {
		first = rand.Uint64()
	}
	var began atomic.Int64
	t.Run("sequences", func(t *testing.T) {
		for range *atOnce {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for !t.Failed() {
					i := int(began.Add(1)) - 1
					if i > 0 && i**length >= requests {
						return
					}
					one(t, first+uint64(i), members, min(*length, requests), users, c)
				}
			})
		}
	})
	t.Log(c.table())
}

// one runs the sequence of one seed, and looks for a shorter one if the sides differ.
func one(t *testing.T, seed uint64, members, length int, users bool, c *counts) {
	var did []op
	err := fresh(t, members, users, c, nil, func(r *run) error {
		g := newGenerator(seed, r, members)
		g.auth = r.auth
		r.hashes = g.hashes
		for range length {
			o := g.next()
			did = append(did, o)
			if err := r.take(o); err != nil {
				return err
			}
		}
		return r.finish()
	})
	if err == nil {
		return
	}
	t.Errorf("seed %d: %v", seed, err)
	shorter, last := shortened(t, members, users, did, err)
	var script strings.Builder
	for _, o := range shorter {
		if text := o.String(); len(text) < 1<<16 {
			fmt.Fprintln(&script, text)
		} else {
			fmt.Fprintln(&script, o.abbreviated())
		}
	}
	if len(shorter) > 40 {
		t.Errorf("replay it: -seed %d -requests %d -at-once 1; %v", seed, length, last)
		return
	}
	t.Errorf("shortest sequence found (of %d steps):\n%s%v", len(did), script.String(), last)
}

// fresh gives a run on two new sides, with the answers of the second one corrupted if so wanted.
func fresh(t *testing.T, members int, users bool, c *counts, corrupt corruptor, do func(*run) error) error {
	cost := []string{"--bcrypt-cost", "4"}
	etcd, other := newSide(t, member.Etcd, 1, cost...), newSide(t, *against, members, cost...)
	defer etcd.close()
	defer other.close()
	other.corrupt = corrupt
	r, err := newRun(etcd, other, users, c)
	if err != nil {
		return err
	}
	if err = do(r); err != nil {
		for _, s := range r.sides {
			if d := asDifference(err); d != nil && !s.cluster.Running() {
				d.what += fmt.Sprintf("; %s has ended:\n%s", s.name, s.cluster.Tail())
			}
		}
	}
	return err
}

// replay takes given steps on two new sides.
func replay(t *testing.T, members int, users bool, steps []op) error {
	return fresh(t, members, users, newCounts(), nil, func(r *run) error {
		for _, o := range steps {
			r.hashes = r.hashes && o.as == 0
			if err := r.take(o); err != nil {
				return err
			}
		}
		return r.finish()
	})
}

// shortened leaves out steps as long as the sides still differ in the same way, within a bounded number of tries.
func shortened(t *testing.T, members int, users bool, steps []op, err error) ([]op, error) {
	if d := asDifference(err); d != nil && d.at < len(steps) {
		steps = steps[:d.at]
	}
	defer func(before time.Duration) { timeout = before }(timeout)
	timeout = 3 * time.Second // a step that hangs for another reason is no loss here
	what := func(err error) string {
		d := asDifference(err)
		if d == nil {
			return fmt.Sprint(err)
		}
		return d.op.kind
	}
	if again := replay(t, members, users, steps); again == nil || what(again) != what(err) {
		return nil, fmt.Errorf("the sides do not differ when it is taken again: %v", again)
	}
	for tries, size := 60, len(steps)/2; size > 0 && tries > 0; size /= 2 {
		for begin := 0; begin < len(steps) && tries > 0; tries-- {
			less := slices.Concat(steps[:begin], steps[min(begin+size, len(steps)):])
			if again := replay(t, members, users, less); again != nil && what(again) == what(err) {
				steps, err = less, again
			} else {
				begin += size
			}
		}
	}
	return steps, err
}

// TestScripts takes the sequences in testdata: what once differed, and what random sequences meet too seldom.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var steps []op
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				o, err := parseOp(line)
				if err != nil {
					t.Fatal(err)
				}
				steps = append(steps, o)
			}
			if err := replay(t, 1, strings.HasPrefix(filepath.Base(path), "users"), steps); err != nil {
				t.Error(err)
			}
		})
	}
}

// table is all counts, in an order.
func (c *counts) table() string {
	var text strings.Builder
	total := 0
	for _, n := range c.kinds {
		total += n
	}
	fmt.Fprintf(&text, "%d requests", total)
	for _, table := range []map[string]int{c.kinds, c.errors, c.shapes} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			fmt.Fprintf(&text, "\n%8d %s", table[name], name)
		}
	}
	return text.String()
}
