package client

// Admin is what operators and their tools need of a cluster: its members and their health, alarms, users and roles, compactions, and
// backups. It is the client's, with its connections, contexts and errors. A cluster with users takes most of it from the role root only.
type Admin struct{ c *Client }

// Admin returns the client's operations for operators.
func (c *Client) Admin() *Admin { return &Admin{c} }
