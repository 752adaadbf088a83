package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"

	"qkv/actor"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/pack"
)

// A data folder:
//
//	LOCK             held by the process that uses it
//	identity         whose folder it is, and by whom it was started
//	amnesia          why this member must not vote any more: a msgpack string and its CRC-32C; absent while it may
//	peers            what is known of the other members' folders
//	wal/             the log
//	snap/            snapshots
//	quarantine/      damaged snapshots, for a closer look
//	certs/           this member's key, if the local CA made it
//
// identity is a msgpack array and its CRC-32C in 4 bytes, big-endian:
//
//	[format version, cluster, member, name, folder id, boot counter, stateless reset key, processes of the last starts]
//
// and peers is, in the same way,
//
//	[format version, [member, folder id, boot counter, process] ...]
//
// Both are published by a rename that is synced. A new folder is founded in an order that a crash can end anywhere:
// identity with boot counter 0, then the log, then boot counter 1. With a counter above 0 the log must be there.
type folder struct {
	fs   disk.FS
	dir  string
	lock io.Closer
	identity
}

type identity struct {
	Cluster, Member uint64
	Name            string
	Folder          [16]byte
	Boot            uint64
	ResetKey        [32]byte
	Past            []byte // as actor.Hello's
}

const identityVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (i identity) encode() []byte {
	b := pack.AppendArray(nil, 8)
	b = pack.AppendUint(b, identityVersion)
	b = pack.AppendUint(b, i.Cluster)
	b = pack.AppendUint(b, i.Member)
	b = pack.AppendString(b, i.Name)
	b = pack.AppendBytes(b, i.Folder[:])
	b = pack.AppendUint(b, i.Boot)
	b = pack.AppendBytes(b, i.ResetKey[:])
	b = pack.AppendBytes(b, i.Past)
	return seal(b)
}

func seal(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)) }

// unseal returns what was sealed.
func unseal(b []byte) ([]byte, error) {
	if len(b) < 4 || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, errors.New("its checksum is wrong")
	}
	return b[:len(b)-4], nil
}

func decodeIdentity(b []byte) (i identity, err error) {
	if b, err = unseal(b); err != nil {
		return i, err
	}
	r := pack.NewReader(b)
	elements, version := r.Array(), r.Uint()
	if r.Err() == nil && version != identityVersion {
		return i, usagef("the data folder has format %d, this qkv reads format %d: use the version that wrote it, or a newer one", version, identityVersion)
	}
	if elements != 8 {
		return i, fmt.Errorf("it has %d fields, not 8", elements)
	}
	i.Cluster, i.Member, i.Name = r.Uint(), r.Uint(), r.String()
	id := r.Bytes()
	i.Boot = r.Uint()
	key := r.Bytes()
	i.Past = bytes.Clone(r.Bytes())
	if copy(i.Folder[:], id) != 16 || copy(i.ResetKey[:], key) != 32 || len(i.Past)%8 != 0 || len(i.Past) > actor.PastBytes {
		return i, errors.New("an id has the wrong length")
	}
	return i, r.Done()
}

func (f *folder) path(name string) string { return f.dir + "/" + name }

// openFolder locks a data folder and reads whose it is; a new one is founded.
func openFolder(disks disk.FS, dir string, want ids, random io.Reader) (*folder, error) {
	f := &folder{fs: disks, dir: dir}
	if err := disks.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make the data folder %s: %w", dir, err)
	}
	if err := f.acquire(); err != nil {
		return nil, err
	}
	if err := f.load(want, random); err != nil {
		f.lock.Close()
		return nil, err
	}
	return f, nil
}

// acquire takes the folder's lock.
func (f *folder) acquire() (err error) {
	f.lock, err = f.fs.Lock(f.path("LOCK"))
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("the data folder %s is in use by another process: stop that one first, or give another --data-dir", f.dir)
	}
	if err != nil {
		return fmt.Errorf("lock the data folder %s: %w", f.dir, err)
	}
	return nil
}

func (f *folder) load(want ids, random io.Reader) error {
	err := f.identify(want)
	if errors.Is(err, fs.ErrNotExist) {
		return f.found(want, random)
	}
	return err
}

// refuseForeign refuses a data folder that is not this member's, or in use, before anything is made in it. A new one is
// nobody's.
func refuseForeign(disks disk.FS, dir string, want ids) error {
	f := &folder{fs: disks, dir: dir}
	err := f.identify(want)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if busy := f.acquire(); busy != nil {
		return busy
	}
	return errors.Join(err, f.lock.Close())
}

// identify reads whose folder it is, and refuses another one's.
func (f *folder) identify(want ids) error {
	raw, err := f.read("identity")
	if err != nil {
		return fmt.Errorf("read %s: %w", f.path("identity"), err)
	}
	if f.identity, err = decodeIdentity(raw); err != nil {
		var refused *UsageError
		if errors.As(err, &refused) {
			return err
		}
		return damagedf("%s is corrupt: %v; without it this member must not vote: put back this folder exactly as it was; the README says under \"When a member has lost its disk\" what else is left", f.path("identity"), err)
	}
	if f.Cluster != want.cluster {
		return usagef("the data folder %s was founded by the member %s with other names, addresses, token or certificates: it belongs to cluster %016x, and "+
			"--initial-cluster (alone: --name and --listen-peer), --initial-cluster-token and the certificates make cluster %016x: give those of the first start, or another --data-dir",
			f.dir, f.Name, f.Cluster, want.cluster)
	}
	if f.Member != want.self {
		return usagef("the data folder %s belongs to the member %s (%016x), this is %s: give the right --data-dir or --name", f.dir, f.Name, f.Member, want.nameOf(want.self))
	}
	return nil
}

// damaged says what is wrong with a file beside the log. It is log.ErrCorrupt to errors.Is.
type damaged string

func damagedf(format string, values ...any) error { return damaged(fmt.Sprintf(format, values...)) }

func (d damaged) Error() string { return string(d) }

func (d damaged) Is(target error) bool { return target == log.ErrCorrupt }

// found makes the identity of a new folder. A folder that holds a log but no identity is not new.
func (f *folder) found(want ids, random io.Reader) error {
	for _, name := range []string{"wal", "snap"} {
		if names, err := f.fs.List(f.path(name)); err == nil && len(names) > 0 {
			return damagedf("corrupt data folder: %s holds data but %s is missing: put back that file; the README says under \"When a member has lost its disk\" what else is left", f.path(name), f.path("identity"))
		}
	}
	f.identity = identity{Cluster: want.cluster, Member: want.self, Name: want.nameOf(want.self)}
	if _, err := io.ReadFull(random, f.Folder[:]); err != nil {
		return fmt.Errorf("make a folder id: %w", err)
	}
	if _, err := io.ReadFull(random, f.ResetKey[:]); err != nil {
		return fmt.Errorf("make a reset key: %w", err)
	}
	if err := f.anchor(); err != nil {
		return fmt.Errorf("make the folder %s durable: %w", f.dir, err)
	}
	return f.publish()
}

// anchor makes the folder's own name durable, and those of the folders above it, any of which may be new: what is
// synced inside of a folder is lost with the folder's name. One that may not be read was not made by this process.
func (f *folder) anchor() error {
	for dir := path.Clean(f.dir); dir != "." && dir != "/"; {
		dir = path.Dir(dir)
		if err := f.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// boot counts this start, and notes whose it is.
func (f *folder) boot(process [16]byte) error {
	f.Boot++
	past := append(bytes.Clone(f.Past), process[:8]...)
	f.Past = past[max(len(past)-actor.PastBytes, 0):]
	return f.publish()
}

// banned reads why this folder's member must not vote any more; empty when it may.
func (f *folder) banned() (string, error) {
	raw, err := f.read("amnesia")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		raw, err = unseal(raw)
	}
	if err != nil {
		return "", damagedf("%s is corrupt: %v; it says that this member must not vote: put back this folder exactly as it was before that file was made; the README says under \"When a member has lost its disk\" what else is left", f.path("amnesia"), err)
	}
	r := pack.NewReader(raw)
	why := r.String()
	return why, r.Done()
}

// ban writes down that this folder's member must not vote any more.
func (f *folder) ban(why string) error {
	return f.replace("amnesia", seal(pack.AppendString(nil, why[:min(len(why), banBytesMost)])))
}

// banBytesMost is how much of a reason is kept.
const banBytesMost = 2048

// known reads what is known of the other members. Without the file nothing is known beyond what the log says.
func (f *folder) known() ([]actor.Known, error) {
	raw, err := f.read("peers")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		raw, err = unseal(raw)
	}
	if err != nil {
		return nil, damagedf("%s is corrupt: %v; it tells this member who has lost data: restore it, or remove it when no other member's folder was replaced", f.path("peers"), err)
	}
	r := pack.NewReader(raw)
	n, version := r.Array(), r.Uint()
	if r.Err() == nil && version != identityVersion {
		return nil, usagef("%s has format %d, this qkv reads format %d: use the version that wrote it, or a newer one", f.path("peers"), version, identityVersion)
	}
	var all []actor.Known
	for i := 1; i < n && r.Err() == nil; i++ {
		r.ArrayOf(4)
		k := actor.Known{Member: r.Uint()}
		folder := r.Bytes()
		k.Boot = r.Uint()
		process := r.Bytes()
		if copy(k.Folder[:], folder) != 16 || copy(k.Process[:], process) != 16 {
			r.Fail("an id has 16 bytes")
		}
		all = append(all, k)
	}
	return all, r.Done()
}

// remember writes what is known of the other members.
func (f *folder) remember(all []actor.Known) error {
	b := pack.AppendUint(pack.AppendArray(nil, 1+len(all)), identityVersion)
	for _, k := range all {
		b = pack.AppendUint(pack.AppendArray(b, 4), k.Member)
		b = pack.AppendBytes(b, k.Folder[:])
		b = pack.AppendUint(b, k.Boot)
		b = pack.AppendBytes(b, k.Process[:])
	}
	return f.replace("peers", seal(b))
}

func (f *folder) publish() error { return f.replace("identity", f.encode()) }

// replace writes a file under another name, and renames it when it is durable.
func (f *folder) replace(name string, content []byte) error {
	if err := f.write(name, content); err != nil {
		return fmt.Errorf("write %s: %w", f.path(name), err)
	}
	return nil
}

func (f *folder) write(name string, content []byte) error {
	temporary := f.path(name + ".tmp")
	if err := f.fs.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.fs.Create(temporary)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = f.fs.Rename(temporary, f.path(name))
	}
	if err == nil {
		err = f.fs.SyncDir(f.dir)
	}
	return err
}

// identityBytesMost bounds the identity file: a name and a few numbers.
const identityBytesMost = 4096

func (f *folder) read(name string) ([]byte, error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > identityBytesMost {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are right", name, size, identityBytesMost)
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}
