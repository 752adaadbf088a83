package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"qkv/internal/damage"
)

// TestDump tells with testdata/dump.txt what an operator sees of a sound file and of damaged ones.
//
//	dump state=small|blocks [flip=BYTE] [cut=BYTES] [json]
func TestDump(t *testing.T) {
	states := map[string]func() *fake{"small": small, "blocks": blocks}
	datadriven.RunTest(t, "testdata/dump.txt", func(t *testing.T, d *datadriven.TestData) string {
		var state string
		flip, cut := -1, 0
		d.ScanArgs(t, "state", &state)
		d.MaybeScanArgs(t, "flip", &flip)
		d.MaybeScanArgs(t, "cut", &cut)
		s := states[state]()
		b := fileOf(t, s)
		b = b[:len(b)-cut]
		if flip >= 0 {
			b[flip] ^= 1
		}
		path := "d/" + name(s)
		var out strings.Builder
		err := Dump(inMemory{b: b}, path, &out, d.HasArg("json"))
		_, verr := Verify(inMemory{b: b}, path)
		if fmt.Sprint(err) != fmt.Sprint(verr) {
			t.Errorf("Dump returns %v, Verify %v", err, verr)
		}
		return out.String()
	})
}

// An operator sees which parts a snapshot lists, and which one is missing, has another size, or is not what its name says.
func TestDumpParts(t *testing.T) {
	m, path := savedInParts(t, 0)
	dumped := func(path string, asJSON bool) (string, error) {
		var out strings.Builder
		err := Dump(m.fs, path, &out, asJSON)
		return out.String(), err
	}
	text, err := dumped(path, false)
	lines, err2 := dumped(path, true)
	if err != nil || err2 != nil || !strings.Contains(text, "  5 changes\n") || !strings.Contains(lines, `"changes":5`) {
		t.Errorf("%v, %v:\n%s%s", err, err2, text, lines)
	}
	for _, p := range append(m.base, m.parts...) {
		if !strings.Contains(text, fmt.Sprintf("%s up to revision %d, %d bytes\n", p.Name(), p.To, p.Bytes)) ||
			!strings.Contains(lines, fmt.Sprintf(`{"file":"%s","last_revision":%d,"bytes":%d}`, p.Name(), p.To, p.Bytes)) {
			t.Errorf("no %s:\n%s%s", p.Name(), text, lines)
		}
		one, err := dumped("d/"+p.Name(), false)
		if _, err2 := dumped("d/"+p.Name(), true); err != nil || err2 != nil || !strings.Contains(one, fmt.Sprintf("  part %d\n", p.Number)) || !strings.HasSuffix(one, "\nsound\n") {
			t.Errorf("%v:\n%s", err, one)
		}
	}
	first, second := m.parts[0].Name(), m.parts[1].Name()
	undo := rewritten(t, m.fs, "d/"+first, func(b []byte) []byte { return b[:len(b)-1] })
	if text, err = dumped(path, false); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(text, "! "+err.Error()) || !strings.Contains(err.Error(), first+" has ") {
		t.Errorf("a part of another size: %v\n%s", err, text)
	}
	undo()
	m.fs.Remove("d/" + second)
	if text, err = dumped(path, false); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(text, "! "+err.Error()) || !strings.Contains(err.Error(), second+" at byte 0: the file is missing") {
		t.Errorf("a missing part: %v\n%s", err, text)
	}
	other, _ := savedInParts(t, 1)
	rewritten(t, m.fs, "d/"+first, func([]byte) []byte { return slurp(t, other.fs, "d/"+other.parts[0].Name()) })
	if _, err = dumped("d/"+first, false); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "not what its name says") {
		t.Errorf("a part of another cluster: %v", err)
	}
}

func TestDumpOfNothing(t *testing.T) {
	var out bytes.Buffer
	if err := Dump(newDisk(t), "d/none", &out, false); err == nil || out.Len() > 0 {
		t.Errorf("a file that is not there: %v, %q", err, out.String())
	}
	b := fileOf(t, small())
	if err := Dump(inMemory{b: b}, smallPath, broken{}, true); !errors.Is(err, errBroken) {
		t.Errorf("an output that fails: %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
