package etcd

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"math"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/auth"
	"qkv/net/etcd/front"
)

// authService is etcdserverpb.Auth. The member that is asked hashes a password (package auth): requests to other members and the log never
// contain it. A handler takes the password out of its request first, so that nothing that prints requests can show it (CVE-2021-28235).
type authService struct{ *core }

func (s authService) methods(o offer) []grpc.MethodDesc {
	return []grpc.MethodDesc{
		method(o, "AuthStatus", s.authStatus), method(o, "Authenticate", s.authenticate),
		method(o, "AuthEnable", s.authEnable), method(o, "AuthDisable", s.authDisable),
		method(o, "UserAdd", s.userAdd), method(o, "UserGet", s.userGet), method(o, "UserList", s.userList), method(o, "UserDelete", s.userDelete),
		method(o, "UserChangePassword", s.userChangePassword), method(o, "UserGrantRole", s.userGrantRole), method(o, "UserRevokeRole", s.userRevokeRole),
		method(o, "RoleAdd", s.roleAdd), method(o, "RoleGet", s.roleGet), method(o, "RoleList", s.roleList), method(o, "RoleDelete", s.roleDelete),
		method(o, "RoleGrantPermission", s.roleGrantPermission), method(o, "RoleRevokePermission", s.roleRevokePermission),
	}
}

// confirmed returns a View that has all changes of users and roles that were answered before the request.
func (s authService) confirmed(ctx context.Context) (*index.View, error) {
	if err := s.calls.confirm(ctx); err != nil {
		return nil, err
	}
	return s.config.Member.View(), nil
}

func (s authService) authStatus(ctx context.Context, _ *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	v, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	if v.Auth().Enabled() {
		if err := s.callerOf(ctx).err; err != nil {
			return nil, err
		}
	}
	return &pb.AuthStatusResponse{Header: s.header(v.Revision()), Enabled: v.Auth().Enabled(), AuthRevision: v.Auth().Revision()}, nil
}

// authenticate answers with a token. The password is compared outside of everything else. If the password has been changed meanwhile, it is
// compared again. Other changes of users and roles do not matter.
func (s authService) authenticate(ctx context.Context, q *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	password := auth.Secret(q.Password)
	q.Password = ""
	v, err := s.config.Member.View(), error(nil)
	if s.config.Start.Current() { // otherwise --serve-stale
		v, err = s.confirmed(ctx)
	}
	if err != nil {
		return nil, err
	}
	client := front.AccountOf(ctx).Client()
	for {
		if !v.Auth().Enabled() {
			return nil, rpctypes.ErrGRPCAuthNotEnabled
		}
		user, found := v.Auth().User(q.Name)
		fits, err := s.config.Hasher.Verify(ctx, client, q.Name, user.Password, password)
		if err != nil {
			return nil, statusOf(err)
		}
		if !fits && found {
			s.log.Warn("login "+client, "a login is refused: the password is wrong", "client", client, "user", q.Name)
		}
		if !fits {
			return nil, rpctypes.ErrGRPCAuthFailed
		}
		v = s.config.Member.View()
		now, found := v.Auth().User(q.Name)
		if !found || now.Epoch != user.Epoch || !v.Auth().Enabled() {
			continue
		}
		applied, _ := v.Applied()
		claims := auth.Claims{User: q.Name, Epoch: user.Epoch, Revision: v.Auth().Revision(), Applied: applied}
		token, err := s.config.Tokens.Assign(claims, time.Now())
		if err != nil {
			return nil, statusOf(err)
		}
		return &pb.AuthenticateResponse{Header: s.header(v.Revision()), Token: token}, nil
	}
}

// change proposes a change, and returns the header of its answer.
func (s authService) change(ctx context.Context, c *kv.AuthChange) (*pb.ResponseHeader, error) {
	if err := c.Check(s.bounds()); err != nil {
		return nil, statusOf(err)
	}
	out, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendAuthChange(nil, c) })
	if err != nil {
		return nil, err
	}
	return s.header(out.Result.Revision), nil
}

func (s authService) authEnable(ctx context.Context, _ *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	secret := make([]byte, limits.AuthSecretBytes)
	_, _ = rand.Read(secret) // it never fails: the process would end
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.AuthEnable, Secret: secret})
	return answered(err, &pb.AuthEnableResponse{Header: h})
}

// answered returns an answer, unless there is an error.
func answered[A any](err error, answer *A) (*A, error) {
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s authService) authDisable(ctx context.Context, _ *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.AuthDisable})
	return answered(err, &pb.AuthDisableResponse{Header: h})
}

// errPasswordTooLong has the text of the library that etcd hashes with, too.
var errPasswordTooLong = status.Error(codes.Unknown, "bcrypt: password length exceeds 72 bytes")

// hash hashes a new password.
func (s authService) hash(ctx context.Context, password auth.Secret) ([]byte, error) {
	if len(password) > limits.PasswordBytes {
		return nil, errPasswordTooLong
	}
	hash, err := s.config.Hasher.Hash(ctx, front.AccountOf(ctx).Client(), password)
	if err != nil {
		return nil, statusOf(err)
	}
	return hash, nil
}

func (s authService) userAdd(ctx context.Context, q *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	password := auth.Secret(q.Password)
	q.Password, q.HashedPassword = "", "" // etcd, too, ignores a hash that the client has made
	c := kv.AuthChange{Kind: kv.UserAdd, User: q.Name, NoPassword: q.GetOptions().GetNoPassword()}
	if !c.NoPassword { // as in etcd, an error in the password comes first
		var err error
		if c.Password, err = s.hash(ctx, password); err != nil {
			return nil, err
		}
	}
	h, err := s.change(ctx, &c)
	return answered(err, &pb.AuthUserAddResponse{Header: h})
}

// errNotHashed is etcd's answer to a hash that is not Base64.
var errNotHashed = status.Error(codes.Unknown, "auth: authentication failed, password was given for no password user")

// userChangePassword sets a password, or the hash of one that the client has made. Without either, the user cannot log in any more.
func (s authService) userChangePassword(ctx context.Context, q *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	password, hashed := auth.Secret(q.Password), q.HashedPassword
	q.Password, q.HashedPassword = "", ""
	c := kv.AuthChange{Kind: kv.UserChangePassword, User: q.Name}
	var err error
	if len(password) > 0 { // as in etcd, an error in the password comes first
		if c.Password, err = s.hash(ctx, password); err != nil {
			return nil, err
		}
	} else if c.Password, err = base64.StdEncoding.DecodeString(hashed); err != nil {
		if user, found := s.config.Member.View().Auth().User(q.Name); found && !user.NoPassword {
			return nil, errNotHashed
		}
		c.Password = nil
	}
	if c.User == "" {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	h, err := s.change(ctx, &c)
	return answered(err, &pb.AuthUserChangePasswordResponse{Header: h})
}

func (s authService) userDelete(ctx context.Context, q *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	if q.Name == "" {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.UserDelete, User: q.Name})
	return answered(err, &pb.AuthUserDeleteResponse{Header: h})
}

func (s authService) userGrantRole(ctx context.Context, q *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	if q.User == "" {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.UserGrantRole, User: q.User, Role: q.Role})
	return answered(err, &pb.AuthUserGrantRoleResponse{Header: h})
}

func (s authService) userRevokeRole(ctx context.Context, q *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	if q.Name == "" {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.UserRevokeRole, User: q.Name, Role: q.Role})
	return answered(err, &pb.AuthUserRevokeRoleResponse{Header: h})
}

func (s authService) roleAdd(ctx context.Context, q *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.RoleAdd, Role: q.Name})
	return answered(err, &pb.AuthRoleAddResponse{Header: h})
}

func (s authService) roleDelete(ctx context.Context, q *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	if q.Role == "" {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.RoleDelete, Role: q.Role})
	return answered(err, &pb.AuthRoleDeleteResponse{Header: h})
}

func (s authService) roleGrantPermission(ctx context.Context, q *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	if q.Perm == nil {
		return nil, rpctypes.ErrGRPCPermissionNotGiven
	}
	kind := kv.PermissionType(math.MaxUint8) // of no type that there is
	if t := q.Perm.PermType; t >= 0 && t < math.MaxUint8 {
		kind = kv.PermissionType(t)
	}
	c := kv.AuthChange{Kind: kv.RoleGrantPermission, Role: q.Name, Permission: kv.Permission{Key: q.Perm.Key, End: q.Perm.RangeEnd, Type: kind}}
	if err := c.Permission.Check(s.bounds()); err != nil {
		return nil, statusOf(err)
	}
	if c.Role == "" {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	h, err := s.change(ctx, &c)
	return answered(err, &pb.AuthRoleGrantPermissionResponse{Header: h})
}

func (s authService) roleRevokePermission(ctx context.Context, q *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	if q.Role == "" {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	h, err := s.change(ctx, &kv.AuthChange{Kind: kv.RoleRevokePermission, Role: q.Role, Permission: kv.Permission{Key: q.Key, End: q.RangeEnd}})
	return answered(err, &pb.AuthRoleRevokePermissionResponse{Header: h})
}

// userGet answers about the caller itself, too.
func (s authService) userGet(ctx context.Context, q *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	v, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.permitsAbout(ctx, v, func(own string) bool { return own == q.Name }); err != nil {
		return nil, err
	}
	user, found := v.Auth().User(q.Name)
	if !found {
		return nil, rpctypes.ErrGRPCUserNotFound
	}
	return &pb.AuthUserGetResponse{Header: s.header(v.Revision()), Roles: user.Roles}, nil
}

// permitsAbout refuses a question to a caller that is neither an administrator nor concerned. The name in an old JWT may be that of an
// earlier user.
func (s authService) permitsAbout(ctx context.Context, v *index.View, concerns func(caller string) bool) error {
	err := s.permits(ctx, v, kv.AccessAdmin, nil)
	if err == nil {
		return nil
	}
	if c := s.callerOf(ctx); c.err == nil && c.in(v).Auth >= v.Auth().Revision() && concerns(c.name) {
		return nil
	}
	return err
}

func (s authService) userList(ctx context.Context, _ *pb.AuthUserListRequest) (answer, error) {
	v, err := s.confirmed(ctx)
	if err == nil {
		err = s.permits(ctx, v, kv.AccessAdmin, nil)
	}
	if err != nil {
		return nil, err
	}
	list := &pb.AuthUserListResponse{Header: s.header(v.Revision())}
	v.Auth().Users(func(u *kv.UserRecord) bool {
		list.Users = append(list.Users, u.Name)
		return true
	})
	return s.encodeBuilt(ctx, list, nil)
}

func (s authService) roleList(ctx context.Context, _ *pb.AuthRoleListRequest) (answer, error) {
	v, err := s.confirmed(ctx)
	if err == nil {
		err = s.permits(ctx, v, kv.AccessAdmin, nil)
	}
	if err != nil {
		return nil, err
	}
	list := &pb.AuthRoleListResponse{Header: s.header(v.Revision())}
	v.Auth().Roles(func(r *kv.UserRole) bool {
		list.Roles = append(list.Roles, r.Name)
		return true
	})
	return s.encodeBuilt(ctx, list, nil)
}

// roleGet answers about the caller's own roles, too. As in etcd, the role root is shown once it was added, and then permits everything.
func (s authService) roleGet(ctx context.Context, q *pb.AuthRoleGetRequest) (answer, error) {
	v, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	err = s.permitsAbout(ctx, v, func(own string) bool {
		user, _ := v.Auth().User(own)
		return slices.Contains(user.Roles, q.Role)
	})
	if err != nil {
		return nil, err
	}
	role, found := addedRole(v.Auth(), q.Role)
	if !found {
		return nil, rpctypes.ErrGRPCRoleNotFound
	}
	about := &pb.AuthRoleGetResponse{Header: s.header(v.Revision())}
	if role.Name == kv.Root {
		about.Perm = []*authpb.Permission{{PermType: authpb.Permission_READWRITE, RangeEnd: []byte{0}}}
		return libraryMessage{about}, nil
	}
	about.Perm = permissionsOf(&role)
	return s.encodeBuilt(ctx, about, nil)
}

// permissionsOf returns a role's permissions in etcd's form.
func permissionsOf(r *kv.UserRole) (all []*authpb.Permission) {
	for i := range r.Permissions {
		p := &r.Permissions[i]
		all = append(all, &authpb.Permission{PermType: authpb.Permission_Type(p.Type), Key: p.Key, RangeEnd: p.End})
	}
	return all
}

// addedRole returns a role that an administrator has added.
func addedRole(a *index.Auth, name string) (role kv.UserRole, found bool) {
	if name != kv.Root {
		return a.Role(name)
	}
	a.Roles(func(r *kv.UserRole) bool {
		role, found = *r, r.Name == name
		return !found && r.Name < name
	})
	return role, found
}
