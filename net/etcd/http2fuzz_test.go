package etcd_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// FuzzH2 sends any bytes after the preface. Whatever they are, the server ends the connection or goes on with it, and serves a fresh one
// afterwards. The seeds are the illegal rows, and the header blocks of the legal ones.
func FuzzH2(f *testing.F) {
	s := start(f, newMember(), nil)
	for _, table := range [][]illegalRow{illegalFrames, illegalOrder, illegalBlocks, illegalRequests} {
		for _, row := range table {
			if b := recorded(f, row.send); len(b) < 4<<10 {
				f.Add(b)
			}
		}
	}
	for _, row := range headerRows {
		if b := recorded(f, func(c *h2client) {
			id := c.stream()
			row.write(c, id, fields(putPath, field{"x", "y"}))
			c.data(id, true, onePut)
		}); len(b) < 4<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := bareH2(t, raw(t, s, http2.ClientPreface))
		_, _ = c.conn.Write(b)
		_ = c.conn.SetReadDeadline(time.Now().Add(wait))
		closeWrite(c)
		_, _ = io.Copy(io.Discard, c.conn)
		_ = c.conn.Close()
		fresh := openH2(t, s)
		fresh.alive()
		_ = fresh.conn.Close()
	})
}

// closeWrite ends the client's side, so that the server ends the connection.
func closeWrite(c *h2client) {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// recorder is a connection to no server.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }
func (r *recorder) Read([]byte) (int, error)    { return 0, io.EOF }

// unheard is a test whose failures end what it does, and no more.
type unheard struct{ testing.TB }

func (u unheard) Error(...any)          {}
func (u unheard) Errorf(string, ...any) {}
func (u unheard) Fatal(...any)          { panic(u) }
func (u unheard) Fatalf(string, ...any) { panic(u) }

// recorded returns what a row writes, at most until it needs an answer.
func recorded(t testing.TB, send func(c *h2client)) (b []byte) {
	var r recorder
	c := bareH2(unheard{t}, &r)
	c.set()
	defer func() {
		if of := recover(); of != nil && of != any(unheard{t}) {
			panic(of)
		}
		c.flush()
		b = r.Bytes()
	}()
	send(c)
	return nil
}
