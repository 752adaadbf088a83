package client_test

import (
	"testing"

	"qkv/net/client"
	"qkv/net/server"
)

// Clients and members read what comes in a row in one piece, where the kernel can.
func TestBothReadRows(t *testing.T) {
	socket, err := listenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cluster := newCluster(t, func(c *server.Config) { c.Conn = socket })
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	is, err := client.RowsRead(raw)
	if err != nil {
		t.Skip("this kernel has no UDP_GRO: ", err)
	}
	if !is {
		t.Error("a member reads each packet alone")
	}
	if is, err := cluster.ReadsRows(); err != nil || !is {
		t.Errorf("a client reads each packet alone: %v", err)
	}
}
