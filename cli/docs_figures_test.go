package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qkv/bench/result"
	"qkv/cli/form/formtest"
)

// besideEtcd is the file of `qkv-lab vs-etcd` behind the figures of README.md and docs/performance.md.
const besideEtcd = "../docs/figures/vs-etcd.json"

// TestDocsFigures: the tables beside etcd are those of their files, and README.md says what the table of rates says. -rewrite writes the
// tables anew.
func TestDocsFigures(t *testing.T) {
	speed := figuresOf(t, besideEtcd)
	figureTable(t, "docs/performance.md", besideEtcd, ratioTable(t, speed))
	for _, name := range []string{"equal-rate", "maintenance", "many-keys"} {
		file := fmt.Sprintf("../docs/figures/%s.json", name)
		figureTable(t, "docs/performance.md", file, ratioTable(t, figuresOf(t, file)))
	}

	readme := strings.Join(strings.Fields(pageText(t, readme)), " ")
	least, most := factorsOfPuts(t, speed, "qkv by etcd's API")
	ownLeast, ownMost := factorsOfPuts(t, speed, "qkv")
	sentence := fmt.Sprintf("**Writes are %s to %s times as fast with etcd's clients**, and %s to %s times as fast with qkv's own client.", least, most, ownLeast, ownMost)
	if !strings.Contains(readme, sentence) {
		t.Errorf("README.md does not say what was measured: %s", sentence)
	}
}

func figuresOf(t *testing.T, file string) *result.File {
	t.Helper()
	f, err := result.Read(bytes.NewReader(readFile(t, file)))
	must(t, err)
	return f
}

// figureTable compares a page's table, between the comment that names its file and the next line without a cell.
func figureTable(t *testing.T, page, file, want string) {
	t.Helper()
	text := pageText(t, page)
	begin := fmt.Sprintf("<!-- from figures/%s -->\n\n", filepath.Base(file))
	before, rest, ok := strings.Cut(text, begin)
	if !ok {
		t.Fatalf("%s has no table from %s", page, file)
	}
	end := strings.Index(rest+"\n\n", "\n\n")
	if rest[:end]+"\n" == want {
		return
	}
	if !*formtest.Rewrite {
		t.Fatalf("the table in %s is not that of %s (-rewrite):\n%s", page, file, want)
	}
	must(t, os.WriteFile(filepath.Join("..", page), []byte(before+begin+want+rest[end+1:]), 0o644))
}

// ratioTable is the table of `qkv bench report -w ratios`, without what stands around it.
func ratioTable(t *testing.T, f *result.File) string {
	t.Helper()
	var b bytes.Buffer
	must(t, f.Ratios(&b))
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(line, "|") && !yield(line) {
				return
			}
		}
	}), "")
}

// factorsOfPuts are the least and the largest multiple of etcd's rate of puts, in words.
func factorsOfPuts(t *testing.T, f *result.File, side string) (least, most string) {
	t.Helper()
	var all []float64
	for _, line := range regexp.MustCompile(`(?m)^\| put, in flight 1000, members [13] \|.*$`).FindAllString(ratioTable(t, f), -1) {
		cells := strings.Split(line, " | ")
		at := slices.IndexFunc(f.Sides, func(s result.Side) bool { return s.Name == side })
		var rate, factor float64
		if _, err := fmt.Sscanf(cells[2+at], "%f/s (%f x", &rate, &factor); err == nil {
			all = append(all, factor)
		}
	}
	if len(all) != 2 {
		t.Fatalf("the factors of %s for one and three members: %v", side, all)
	}
	word := func(x float64) string {
		if x < 5 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
		}
		return fmt.Sprintf("%.0f", x)
	}
	return word(slices.Min(all)), word(slices.Max(all))
}
