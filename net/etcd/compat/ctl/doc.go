// Package ctl runs scripts of etcdctl 3.7.3 with etcd and with qkv, and compares all that it prints, and its exit status.
//
// A script in testdata has one command of etcdctl in a line that begins with "> ", and behind it in lines that begin with "| "
// what it reads. "> 3: watch a" ends the command after three lines. A file's first line may be "members 3". $E1 is the first
// member's endpoint, $M1 its id, $L1 the first lease that was granted, $LEADER and $FOLLOWER are endpoints, $DIR is a folder.
// What differs from run to run is replaced: ids, addresses, durations, sizes.
package ctl
