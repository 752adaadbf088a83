package backup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"qkv/internal/damage"
)

const (
	// frameBytes is the content of a frame, except for the last one: a branch reads and decompresses one for a value.
	frameBytes = 1 << 20
	// frameMost bounds a frame as it is stored: what cannot be compressed has some bytes more for each 128 KiB.
	frameMost = frameBytes + 1<<10
	// tableMagic begins the table of frames, as a frame that every decoder of zstd skips.
	tableMagic = 0x184D2A51
	// tableHead is the size of that frame's header: the magic, and how many bytes follow.
	tableHead = 8
)

// frameOptions choose the compressor. Its output may change with its version: nothing depends on that.
var frameOptions = []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(frameBytes), zstd.WithLowerEncoderMem(true)}

// compressor compresses one frame at a time, for any goroutine. The state of the library that it keeps takes a few MiB.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	z, _ := zstd.NewWriter(nil, frameOptions...) // it fails for wrong options only
	return z
})

// decompressor decompresses one frame at a time, for any goroutine, into the memory that the caller gives, and no more.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	z, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameBytes), zstd.WithDecoderMaxWindow(frameBytes),
		zstd.WithDecodeAllCapLimit(true))
	return z
})

// framesOf returns how many frames a content has.
func framesOf(bytes int64) int64 { return (bytes + frameBytes - 1) / frameBytes }

// compress returns a content as it is stored: the table of its frames, and the frames.
func compress(content []byte) []byte {
	n := int(framesOf(int64(len(content))))
	b := make([]byte, tableHead+4*n, tableHead+4*n+len(content)/2)
	binary.LittleEndian.PutUint32(b, tableMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(4*n))
	for i := range n {
		begin := len(b)
		b = compressor().EncodeAll(content[i*frameBytes:min((i+1)*frameBytes, len(content))], b)
		binary.LittleEndian.PutUint32(b[tableHead+4*i:], uint32(len(b)-begin))
	}
	return b
}

// frames reads the content of a compressed object by its frames.
type frames struct {
	path  string
	from  io.ReaderAt
	bytes int64   // of the content
	at    []int64 // where each frame begins; the last one is the size
}

// readFrames reads the table of frames of an object with this size, whose content must have these bytes. It believes the table as far as the
// sizes are those of a content of that size.
func readFrames(path string, from io.ReaderAt, size, content int64) (*frames, error) {
	n := framesOf(content)
	head := make([]byte, tableHead+4*n)
	if err := readWhole(path, from, head, 0); err != nil {
		return nil, err
	}
	f := &frames{path, from, content, []int64{int64(len(head))}}
	sound := binary.LittleEndian.Uint32(head) == tableMagic && int64(binary.LittleEndian.Uint32(head[4:])) == 4*n
	for i := range n {
		one := int64(binary.LittleEndian.Uint32(head[tableHead+4*i:]))
		sound = sound && one <= frameMost
		f.at = append(f.at, f.at[i]+one)
	}
	if !sound || f.at[n] != size {
		return nil, damage.At(path, 0, "its %d bytes are not those of %d frames with %d bytes", size, n, content)
	}
	return f, nil
}

// frame returns the content of the frame that has a byte of the content at its begin.
func (f *frames) frame(off int64) ([]byte, error) {
	i := off / frameBytes
	b := make([]byte, f.at[i+1]-f.at[i])
	if err := readWhole(f.path, f.from, b, f.at[i]); err != nil {
		return nil, err
	}
	due := min(frameBytes, f.bytes-off)
	content, err := decompressor().DecodeAll(b, make([]byte, 0, due))
	if err == nil && int64(len(content)) != due {
		err = fmt.Errorf("%d bytes are in it, and not %d", len(content), due)
	}
	if err != nil {
		return nil, damage.At(f.path, f.at[i], "a frame cannot be decompressed: %v", err)
	}
	return content, nil
}

// file returns the content as a file, whose frames come from a function.
func (f *frames) file(frame func(off int64) ([]byte, error)) *stored {
	return &stored{from: &window{size: f.bytes, each: frameBytes, piece: frame}, size: f.bytes}
}

// decompress returns the content of stored bytes, which are in memory. It must have these bytes.
func decompress(path string, b []byte, size int64) (content []byte, err error) {
	if size < 0 || size > backupObjectMost {
		return nil, damage.At(path, 0, "its header says %d bytes of entries: the limit is %d", size, int64(backupObjectMost))
	}
	f, err := readFrames(path, bytes.NewReader(b), int64(len(b)), size)
	if err == nil {
		content = make([]byte, 0, size)
	}
	for off := int64(0); err == nil && off < size; off += frameBytes {
		var one []byte
		one, err = f.frame(off)
		content = append(content, one...)
	}
	return content, err
}

// readWhole fills b. An object that ends before is damaged.
func readWhole(path string, from io.ReaderAt, b []byte, off int64) error {
	n, err := from.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF { //nolint:errorlint // another error may wrap it: that of a store
		err = damage.At(path, off+int64(n), "it ends here, and its frames do not")
	}
	return err
}
