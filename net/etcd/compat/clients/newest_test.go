//go:build !client36

package clients

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestGetStream is what only the newest client has.
func TestGetStream(t *testing.T) {
	each(t, []story{
		{"as a get", func(t *testing.T, e *env) {
			for i := range 300 {
				e.put(fmt.Sprintf("%03d", i), strings.Repeat("v", 20000))
			}
			whole, err := e.Get(e.ctx, e.prefix, clientv3.WithPrefix())
			must(t, err)
			stream, err := e.GetStream(e.ctx, e.prefix, clientv3.WithPrefix())
			must(t, err)
			got, err := clientv3.GetStreamToGetResponse(stream)
			must(t, err)
			want(t, "what came", []any{len(got.Kvs), got.Count, got.More, got.Header.Revision}, []any{300, whole.Count, false, whole.Header.Revision})
			for i := range got.Kvs {
				want(t, "a pair", got.Kvs[i], whole.Kvs[i])
			}
			none, err := e.GetStream(e.ctx, e.key("none"))
			must(t, err)
			got, err = clientv3.GetStreamToGetResponse(none)
			must(t, err)
			want(t, "nothing", []any{len(got.Kvs), got.Count}, []any{0, 0})
		}},
	})
}
