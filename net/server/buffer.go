package server

import (
	"sync"

	"qkv/index/kv"
	"qkv/net/wire"
)

// buffer is where answers are encoded. A small buffer belongs to the stream. A larger one reserves memory from the stream's share
// only while it is written: an idle stream keeps no large buffer.
//
// reserved is cap(out) while out is a large buffer, and 0 while it is the small one.
type buffer struct {
	share    *memoryBudget
	out      []byte
	small    []byte
	reserved int

	waits  bool // its goroutine may wait for the disk
	unread int  // bytes of an answer that is left out because it needs values from files; otherwise 0
}

const (
	// smallBuffer holds the answers to a hundred small requests.
	smallBuffer = 4 << 10
	// usualBuffer holds a full write, and the answer that filled it.
	usualBuffer = writeBytes + 16<<10
)

// usualBuffers is the pool of unused buffers of usualBuffer bytes.
var usualBuffers = sync.Pool{New: func() any { return new([usualBuffer]byte) }}

// appendValue appends the answer with a value of package codec. Its result is that of appendOne.
func (b *buffer) appendValue(id uint64, value any) bool {
	frame := wire.AppendAnswer(nil, id, value)
	if !b.fit(len(frame)) {
		return len(b.out) == 0 && b.appendOverBudget(id, len(frame))
	}
	b.out = append(b.out, frame...)
	return true
}

// fit makes space for n more bytes; it returns false if the share refuses that.
func (b *buffer) fit(n int) bool {
	need := len(b.out) + n
	if need <= cap(b.out) {
		return true
	}
	if need <= smallBuffer && b.reserved == 0 {
		if b.small == nil {
			b.small = make([]byte, 0, smallBuffer)
		}
		b.out = append(b.small, b.out...)
		return true
	}
	if need <= usualBuffer && b.share.reserve(int64(usualBuffer-b.reserved)) {
		b.replace(usualBuffers.Get().(*[usualBuffer]byte)[:0])
		return true
	}
	if b.share.reserve(int64(need - b.reserved)) {
		b.replace(make([]byte, 0, need))
		return true
	}
	return false
}

// replace moves to another buffer, whose memory was reserved.
func (b *buffer) replace(other []byte) {
	other = append(other, b.out...)
	b.recycle()
	b.out, b.reserved = other, cap(other)
}

// recycle returns a buffer of the usual size to the pool.
func (b *buffer) recycle() {
	if b.reserved == usualBuffer {
		usualBuffers.Put((*[usualBuffer]byte)(b.out[:usualBuffer]))
	}
}

// release returns the reserved memory.
func (b *buffer) release() {
	b.recycle()
	b.share.release(int64(b.reserved))
	b.out, b.reserved = b.small[:0], 0
}

// appendError appends an error as an answer.
func (b *buffer) appendError(id uint64, code kv.Code, message string) bool {
	if !b.fit(wire.AnswerBytes + len(message)) {
		if len(b.out) > 0 {
			return false
		}
		message = "" // longer than the small buffer: the code alone is enough
	}
	b.out = wire.AppendError(b.out, id, code, message)
	return true
}
