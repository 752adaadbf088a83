package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// list reads a resource on an API server, in pages and then by RangeStream.
func (r *kubeRun) list(ctx context.Context, server int, resource kubeResource) {
	store := etcdserverpb.NewKVClient(r.connections[server][resource])
	begun := time.Now()
	err := listPages(ctx, store, r.prefix(resource))
	r.pages.end(begun, time.Now(), err)
	begun = time.Now()
	if err = listStream(ctx, store, r.prefix(resource)); status.Code(err) != codes.Unimplemented {
		r.stream.end(begun, time.Now(), err)
		return
	}
	r.unstreamed.Add(1) // T4 has no RangeStream; API servers list in pages then
	begun = time.Now()
	err = listPages(ctx, store, r.prefix(resource))
	r.pages.end(begun, time.Now(), err)
}

// listPages reads a prefix in pages of one revision.
func listPages(ctx context.Context, store etcdserverpb.KVClient, prefix string) error {
	q := &etcdserverpb.RangeRequest{Key: []byte(prefix), RangeEnd: prefixEnd(prefix), Limit: kubePage}
	for {
		page, err := store.Range(ctx, q, listed)
		if err != nil || !page.More {
			return err
		}
		if q.Revision == 0 {
			q.Revision = page.Header.Revision
		}
		q.Key = append(page.Kvs[len(page.Kvs)-1].Key, 0)
	}
}

// undecoded is a codec that keeps of a page only what the next request needs, and of a stream nothing. The clients of a
// LIST share the processors with the servers; an API server that decodes its objects would have processors of its own.
type undecoded struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c undecoded) Unmarshal(data mem.BufferSlice, into any) error {
	if page, ok := into.(*etcdserverpb.RangeResponse); ok {
		return c.readPage(page, data)
	}
	return nil
}

var (
	kubeCodec = undecoded{encoding.GetCodecV2(proto.Name)}
	listed    = grpc.ForceCodecV2(kubeCodec)
)

// readPage sets header, more, and the last key of a page.
func (c undecoded) readPage(page *etcdserverpb.RangeResponse, data mem.BufferSlice) error {
	page.Header, page.Kvs = &etcdserverpb.ResponseHeader{}, []*mvccpb.KeyValue{{}}
	r := data.Reader()
	defer r.Close()
	for r.Remaining() > 0 {
		field, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		n, err := binary.ReadUvarint(r) // a number, or a length
		if err != nil {
			return err
		}
		switch field {
		case 1<<3 | 2:
			header := make([]byte, n)
			if _, err = io.ReadFull(r, header); err == nil {
				err = c.CodecV2.Unmarshal(mem.BufferSlice{mem.SliceBuffer(header)}, page.Header)
			}
		case 2<<3 | 2:
			page.Kvs[0].Key, err = readKey(r, int(n), page.Kvs[0].Key)
		case 3 << 3:
			page.More = n != 0
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readKey reads a pair of n bytes, and returns its first field, the key.
func readKey(r *mem.Reader, n int, key []byte) ([]byte, error) {
	rest := r.Remaining() - n
	field, err := r.ReadByte()
	if err != nil || field != 1<<3|2 {
		return nil, fmt.Errorf("a pair begins with field %d and not with its key (%w)", field>>3, err)
	}
	length, err := binary.ReadUvarint(r)
	if err != nil || length > uint64(n) {
		return nil, fmt.Errorf("a key of %d bytes in a pair of %d (%w)", length, n, err)
	}
	key = slices.Grow(key[:0], int(length))[:length]
	if _, err = io.ReadFull(r, key); err == nil {
		_, err = r.Discard(r.Remaining() - rest)
	}
	return key, err
}

// listStream reads a prefix by RangeStream.
func listStream(ctx context.Context, store etcdserverpb.KVClient, prefix string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := &etcdserverpb.RangeRequest{Key: []byte(prefix), RangeEnd: prefixEnd(prefix)}
	stream, err := store.RangeStream(ctx, all, listed)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
