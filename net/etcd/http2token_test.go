package etcd_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const noPermission = "7 etcdserver: permission denied"

// tokenPut writes a put with a token, by the connection's encoder.
func (c *h2client) tokenPut(key, token string, more ...field) uint32 {
	if token != "" {
		more = append(more, field{"token", token})
	}
	return c.ask(putPath, &pb.PutRequest{Key: []byte(key)}, more...)
}

// TestH2Tokens sends the requests of many users on one connection, as a proxy does. Their tokens are entries of the connection's header
// table, that are replaced and evicted. Each request is judged by its own token, and nothing stays from the request before.
func TestH2Tokens(t *testing.T) {
	t.Parallel()
	u := newUsers(t, nil)
	for i := range 5 {
		name := fmt.Sprintf("u%d", i)
		u.must("root", "Auth.RoleAdd", fmt.Sprintf(`name: "%s"`, name))
		u.must("root", "Auth.RoleGrantPermission", fmt.Sprintf(`name: "%s" perm: { permType: READWRITE key: "%s" }`, name, name))
		u.must("root", "Auth.UserAdd", fmt.Sprintf(`name: "%s" password: "x"`, name))
		u.must("root", "Auth.UserGrantRole", fmt.Sprintf(`user: "%s" role: "%s"`, name, name))
		u.tokens[name] = login(t, u.conn, name, "x")
	}
	for _, table := range []uint32{0, 200, 4096} {
		t.Run(fmt.Sprintf("table of %d", table), func(t *testing.T) {
			c := openH2(t, u.server)
			c.encode.SetMaxDynamicTableSize(table)
			for round := range 40 {
				wants := map[uint32]string{}
				for i := range 5 {
					name, own := fmt.Sprintf("u%d", (i+round)%5), fmt.Sprintf("u%d", (i*round)%5)
					var more []field
					if round%8 == i { // it evicts the tokens of a large table
						more = append(more, field{"x-large", strings.Repeat(name, 3<<10/len(name))})
					}
					id := c.tokenPut(own, u.tokens[name], more...)
					wants[id] = noPermission
					if own == name {
						wants[id] = "OK"
					}
				}
				wants[c.tokenPut("u0", "")] = "3 etcdserver: user name is empty"
				wants[c.tokenPut("u0", "none")] = "16 etcdserver: invalid auth token"
				for id, want := range wants {
					c.is("put", c.result(id), want)
				}
			}
		})
	}
}

// TestH2TokenEntries refers to tokens in the header table by their index: the same bytes of a header block mean another user after an
// insertion, and after an eviction.
func TestH2TokenEntries(t *testing.T) {
	t.Parallel()
	u := newUsers(t, nil)
	c := openH2(t, u.server)
	put := func(what, want string, block ...byte) {
		t.Helper()
		id := c.stream()
		c.wholeBlock(id, block)
		c.data(id, true, message(&pb.PutRequest{Key: []byte("app/1")}))
		c.is(what, c.result(id), want)
	}
	plain := literals(hpackPlain, false, fields(putPath)...)
	with := func(more ...byte) []byte { return append(append([]byte(nil), plain...), more...) }
	token := func(name string) []byte { return literals(hpackIncremental, false, field{"token", u.tokens[name]}) }
	newest, older := byte(hpackIndexed|62), byte(hpackIndexed|63)
	put("alice's token is inserted", "OK", with(token("alice")...)...)
	put("alice by index", "OK", with(newest)...)
	put("bob's token is inserted", noPermission, with(token("bob")...)...)
	put("the same block as alice's", noPermission, with(newest)...)
	put("alice, now older", "OK", with(older)...)
	put("no token", "3 etcdserver: user name is empty", with()...)
	id := c.stream() // a request that is refused and one that is reset change the table, too
	c.endedBlock(id, append(literals(hpackPlain, false, fields("/a/b")...), token("alice")...))
	c.is("a refused request", c.result(id), "12 unknown service a")
	put("alice's token, inserted by the refused request", "OK", with(newest)...)
	id = c.stream()
	c.endedBlock(id, append(literals(hpackPlain, false, replaced(4, "text/html")...), token("bob")...))
	_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
	put("bob's token, inserted by the reset request", noPermission, with(newest)...)
	put("alice before it", "OK", with(older)...)
	put("a table for one token", "OK", append(hpackInt(nil, hpackSizeUpdate, 5, uint64(tokenSize(u.tokens["alice"]))), with(token("alice")...)...)...)
	put("alice, alone in it", "OK", with(newest)...)
	put("bob evicts alice", noPermission, with(token("bob")...)...)
	put("bob, alone in it", noPermission, with(newest)...)
	put("its name with another value", "OK", with(hpackString(hpackInt(nil, hpackNeverIndexed, 4, 62), u.tokens["alice"], true)...)...)
	put("two tokens: the first one counts", noPermission, with(append([]byte{newest}, literals(hpackPlain, false, field{"token", u.tokens["alice"]})...)...)...)
	put("a table of no bytes, and back", "3 etcdserver: user name is empty", append(hpackInt([]byte{hpackSizeUpdate}, hpackSizeUpdate, 5, 4096), with()...)...)
	id = c.stream()
	c.endedBlock(id, with(newest))
	if got := c.outcome(); got != connHPACK {
		t.Errorf("an entry that is gone: %s", got)
	}
}

// TestH2TokenReferences sends header blocks of references alone, whose meaning is kept: the same bytes mean another user once all of their
// entries were inserted again with another token, by a small block or by a large one.
func TestH2TokenReferences(t *testing.T) {
	t.Parallel()
	u := newUsers(t, nil)
	c := openH2(t, u.server)
	put := func(what, want string, block []byte) {
		t.Helper()
		id := c.stream()
		c.wholeBlock(id, block)
		c.data(id, true, message(&pb.PutRequest{Key: []byte("app/1")}))
		c.is(what, c.result(id), want)
	}
	insert := func(name string) []byte {
		return literals(hpackIncremental, false, append(fields(putPath), field{"token", u.tokens[name]})...)
	}
	var references []byte
	for i := len(fields(putPath)); i >= 0; i-- {
		references = append(references, byte(hpackIndexed|62+i))
	}
	for _, size := range []int{0, 3 << 10, 0, 3 << 10} { // a field that is larger than the blocks whose meaning is kept
		large := literals(hpackPlain, false, field{"x-large", strings.Repeat("x", size)})
		put("alice's fields are inserted", "OK", append(insert("alice"), large...))
		put("alice by references", "OK", references)
		put("alice by references again", "OK", references)
		put("bob's fields are inserted", noPermission, append(insert("bob"), large...))
		put("the same references", noPermission, references)
		put("the same references again", noPermission, references)
	}
}

// endedBlock writes a block whose stream has ended.
func (c *h2client) endedBlock(id uint32, block []byte) {
	c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, block...)
}

// tokenSize is the size of a token's entry in a header table, with less than another one's room.
func tokenSize(token string) uint32 {
	f := hpack.HeaderField{Name: "token", Value: token}
	return f.Size() + f.Size()/2
}

// TestH2TokenRotates: a token ends in the middle of a connection, and its successor is used from then on.
func TestH2TokenRotates(t *testing.T) {
	t.Parallel()
	u := newUsers(t, nil)
	c := openH2(t, u.server)
	old := u.tokens["alice"]
	c.is("the first token", c.result(c.tokenPut("app/1", old)), "OK")
	for i := range 5 {
		password := fmt.Sprint("new", i)
		u.must("root", "Auth.UserChangePassword", fmt.Sprintf(`name: "alice" password: "%s"`, password))
		c.is("the old token, an entry of the table", c.result(c.tokenPut("app/1", old)), "16 etcdserver: invalid auth token")
		next := login(t, u.conn, "alice", password)
		c.is("the next token", c.result(c.tokenPut("app/1", next)), "OK")
		c.is("the old token again", c.result(c.tokenPut("app/1", old)), "16 etcdserver: invalid auth token")
		c.is("the next token again", c.result(c.tokenPut("app/1", next)), "OK")
		old = next
	}
	u.must("root", "Auth.UserRevokeRole", `name: "alice" role: "app"`)
	c.is("without the role", c.result(c.tokenPut("app/1", old)), noPermission)
	if strings.Count(c.result(c.tokenPut("app/1", "")), "user name is empty") != 1 {
		t.Error("a request without a token has a user")
	}
}
