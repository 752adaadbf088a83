package node_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node"
	"qkv/snapshot"
)

// cutStory is a member whose history is cut: it goes on from an earlier state, and clients still hold what the lost history gave them.
type cutStory struct {
	t    *testing.T
	ctx  context.Context
	c    *cluster
	conn *grpc.ClientConn

	early, lost heldRights // given away before the state that is kept, and after it
	running     *client.Client
	watch       *client.Watcher
	session     *client.LockSession
	lock        *client.Mutex // held by session
}

// heldRights are what a history gave away.
type heldRights struct {
	password string // of the user u
	token    string
	lease    int64
	revision int64 // of a put
	auth     uint64
	cluster  uint64
}

func (s *cutStory) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// as adds a token to a request.
func (s *cutStory) as(token string) context.Context {
	return metadata.AppendToOutgoingContext(s.ctx, "token", token)
}

func (s *cutStory) login(user, password string) (token string, err error) {
	answer, err := etcdserverpb.NewAuthClient(s.conn).Authenticate(s.ctx, &etcdserverpb.AuthenticateRequest{Name: user, Password: password})
	return answer.GetToken(), err
}

func (s *cutStory) root() context.Context {
	s.t.Helper()
	token, err := s.login("root", "root")
	s.must(err)
	return s.as(token)
}

func (s *cutStory) open(user, password string) (*client.Client, error) {
	proof, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(s.c.home)
	s.must(err)
	one, err := client.Open(s.ctx, client.Config{Endpoints: []string{s.c.configs[0].Listen}, Credentials: proof, Timeout: wait, User: user, Password: password})
	if err == nil {
		s.t.Cleanup(func() { _ = one.Close() })
	}
	return one, err
}

// give gives away a login, a lease and a revision.
func (s *cutStory) give(password string) (h heldRights) {
	s.t.Helper()
	root := s.root()
	token, err := s.login("u", password)
	s.must(err)
	granted, err := etcdserverpb.NewLeaseClient(s.conn).LeaseGrant(root, &etcdserverpb.LeaseGrantRequest{TTL: 3600})
	s.must(err)
	put, err := etcdserverpb.NewKVClient(s.conn).Put(s.as(token), &etcdserverpb.PutRequest{Key: []byte("a/k"), Value: []byte(password)})
	s.must(err)
	status, err := etcdserverpb.NewAuthClient(s.conn).AuthStatus(root, &etcdserverpb.AuthStatusRequest{})
	s.must(err)
	return heldRights{password, token, granted.ID, put.Header.Revision, status.AuthRevision, put.Header.ClusterId}
}

// raise raises the alarm CORRUPT, as an operator can by etcd's API, or asks for the alarms, of which none may be left.
func (s *cutStory) raise(action etcdserverpb.AlarmRequest_AlarmAction) error {
	maintenance := etcdserverpb.NewMaintenanceClient(s.conn)
	status, err := maintenance.Status(s.root(), &etcdserverpb.StatusRequest{})
	s.must(err)
	answer, err := maintenance.Alarm(s.root(), &etcdserverpb.AlarmRequest{Action: action, MemberID: status.Header.MemberId, Alarm: etcdserverpb.AlarmType_CORRUPT})
	if err == nil && action == etcdserverpb.AlarmRequest_GET && len(answer.Alarms) > 0 {
		err = fmt.Errorf("%v are left", answer.Alarms)
	}
	return err
}

// setPassword sets the password of the user u.
func (s *cutStory) setPassword(password string) {
	s.t.Helper()
	change := &etcdserverpb.AuthUserChangePasswordRequest{Name: "u", Password: password}
	_, err := etcdserverpb.NewAuthClient(s.conn).UserChangePassword(s.root(), change)
	s.must(err)
}

// begin makes a history: a state that is kept, which it returns, and what is lost behind it.
func (s *cutStory) begin() (kept string) {
	s.t.Helper()
	c, ctx := s.c, s.ctx
	admin := c.client(0).Admin()
	for _, user := range []string{"root", "u"} {
		s.must(admin.AddUser(ctx, user, map[string]string{"root": "root", "u": "first"}[user]))
	}
	s.must(admin.AddRole(ctx, "a"))
	s.must(admin.GrantPermission(ctx, "a", kv.Permission{Key: []byte("a/"), End: []byte("a0"), Type: kv.PermitReadWrite}))
	s.must(admin.GrantRole(ctx, "u", "a"))
	s.must(admin.GrantRole(ctx, "root", "root"))
	var err error
	s.conn, err = grpc.NewClient(c.configs[0].Listen, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	s.must(err)
	s.t.Cleanup(func() { _ = s.conn.Close() })
	_, err = etcdserverpb.NewAuthClient(s.conn).AuthEnable(ctx, &etcdserverpb.AuthEnableRequest{})
	s.must(err)
	s.early = s.give("first")

	c.stop(0)
	kept = s.t.TempDir() + "/data"
	s.must(copyFolder(c.configs[0].DataDir, kept))
	c.start(0)
	s.setPassword("stolen")
	s.lost = s.give("stolen")
	s.running, err = s.open("u", "stolen")
	s.must(err)
	s.session, err = client.NewLockSession(ctx, s.running, client.LockSessionOptions{TTL: 4 * time.Second})
	s.must(err)
	s.lock = client.NewMutex(s.session, "a/lock")
	s.must(s.lock.Lock(ctx))
	s.watch, err = s.running.Watch(ctx, kv.Watch{Key: []byte("a/"), End: []byte("a0")})
	s.must(err)
	s.must(s.raise(etcdserverpb.AlarmRequest_ACTIVATE))
	c.stop(0)
	return kept
}

func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(name, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(name, content, 0o600)
	})
}

// restored makes another folder of the state of a folder, as a restore does.
func (s *cutStory) restored(of string) string {
	s.t.Helper()
	dir := s.t.TempDir() + "/restored"
	_, err := node.Restore(node.RestoreConfig{DataDir: dir, Name: "n1", Token: "t", Version: "test", Logger: slog.New(slog.DiscardHandler)}, func(_ disk.FS, parts string) (*index.State, error) {
		listing, err := snapshot.List(disk.OS(), of+"/snap")
		if err == nil {
			err = errors.Join(copyFolder(of+"/snap", parts), os.Remove(filepath.Join(parts, filepath.Base(listing.Published[0].Path))))
		}
		if err != nil {
			return nil, err
		}
		state, _, err := snapshot.LoadIn(index.NewReserve(), disk.OS(), disk.OS(), listing.Published[0].Path, limits.Defaults().Index)
		return state, err
	})
	s.must(err)
	return dir
}

func code(err error) kv.Code {
	answer, _ := errors.AsType[*kv.Error](err)
	if answer == nil {
		return kv.OK
	}
	return answer.Code
}

// TestCut is the table of docs/backup.md, "After a restore": each row by etcd's API and by qkv's own, after a recovery, and after a restore of
// the state that was recovered.
func TestCut(t *testing.T) {
	testlong.Skip(t)
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tokens := range map[string]string{"simple": "simple", "jwt": "jwt,sign-method=HS256,priv-key=" + secret} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*wait)
			defer cancel()
			s := &cutStory{t: t, ctx: ctx, c: planCluster(t, 1, 500*time.Millisecond)}
			s.c.configs[0].AuthToken, s.c.configs[0].BcryptCost = tokens, bcrypt.MinCost
			s.c.start(0)
			t.Cleanup(func() { s.c.stop(0) })
			dir := s.begin()
			_, err := node.Recover(ctx, node.RecoverConfig{DataDir: dir, Logger: slog.New(slog.DiscardHandler), Version: "test"})
			s.must(err)
			if name == "jwt" {
				dir = s.restored(dir)
			}
			s.c.configs[0].DataDir, s.c.configs[0].InitialCluster = dir, nil
			s.c.start(0)
			for _, row := range []struct {
				what string
				seen func(*cutStory)
			}{
				{"a running program of the own client", (*cutStory).runningProgram},
				{"users, passwords and certificates", (*cutStory).passwords},
				{"tokens and auth revisions", (*cutStory).tokens},
				{"leases", (*cutStory).leases},
				{"revisions and fencing numbers", (*cutStory).revisions},
				{"watch positions", (*cutStory).watches},
				{"locks", (*cutStory).locks},
				{"alarms", (*cutStory).alarms},
			} {
				t.Run(row.what, func(t *testing.T) {
					of := *s
					of.t = t
					row.seen(&of)
				})
			}
		})
	}
}

func (s *cutStory) runningProgram() {
	if _, err := s.watch.Next(); !errors.Is(err, client.ErrClusterReplaced) {
		s.t.Errorf("its watch: %v", err)
	}
	if _, err := s.running.Put(s.ctx, []byte("a/k"), []byte("old")); !errors.Is(err, client.ErrClusterReplaced) || errors.Is(err, client.ErrOutcomeUnknown) {
		s.t.Errorf("its put: %v", err)
	}
	select {
	case <-s.session.Done():
	case <-s.ctx.Done():
		s.t.Error("its lock session goes on")
	}
	answer, err := etcdserverpb.NewMaintenanceClient(s.conn).Status(s.root(), &etcdserverpb.StatusRequest{})
	if err != nil || answer.Header.ClusterId == s.early.cluster {
		s.t.Errorf("the cluster's id is %x as before: %v", s.early.cluster, err)
	}
}

func (s *cutStory) passwords() {
	for password, works := range map[string]bool{"first": true, "stolen": false} {
		_, err := s.login("u", password)
		_, own := s.open("u", password)
		if (err == nil) != works || (own == nil) != works || !works && code(own) != kv.AuthFailed {
			s.t.Errorf("the password %q: %v, %v", password, err, own)
		}
	}
	if _, _, err := s.c.client(0).Get(s.ctx, []byte("a/k")); code(err) != kv.NotAllowed && err != nil { // the name in it may have no user
		s.t.Errorf("the certificate: %v", err)
	}
}

// tokens checks the logins from before, also after the password is set again, as often as the lost history did it.
func (s *cutStory) tokens() {
	for range 3 {
		for name, h := range map[string]heldRights{"early": s.early, "lost": s.lost} {
			_, err := etcdserverpb.NewKVClient(s.conn).Range(s.as(h.token), &etcdserverpb.RangeRequest{Key: []byte("a/k")})
			if !errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken) && !errors.Is(rpctypes.Error(err), rpctypes.ErrAuthOldRevision) {
				s.t.Errorf("the token of the %s login: %v", name, err)
			}
		}
		status, err := etcdserverpb.NewAuthClient(s.conn).AuthStatus(s.root(), &etcdserverpb.AuthStatusRequest{})
		if err != nil || status.AuthRevision <= s.lost.auth {
			s.t.Errorf("the auth revision is %d, and was %d: %v", status.GetAuthRevision(), s.lost.auth, err)
		}
		s.setPassword("first")
	}
}

func (s *cutStory) leases() {
	root := s.root()
	own, err := s.open("root", "root")
	s.must(err)
	for _, one := range []struct {
		id    int64
		lives bool
	}{{s.early.lease, true}, {s.lost.lease, false}, {int64(s.session.Lease().ID), false}} {
		left, err := etcdserverpb.NewLeaseClient(s.conn).LeaseTimeToLive(root, &etcdserverpb.LeaseTimeToLiveRequest{ID: one.id})
		_, renewed := own.Renew(s.ctx, one.id)
		if err != nil || (left.TTL > 0) != one.lives || (renewed == nil) != one.lives || !one.lives && code(renewed) != kv.LeaseNotFound {
			s.t.Errorf("lease %x: %v, %v; %v", one.id, left, err, renewed)
		}
	}
}

func (s *cutStory) revisions() {
	root := s.root()
	own, err := s.open("root", "root")
	s.must(err)
	put, err := etcdserverpb.NewKVClient(s.conn).Put(root, &etcdserverpb.PutRequest{Key: []byte("b/k"), Value: []byte("new")})
	written, failed := own.Put(s.ctx, []byte("b/k"), []byte("new"))
	s.must(errors.Join(err, failed))
	if least := s.lost.revision + index.CutDistance/2; put.Header.Revision < least || written.Revision <= put.Header.Revision {
		s.t.Errorf("revisions %d and %d; the lost history went to %d", put.Header.Revision, written.Revision, s.lost.revision)
	}
	for revision, reads := range map[int64]bool{s.early.revision: true, s.lost.revision: false} {
		got, err := etcdserverpb.NewKVClient(s.conn).Range(root, &etcdserverpb.RangeRequest{Key: []byte("a/k"), Revision: revision})
		found, failed := own.Range(s.ctx, kv.Range{Key: []byte("a/k"), Revision: revision})
		switch {
		case !reads && (!errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) || code(failed) != kv.Compacted):
			s.t.Errorf("a read at the lost revision %d: %v; %v", revision, err, failed)
		case reads && (err != nil || failed != nil || string(got.Kvs[0].Value) != "first" || string(found.KVs[0].Value) != "first"):
			s.t.Errorf("a read at revision %d, before the cut: %v, %v; %v, %v", revision, got, err, found, failed)
		}
	}
}

// locks takes the lock that a session of the lost history holds, whose guard and key are worth nothing.
func (s *cutStory) locks() {
	own, err := s.open("root", "root")
	s.must(err)
	session, err := client.NewLockSession(s.ctx, own, client.LockSessionOptions{TTL: time.Minute})
	s.must(err)
	lock := client.NewMutex(session, "a/lock")
	if err := lock.TryLock(s.ctx); err != nil || lock.Token() < s.lock.Token()+index.CutDistance/2 {
		s.t.Errorf("the lock: %v, with the token %d, after %d", err, lock.Token(), s.lock.Token())
	}
	done, err := own.Txn(s.ctx, kv.Txn{Compares: []kv.Compare{s.lock.Guard()}})
	if err != nil || done.Succeeded {
		s.t.Errorf("the guard of the lost lock holds: %v, %v", done, err)
	}
	s.must(lock.Unlock(s.ctx))
}

func (s *cutStory) alarms() {
	if err := s.raise(etcdserverpb.AlarmRequest_GET); err != nil {
		s.t.Errorf("alarms: %v", err)
	}
}

// watches begins watches at positions of the lost history, and before the cut.
func (s *cutStory) watches() {
	root := s.root()
	own, err := s.open("root", "root")
	s.must(err)
	stream, err := etcdserverpb.NewWatchClient(s.conn).Watch(root)
	s.must(err)
	begin := func(revision int64) *etcdserverpb.WatchResponse {
		create := &etcdserverpb.WatchCreateRequest{Key: []byte("a/k"), StartRevision: revision}
		s.must(stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}}))
		for {
			answer, err := stream.Recv()
			s.must(err)
			if !answer.Created || answer.Canceled {
				return answer
			}
		}
	}
	lost := begin(s.lost.revision + 1)
	var compacted *client.CompactedError
	w, err := own.Watch(s.ctx, kv.Watch{Key: []byte("a/k"), Revision: s.lost.revision + 1})
	if err == nil {
		_, err = w.Next()
	}
	if !lost.Canceled || lost.CompactRevision <= s.lost.revision || !errors.As(err, &compacted) || compacted.Oldest != lost.CompactRevision {
		s.t.Errorf("a watch from revision %d: %v; %v", s.lost.revision+1, lost, err)
	}
	_, err = own.Put(s.ctx, []byte("a/k"), []byte("later"))
	s.must(err)
	w, err = own.Watch(s.ctx, kv.Watch{Key: []byte("a/k"), Revision: s.early.revision})
	s.must(err)
	var seen, others []string
	for len(seen) < 2 {
		answer, err := w.Next()
		s.must(err)
		for _, e := range answer.Events {
			seen = append(seen, string(e.KV.Value))
		}
	}
	for answer := begin(s.early.revision); ; {
		for _, e := range answer.Events {
			others = append(others, string(e.Kv.Value))
		}
		if len(others) >= 2 {
			break
		}
		answer, err = stream.Recv()
		s.must(err)
	}
	if strings.Join(seen, " ") != "first later" || strings.Join(others, " ") != "first later" {
		s.t.Errorf("watches from revision %d, before the cut, see %q and %q", s.early.revision, seen, others)
	}
}
