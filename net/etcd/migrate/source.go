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
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"qkv/internal/limits"
)

// Source is one member of an etcd, or qkv's port for etcd's clients.
type Source struct {
	Endpoint string // HOST:PORT
	conn     *grpc.ClientConn
	config   *tls.Config // nil: without TLS
}

// Dial makes a Source; it connects with the first call. Without a TLS configuration the connection is plain.
func Dial(endpoint string, config *tls.Config) (*Source, error) {
	how := insecure.NewCredentials()
	if config != nil {
		how = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+endpoint, grpc.WithTransportCredentials(how),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limits.EtcdMessageBytes), grpc.MaxCallSendMsgSize(limits.EtcdMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	return &Source{Endpoint: endpoint, conn: conn, config: config}, nil
}

// A connection on which nothing comes is asked whether it is there, as rarely as etcd allows.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 10 * time.Second
)

// Close closes the connection.
func (s *Source) Close() error { return s.conn.Close() }

// Save writes a snapshot to a file, which gets its name when it is whole, checked and durable. Progress is told how many bytes there
// are and how many are left.
func (s *Source) Save(ctx context.Context, path string, progress func(written, left int64)) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already: %w", path, os.ErrExist)
	}
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	err = errors.Join(s.receive(ctx, file, progress), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// receive writes what comes, and checks the sum that comes last.
func (s *Source) receive(ctx context.Context, to io.Writer, progress func(written, left int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewMaintenanceClient(s.conn).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", s.Endpoint, err)
	}
	hash, written := sha256.New(), int64(0)
	var last []byte // the newest piece is the sum, if none follows
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

// ask waits for an answer: that somebody is there who speaks etcd's API, and knows a leader.
func (s *Source) ask(ctx context.Context) error {
	_, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte("health")}, grpc.WaitForReady(true))
	return err
}
