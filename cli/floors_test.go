package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// modulePrefix begins the import path of each package of the module, whatever the path of the module is.
var modulePrefix = strings.TrimSuffix(reflect.TypeFor[layer]().PkgPath(), "cli")

// layer is what one package may use. To fix a failing build, change the code, not this table: it is the plan, and main.go
// stands above a package that would need more.
type layer struct {
	floor   int
	imports []string // packages of qkv, without modulePrefix; none of them on a floor above
	modules []string // modules of others
	helper  bool     // for tests only: it may look sideways, and programs may not use it
}

const (
	btreeModule   = "github.com/tidwall/btree"
	hashModule    = "github.com/cespare/xxhash/v2"
	protoModule   = "google.golang.org/protobuf"
	quicModule    = "github.com/quic-go/quic-go"
	raftModule    = "go.etcd.io/raft/v3"
	sysModule     = "golang.org/x/sys"
	termModule    = "golang.org/x/term"
	urfaveModule  = "github.com/urfave/cli/v2"
	teaModule     = "charm.land/bubbletea/v2"
	barModule     = "github.com/schollz/progressbar/v3"
	hdrModule     = "github.com/HdrHistogram/hdrhistogram-go"
	etcdModule    = "go.etcd.io/etcd/api/v3"
	lockModule    = "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"         // of etcd's server, generated packages alone
	electModule   = "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb" // likewise
	grpcModule    = "google.golang.org/grpc"
	boltModule    = "go.etcd.io/bbolt"
	jsonModule    = "github.com/grpc-ecosystem/grpc-gateway/v2"
	promModule    = "github.com/prometheus/client_golang"
	netModule     = "golang.org/x/net"
	yamlModule    = "go.yaml.in/yaml/v3"
	ageModule     = "filippo.io/age"
	zstdModule    = "github.com/klauspost/compress/zstd"
	cryptModule   = "golang.org/x/crypto"
	jwtModule     = "github.com/golang-jwt/jwt/v5"
	msgpackModule = "github.com/vmihailenco/msgpack/v5"
	minioModule   = "github.com/minio/minio-go/v7"
	perfModule    = "golang.org/x/perf"
)

// packages is the plan: all packages with what each may use. net is a shelf, and no package.
var packages = map[string]layer{
	"log/disk":         {floor: 0, modules: []string{sysModule}},
	"index/kv":         {floor: 0, imports: []string{"internal/figures", "internal/pack", "internal/limits"}},
	"internal/pack":    {floor: -1},
	"internal/codec":   {floor: 0, imports: []string{"internal/pack"}, modules: []string{msgpackModule}},
	"internal/damage":  {floor: 0, imports: []string{"internal/pack"}},
	"internal/figures": {floor: -1},
	"internal/buffers": {floor: -1},
	"internal/limits":  {floor: -1},
	"internal/meter":   {floor: -1},
	"internal/logx":    {floor: 0, imports: []string{"internal/limits"}},
	"internal/admit":   {floor: 0, imports: []string{"internal/limits"}},

	"log":   {floor: 1, imports: []string{"log/disk", "internal/pack", "internal/damage", "internal/limits"}, modules: []string{raftModule, protoModule}},
	"index": {floor: 1, imports: []string{"index/kv", "internal/pack", "internal/limits"}, modules: []string{btreeModule, hashModule, sysModule}},

	"internal/audit": {floor: 1, imports: []string{"index/kv", "internal/logx"}},

	"internal/checks": {floor: 1, imports: []string{"internal/figures", "index/kv", "internal/limits"}},

	"internal/election": {floor: 1, imports: []string{"index/kv"}},

	"index/watch": {floor: 2, imports: []string{"index", "index/kv", "internal/limits"}, modules: []string{btreeModule}},
	"snapshot":    {floor: 2, imports: []string{"index", "log/disk", "internal/codec", "internal/pack", "internal/buffers", "internal/damage", "internal/limits"}},
	"net/wire":    {floor: 2, imports: []string{"internal/codec", "internal/figures", "index/kv", "internal/pack", "internal/buffers", "internal/limits"}, modules: []string{quicModule, netModule, sysModule}}, // these come with QUIC

	"net/web":  {floor: 2, imports: []string{"internal/figures", "index", "index/kv", "internal/checks", "internal/limits", "internal/meter"}},
	"net/auth": {floor: 2, imports: []string{"index/kv", "internal/admit", "internal/limits"}, modules: []string{cryptModule, jwtModule}},

	"net/wire/peerframe": {floor: 2, imports: []string{"internal/codec", "index/kv", "internal/pack", "internal/buffers", "internal/limits"}, modules: []string{raftModule}},

	"actor/space": {floor: 3, imports: []string{"internal/limits"}},

	"actor":      {floor: 3, imports: []string{"actor/space", "net/wire/peerframe", "log", "index", "index/kv", "index/watch", "snapshot", "log/disk", "internal/pack", "internal/damage", "internal/limits", "internal/meter"}, modules: []string{btreeModule, raftModule, protoModule}},
	"net/peer":   {floor: 3, imports: []string{"net/wire", "net/wire/peerframe", "internal/damage", "internal/logx", "internal/pack", "internal/limits"}, modules: []string{quicModule}},
	"net/server": {floor: 3, imports: []string{"internal/figures", "net/auth", "internal/audit", "net/wire", "index", "index/kv", "internal/admit", "internal/logx", "internal/pack", "internal/buffers", "internal/limits", "internal/meter"}, modules: []string{quicModule}},
	"net/etcd":   {floor: 3, imports: []string{"internal/figures", "net/etcd/front", "net/etcd/h2", "net/auth", "internal/audit", "net/web", "net/wire", "index", "index/kv", "internal/admit", "internal/checks", "internal/logx", "internal/election", "internal/buffers", "internal/limits", "internal/meter"}, modules: []string{etcdModule, lockModule, electModule, grpcModule, protoModule, netModule, boltModule, promModule, jsonModule}},
	"net/client": {floor: 3, imports: []string{"internal/figures", "net/wire", "index/kv", "internal/election", "internal/pack", "internal/buffers", "internal/limits"}, modules: []string{quicModule}},

	"net/etcd/h2":           {floor: 2, modules: []string{grpcModule, netModule, protoModule}},
	"net/etcd/front":        {floor: 3, imports: []string{"index/kv", "net/etcd/h2", "net/wire", "internal/admit", "internal/logx", "internal/limits"}, modules: []string{grpcModule, netModule}},
	"snapshot/backup/store": {floor: 3, imports: []string{"log/disk", "internal/damage", "internal/limits"}, modules: []string{minioModule}},

	"snapshot/backup":  {floor: 3, imports: []string{"snapshot", "snapshot/backup/store", "index", "index/kv", "log", "log/disk", "internal/codec", "internal/pack", "internal/damage", "internal/limits"}, modules: []string{ageModule, zstdModule}},
	"net/etcd/migrate": {floor: 3, imports: []string{"index", "index/kv", "internal/limits"}, modules: []string{etcdModule, grpcModule, protoModule, boltModule}},

	"internal/etcdflags": {floor: 0, imports: []string{"internal/limits"}, modules: []string{yamlModule}},
	"internal/settings":  {floor: 0, imports: []string{"internal/limits"}, modules: []string{yamlModule}},

	"log/disk/simdisk":       {floor: 0, imports: []string{"log/disk"}, helper: true},
	"index/authmodel":        {floor: 0, imports: []string{"index/kv"}, helper: true},
	"internal/pack/packtest": {floor: 0, imports: []string{"internal/pack"}, helper: true},
	"internal/testlong":      {floor: 0, helper: true},
	"internal/testport":      {floor: 2, helper: true},
	"internal/testretry":     {floor: 3, helper: true},
	"net/client/clienttest":  {floor: 3, imports: []string{"net/client", "net/server", "net/server/servertest", "index/kv"}, helper: true},
	"net/server/servertest":  {floor: 3, imports: []string{"internal/figures", "net/auth", "net/server", "net/wire", "internal/audit", "index", "index/kv", "index/watch", "internal/pack", "internal/limits", "internal/testport"}, helper: true},

	"node/roster": {floor: 4, imports: []string{"internal/checks", "internal/figures", "index/kv", "net/client", "net/wire"}},

	"node": {floor: 4, imports: []string{
		"node/roster", "snapshot/backup", "snapshot/backup/store",
		"actor", "actor/space", "net/peer", "net/server", "net/client", "net/etcd", "net/web", "net/auth", "internal/checks", "internal/codec", "internal/damage", "net/wire", "net/wire/peerframe", "snapshot", "log", "index", "index/kv", "log/disk", "internal/audit", "internal/pack", "internal/figures", "internal/limits", "internal/meter",
	}, modules: []string{raftModule, protoModule, ageModule}},

	"cli/form": {floor: 5, imports: []string{
		"net/client", "net/wire", "log/disk", "index/kv", "internal/checks", "internal/figures", "internal/limits", "internal/settings",
	}, modules: []string{urfaveModule, barModule, termModule}},
	"cli/form/formtest": {floor: 0, helper: true},
	"cli/local":         {floor: 5, modules: []string{sysModule}},

	// The commands of a package may use those of the packages above it in this list.
	"cli/keys": {floor: 6, imports: []string{
		"cli/form", "cli/local", "net/client", "index/kv", "internal/checks", "internal/figures", "internal/limits",
	}, modules: []string{urfaveModule}},
	"cli/cluster": {floor: 7, imports: []string{
		"cli/form", "cli/keys", "node/roster", "bench", "bench/machine", "net/client", "net/wire", "internal/checks", "internal/figures", "internal/limits",
		"snapshot", "index", "index/kv", "log", "log/disk",
	}, modules: []string{urfaveModule}},
	"cli/data": {floor: 7, imports: []string{
		"cli/form", "cli/keys", "node", "net/client", "net/etcd", "net/etcd/migrate", "net/wire", "internal/checks", "internal/damage", "internal/limits",
		"snapshot", "snapshot/backup", "snapshot/backup/store", "index", "index/kv", "log", "log/disk",
	}, modules: []string{urfaveModule, ageModule}},
	"cli/run": {floor: 8, imports: []string{
		"cli/form", "cli/local", "cli/cluster", "cli/data", "node", "bench", "bench/machine", "bench/result", "net/client", "net/etcd", "net/wire",
		"internal/etcdflags", "internal/figures", "internal/limits", "internal/settings", "snapshot/backup", "snapshot/backup/store", "index", "index/kv", "log/disk",
	}, modules: []string{urfaveModule, ageModule}},
	"cli":   {floor: 9, imports: []string{"cli/form", "cli/local", "cli/keys", "cli/cluster", "cli/data", "cli/run"}, modules: []string{urfaveModule}},
	"bench": {floor: 5, imports: []string{"bench/machine", "bench/result", "index/kv", "net/client", "internal/limits"}, modules: []string{hdrModule, sysModule, etcdModule, grpcModule}},

	"bench/stat":    {floor: 0, modules: []string{perfModule}},
	"bench/machine": {floor: 0, modules: []string{sysModule}},
	"bench/result":  {floor: 1, imports: []string{"bench/stat", "bench/machine"}, modules: []string{hdrModule}},

	".": {floor: 10, imports: []string{"cli"}},
}

// stateFloor is the highest floor of state without goroutines.
const stateFloor = 2

// goroutines names the packages on the floors of state that may start goroutines all the same, and why. None does.
var goroutines = map[string]string{}

// collects are the calls that wait for a whole collection of garbage.
var collects = map[string]bool{"runtime.GC": true, "debug.FreeOSMemory": true}

// TestFloors holds the plan: who may import whom, no goroutine where only state lives, no std log.
func TestFloors(t *testing.T) {
	root := ".."
	seen := map[string]bool{}
	for _, file := range goFiles(t, root) {
		name := path.Dir(filepath.ToSlash(file))
		r, ok := packages[name]
		if !ok {
			t.Errorf("%s: the package %s is not in the plan; give it a row in cli/floors_test.go and a sentence in its doc.go, or move the file where it belongs", file, name)
			continue
		}
		seen[name] = true
		checkFile(t, root, file, name, r)
	}
	if !seen["cli"] {
		t.Fatal("no file of this package was found: the test looks in the wrong place")
	}
}

// TestFloorsPlan checks the table itself: nothing imports upwards, nothing sideways but bench and what is in its own folder, and a
// package that only tests import is a helper.
func TestFloorsPlan(t *testing.T) {
	used := map[string]bool{".": true}
	for name, r := range packages {
		for _, imported := range r.imports {
			used[imported] = used[imported] || !r.helper
			to, ok := packages[imported]
			sideways := to.floor == r.floor && imported != "bench" && !strings.HasPrefix(imported, name+"/") && !r.helper
			if !ok || to.floor > r.floor || sideways || to.helper && !r.helper {
				t.Errorf("the plan lets %s (floor %d) import %s (floor %d): imports go down", name, r.floor, imported, to.floor)
			}
		}
	}
	for name, r := range packages {
		if !used[name] && !r.helper {
			t.Errorf("no program imports %s: if it is for tests only, say helper in the plan", name)
		}
	}
}

// TestFloorsMap: the newcomer's page, node/doc.go, names every package of the plan, and every file of its own.
func TestFloorsMap(t *testing.T) {
	page, err := os.ReadFile("../node/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, word := range strings.FieldsFunc(string(page), func(c rune) bool { return unicode.IsSpace(c) || strings.ContainsRune(",:;()", c) }) {
		named[strings.TrimSuffix(word, ".")] = true
	}
	for name, r := range packages {
		if !named[name] && name != "." && !r.helper && !strings.HasPrefix(name, "bench/") {
			t.Errorf("node/doc.go does not say what %s is: give it its place on the map", name)
		}
	}
	for _, file := range goFiles(t, "../node") {
		if !named[file] && !strings.HasSuffix(file, "_test.go") && file != "doc.go" && !strings.Contains(filepath.ToSlash(file), "/") { // a package below has a doc.go of its own
			t.Errorf("node/doc.go does not say what is in node/%s: give it a line under \"This package\"", file)
		}
	}
}

// TestClientIsSmall holds what a program takes on that imports the client library.
func TestClientIsSmall(t *testing.T) {
	want := []string{quicModule, msgpackModule, netModule, sysModule} // the last two are what QUIC links anyway
	got := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		for _, m := range packages[name].modules {
			got[m] = true
		}
		for _, imported := range packages[name].imports {
			visit(imported)
		}
	}
	visit("net/client")
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("net/client links %v, and may link %v: others import it, and want little with it", names, want)
	}
}

// goFiles lists the Go files of the module, but not those of other modules and of testdata.
func goFiles(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); d.IsDir() && name != root && err == nil {
			return fs.SkipDir // a module of its own
		}
		if strings.HasSuffix(name, ".go") {
			relative, err := filepath.Rel(root, name)
			files = append(files, relative)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func checkFile(t *testing.T, root, file, name string, r layer) {
	t.Helper()
	positions := token.NewFileSet()
	parsed, err := parser.ParseFile(positions, filepath.Join(root, file), nil, 0)
	if err != nil {
		t.Error(err)
		return
	}
	test := strings.HasSuffix(file, "_test.go")
	if strings.HasSuffix(parsed.Name.Name, "_test") {
		r.floor++ // a test package of its own may use the floor above: it tests that both agree, and nothing imports it
	}
	for _, spec := range parsed.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if why := refuseImport(imported, name, r, test); why != "" {
			t.Errorf("%s: %s", positions.Position(spec.Pos()), why)
		}
	}
	if test || r.floor > stateFloor && name != "actor" {
		return
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && collects[types.ExprString(call.Fun)] {
			t.Errorf("%s: %s in %s: who calls it waits until all garbage is collected, and all writes with it; say how much there is, and let node collect it", positions.Position(n.Pos()), types.ExprString(call.Fun), name)
		}
		return true
	})
	if r.floor > stateFloor || goroutines[name] != "" {
		return
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			t.Errorf("%s: a go statement in %s: below floor %d lives state without goroutines; let an actor own it and call it", positions.Position(g.Pos()), name, stateFloor+1)
		}
		return true
	})
}

// refuseImport says why a file may not import a package. Tests may import what is below or beside them, and any
// module.
func refuseImport(imported, name string, r layer, test bool) string {
	if imported == "log" {
		return "std log: use log/slog, in a variable called logger, that was handed in"
	}
	if below, ok := strings.CutPrefix(imported, modulePrefix); ok {
		to, known := packages[below]
		switch {
		case slices.Contains(r.imports, below), test && known && to.floor <= r.floor:
			return ""
		case known && to.floor > r.floor:
			return fmt.Sprintf("%s (floor %d) imports %s (floor %d), which is above it: declare an interface here, and let node hand it in", name, r.floor, below, to.floor)
		default:
			return fmt.Sprintf("%s imports %s, which the plan does not foresee: let node connect the two, or move what is shared below both", name, below)
		}
	}
	first, _, _ := strings.Cut(imported, "/")
	if test || !strings.Contains(first, ".") {
		return ""
	}
	for _, module := range r.modules {
		if imported == module || strings.HasPrefix(imported, module+"/") {
			return ""
		}
	}
	return fmt.Sprintf("%s imports %s, which the plan gives to others: use what is there, or hide it behind a package that may", name, imported)
}
