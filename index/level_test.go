package index

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// firstLevel has the limits that apply enforces. They are equal on all members and all builds, and part of feature level
// 1. Two builds that differ in one of them have different states after the same log. To change a value, give it to a
// later level and make apply depend on the level. For any other purpose, define a separate limit.
var firstLevel = map[string]struct{ is, was int64 }{
	"KeyBytes":         {limits.KeyBytes, 32 << 10},
	"ValueBytes":       {limits.ValueBytes, 16<<20 - 64<<10},
	"EnvelopeBytes":    {limits.EnvelopeBytes, 256<<10 + 16<<20},
	"TxnDepth":         {limits.TxnDepth, 128},
	"TxnParts":         {limits.TxnParts, 8192},
	"LeaseSeconds":     {limits.LeaseSeconds, 9_000_000_000},
	"Members":          {limits.Members, 7},
	"Learners":         {limits.Learners, 3},
	"LeaseCheckpoints": {limits.LeaseCheckpoints, 1024},
	"MemberBytes":      {memberBytes, 16 << 10},
	"MemberAddresses":  {limits.MemberAddresses, 16},
	"AddressBytes":     {limits.AddressBytes, 259},
	"SessionWindow":    {limits.SessionWindow, 1 << 16},
	"SessionClocks":    {sessionClocks, 12},
	"SessionSequence":  {limits.SessionSequence, 1 << 62},

	"AuthNameBytes":     {limits.AuthNameBytes, 1 << 10},
	"AuthUsers":         {authUsers, 1 << 17},
	"AuthRoles":         {authRoles, 1 << 16},
	"AuthRolesOfUser":   {authRolesOfUser, 1 << 10},
	"AuthPermissions":   {authPermissions, 1 << 14},
	"AuthPasswordBytes": {limits.AuthPasswordBytes, 256},
	"AuthSecretBytes":   {limits.AuthSecretBytes, 32},
	"PasswordCostMost":  {limits.PasswordCostMost, 14},
	"Authors":           {authorNames, 1 << 18},

	"a user's share":             {userShare, 3},
	"a version's weight":         {versionOverhead, 64},
	"steps of times":             {timeStep, 1_000_000},
	"steps of clocks behind":     {behindStep, 1_000_000_000},
	"steps of weights":           {weightStep, 64 << 10},
	"FirstSessionRules.Sessions": {limits.FirstSessionRules.Sessions, 1 << 16},
	"FirstSessionRules.Outcomes": {limits.FirstSessionRules.Outcomes, 1 << 20},
	"FirstSessionRules.Window":   {limits.FirstSessionRules.Window, 1 << 16},
	"FirstSessionRules.TTL":      {int64(limits.FirstSessionRules.TTL), int64(5 * time.Minute)},
	"FirstSessionRules.Idle":     {int64(limits.FirstSessionRules.Idle), int64(30 * time.Second)},
	"FirstSessionRules.Pause":    {int64(limits.FirstSessionRules.Pause), int64(10 * time.Second)},
	"FirstSessionRules.Ends":     {int64(limits.FirstSessionRules.Ends), 64},
	"ExtentBytes":                {limits.ExtentBytes, 16 << 20},
}

// others are the names in package limits that do not influence the state: they are not limits; or they only decide the
// cost of a state, the validation of a file or import, the reading of a View, or the admission of requests by a member.
var others = []string{"BaseLeast", "BatchCommands", "ClocksApart", "ColdCompared", "FirstSessionRules", "Index", "NameBytes", "SessionRules", "TxnRows"}

// TestLevelOneStays holds what apply goes by, and that nothing else of the table of bounds is used where it could decide.
func TestLevelOneStays(t *testing.T) {
	for name, bound := range firstLevel {
		if bound.is != bound.was {
			t.Errorf("%s is %d, and was %d at its feature level: members of two builds would differ after the same log", name, bound.is, bound.was)
		}
	}
	used := map[string]string{}
	for _, folder := range []string{".", "kv"} {
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if of, ok := s.X.(*ast.Ident); ok && of.Name == "limits" {
						used[s.Sel.Name] = files.Position(s.Pos()).String()
					}
				}
				return true
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if _, ok := firstLevel[name]; !ok && !slices.Contains(others, name) {
			t.Errorf("%s: limits.%s may decide what apply does: it is a part of the feature level, or only a matter of cost; say which in this file", used[name], name)
		}
	}
	if len(used) < 10 {
		t.Fatalf("only %d bounds were found: the test looks in the wrong place", len(used))
	}
}

// A level to come: the state moves to it when the program knows it, never falls below it, and a program that does not know it refuses each
// envelope, command and state of it as written by a newer qkv.
func TestMadeUpLevel(t *testing.T) {
	defer func(most uint64) { MaxLevel = most }(MaxLevel)
	const later = 2
	raise, state := AppendFeatureLevel(nil, later).Bytes, NewState(limits.Defaults().Index)
	state.Found(Founders(map[string]uint64{"n1": 1}))
	apply := func(level uint64, command []byte) (kv.Result, error) {
		applied, _ := state.View().Applied()
		results, err := state.Apply(applied+1, 1, AppendEnvelope(nil, Envelope{Level: level, Member: 1, Incarnation: 1}, [][]byte{command}), nil)
		return append(results, kv.Result{})[0], err
	}
	announce := AppendAnnounce(nil, &kv.Member{ID: 1, Name: "n1", Peers: []string{"h:1"}, Boot: 1, Level: later}).Bytes
	if r, err := apply(1, announce); err != nil || r.Err != nil || state.View().Members().Level() != later {
		t.Fatal(r, err)
	}
	for _, f := range []func() error{
		func() error { _, err := apply(1, raise); return err },
		func() error { _, err := apply(later, put("k", "v")); return err },
		func() error { return checkEnvelope(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{raise})) },
	} {
		if err := f(); !errors.Is(err, pack.ErrNewer) || !strings.Contains(err.Error(), "feature level 2, this qkv knows 1") {
			t.Errorf("a program of level 1: %v", err)
		}
	}
	if got := state.View().Level(); got != FirstLevel {
		t.Fatalf("level %d", got)
	}
	MaxLevel = later
	if r, err := apply(1, raise); err != nil || r.Err != nil || state.View().Level() != later {
		t.Fatal(r, err)
	}
	if r, err := apply(later, AppendFeatureLevel(nil, 1).Bytes); err != nil || r.Err == nil || r.Err.Code != kv.FeatureLevel || state.View().Level() != later {
		t.Errorf("a lower level: %+v %v", r, err)
	}
	meta := state.ViewToSave().AppendMeta(nil)
	if _, err := NewBuilder(NewReserve(), meta, limits.Defaults().Index); err != nil {
		t.Error(err)
	}
	MaxLevel = FirstLevel
	if _, err := NewBuilder(NewReserve(), meta, limits.Defaults().Index); !errors.Is(err, pack.ErrNewer) {
		t.Errorf("a program of level 1 loads a state of level 2: %v", err)
	}
}
