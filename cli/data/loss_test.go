package data

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/internal/damage"
	"qkv/node"
	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// The loss of a damaged backup is offered once: not to an operator who has accepted it.
func TestRestoreOffersTheLoss(t *testing.T) {
	for _, why := range []error{damage.ErrDamaged, backup.ErrGap, backup.ErrForeign} {
		offered, accepted := restoreError(why, backup.At{}), restoreError(why, backup.At{AcceptLoss: true})
		for _, err := range []error{offered, accepted} {
			if form.ExitCode(err) != form.ExitFailed || !strings.HasSuffix(err.Error(), "; nothing was written") {
				t.Errorf("%d: %v", form.ExitCode(err), err)
			}
		}
		if !strings.Contains(offered.Error(), "--accept-loss restores that state") || strings.Contains(accepted.Error(), "--accept-loss") {
			t.Errorf("%v, and with the loss accepted: %v", offered, accepted)
		}
	}
}

// Only yes is a yes.
func TestReadYes(t *testing.T) {
	for answer, ok := range map[string]bool{"yes\n": true, " yes ": true, "y\n": false, "": false, "no\n": false, "yes please\n": false} {
		if err := readYes(strings.NewReader(answer)); (err == nil) != ok || err != nil && form.ExitCode(err) != form.ExitUsage {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// What damaged parts have lost is printed within bounds; JSON has all of it.
func TestLossIsPrinted(t *testing.T) {
	l := &node.Loss{
		Revision: 900, Had: 1000, Has: 970,
		Places: []snapshot.LostPlace{
			{Part: snapshot.Part{To: 800}, Err: errors.New("bits"), Records: 25, After: []byte("a"), Before: []byte{0xff}, Last: 800},
			{Part: snapshot.Part{Number: 3, From: 801, To: 850}, Err: errors.New("gone"), Records: -1, First: 801, Last: 850},
		},
	}
	for i := range int64(25) {
		l.Keys = append(l.Keys, node.LostKey{Key: fmt.Appendf(nil, "b%02d", i), Revision: 100 + i, Has: i % 2 * 50})
	}
	var text, all bytes.Buffer
	sayLoss(&text, l)
	want := `DATA IS LOST: parts of the snapshot at revision 900 are damaged or missing:
  at most 25 keys behind a before "\xff", of revisions up to 800: bits
  an unknown number of changes of any keys, of the revisions 801 to 850: gone
970 keys are left of 1000 at that revision; the damaged bytes name 25 lost versions
  b00 at revision 100: the key is gone
  b01 at revision 101: the key has the value of revision 50 instead
`
	if got := text.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 4+lossLines+2 || !strings.Contains(got, "  and 5 more: `-w json` prints all\n") ||
		!strings.HasSuffix(got, "no revision before 900 can be read any more; later transactions that compared lost keys may have another outcome\n") {
		t.Errorf("%s", got)
	}
	if err := form.WriteJSON(&all, lossDocument(l)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"revision":900,"keys_before":1000,"keys_left":970,"places":[{"part":"`, `"records":25,"first_revision":0,"last_revision":800,"after":"a","before_base64":"/w=="}`, `{"key":"b24","lost_revision":124,"revision":0}]}`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is not in %s", want, &all)
		}
	}
	text.Reset()
	if sayLoss(&text, &node.Loss{Revision: 900, Had: 1000, Has: 1000}); !strings.HasPrefix(text.String(), "only the history is lost: parts of the snapshot at revision 900 ") {
		t.Errorf("%s", &text)
	}
}
