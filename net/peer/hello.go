package peer

import (
	"encoding/binary"
	"fmt"
	"io"

	"qkv/log/limits"
	"qkv/log/pack"
)

// helloVersion is the version of the first frame. What is not compatible is another ALPN; this leaves room for more
// fields behind the ones that are known.
const (
	helloVersion = 1
	helloFields  = 9
)

// mark names one dial: the process that dialled, and how many it had dialled with it.
type mark struct{ process, dial uint64 }

// greeting is the first frame on a connection, in either direction.
type greeting struct {
	cluster  string
	from, to uint64
	mark     mark // an answer's dial is 0
	seen     mark
	hello    []byte
}

func (g *greeting) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, helloFields)
	dst = pack.AppendUint(dst, helloVersion)
	dst = pack.AppendString(dst, g.cluster)
	for _, n := range []uint64{g.from, g.to, g.mark.process, g.mark.dial, g.seen.process, g.seen.dial} {
		dst = pack.AppendUint(dst, n)
	}
	return pack.AppendBytes(dst, g.hello)
}

func parseGreeting(b []byte) (g greeting, err error) {
	r := pack.NewReader(b)
	fields := r.Array()
	if v := r.Uint(); r.Err() == nil && v != helloVersion {
		return g, fmt.Errorf("it sent a hello of version %d, and this member knows %d: update the older of the two", v, helloVersion)
	}
	g.cluster = r.String()
	for _, n := range []*uint64{&g.from, &g.to, &g.mark.process, &g.mark.dial, &g.seen.process, &g.seen.dial} {
		*n = r.Uint()
	}
	g.hello = r.Bytes()
	for range fields - helloFields {
		r.Skip()
	}
	if err := r.Done(); err != nil {
		return greeting{}, fmt.Errorf("its hello cannot be read: %w", err)
	}
	return g, nil
}

// check refuses a greeting that is meant for another cluster or between other members.
func (g *greeting) check(cluster string, self, peer uint64) error {
	switch {
	case g.cluster != cluster:
		return fmt.Errorf("it is of the cluster %q, and this member of %q: do the lists and tokens of the first start differ?", g.cluster, cluster)
	case g.from != peer:
		return fmt.Errorf("its member id is %016x, and by this member's list it is %016x", g.from, peer)
	case g.to != self:
		return fmt.Errorf("it looks for the member id %016x here, and this is %016x", g.to, self)
	default:
		return nil
	}
}

func writeGreeting(w io.Writer, g *greeting) error {
	b := g.append(make([]byte, headerBytes, headerBytes+len(g.hello)+256))
	size := len(b) - headerBytes
	if size > limits.PeerHelloBytes {
		panic(fmt.Sprintf("peer: a hello of %d bytes, and the limit is %d", size, limits.PeerHelloBytes))
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	_, err := w.Write(b)
	return err
}

func readGreeting(r io.Reader) (greeting, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return greeting{}, err
	}
	size, err := frameSize(header[:], limits.PeerHelloBytes)
	if err != nil {
		return greeting{}, fmt.Errorf("its hello cannot be read: %w", err)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return greeting{}, err
	}
	return parseGreeting(b)
}
