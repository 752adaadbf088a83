// Package pack is the part of msgpack that qkv writes by hand: append to a slice, read from a slice.
//
// The hot records (entries, commands, frames, requests) are arrays of integers, binaries and strings. Appending
// them costs no allocation, and reading them hands out sub-slices of what was read. Every append function writes
// the bytes that vmihailenco/msgpack v5 writes with UseCompactInts(true); a test proves it in both directions.
//
// A [Reader] trusts nothing: each length is held against the bytes that are left before it is used, so that
// five hostile bytes cannot ask for gigabytes (msgpack v5.4.1 allocates by what they claim). Nothing here panics,
// whatever the input.
//
//	nil     c0
//	bool    c2 c3
//	int     00..7f  cc u8  cd u16  ce u32  cf u64  e0..ff  d0 i8  d1 i16  d2 i32  d3 i64
//	bin     c4 u8-length  c5 u16-length  c6 u32-length, then the bytes
//	str     a0..bf  d9 u8-length  da u16-length  db u32-length, then the bytes
//	array   90..9f  dc u16-count  dd u32-count
package pack
