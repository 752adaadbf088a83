package node

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/log/disk/simdisk"
)

// A restore and a migration into the root of a new file system, which cannot be replaced, build the folder inside and move it up. Whenever
// the power fails meanwhile, no data folder without its content is left.
func TestNewFolderInAMountPoint(t *testing.T) {
	state := index.NewState(recoverLimits().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1}))
	if _, err := state.Apply(foundingIndex, foundingTerm, nil, nil); err != nil {
		t.Fatal(err)
	}
	on := simdisk.New(1)
	must(t, on.MkdirAll("data/lost+found"))
	must(t, on.SyncDir("."))
	must(t, on.SyncDir("data"))
	calls := uint64(0)
	on.SetHook(func(op simdisk.Op, name string) {
		if calls++; !strings.HasPrefix(name, "data") {
			return
		}
		after := on.Clone(calls)
		after.Crash(simdisk.Variant(calls % uint64(simdisk.Variants)))
		if names, err := after.List("data"); err != nil || slices.Contains(names, "identity") && !slices.Contains(names, "snap") {
			t.Errorf("before call %d (%v %s) the folder has %v, %v", calls, op, name, names, err)
		}
	})
	config := RestoreConfig{DataDir: "data", Name: "n1", Version: "test", Logger: slog.New(slog.DiscardHandler)}
	_, err := restoreOn(config, "local", on, rand.NewChaCha8([32]byte{1}), recoverLimits(), with(state))
	on.SetHook(nil)
	must(t, err)
	names, err := on.List("data")
	must(t, err)
	if !slices.Contains(names, "identity") || !slices.Contains(names, "lost+found") || slices.Contains(names, restoringSuffix) {
		t.Errorf("the folder has %v", names)
	}
	if _, err := restoreOn(config, "local", on, rand.NewChaCha8([32]byte{1}), recoverLimits(), with(state)); err == nil || !strings.Contains(fmt.Sprint(err), "not empty") {
		t.Errorf("over a data folder: %v", err)
	}
}

// While a process builds a data folder, another one that is to build the same folder is refused, and takes nothing away.
func TestNewFolderIsBuiltOnce(t *testing.T) {
	on, calls := simdisk.New(1), 0
	config := RestoreConfig{DataDir: "data", Name: "n1", Version: "test", Logger: slog.New(slog.DiscardHandler)}
	build := func() error {
		state := index.NewState(recoverLimits().Index)
		state.Found(index.Founders(map[string]uint64{"n1": 1}))
		_, err := state.Apply(foundingIndex, foundingTerm, nil, nil)
		must(t, err)
		_, err = restoreOn(config, "local", on, rand.NewChaCha8([32]byte{1}), recoverLimits(), with(state))
		return err
	}
	another := false
	on.SetHook(func(op simdisk.Op, name string) {
		if another || op == simdisk.OpLock || !strings.HasPrefix(name, "data"+restoringSuffix+"/") {
			return
		}
		another, calls = true, calls+1
		if err := build(); err == nil || !strings.Contains(err.Error(), "in use by another process") {
			t.Errorf("before call %d (%v %s): %v", calls, op, name, err)
		}
		another = false
	})
	must(t, build())
	on.SetHook(nil)
	if names, err := on.List("data"); err != nil || !slices.Contains(names, "snap") || calls < 20 {
		t.Errorf("after %d calls the folder has %v, %v", calls, names, err)
	}
}
