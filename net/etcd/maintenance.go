package etcd

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// alarms are those of the members that etcd knows, too.
func (s *Server) alarms() (all []*pb.AlarmMember) {
	for _, a := range s.config.Member.Status().Alarms {
		switch a.Name {
		case "NOSPACE":
			all = append(all, &pb.AlarmMember{MemberID: a.Member, Alarm: pb.AlarmType_NOSPACE})
		case "CORRUPT":
			all = append(all, &pb.AlarmMember{MemberID: a.Member, Alarm: pb.AlarmType_CORRUPT})
		}
	}
	return all
}
