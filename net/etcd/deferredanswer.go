package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// deferredAnswer is a large answer to a range that is encoded while gRPC writes it. Its size was measured before. Each piece is encoded
// after gRPC has taken the previous one: a client that does not read costs the memory of one piece, whatever the size of its answer.
//
//  1. cuts holds the number of pairs and of bytes in each piece. The pairs of a revision never change, so cuts stays correct for every View
//     that has the revision.
//  2. It holds the measured View for Limits.AnswerHeld, or only for Limits.Stall if Views keep more than limits.PagesRetired bytes from
//     being freed. Compaction therefore does not end an answer that its client reads. Afterwards it reads the newest View.
//  3. If the revision of an unfinished answer is compacted, or a change of roles has taken the permission to read it, its connection is
//     closed: a wrong answer is never sent.
//  4. One goroutine reads the pieces, one after the other.
type deferredAnswer struct {
	s          *core
	head, tail []byte
	cuts       []cut
	total      int // bytes

	// Owned by the reading goroutine.
	ctx        context.Context
	permission rangePermission // of the newest View: the range was permitted in the measured one
	next       int
	left       kv.Range
	failed     error

	pinned  *pinned
	account *front.Account
	parts   atomic.Int64 // not freed yet
}

// cut is the size of one piece.
type cut struct{ pairs, bytes int32 }

// pinned holds a View until a timer releases it.
type pinned struct {
	mu    sync.Mutex
	view  *index.View
	timer *time.Timer
}

func (s *core) pin(v *index.View) *pinned {
	p := &pinned{view: v}
	p.mu.Lock()
	defer p.mu.Unlock()
	since := time.Now()
	p.timer = time.AfterFunc(min(heldCheckInterval, s.config.Limits.AnswerHeld), func() {
		if s.heldTooLong(since) {
			p.release()
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.view != nil {
			p.timer.Reset(heldCheckInterval)
		}
	})
	return p
}

func (p *pinned) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view = nil
	p.timer.Stop()
}

func (p *pinned) or(newest func() *index.View) *index.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view != nil {
		return p.view
	}
	return newest()
}

const (
	// etcdAnswerBytes bounds one answer of etcd's API, which has no pages of its own: a million keys of 256 bytes are 300 MiB.
	// etcdWholeBytes is the largest range answer that is encoded as a whole; it is etcdPieceBytes while clients hold a quarter of
	// limits.EtcdBytes. A larger answer is encoded as it is written, in pieces of etcdPieceBytes. Until then each piece takes
	// etcdPartBytes, and the answer etcdLaterBytes. (A page of 500 Kubernetes objects is smaller, and read once.)
	etcdAnswerBytes = 1 << 30
	etcdWholeBytes  = 4 << 20
	etcdPieceBytes  = 64 << 10
	etcdPartBytes   = 192
	etcdLaterBytes  = 4 << 10
)

// errPairsDiffer reports that the pairs read differ from the measured ones, so that the answer cannot continue.
var errPairsDiffer = errors.New("its pairs are not what was measured")

// encode appends the next piece to dst.
func (l *deferredAnswer) encode(dst []byte) ([]byte, error) {
	if l.failed != nil {
		return dst, l.failed
	}
	c := l.cuts[l.next]
	l.next++
	l.left.Limit = int64(c.pairs)
	whole := index.NewUnpagedReader(l.left, etcdAnswerBytes)
	before, pairs := len(dst), 0
	l.s.requests.Add(1) // the fair queue counts the waiting requests by this
	err := l.s.read(l.ctx, func() (bool, error) {
		v := l.pinned.or(l.s.config.Member.View)
		defer runtime.KeepAlive(v)
		if err := l.permission.in(v); err != nil {
			return false, err
		}
		found, done, err := whole.Step(v, limits.RangeRows)
		if err != nil || !done {
			return false, err
		}
		pairs = len(found.KVs)
		for i := range found.KVs {
			if len(dst)-before+sizeField(&found.KVs[i]) > int(c.bytes) {
				return false, errPairsDiffer
			}
			dst = appendPair(dst, rangeKVs, &found.KVs[i])
		}
		if pairs > 0 {
			l.left.Key, l.left.Continued = append(bytes.Clone(found.KVs[pairs-1].Key), 0), true
		}
		return true, nil
	})
	l.s.requests.Add(-1)
	runtime.KeepAlive(whole)
	if err == nil && (pairs != int(c.pairs) || len(dst)-before != int(c.bytes)) {
		err = errPairsDiffer
	}
	l.failed = err
	return dst, err
}

func (l *deferredAnswer) size() int { return l.total }

func (l *deferredAnswer) charge(own *front.Account) answer {
	l.account = own
	return l
}

func (l *deferredAnswer) release() { l.pinned.release() }

func (l *deferredAnswer) bytes() ([]byte, error) {
	defer l.release()
	all := append(make([]byte, 0, l.total), l.head...)
	for range l.cuts {
		var err error
		if all, err = l.encode(all); err != nil {
			return nil, statusOf(err)
		}
	}
	return append(all, l.tail...), nil
}

func (l *deferredAnswer) buffers() (mem.BufferSlice, error) {
	all := make(mem.BufferSlice, 0, len(l.cuts)+2)
	all = append(all, mem.SliceBuffer(l.head))
	parts := make([]deferredPiece, len(l.cuts))
	for i := range parts {
		parts[i].of = l
		parts[i].bytes = int(l.cuts[i].bytes)
		all = append(all, &parts[i])
	}
	l.parts.Store(int64(len(parts)))
	l.account.Charge(etcdLaterBytes + int64(len(parts))*etcdPartBytes)
	return append(all, mem.SliceBuffer(l.tail)), nil
}

// deferredPiece is one piece as gRPC's buffer: it exists from its first read until it is freed.
type deferredPiece struct {
	mem.Buffer // nil: package h2 calls the methods below alone
	of         *deferredAnswer
	bytes      int
	data       []byte
}

// Len implements mem.Buffer.
func (p *deferredPiece) Len() int { return p.bytes }

// ReadOnlyData implements mem.Buffer.
func (p *deferredPiece) ReadOnlyData() []byte {
	if p.data != nil {
		return p.data
	}
	l := p.of
	p.data = buffers.Get(p.bytes)
	l.account.Charge(int64(cap(p.data)))
	data, err := l.encode(p.data)
	if err != nil { // none of this is sent: the connection is closed first
		l.s.log.Warn("answer "+l.account.Client(), "a client's connection is closed in the middle of an answer", "reason", fmt.Sprintf("a range of %d bytes cannot go on: %v", l.total, err))
		l.account.Close()
		data = data[:p.bytes]
		clear(data)
	}
	p.data = data
	return p.data
}

// Free implements mem.Buffer.
func (p *deferredPiece) Free() {
	l := p.of
	if p.data != nil {
		l.account.Charge(-int64(cap(p.data)))
		buffers.Put(p.data)
		p.data = nil
	}
	if l.parts.Add(-1) == 0 {
		l.pinned.release()
		l.account.Charge(-etcdLaterBytes - int64(len(l.cuts))*etcdPartBytes)
	}
}
