//go:build linux

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/snapshot/backup"
)

const (
	// baseWait is how long a member may take to save the snapshot for a base.
	baseWait = 15 * time.Minute
	// baseBeside is how often the changes of the meantime are copied while a base is made.
	baseBeside = 500 * time.Millisecond
)

// backupMember is a connection to one member, from which a backup is made.
type backupMember struct {
	*client.Client
	endpoint string
	cluster  backup.Cluster
	status   client.Status
}

// openMember connects to the member at an endpoint, and to no other one: each member has snapshots of its own.
func (t target) openMember(ctx context.Context, endpoint string) (*backupMember, error) {
	t.endpoints, t.given, t.failFast = []string{endpoint}, true, true
	s, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	status, err := s.Status(ctx, "")
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	name := ""
	for _, m := range status.Members {
		name = cmp.Or(name, m.Name)
	}
	return &backupMember{s, endpoint, backup.Cluster{ID: status.Cluster, Name: "the cluster of " + cmp.Or(name, status.Name), Version: Version}, status}, nil
}

// others returns the client addresses that the member knows.
func (m *backupMember) others() (all []string) {
	for _, one := range m.status.Members {
		all = append(all, one.Clients...)
	}
	return all
}

// piecesAhead is how many pieces of a base are requested at a time: one arrives while the disk reads the next.
const piecesAhead = 3

// baseReader reads a member's snapshot over the network, as a backup.Source. It is for one goroutine.
type baseReader struct {
	ctx    context.Context
	member *backupMember
	base   client.BackupBase

	first  int64 // number of the first piece that is under way or there
	pieces []chan pieceRead
	bytes  []byte // of piece number at
	at     int64
}

// pieceRead is the outcome of reading a piece.
type pieceRead struct {
	bytes []byte
	err   error
}

func newBaseReader(ctx context.Context, m *backupMember, base client.BackupBase) *baseReader {
	return &baseReader{ctx: ctx, member: m, base: base, at: -1}
}

// Name implements backup.Source.
func (r *baseReader) Name() string { return r.base.Name }

// Size implements backup.Source.
func (r *baseReader) Size() int64 { return r.base.Bytes }

// SHA implements backup.Source.
func (r *baseReader) SHA() [32]byte { return r.base.SHA }

// ReadAt implements backup.Source. Reading in order is quick.
func (r *baseReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off+int64(n) >= r.base.Bytes {
			return n, io.EOF
		}
		number := (off + int64(n)) / limits.BackupPieceBytes
		if number != r.at {
			if r.bytes, err = r.piece(number); err != nil {
				return n, err
			}
			r.at = number
		}
		n += copy(p[n:], r.bytes[off+int64(n)-number*limits.BackupPieceBytes:])
	}
	return n, nil
}

// piece waits for a piece, and requests those behind it.
func (r *baseReader) piece(number int64) ([]byte, error) {
	if number < r.first || number > r.first+int64(len(r.pieces)) {
		r.first, r.pieces = number, nil
	}
	r.pieces, r.first = r.pieces[number-r.first:], number
	for len(r.pieces) < piecesAhead && (r.first+int64(len(r.pieces)))*limits.BackupPieceBytes < r.base.Bytes {
		got := make(chan pieceRead, 1)
		go r.fetch((r.first+int64(len(r.pieces)))*limits.BackupPieceBytes, got)
		r.pieces = append(r.pieces, got)
	}
	one := <-r.pieces[0]
	r.pieces, r.first = r.pieces[1:], number+1
	return one.bytes, one.err
}

// fetch reads one piece. A member may return less than was asked for.
func (r *baseReader) fetch(offset int64, into chan<- pieceRead) {
	all, wanted := []byte(nil), int(min(limits.BackupPieceBytes, r.base.Bytes-offset))
	for len(all) < wanted {
		piece, err := r.member.BackupPiece(r.ctx, &r.base, offset+int64(len(all)))
		if err == nil && len(piece) == 0 {
			err = fmt.Errorf("%s ends at byte %d, and has %d", r.base.Name, offset+int64(len(all)), r.base.Bytes)
		}
		if err != nil {
			into <- pieceRead{nil, err}
			return
		}
		all = append(all, piece...)
	}
	into <- pieceRead{all[:wanted], nil}
}

// copyBase makes a base from a snapshot of the member, of entry least or later, and returns it. A base that the backup has is returned, too.
// It calls beside while the member saves the snapshot, with 0 of 0 bytes, and after each chunk.
func copyBase(ctx context.Context, m *backupMember, w *backup.Writer, least uint64, beside func(done, total int64) error) (backup.Base, error) {
	base, err := askBase(ctx, m, least, beside)
	if err != nil {
		return backup.Base{}, err
	}
	from, err := w.Base(newBaseReader(ctx, m, base))
	if errors.Is(err, fs.ErrExist) {
		all := w.Bases()
		i := slices.IndexFunc(all, func(b backup.Base) bool { return b.Index == base.Index && b.Term == base.Term })
		return all[i], nil
	}
	if err != nil {
		return backup.Base{}, err
	}
	defer from.Close()
	for {
		done, err := from.Step(limits.BackupChunkBytes)
		if err == nil && !done {
			err = context.Cause(ctx)
		}
		if err != nil {
			return backup.Base{}, err
		}
		if done {
			return from.Published(), beside(from.Progress())
		}
		if err := beside(from.Progress()); err != nil {
			return backup.Base{}, err
		}
	}
}

// askBase waits for the snapshot of a base.
func askBase(ctx context.Context, m *backupMember, least uint64, beside func(done, total int64) error) (base client.BackupBase, err error) {
	asked, cancel := context.WithTimeout(ctx, baseWait)
	defer cancel()
	there := make(chan struct{})
	go func() {
		base, err = m.BackupBase(asked, least)
		close(there)
	}()
	poll := time.NewTicker(baseBeside)
	defer poll.Stop()
	for {
		select {
		case <-there:
			return base, err
		case <-poll.C:
			if failed := beside(0, 0); failed != nil {
				cancel()
				<-there
				return base, failed
			}
		}
	}
}

// needsBase reports whether the member's log begins behind the end of the backup.
func needsBase(err error) bool {
	return codeOf(err) == kv.Compacted || errors.Is(err, backup.ErrGap)
}

// recipientFlag is a flag for the keys that encrypt a backup.
func recipientFlag(variable string) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "recipient", EnvVars: []string{variable},
		Usage: "encrypt for the age public `KEY`, as age-keygen prints it; several are allowed",
	}
}

func recipients(c *cli.Context) (all []age.Recipient, err error) {
	for _, text := range c.StringSlice("recipient") {
		one, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, usagef("--recipient %s is not a public key of age: %w", text, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// endOf returns the entry behind which a backup goes on.
func endOf(w *backup.Writer) uint64 {
	last, _ := w.Last()
	if bases := w.Bases(); last == 0 && len(bases) > 0 {
		return bases[len(bases)-1].Index
	}
	return last
}

// backupFolder opens the backup of a cluster in a folder.
func backupFolder(m *backupMember, dir string, to []age.Recipient) (*backup.Writer, error) {
	return backup.OpenFolder(disk.OS(), dir, m.cluster, to...)
}
