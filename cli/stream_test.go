package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/index/kv"
	"qkv/internal/testlong"
)

// TestStreamPrintsTheSame: a range that is printed page by page looks as if it were there as a whole.
func TestStreamPrintsTheSame(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7} {
		whole := kv.RangeResult{Revision: 9, Count: int64(n)}
		for i := range n {
			whole.KVs = append(whole.KVs, kv.KeyValue{Key: fmt.Appendf(nil, "k%d", i), Value: []byte{'<', byte(250 * (i % 2))}, CreateRevision: 2, ModRevision: 3, Version: 4, Lease: 5})
		}
		for _, keysOnly := range []bool{false, true} {
			for _, format := range []string{form.Plain, form.JSON} {
				p := keys.Pairs{RangeResult: whole, KeysOnly: keysOnly}
				var want, got bytes.Buffer
				must(t, p.Write(&want, format))
				streamed := keys.Pairs{KeysOnly: keysOnly}
				must(t, streamed.Stream(&got, format, false, func(yield func(kv.RangeResult, error) bool) {
					for from := 0; from == 0 || from < n; from += 3 {
						if !yield(kv.RangeResult{Revision: 9, Count: int64(n), More: from+3 < n, KVs: whole.KVs[from:min(from+3, n)]}, nil) {
							return
						}
					}
				}))
				if got.String() != want.String() {
					t.Errorf("%d keys as %s: %q, and as a whole %q", n, format, got.String(), want.String())
				}
			}
		}
	}
}

// TestGetStreams: a range of many pages is printed as it comes.
func TestGetStreams(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	b := newRig(t, nil)
	var want strings.Builder
	for i := range 600 {
		key := fmt.Sprintf("k%04d", i)
		b.expect(t, 0, "OK\n", "", "put", key, "value of "+key)
		fmt.Fprintf(&want, "%s\nvalue of %s\n", key, key)
	}
	b.expect(t, 0, want.String(), "", "get", "k", "--prefix")
}
