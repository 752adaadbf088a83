package server

import (
	"sync"

	"qkv/index/kv"
	"qkv/net/wire"
)

// buffer is where answers are encoded. A small one belongs to the stream; a larger one is taken from its share for as
// long as it is written, so that a stream that is idle keeps nothing.
//
// held is cap(out) while out is a large one, and 0 while it is the small one.
type buffer struct {
	share *share
	out   []byte
	small []byte
	held  int
}

const (
	// smallBuffer holds the answers to a hundred small requests.
	smallBuffer = 4 << 10
	// usualBuffer holds a full write, and the answer with which it became full.
	usualBuffer = writeBytes + 16<<10
)

// usualBuffers are buffers of usualBuffer bytes that nobody uses.
var usualBuffers = sync.Pool{New: func() any { return new([usualBuffer]byte) }}

// fit makes room for n more bytes, or says that there is none.
func (b *buffer) fit(n int) bool {
	need := len(b.out) + n
	if need <= cap(b.out) {
		return true
	}
	if need <= smallBuffer && b.held == 0 {
		if b.small == nil {
			b.small = make([]byte, 0, smallBuffer)
		}
		b.out = append(b.small, b.out...)
		return true
	}
	if need <= usualBuffer && b.share.take(int64(usualBuffer-b.held)) {
		b.replace(usualBuffers.Get().(*[usualBuffer]byte)[:0])
		return true
	}
	if b.share.take(int64(need - b.held)) {
		b.replace(make([]byte, 0, need))
		return true
	}
	return false
}

// replace goes on in another buffer, whose room was taken.
func (b *buffer) replace(other []byte) {
	other = append(other, b.out...)
	b.recycle()
	b.out, b.held = other, cap(other)
}

// recycle keeps a buffer of the usual size for others.
func (b *buffer) recycle() {
	if b.held == usualBuffer {
		usualBuffers.Put((*[usualBuffer]byte)(b.out[:usualBuffer]))
	}
}

// release gives back what is held.
func (b *buffer) release() {
	b.recycle()
	b.share.give(int64(b.held))
	b.out, b.held = b.small[:0], 0
}

// appendError appends an answer that is an error.
func (b *buffer) appendError(id uint64, code kv.Code, message string) bool {
	if !b.fit(wire.AnswerBytes + len(message)) {
		if len(b.out) > 0 {
			return false
		}
		message = "" // longer than the small buffer: the code says enough
	}
	b.out = wire.AppendError(b.out, id, code, message)
	return true
}
