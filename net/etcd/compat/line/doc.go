// Package line starts members of etcd 3.7.3 and of qkv by the same command lines, etcd's, and compares what comes of it: the lines
// that are refused, by text and exit code, and what etcdctl says of the members while they are added, started, promoted, moved
// and removed.
//
// Lines that only qkv refuses say "is not supported" and what to do; a file's wrong types have the texts of etcd's library there.
package line
