package index

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Each kind is declared as a whole, under a name of its own, and drawn in doc.go with as many fields.
func TestKinds(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{"": 0}
	for number := 1; number < len(kinds); number++ {
		k := &kinds[number]
		if other, taken := names[k.name]; taken {
			t.Errorf("kind %d has the name %q of kind %d", number, k.name, other)
		}
		names[k.name] = number
		if k.apply == nil || k.level < FirstLevel || k.level > MaxLevel || !slices.IsSorted(k.fields) {
			t.Errorf("kind %d, %s, is not declared as a whole", number, k.name)
		}
		body := regexp.MustCompile(fmt.Sprintf(`(?m)^//\tbody %d +(\w+)`, number)).FindSubmatch(text)
		switch {
		case body == nil:
			t.Errorf("doc.go draws no body of kind %d, %s", number, k.name)
		case k.fields != nil && string(body[1]) != fmt.Sprintf("%02x", 0x90|len(k.fields)):
			t.Errorf("doc.go draws the body of a %s as %s, it has %d fields", k.name, body[1], len(k.fields))
		}
	}
}

// What each kind permits is decided on purpose: a kind is in this list too.
func TestAccessOfKinds(t *testing.T) {
	want := map[kv.Access]string{
		kv.AccessWrite: "put, delete, transaction, revocation of a lease",
		kv.AccessNone:  "grant of a lease",
		kv.AccessAdmin: "announcement, feature level, refused command, check, digest, membership change, end the exchange of members, " +
			"compaction, checkpoint of leases, change of an alarm, change of users, new base, key of backups",
	}
	for number := 1; number < len(kinds); number++ {
		k := &kinds[number]
		if walked := k.access == kv.AccessRead || k.access == kv.AccessWrite; walked != (k.touches != nil) {
			t.Errorf("kind %d, %s, has the access %s, and lists its accesses: %v", number, k.name, k.access, k.touches != nil)
		}
		if k.own && (k.named || k.access != kv.AccessAdmin) {
			t.Errorf("kind %d, %s, is proposed by members only, and by clients", number, k.name)
		}
	}
	got := map[kv.Access][]string{}
	for number := 1; number < len(kinds); number++ {
		k := &kinds[number]
		got[k.access] = append(got[k.access], k.name)
	}
	for _, access := range slices.Sorted(maps.Keys(got)) {
		all := strings.Split(want[access], ", ")
		if slices.Sort(all); !slices.Equal(slices.Sorted(slices.Values(got[access])), all) {
			t.Errorf("%s is the access of %s", access, strings.Join(got[access], ", "))
		}
	}
}

// A command with a field of a later feature level is not proposed, and one without that field is.
func TestLevelOfFields(t *testing.T) {
	k := &kinds[kindCompact]
	before := k.fields
	defer func() { k.fields = before }()
	old := new(Head).AppendCompact(nil, 300)
	k.fields = levels{1, 2}
	for name, head := range map[string]Head{"no session": {}, "session": {Once: kv.WriteName{Session: 7, Sequence: 1, Window: 1}}} {
		grown := head.AppendCompact(nil, 300)
		if err := CheckLevel(&grown, 1); err == nil || err.Code != kv.FeatureLevel || !strings.Contains(err.Message, "needs feature level 2, the cluster has 1") {
			t.Errorf("%s: a field of level 2 at level 1: %v", name, err)
		}
		if err := CheckLevel(&grown, 2); err != nil {
			t.Errorf("%s: a field of level 2 at level 2: %v", name, err)
		}
	}
	if err := CheckLevel(&old, 1); err != nil {
		t.Errorf("without the field of level 2: %v", err)
	}
}

// A recycled decoder refers to nothing of the envelope that it has read.
func TestDecodersForget(t *testing.T) {
	d := &decoder{reader: pack.NewExactReader(put("key", "value"))}
	if err := d.command.read(&d.reader); err != nil || len(d.command.put.Key) == 0 {
		t.Fatal(err)
	}
	if d.release(); d.command.put.Key != nil || d.reader.Rest() != nil {
		t.Errorf("a recycled decoder has %q", d.command.put.Key)
	}
}

// The check of an envelope on its way takes no memory.
func TestCheckEnvelopeCost(t *testing.T) {
	one := AppendEnvelope(nil, Envelope{Level: 1, Member: 1}, [][]byte{put("key", "value"), put("key", "value")})
	if n := testing.AllocsPerRun(100, func() {
		if err := checkEnvelope(one); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for the check of an envelope of puts", n)
	}
}

func BenchmarkCheckEnvelope(b *testing.B) {
	one := AppendEnvelope(nil, Envelope{Level: 1, Member: 1}, [][]byte{put("key-0123456789ab", string(benchValue))})
	b.ReportAllocs()
	for b.Loop() {
		if err := checkEnvelope(one); err != nil {
			b.Fatal(err)
		}
	}
}
