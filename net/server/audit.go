package server

import (
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/net/wire"
)

// audited records the refusal of a request for want of a user or of a permission, and returns it. Other errors are no events. auditLogin
// records a refused login.
func (c *conn) audited(op wire.Op, request index.Toucher, why *kv.Error) *kv.Error {
	if why == nil || rules[op].login || c.server.config.Audit == nil {
		return why
	}
	switch why.Code {
	case kv.NotAllowed, kv.UserEmpty, kv.BadToken, kv.AuthFailed:
		e := c.event(op.String())
		e.Refusal, e.Ranges = why, rangesOf(request)
		c.server.config.Audit.Record(e)
	}
	return why
}

// auditLocked records refusals, and the changes of users, roles, members or alarms, whether their client takes the answers or not.
func (s *stream) auditLocked(done []kv.Completion) {
	if s.conn.server.config.Audit == nil {
		return
	}
	for i := range done {
		switch x := s.slotLocked(done[i].Request); {
		case x == nil:
		case done[i].Result.Err != nil:
			s.conn.audited(x.op, nil, done[i].Result.Err)
		case x.note != nil:
			e := s.conn.event(x.op.String())
			e.Message, e.Revision = *x.note, done[i].Result.Revision
			s.conn.server.config.Audit.Record(e)
		}
	}
}

// auditLogin records a login of the connection, good or bad.
func (c *conn) auditLogin(name string, proof audit.Proof, why *kv.Error) {
	e := c.event(audit.Login)
	e.User, e.Proof, e.Refusal = name, proof, why
	c.server.config.Audit.Record(e)
}

// event returns an event of the connection's user.
func (c *conn) event(operation string) audit.Event {
	e := audit.Event{User: c.user, Proof: audit.None, Remote: c.qc.RemoteAddr().String(), API: audit.Native, Operation: operation}
	if c.user != "" {
		e.Proof = audit.Certificate
	}
	if l, _ := c.loginIn(c.server.config.Member.View().Auth()); l != nil && l.proof != kv.ProofNone {
		e.User, e.Proof = l.name, audit.Proof(l.proof.String())
	}
	return e
}

// rangesOf lists the ranges of keys that a request touches.
func rangesOf(request index.Toucher) (all []audit.Range) {
	if request == nil {
		return nil
	}
	request.Touches(func(t kv.Touch) bool {
		if t.Lease == 0 {
			all = append(all, audit.Range{Key: t.Key, End: t.End})
		}
		return true
	})
	return all
}
