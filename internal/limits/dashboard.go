package limits

// The dashboard's requests (package web) and `qkv top`.
const (
	// DashboardClients bounds the clients of a live page; clients with more unread bytes and more requests come first.
	DashboardClients = 100
)
