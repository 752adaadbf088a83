package clients

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestKV(t *testing.T) {
	each(t, []story{
		{"put and get", func(t *testing.T, e *env) {
			first := e.put("a", "1")
			second := e.put("a", "2")
			want(t, "the next revision", second, first+1)
			r, err := e.Get(e.ctx, e.key("a"))
			must(t, err)
			one := r.Kvs[0]
			want(t, "a pair", []any{string(one.Value), one.CreateRevision, one.ModRevision, one.Version}, []any{"2", first, second, 2})
			want(t, "an old value", e.get("a", clientv3.WithRev(first)), "1")
			prev, err := e.Put(e.ctx, e.key("a"), "3", clientv3.WithPrevKV())
			must(t, err)
			want(t, "the value before", string(prev.PrevKv.Value), "2")
			_, err = e.Put(e.ctx, e.key("a"), "", clientv3.WithIgnoreValue())
			must(t, err)
			want(t, "a value that was ignored", e.get("a"), "3")
			want(t, "a serializable get's range", e.get("a", clientv3.WithSerializable()) != "x", true)
		}},
		{"ranges", func(t *testing.T, e *env) {
			for i := range 20 {
				e.put(fmt.Sprintf("k%02d", i), fmt.Sprint(20-i))
			}
			r, err := e.Get(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithLimit(7))
			must(t, err)
			want(t, "a page", []any{len(r.Kvs), r.More, r.Count}, []any{7, true, 20})
			r, err = e.Get(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend), clientv3.WithLimit(1))
			must(t, err)
			want(t, "the least value", string(r.Kvs[0].Value), "1")
			r, err = e.Get(e.ctx, e.prefix, clientv3.WithLastCreate()...)
			must(t, err)
			want(t, "the last one created", string(r.Kvs[0].Key), e.key("k19"))
			r, err = e.Get(e.ctx, e.prefix, clientv3.WithFirstKey()...)
			must(t, err)
			want(t, "the first key", string(r.Kvs[0].Key), e.key("k00"))
			r, err = e.Get(e.ctx, e.key("k10"), clientv3.WithRange(e.key("k13")), clientv3.WithKeysOnly())
			must(t, err)
			want(t, "keys only", []any{len(r.Kvs), len(r.Kvs[0].Value)}, []any{3, 0})
			r, err = e.Get(e.ctx, e.key("k18"), clientv3.WithFromKey(), clientv3.WithCountOnly())
			must(t, err)
			if r.Count < 2 || len(r.Kvs) != 0 {
				t.Fatalf("a count: %v", r)
			}
			r, err = e.Get(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithMinModRev(r.Header.Revision))
			must(t, err)
			want(t, "those that changed last", []any{len(r.Kvs), r.Count}, []any{1, 20})
		}},
		{"delete", func(t *testing.T, e *env) {
			for i := range 5 {
				e.put(fmt.Sprintf("k%d", i), "v")
			}
			r, err := e.Delete(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
			must(t, err)
			want(t, "deleted", []any{r.Deleted, len(r.PrevKvs)}, []any{5, 5})
			again, err := e.Delete(e.ctx, e.prefix, clientv3.WithPrefix())
			must(t, err)
			want(t, "deleted again", []any{again.Deleted, again.Header.Revision}, []any{0, r.Header.Revision})
		}},
		{"refusals", func(t *testing.T, e *env) {
			_, err := e.Put(e.ctx, "", "v")
			fails(t, "no key", err, rpctypes.ErrEmptyKey)
			_, err = e.Put(e.ctx, e.key("x"), "", clientv3.WithIgnoreValue())
			fails(t, "ignore the value of what is not there", err, rpctypes.ErrKeyNotFound)
			_, err = e.Put(e.ctx, e.key("x"), strings.Repeat("v", 1600000))
			fails(t, "a large value", err, rpctypes.ErrRequestTooLarge)
			_, err = e.Put(e.ctx, e.key("x"), "v", clientv3.WithLease(4711))
			fails(t, "a lease that is not there", err, rpctypes.ErrLeaseNotFound)
			rev := e.put("x", "v")
			_, err = e.Get(e.ctx, e.key("x"), clientv3.WithRev(rev+1000))
			fails(t, "the future", err, rpctypes.ErrFutureRev)
			_, err = e.Compact(e.ctx, rev+1000)
			fails(t, "compact the future", err, rpctypes.ErrFutureRev)
		}},
		{"compaction", func(t *testing.T, e *env) {
			old := e.put("a", "1")
			rev := e.put("a", "2")
			_, err := e.Compact(e.ctx, rev, clientv3.WithCompactPhysical())
			must(t, err)
			want(t, "at the compacted revision", e.get("a", clientv3.WithRev(rev)), "2")
			_, err = e.Get(e.ctx, e.key("a"), clientv3.WithRev(old))
			fails(t, "below it", err, rpctypes.ErrCompacted)
			_, err = e.Compact(e.ctx, rev)
			fails(t, "compact again", err, rpctypes.ErrCompacted)
		}},
		{"transactions", func(t *testing.T, e *env) {
			k := e.key("k")
			r, err := e.Txn(e.ctx).If(clientv3.Compare(clientv3.CreateRevision(k), "=", 0)).
				Then(clientv3.OpPut(k, "1"), clientv3.OpGet(k)).Else(clientv3.OpGet(k)).Commit()
			must(t, err)
			want(t, "made", []any{r.Succeeded, len(r.Responses), string(r.Responses[1].GetResponseRange().Kvs[0].Value)}, []any{true, 2, "1"})
			r, err = e.Txn(e.ctx).If(clientv3.Compare(clientv3.CreateRevision(k), "=", 0)).Then(clientv3.OpPut(k, "2")).Else(clientv3.OpGet(k)).Commit()
			must(t, err)
			want(t, "there already", []any{r.Succeeded, string(r.Responses[0].GetResponseRange().Kvs[0].Value)}, []any{false, "1"})
			r, err = e.Txn(e.ctx).If(clientv3.Compare(clientv3.Value(k), "=", "1"), clientv3.Compare(clientv3.Version(k), "<", 2)).
				Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(e.key("n"), "nested")}, nil), clientv3.OpDelete(k)).Commit()
			must(t, err)
			want(t, "nested", []any{r.Succeeded, e.get("n"), e.get("k")}, []any{true, "nested", ""})
			_, err = e.Txn(e.ctx).Then(clientv3.OpPut(k, "1"), clientv3.OpPut(k, "2")).Commit()
			fails(t, "one key twice", err, rpctypes.ErrDuplicateKey)
			many := make([]clientv3.Op, 129)
			for i := range many {
				many[i] = clientv3.OpGet(k)
			}
			_, err = e.Txn(e.ctx).Then(many...).Commit()
			fails(t, "too many operations", err, rpctypes.ErrTooManyOps)
			all, err := e.Txn(e.ctx).If(clientv3.Compare(clientv3.ModRevision(e.prefix).WithPrefix(), ">", 0)).Commit()
			must(t, err)
			want(t, "all keys of a range", all.Succeeded, true)
		}},
		{"do", func(t *testing.T, e *env) {
			for _, op := range []clientv3.Op{
				clientv3.OpPut(e.key("a"), "1"), clientv3.OpGet(e.key("a")), clientv3.OpDelete(e.key("a")),
				clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(e.key("a"), "1")}, nil),
			} {
				_, err := e.Do(e.ctx, op)
				must(t, err)
			}
			want(t, "what is there", e.get("a"), "1")
		}},
		{"a million bytes in one answer", func(t *testing.T, e *env) {
			for i := range 20 {
				e.put(fmt.Sprint(i), strings.Repeat("v", 300000))
			}
			r, err := e.Get(e.ctx, e.prefix, clientv3.WithPrefix())
			must(t, err)
			size := 0
			for _, one := range r.Kvs {
				size += len(one.Value)
			}
			want(t, "all bytes", size, 6000000)
		}},
	})
}

// kinds are events, shortly.
func kinds(events []*clientv3.Event) (all []string) {
	for _, one := range events {
		name := "put"
		if one.Type == mvccpb.DELETE {
			name = "delete"
		}
		all = append(all, fmt.Sprintf("%s %s=%s", name, one.Kv.Key, one.Kv.Value))
	}
	return all
}
