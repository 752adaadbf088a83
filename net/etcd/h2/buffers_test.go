package h2_test

import "google.golang.org/grpc/mem"

func buffers(b []byte) mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(b)} }
