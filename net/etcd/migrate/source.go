package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"qkv/internal/limits"
)

// Source is one member of an etcd, or qkv's port for etcd's clients.
type Source struct {
	Endpoint string // HOST:PORT
	conn     *grpc.ClientConn
	config   *tls.Config            // nil: without TLS
	login    [2]string              // the user and the password; empty: no login
	token    atomic.Pointer[string] // of the login
}

// GetRequestMetadata implements credentials.PerRPCCredentials: after a login, each request has its token.
func (s *Source) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if token := s.token.Load(); token != nil {
		return map[string]string{rpctypes.TokenFieldNameGRPC: *token}, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: as etcdctl, a login works without TLS.
func (s *Source) RequireTransportSecurity() bool { return false }

// Dial makes a Source; it connects with the first call. Without a TLS configuration the connection is plain text.
func Dial(endpoint string, config *tls.Config) (*Source, error) {
	how := insecure.NewCredentials()
	if config != nil {
		how = credentials.NewTLS(config)
	}
	s := &Source{Endpoint: endpoint, config: config}
	var err error
	s.conn, err = grpc.NewClient("passthrough:///"+endpoint, grpc.WithTransportCredentials(how), grpc.WithPerRPCCredentials(s),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limits.EtcdMessageBytes), grpc.MaxCallSendMsgSize(limits.EtcdMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	return s, nil
}

// A silent connection is pinged as rarely as etcd allows.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 10 * time.Second
)

// Close closes the connection.
func (s *Source) Close() error { return s.conn.Close() }

// save writes a snapshot to a file, which gets its name after it is complete, checked and durable. progress is called with the written and
// the remaining bytes. Until then the bytes are in PATH.part. Another process that saves to the same path meanwhile is refused; the
// remains of a killed process are overwritten.
func (s *Source) save(ctx context.Context, path string, progress func(written, left int64)) error {
	part := path + ".part"
	file, err := openPart(part)
	if err != nil {
		return err
	}
	defer file.Close() // its lock lasts until the file has its name
	if _, err = os.Lstat(path); err == nil {
		err = fmt.Errorf("%s is there already: %w", path, os.ErrExist)
	} else {
		err = errors.Join(s.receive(ctx, file, progress), file.Sync())
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("%s is whole, and its name may be lost with the host's power: %w", path, err)
	}
	return nil
}

// openPart opens an empty file under a lock, which ends with the process. On a file system without locks a second process is not refused.
func openPart(part string) (*os.File, error) {
	file, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return file, lockPart(file, part)
}

// lockPart locks and empties a file; it closes the file when it fails. The file may have been renamed before the lock was taken, which is
// an error.
func lockPart(file *os.File, part string) error {
	locked := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	opened, err := file.Stat()
	named, look := os.Lstat(part)
	switch {
	case errors.Is(locked, syscall.EWOULDBLOCK) || err == nil && (look != nil || !os.SameFile(opened, named)):
		err = fmt.Errorf("another process is writing %s: wait for it, or save to another file", part)
	case err == nil:
		err = file.Truncate(0)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	return nil
}

// receive writes the stream to a file, and verifies the sum at its end.
func (s *Source) receive(ctx context.Context, to io.Writer, progress func(written, left int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewMaintenanceClient(s.conn).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", s.Endpoint, err)
	}
	hash, written := sha256.New(), int64(0)
	var last []byte // the newest piece; at the end it is the sum
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("snapshot of %s, after %d bytes: %w", s.Endpoint, written, err)
		}
		_, _ = hash.Write(last)
		if _, err := to.Write(m.Blob); err != nil {
			return err
		}
		last, written = m.Blob, written+int64(len(m.Blob))
		if progress != nil {
			progress(written, int64(m.RemainingBytes))
		}
	}
	if len(last) != sha256.Size || !bytes.Equal(last, hash.Sum(nil)) {
		return fmt.Errorf("the snapshot of %s ended after %d bytes without its SHA-256: take it again", s.Endpoint, written)
	}
	return nil
}

// ask waits for an answer, which shows that the member speaks etcd's API and knows a leader. It logs in if a user is given.
func (s *Source) ask(ctx context.Context) error {
	if s.login[0] != "" {
		answer, err := pb.NewAuthClient(s.conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: s.login[0], Password: s.login[1]}, grpc.WaitForReady(true))
		if err == nil {
			s.token.Store(&answer.Token)
		} else if status.Convert(err).Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCAuthNotEnabled) {
			return err
		}
	}
	_, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte("health")}, grpc.WaitForReady(true))
	return err
}
