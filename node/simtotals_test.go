package node

import (
	"fmt"
	"reflect"
	"strings"
)

// totals counts what happened in a run, or in all runs of a campaign.
type totals struct {
	Operations, Acknowledged, Reads, Unknown, Refused int
	Starts, Crashes, PowerLosses, RecoveryCrashes     int
	Kills, Stops, Pauses, Ended                       int
	Leaders, LeaderChanges, Transfers                 int
	Stalls, StallsMoved                               int
	TornTails, Snapshots, Installs, Interrupted       int
	ColdReads, Replacements                           int
	ColdCatchups, Quarantined, Ruined, Amnesiacs      int
	Frames, Disconnects, Faults, Porcupines           int
}

// add adds the counts of another run.
func (t *totals) add(other totals) {
	to, from := reflect.ValueOf(t).Elem(), reflect.ValueOf(other)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// String lists the counts in words.
func (t totals) String() string {
	var b strings.Builder
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", v.Field(i).Int(), words(v.Type().Field(i).Name))
	}
	return b.String()
}

// words turns a field's name into words.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte(' ')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// missing names what a campaign must have seen and has not.
func (t totals) missing() []string {
	var none []string
	for name, n := range map[string]int{
		"crashes": t.Crashes, "losses of all power": t.PowerLosses, "leader changes": t.LeaderChanges, "torn tails": t.TornTails,
		"snapshot installs": t.Installs, "cold catch-ups": t.ColdCatchups, "unknown outcomes": t.Unknown,
		"disk stalls that moved leadership": t.StallsMoved, "refused amnesiacs": t.Amnesiacs,
	} {
		if n == 0 {
			none = append(none, name)
		}
	}
	return none
}
