package etcd

import (
	"context"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestNoCostWithoutAuthentication: while authentication is off, a request allocates nothing for it.
func TestNoCostWithoutAuthentication(t *testing.T) {
	v := index.NewState(limits.Defaults().Index).View()
	s := &core{config: Config{Member: &fixedMember{view: v}}}
	ctx := context.Background()
	r := kv.Range{Key: []byte("k")}
	allocated := testing.AllocsPerRun(100, func() {
		for _, of := range []class{anybody, anyUser, administrator, checked} {
			if _, err := s.authorize(ctx, of); err != nil {
				t.Fatal(err)
			}
		}
		permission := rangePermission{s: s, ctx: ctx, r: r}
		if s.permitsRange(ctx, v, &r) != nil || s.permits(ctx, v, kv.AccessAdmin, nil) != nil || permission.in(v) != nil {
			t.Fatal("refused")
		}
		if _, err := s.head(ctx); err != nil {
			t.Fatal(err)
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

// fixedMember has one View.
type fixedMember struct {
	Member
	view *index.View
}

func (m *fixedMember) View() *index.View { return m.view }
