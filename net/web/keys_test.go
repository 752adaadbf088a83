package web

import (
	"fmt"
	"net/url"
	"runtime"
	"testing"

	"qkv/index"
	"qkv/index/kv"
)

// TestHistoryOfManyVersions reads the longest history that a page may ask for. Its memory grows with the number of versions, not with its
// square.
func TestHistoryOfManyVersions(t *testing.T) {
	s, apply := stateToFill(t)
	for n := range dashboardVersions + 50 {
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: fmt.Append(nil, n)}).Bytes)
	}
	v := s.View()
	a, err := newHistory(url.Values{"key": {"k"}, "most": {fmt.Sprint(dashboardVersions)}})
	if err != nil {
		t.Fatal(err)
	}
	h := a.(*history)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done, err := h.step(v)
	runtime.ReadMemStats(&after)
	if !done || err != nil {
		t.Fatal(done, err)
	}
	if len(h.Versions) != dashboardVersions || !h.More || h.Versions[0].Revision != v.Revision() {
		t.Errorf("%d versions, more: %v, the first one is %+v of %d", len(h.Versions), h.More, h.Versions[0], v.Revision())
	}
	for i := 1; i < len(h.Versions); i++ {
		if h.Versions[i].Revision != h.Versions[i-1].Revision-1 {
			t.Fatalf("version %d: %+v after %+v", i, h.Versions[i], h.Versions[i-1])
		}
	}
	if took, most := after.TotalAlloc-before.TotalAlloc, uint64(dashboardVersions*2000); took > most {
		t.Errorf("%d bytes were allocated, want at most %d", took, most)
	}
}
