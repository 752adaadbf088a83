// Package pack is the part of msgpack that qkv implements itself: append to a slice, read from a slice.
//
// The hot records (entries, commands, frames, requests) are arrays of integers, binaries and strings. Appending does
// not allocate, and reading returns sub-slices of the input. Every append function writes the same bytes as
// vmihailenco/msgpack v5 with UseCompactInts(true); a test proves it in both directions.
//
// A [Reader] trusts nothing: it checks each length against the remaining bytes before using it, so five hostile bytes
// cannot request gigabytes (msgpack v5.4.1 allocates the claimed size). Nothing here panics, whatever the input.
//
// A struct is an array of its fields. It grows at its end: [Reader.Struct] skips fields that a newer qkv has appended,
// and reads fields that an older one did not write as zero.
//
//	nil     c0
//	bool    c2 c3
//	int     00..7f  cc u8  cd u16  ce u32  cf u64  e0..ff  d0 i8  d1 i16  d2 i32  d3 i64
//	bin     c4 u8-length  c5 u16-length  c6 u32-length, then the bytes
//	str     a0..bf  d9 u8-length  da u16-length  db u32-length, then the bytes
//	array   90..9f  dc u16-count  dd u32-count
//	map     80..8f  de u16-count  df u32-count, of pairs; read only: see package codec
package pack
