package client

// Admin is what operators and their tools need of a cluster: its members and their health, users and roles, compactions, and
// backups. It is the client's, with its connections, contexts and errors, and as safe for use by any number of goroutines. With
// authentication, all changes, and most of the questions, need the role root: otherwise the code of the error is NotAllowed.
type Admin struct{ c *Client }

// Admin returns the client's operations for operators. It sends nothing, and needs no end of its own.
func (c *Client) Admin() *Admin { return &Admin{c} }
