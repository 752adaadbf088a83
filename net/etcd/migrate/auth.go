package migrate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qkv/index/kv"
)

// readAuth reads the users with the hashes of their passwords, and the roles. The buckets are absent from a file of an etcd before 3.0's
// users, and empty in a file of an early qkv.
func (f *File) readAuth(tx *bbolt.Tx) error {
	a := &f.Auth
	if b := tx.Bucket([]byte("auth")); b != nil {
		a.Enabled = bytes.Equal(b.Get([]byte("authEnabled")), []byte{1})
		if revision := b.Get([]byte("authRevision")); len(revision) == 8 {
			a.Revision = binary.BigEndian.Uint64(revision)
		}
	}
	exists := map[string]bool{kv.Root: true}
	err := eachEntry(tx, "authRoles", func(name, value []byte) error {
		role := &authpb.Role{}
		if err := proto.Unmarshal(value, role); err != nil || !bytes.Equal(role.Name, name) {
			return fileError("%s: the role %.40q cannot be read (%v)", f.Path, name, err)
		}
		exists[string(name)] = true
		a.Roles = append(a.Roles, kv.UserRole{Name: string(name), Permissions: permissionsOf(role)})
		return nil
	})
	if err != nil {
		return err
	}
	return eachEntry(tx, "authUsers", func(name, value []byte) error {
		user := &authpb.User{}
		if err := proto.Unmarshal(value, user); err != nil || !bytes.Equal(user.Name, name) {
			return fileError("%s: the user %.40q cannot be read (%v)", f.Path, name, err)
		}
		one := kv.UserRecord{Name: string(name), Password: bytes.Clone(user.Password), NoPassword: user.GetOptions().GetNoPassword()}
		for _, role := range user.Roles {
			if !exists[role] { // permits nothing in etcd either
				f.Notes = append(f.Notes, fmt.Sprintf("the user %.40q has the role %.40q, which does not exist: it is left behind", name, role))
				continue
			}
			one.Roles = append(one.Roles, role)
		}
		slices.Sort(one.Roles)
		one.Roles = slices.Compact(one.Roles)
		a.Users = append(a.Users, one)
		return nil
	})
}

// CheckFollowed returns an error if the running source of a snapshot cannot be followed: changes of its users do not appear in a watch.
func CheckFollowed(path string) error {
	f, err := OpenFile(path, false)
	if err != nil {
		return err
	}
	return errors.Join(f.checkFollowed(), f.Close())
}

func (f *File) checkFollowed() error {
	if f.Auth.Enabled {
		return errSourceAuth
	}
	return nil
}

var errSourceAuth = fmt.Errorf("%w: authentication is enabled at the source, and users and roles of a running etcd cannot be followed. Migrate a file, which has them with their passwords: "+
	"`etcdctl snapshot save FILE`, and then `qkv migrate from-etcd --snapshot FILE`. Or run `etcdctl auth disable` at the source, and make the users anew", ErrFile)

// explained returns what to do about a source that asks for a user.
func explained(err error) error {
	refusal, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		return err
	}
	switch refusal.GRPCStatus().Message() {
	case status.Convert(rpctypes.ErrGRPCUserEmpty).Message(), status.Convert(rpctypes.ErrGRPCPermissionDenied).Message(), status.Convert(rpctypes.ErrGRPCUserNotFound).Message():
		return errSourceAuth
	}
	return err
}

// eachEntry calls f with the entries of a bucket, if the file has it.
func eachEntry(tx *bbolt.Tx, bucket string, f func(name, value []byte) error) error {
	if b := tx.Bucket([]byte(bucket)); b != nil {
		return b.ForEach(f)
	}
	return nil
}

// permissionsOf returns the permissions of a role, each range once. etcd may list a range several times, and permits all of its types.
func permissionsOf(role *authpb.Role) (all []kv.Permission) {
	for _, p := range role.KeyPermission {
		one := kv.Permission{Key: bytes.Clone(p.Key), End: bytes.Clone(p.RangeEnd), Type: kv.PermissionType(min(uint32(p.PermType), 255))}
		at, twice := slices.BinarySearchFunc(all, one, func(a, b kv.Permission) int { return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.End, b.End)) })
		switch {
		case !twice:
			all = slices.Insert(all, at, one)
		case all[at].Type != one.Type:
			all[at].Type = kv.PermitReadWrite
		}
	}
	return all
}
