package compat

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"qkv/net/etcd/compat/member"
)

// asUser is a context with the token of a user.
func asUser(t testing.TB, conn *grpc.ClientConn, name, password string) context.Context {
	t.Helper()
	a, err := pb.NewAuthClient(conn).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: name, Password: password})
	if err != nil {
		t.Fatalf("log in as %s: %v", name, err)
	}
	return metadata.AppendToOutgoingContext(t.Context(), "token", a.Token)
}

// auth makes requests of the Auth service, one a line: RPC and request.
func auth(ctx context.Context, t testing.TB, conn *grpc.ClientConn, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, call := range rpcs {
			if !strings.HasSuffix(call.method, "/"+name) {
				continue
			}
			q := call.request()
			if err := prototext.Unmarshal([]byte(text), q); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if err := conn.Invoke(ctx, call.method, q, call.response()); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
}

// usersOf is all that an administrator can find out of users and roles.
func usersOf(ctx context.Context, t testing.TB, conn *grpc.ClientConn) string {
	t.Helper()
	var text strings.Builder
	say := func(m proto.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if h := m.ProtoReflect().Descriptor().Fields().ByName("header"); h != nil {
			m.ProtoReflect().Clear(h)
		}
		fmt.Fprintln(&text, oneLine(m))
	}
	c := pb.NewAuthClient(conn)
	state, err := c.AuthStatus(ctx, &pb.AuthStatusRequest{})
	say(state, err)
	users, err := c.UserList(ctx, &pb.AuthUserListRequest{})
	say(users, err)
	for _, name := range users.Users {
		one, err := c.UserGet(ctx, &pb.AuthUserGetRequest{Name: name})
		say(one, err)
	}
	roles, err := c.RoleList(ctx, &pb.AuthRoleListRequest{})
	say(roles, err)
	for _, name := range roles.Roles {
		one, err := c.RoleGet(ctx, &pb.AuthRoleGetRequest{Role: name})
		say(one, err)
	}
	return text.String()
}

// withoutRevision leaves the auth revision out, which goes on far above the old one behind an import: tokens end at it.
func withoutRevision(users string) string {
	return regexp.MustCompile(` ?authRevision:\d+`).ReplaceAllString(users, "")
}

// TestMigrateUsers takes users, with their passwords and roles, from etcd into qkv by a file, and back into another etcd. #14355: they are
// there after kill -9.
func TestMigrateUsers(t *testing.T) {
	dir := t.TempDir()
	old := connect(t, member.Start(t, member.Etcd, 1).Endpoints()[0])
	auth(t.Context(), t, old, `UserAdd name: "root" password: "secret"
UserGrantRole user: "root" role: "root"
RoleAdd name: "root"
RoleAdd name: "app"
RoleGrantPermission name: "app" perm: { permType: READWRITE key: "app/" range_end: "app0" }
RoleGrantPermission name: "app" perm: { permType: READ key: "shared" }
UserAdd name: "alice" password: "first"
UserGrantRole user: "alice" role: "app"
UserAdd name: "cert" options: { no_password: true }
UserAdd name: "gone" password: "x"
UserDelete name: "gone"
AuthEnable`)
	root := asUser(t, old, "root", "secret")
	if _, err := pb.NewKVClient(old).Put(root, &pb.PutRequest{Key: []byte("app/1"), Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	want := usersOf(root, t, old)
	first := filepath.Join(dir, "first.db")
	save(root, t, old, first)

	here := migrated(t, first)
	conn := connect(t, here.Endpoints()[0])
	root = asUser(t, conn, "root", "secret")
	if got := usersOf(root, t, conn); withoutRevision(got) != withoutRevision(want) {
		t.Errorf("in qkv:\n%s\nin etcd:\n%s", got, want)
	}
	works := func(conn *grpc.ClientConn, password string) {
		t.Helper()
		alice := asUser(t, conn, "alice", password)
		for key, refused := range map[string]bool{"app/1": false, "other": true} {
			_, err := pb.NewKVClient(conn).Put(alice, &pb.PutRequest{Key: []byte(key)})
			if denied := status.Convert(err).Message() == "etcdserver: permission denied"; denied != refused || !denied && err != nil {
				t.Errorf("alice puts %s: %v", key, err)
			}
		}
	}
	works(conn, "first")
	auth(root, t, conn, `UserChangePassword name: "alice" password: "second"
UserAdd name: "bob" password: "b"
UserGrantRole user: "bob" role: "app"`)
	want = usersOf(root, t, conn)
	here.Members[0].Kill()
	here.Members[0].Start()
	if err := here.Members[0].Await(); err != nil {
		t.Fatal(err)
	}
	if got := usersOf(root, t, conn); got != want {
		t.Errorf("after kill -9, by the token from before:\n%s\nwant:\n%s", got, want)
	}
	second := filepath.Join(dir, "second.db")
	t.Log(command(t, member.Etcdctl, "--endpoints", here.Endpoints()[0], "--user", "root:secret", "snapshot", "save", second))

	back := connect(t, restored(t, second).Endpoints()[0])
	if got := usersOf(asUser(t, back, "root", "secret"), t, back); got != want {
		t.Errorf("in the etcd of qkv's file:\n%s\nwant:\n%s", got, want)
	}
	works(back, "second")
}

// TestMigrateLiveUsers: of a running etcd, users and roles move while authentication is off. With authentication it is not followed.
func TestMigrateLiveUsers(t *testing.T) {
	old := member.Start(t, member.Etcd, 1)
	source := connect(t, old.Endpoints()[0])
	auth(t.Context(), t, source, `UserAdd name: "root" password: "secret"
UserGrantRole user: "root" role: "root"
RoleAdd name: "app"`)
	want := ""
	here := member.StartOn(t, member.QKV, 1, func(m *member.Member) {
		p := startMigration(t, "--endpoints", "http://"+old.Endpoints()[0], "--data-dir", m.Dir, "--name", m.Name, "--work-dir", t.TempDir())
		p.await(t, "following")
		auth(t.Context(), t, source, `UserAdd name: "alice" password: "first"
UserGrantRole user: "alice" role: "app"`)
		want = usersOf(t.Context(), t, source)
		done := p.order(t)
		p.await(t, "authentication is off")
		done()
	}, "--quota-bytes", "0")
	conn := connect(t, here.Endpoints()[0])
	if got := usersOf(t.Context(), t, conn); withoutRevision(got) != withoutRevision(want) {
		t.Errorf("the users are\n%s\nwant:\n%s", got, want)
	}
	for _, both := range []*grpc.ClientConn{source, conn} {
		auth(t.Context(), t, both, "AuthEnable")
	}
	asUser(t, conn, "alice", "first")
	out, err := tryCommand(t, member.QKV, "migrate", "from-etcd", "--endpoints", "http://"+old.Endpoints()[0], "--data-dir", filepath.Join(t.TempDir(), "d"), "--work-dir", t.TempDir())
	if err == nil || !strings.Contains(out, "authentication is enabled at the source") {
		t.Errorf("%v\n%s", err, out)
	}
}
