package damage

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/pack"
)

var of = Format{Magic: "qkvtest\n", Version: 3, Features: 1, Older: "qkvpast\n"}

// A prelude is read back, whatever follows it, and no flipped bit and no cut is read.
func TestPrelude(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("content", 30)} {
		b := of.Append([]byte("before"), 1, 7, []byte(content))[len("before"):]
		p, err := of.Check("file", append(bytes.Clone(b), "behind"...))
		if err != nil || p.Version != 3 || p.Features != 1 || p.Number != 7 || string(p.Content) != content || len(b) != PreludeBytes+len(content) {
			t.Fatalf("%+v: %v", p, err)
		}
		if sum, ok := Sealed(b); !ok || sum != p.Sum {
			t.Errorf("the sum is %08x, not %08x", p.Sum, sum)
		}
		for bit := range 8 * len(b) {
			bad := bytes.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, err := of.Read("file", 0, bad); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrFormat) {
				t.Errorf("bit %d flipped: %v", bit, err)
			}
		}
		for n := range b {
			if _, err := of.Read("file", 0, b[:n]); !errors.Is(err, ErrDamaged) {
				t.Errorf("cut after %d bytes: %v", n, err)
			}
		}
	}
}

// An intact file of another version is not called damaged, and one of this version is never called another.
func TestOtherFormats(t *testing.T) {
	other := func(f Format, features uint32) error {
		_, err := of.Check("dir/file", f.Append(nil, features, 0, []byte("content")))
		if errors.Is(err, ErrDamaged) || err != nil && !strings.Contains(err.Error(), "dir/file") {
			t.Errorf("%+v: %v", f, err)
		}
		return err
	}
	for name, c := range map[string]struct{ got, want error }{
		"this":          {other(of, 1), nil},
		"newer":         {other(Format{Magic: of.Magic, Version: 4}, 0), ErrNewer},
		"newer feature": {other(of, 2), ErrNewer},
		"older":         {other(Format{Magic: of.Magic, Version: 2}, 0), ErrOlder},
		"of qkv 0.2":    {other(Format{Magic: of.Older, Version: 4}, 0), ErrOlder},
	} {
		if !errors.Is(c.got, c.want) || errors.Is(c.got, ErrFormat) != (c.want != nil) {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

// An Error names the file, the byte and the reason, and keeps the cause.
func TestError(t *testing.T) {
	err := fmt.Errorf("read: %w", At("dir/file", 12, "it cannot be read: %w", syscall.EIO))
	if !errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "corrupt: dir/file at byte 12: it cannot be read: ") {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]struct {
		err             error
		damaged, format bool
	}{
		"malformed": {pack.ErrMalformed, true, false},
		"newer":     {fmt.Errorf("a field: %w", pack.ErrNewer), false, true},
		"older":     {ErrOlder, false, true},
	} {
		got := Of("dir/file", 12, c.err)
		if errors.Is(got, ErrDamaged) != c.damaged || errors.Is(got, ErrFormat) != c.format || !errors.Is(got, c.err) || !strings.Contains(got.Error(), "dir/file at byte 12") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := Of("dir/file", 12, nil); err != nil {
		t.Errorf("no error becomes %v", err)
	}
}
