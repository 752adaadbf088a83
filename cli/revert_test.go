package cli

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// TestRevertGuards: what somebody writes while keys are reverted is not lost, and nothing else is left out for it.
func TestRevertGuards(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	b := newRig(t, nil)
	keys := 2*limits.TxnOperations + 10
	for i := range keys {
		b.expect(t, 0, "OK\n", "", "put", fmt.Sprintf("k/%03d", i), "then")
	}
	then := b.member.View().Revision()
	for i := range keys {
		b.expect(t, 0, "OK\n", "", "put", fmt.Sprintf("k/%03d", i), "now")
	}
	var once atomic.Bool
	b.member.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 && once.CompareAndSwap(false, true) {
			b.expect(t, 0, "OK\n", "", "put", "k/007", "meanwhile")
			b.expect(t, 0, "1\n", "", "del", "k/200")
		}
		return nil
	})
	code, stdout, stderr := b.qkv(t, "", "revert", "k/", "--to", fmt.Sprint(then), "-w", "json")
	if want := fmt.Sprintf(`"put":%d,"deleted":0,"leased":0,"written":2}`, keys-2); code != form.ExitCondition || !strings.Contains(stdout, want) {
		t.Errorf("%d %s", code, stdout)
	}
	for _, key := range []string{"k/007", "k/200"} {
		if !strings.Contains(stderr, "written meanwhile by another client: "+key+"\n") {
			t.Errorf("%s is not named: %s", key, stderr)
		}
	}
	b.expect(t, 0, "meanwhile\n", "", "get", "k/007")
	b.expect(t, 3, "", "not found", "get", "k/200")
	_, values, _ := b.qkv(t, "", "get", "k/", "--prefix")
	if n := strings.Count(values, "then\n"); n != keys-2 || strings.Contains(values, "now\n") {
		t.Errorf("%d keys are what they were, of %d", n, keys)
	}
	// Again, and it is complete.
	b.expect(t, 0, fmt.Sprintf("2 keys are as they were at revision %d: 2 put, 0 deleted\n", then), "", "revert", "k/", "--to", fmt.Sprint(then))
}

// TestRevertTransactionsAreBounded: keys and values of one transaction are at most 1 MiB together. A larger key is in a transaction of its
// own, and the next transaction begins to count at zero.
func TestRevertTransactionsAreBounded(t *testing.T) {
	b := newRig(t, nil)
	const most = 1 << 20
	sizes := []struct {
		key   string
		value int // bytes that the key is reverted to
		with  int // number of the transaction
	}{
		{"a", most/2 - 1, 1},
		{"b", most/2 - 1, 1}, // exactly 1 MiB, with the keys
		{"c", 1, 2},
		{"d", most - 4, 2}, // one byte less
		{"e", 1, 3},
		{"f", most - 2, 4}, // one byte more
		{"g", most + 1000, 5},
		{"h", 1, 6},
		{"i", 1, 6},
	}
	for _, one := range sizes {
		code, _, stderr := b.qkv(t, strings.Repeat("x", one.value), "put", one.key, "-")
		if code != form.ExitOK {
			t.Fatal(stderr)
		}
	}
	then := b.member.View().Revision()
	for _, one := range sizes {
		b.expect(t, 0, "OK\n", "", "put", one.key, "now")
	}
	now := b.member.View().Revision()
	b.expect(t, 0, fmt.Sprintf("9 keys are as they were at revision %d: 9 put, 0 deleted\n", then), "", "revert", "", "--all", "--to", fmt.Sprint(then))
	for _, one := range sizes {
		code, out, _ := b.qkv(t, "", "get", one.key, "-w", "json")
		if want := fmt.Sprintf(`"mod_revision":%d,`, now+int64(one.with)); code != form.ExitOK || !strings.Contains(out, want) {
			t.Errorf("%s, of %d bytes, is not reverted by transaction %d", one.key, one.value, one.with)
		}
	}
}
