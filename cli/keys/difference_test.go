package keys

import (
	"testing"

	"qkv/index/kv"
)

// TestDifferenceOfALease: a key is another one when only its lease is, and not when only its version is.
func TestDifferenceOfALease(t *testing.T) {
	d := difference{before: &kv.KeyValue{Value: []byte("v"), Version: 1, Lease: 7}, after: &kv.KeyValue{Value: []byte("v"), Version: 2}}
	if d.same() || !d.leased() {
		t.Errorf("a key that lost its lease: the same %v, of a lease %v", d.same(), d.leased())
	}
	d.after.Lease = 7
	if !d.same() {
		t.Error("a key that was put again as it was is another one")
	}
	if d.before.Lease = 0; d.same() || !d.leased() {
		t.Errorf("a key that got a lease: the same %v, of a lease %v", d.same(), d.leased())
	}
	if d.after = nil; d.leased() {
		t.Error("a key that never had a lease has one")
	}
}
