package client

import (
	"bytes"
	"testing"

	"qkv/internal/limits"
)

func TestPrefixAndFollowing(t *testing.T) {
	full := func(end ...byte) []byte {
		return append(bytes.Repeat([]byte{0xff}, limits.KeyBytes-len(end)), end...)
	}
	for _, x := range []struct{ key, prefix, following []byte }{
		{[]byte("a"), []byte("b"), []byte("a\x00")},
		{[]byte("a\xff\xff"), []byte("b"), []byte("a\xff\xff\x00")},
		{[]byte{0, 0xff}, []byte{1}, []byte{0, 0xff, 0}},
		{[]byte{0xff}, From, []byte{0xff, 0}},
		{full(), From, nil},
		{full('a'), full('b'), full('b')},
		{append([]byte("a"), full()[1:]...), []byte("b"), []byte("b")},
	} {
		if got := Prefix(x.key); !bytes.Equal(got, x.prefix) {
			t.Errorf("prefix of %.20q: %.20q", x.key, got)
		}
		if got := following(x.key); !bytes.Equal(got, x.following) || got == nil != (x.following == nil) {
			t.Errorf("following %.20q: %.20q", x.key, got)
		}
	}
}
