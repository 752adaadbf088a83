// Package h2 serves gRPC's methods over HTTP/2.
package h2
