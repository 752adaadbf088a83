package wire

import "qkv/internal/pack"

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
type ClientLoad struct {
	Name        string // in its certificate, or its address
	API         string // qkv or etcd
	Connections int64
	Requests    int64 // under way
	Watches     int64
	Bytes       int64 // of requests and of answers that the client has not read
}

const clientLoadFields = 6

// AppendClients appends the frame that answers a question for the connected clients.
func AppendClients(dst []byte, id uint64, all []ClientLoad) []byte {
	guess := AnswerBytes
	for i := range all {
		guess += 64 + len(all[i].Name)
	}
	dst, start := beginAnswer(dst, id, 1, guess)
	dst = pack.AppendArray(dst, len(all))
	for i := range all {
		c := &all[i]
		dst = pack.AppendString(pack.AppendString(pack.AppendArray(dst, clientLoadFields), c.Name), c.API)
		dst = pack.AppendInt(pack.AppendInt(dst, c.Connections), c.Requests)
		dst = pack.AppendInt(pack.AppendInt(dst, c.Watches), c.Bytes)
	}
	return endFrame(dst, start, guess)
}

// Clients reads the answer to a question for the connected clients.
func (p *Response) Clients() ([]ClientLoad, error) {
	r, s := p.body(1, 1)
	all := readArray(&r, func(r *pack.Reader) ClientLoad {
		s := r.Struct(clientLoadFields)
		c := ClientLoad{Name: r.String(), API: r.String(), Connections: r.Int(), Requests: r.Int(), Watches: r.Int(), Bytes: r.Int()}
		r.End(s)
		return c
	})
	return all, p.end(&r, s)
}
