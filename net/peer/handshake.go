package peer

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"qkv/net/wire/peerframe"
)

const (
	// peerHandshakeBytes bounds the handshake messages of two members.
	peerHandshakeBytes = 16 << 10
	// peerHandshakeTimeout ends a silent connection of a peer before it is in use. peerDialTimeout ends a dial attempt with all its steps.
	peerHandshakeTimeout = 2 * time.Second
	peerDialTimeout      = 5 * time.Second
	// peerDialPause is the initial backoff before a peer is dialled again. Each consecutive failure doubles it, up to peerDialPauseMost: a
	// returning peer is connected within a second.
	peerDialPause     = 50 * time.Millisecond
	peerDialPauseMost = time.Second
)

func writeHandshake(w io.Writer, h *peerframe.Handshake) error {
	b := peerframe.AppendFirst(make([]byte, headerBytes, headerBytes+len(h.Past)+256), h)
	if size := len(b) - headerBytes; size > peerHandshakeBytes {
		panic(fmt.Sprintf("peer: a handshake of %d bytes, and the limit is %d", size, peerHandshakeBytes))
	}
	return writeFrame(w, b)
}

func readHandshake(r io.Reader) (peerframe.Handshake, error) {
	b, err := readFrame(r, peerHandshakeBytes)
	if err != nil {
		return peerframe.Handshake{}, fmt.Errorf("the handshake cannot be read: %w", err)
	}
	return peerframe.ReadHandshake(b)
}

// writeFrame writes a frame; b begins with reserved space for its length.
func writeFrame(w io.Writer, b []byte) error {
	binary.BigEndian.PutUint32(b, uint32(len(b)-headerBytes))
	_, err := w.Write(b)
	return err
}

// readFrame reads one frame from a stream that carries no other.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size, err := frameSize(header[:], most)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	return b, cut(err)
}
