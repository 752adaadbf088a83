package compat

import (
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// op is one step of a sequence.
type op struct {
	kind    string
	request proto.Message // nil for steps that are no request; leases have the sequence's numbers
	stream  int           // of watches: which stream
	as      int64         // of a grant that leaves the id to the server: its number in the sequence
	member  int           // which member is asked, modulo their number
	user    int           // whose token it has, if that user has logged in: a place in userNames
}

// The kinds of steps.
const (
	kindRange       = "range"
	kindRangeStream = "rangestream"
	kindPut         = "put"
	kindDelete      = "delete"
	kindTxn         = "txn"
	kindCompact     = "compact"
	kindGrant       = "grant"
	kindRevoke      = "revoke"
	kindKeepAlive   = "keepalive"
	kindTTL         = "ttl"
	kindLeases      = "leases"
	kindHashKV      = "hashkv"
	kindWatch       = "watch" // one message on a watch stream, which is opened by the first one
	kindClose       = "close" // of a watch stream

	kindAuthStatus   = "authstatus"
	kindAuthenticate = "authenticate"
	kindAuthEnable   = "authenable"
	kindAuthDisable  = "authdisable"
	kindUserAdd      = "useradd"
	kindUserGet      = "userget"
	kindUserList     = "userlist"
	kindUserDelete   = "userdelete"
	kindUserPassword = "userpassword"
	kindUserGrant    = "usergrant"
	kindUserRevoke   = "userrevoke"
	kindRoleAdd      = "roleadd"
	kindRoleGet      = "roleget"
	kindRoleList     = "rolelist"
	kindRoleDelete   = "roledelete"
	kindRoleGrant    = "rolegrant"
	kindRoleRevoke   = "rolerevoke"
	kindMemberList   = "memberlist"
	kindAlarm        = "alarm"
	kindStatus       = "status"
	kindWatchOnce    = "watchonce" // a watch on a stream of its own, which is closed after the first answer
)

// rpc is how a kind travels.
type rpc struct {
	method            string
	request, response func() proto.Message
}

func made[M any, P interface {
	*M
	proto.Message
}]() proto.Message {
	return P(new(M))
}

var rpcs = map[string]rpc{
	kindRange:       {"/etcdserverpb.KV/Range", made[pb.RangeRequest], made[pb.RangeResponse]},
	kindRangeStream: {"/etcdserverpb.KV/RangeStream", made[pb.RangeRequest], made[pb.RangeStreamResponse]},
	kindPut:         {"/etcdserverpb.KV/Put", made[pb.PutRequest], made[pb.PutResponse]},
	kindDelete:      {"/etcdserverpb.KV/DeleteRange", made[pb.DeleteRangeRequest], made[pb.DeleteRangeResponse]},
	kindTxn:         {"/etcdserverpb.KV/Txn", made[pb.TxnRequest], made[pb.TxnResponse]},
	kindCompact:     {"/etcdserverpb.KV/Compact", made[pb.CompactionRequest], made[pb.CompactionResponse]},
	kindGrant:       {"/etcdserverpb.Lease/LeaseGrant", made[pb.LeaseGrantRequest], made[pb.LeaseGrantResponse]},
	kindRevoke:      {"/etcdserverpb.Lease/LeaseRevoke", made[pb.LeaseRevokeRequest], made[pb.LeaseRevokeResponse]},
	kindKeepAlive:   {"/etcdserverpb.Lease/LeaseKeepAlive", made[pb.LeaseKeepAliveRequest], made[pb.LeaseKeepAliveResponse]},
	kindTTL:         {"/etcdserverpb.Lease/LeaseTimeToLive", made[pb.LeaseTimeToLiveRequest], made[pb.LeaseTimeToLiveResponse]},
	kindLeases:      {"/etcdserverpb.Lease/LeaseLeases", made[pb.LeaseLeasesRequest], made[pb.LeaseLeasesResponse]},
	kindHashKV:      {"/etcdserverpb.Maintenance/HashKV", made[pb.HashKVRequest], made[pb.HashKVResponse]},
	kindWatch:       {"/etcdserverpb.Watch/Watch", made[pb.WatchRequest], made[pb.WatchResponse]},

	kindAuthStatus:   {"/etcdserverpb.Auth/AuthStatus", made[pb.AuthStatusRequest], made[pb.AuthStatusResponse]},
	kindAuthenticate: {"/etcdserverpb.Auth/Authenticate", made[pb.AuthenticateRequest], made[pb.AuthenticateResponse]},
	kindAuthEnable:   {"/etcdserverpb.Auth/AuthEnable", made[pb.AuthEnableRequest], made[pb.AuthEnableResponse]},
	kindAuthDisable:  {"/etcdserverpb.Auth/AuthDisable", made[pb.AuthDisableRequest], made[pb.AuthDisableResponse]},
	kindUserAdd:      {"/etcdserverpb.Auth/UserAdd", made[pb.AuthUserAddRequest], made[pb.AuthUserAddResponse]},
	kindUserGet:      {"/etcdserverpb.Auth/UserGet", made[pb.AuthUserGetRequest], made[pb.AuthUserGetResponse]},
	kindUserList:     {"/etcdserverpb.Auth/UserList", made[pb.AuthUserListRequest], made[pb.AuthUserListResponse]},
	kindUserDelete:   {"/etcdserverpb.Auth/UserDelete", made[pb.AuthUserDeleteRequest], made[pb.AuthUserDeleteResponse]},
	kindUserPassword: {"/etcdserverpb.Auth/UserChangePassword", made[pb.AuthUserChangePasswordRequest], made[pb.AuthUserChangePasswordResponse]},
	kindUserGrant:    {"/etcdserverpb.Auth/UserGrantRole", made[pb.AuthUserGrantRoleRequest], made[pb.AuthUserGrantRoleResponse]},
	kindUserRevoke:   {"/etcdserverpb.Auth/UserRevokeRole", made[pb.AuthUserRevokeRoleRequest], made[pb.AuthUserRevokeRoleResponse]},
	kindRoleAdd:      {"/etcdserverpb.Auth/RoleAdd", made[pb.AuthRoleAddRequest], made[pb.AuthRoleAddResponse]},
	kindRoleGet:      {"/etcdserverpb.Auth/RoleGet", made[pb.AuthRoleGetRequest], made[pb.AuthRoleGetResponse]},
	kindRoleList:     {"/etcdserverpb.Auth/RoleList", made[pb.AuthRoleListRequest], made[pb.AuthRoleListResponse]},
	kindRoleDelete:   {"/etcdserverpb.Auth/RoleDelete", made[pb.AuthRoleDeleteRequest], made[pb.AuthRoleDeleteResponse]},
	kindRoleGrant:    {"/etcdserverpb.Auth/RoleGrantPermission", made[pb.AuthRoleGrantPermissionRequest], made[pb.AuthRoleGrantPermissionResponse]},
	kindRoleRevoke:   {"/etcdserverpb.Auth/RoleRevokePermission", made[pb.AuthRoleRevokePermissionRequest], made[pb.AuthRoleRevokePermissionResponse]},
	kindMemberList:   {"/etcdserverpb.Cluster/MemberList", made[pb.MemberListRequest], made[pb.MemberListResponse]},
	kindAlarm:        {"/etcdserverpb.Maintenance/Alarm", made[pb.AlarmRequest], made[pb.AlarmResponse]},
	kindStatus:       {"/etcdserverpb.Maintenance/Status", made[pb.StatusRequest], made[pb.StatusResponse]},
	kindWatchOnce:    {"/etcdserverpb.Watch/Watch", made[pb.WatchRequest], made[pb.WatchResponse]},
}

// String is the step as scripts write it: kind, settings, request.
func (o op) String() string {
	words := []string{o.kind}
	for _, setting := range []struct {
		name string
		n    int64
	}{{"stream", int64(o.stream)}, {"as", o.as}, {"member", int64(o.member)}, {"user", int64(o.user)}} {
		if setting.n != 0 {
			words = append(words, fmt.Sprintf("%s=%d", setting.name, setting.n))
		}
	}
	if o.request != nil {
		words = append(words, "{"+prototext.MarshalOptions{}.Format(o.request)+"}")
	}
	return strings.Join(words, " ")
}

// parseOp reads what String has written.
func parseOp(line string) (op, error) {
	head, body, found := strings.Cut(line, "{")
	words := strings.Fields(head)
	if len(words) == 0 {
		return op{}, fmt.Errorf("no kind in %q", line)
	}
	o := op{kind: words[0]}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return op{}, fmt.Errorf("%q: %w", line, err)
		}
		switch name {
		case "stream":
			o.stream = int(n)
		case "as":
			o.as = n
		case "member":
			o.member = int(n)
		case "user":
			o.user = int(n)
		default:
			return op{}, fmt.Errorf("%q: no setting is called %q", line, name)
		}
	}
	if !found {
		return o, nil
	}
	r, known := rpcs[o.kind]
	if !known {
		return op{}, fmt.Errorf("%q: no kind of request is called %q", line, o.kind)
	}
	o.request = r.request()
	if err := prototext.Unmarshal([]byte(body[:strings.LastIndex(body, "}")]), o.request); err != nil {
		return op{}, fmt.Errorf("%q: %w", line, err)
	}
	return o, nil
}

// abbreviated is the step for a report: at most some hundred characters of it.
func (o op) abbreviated() string {
	text := strings.ReplaceAll(o.String(), strings.Repeat("k", 200), "k..k")
	if len(text) > 600 {
		text = text[:400] + fmt.Sprintf(" ...%d... ", len(text)-600) + text[len(text)-200:]
	}
	return text
}
