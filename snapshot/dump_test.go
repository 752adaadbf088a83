package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
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
