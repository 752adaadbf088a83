package node

import (
	"cmp"
	"fmt"
	"slices"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
)

// openAudit returns the audit log of a member.
func openAudit(c *Config) (*audit.Log, error) {
	if c.AuditLog == "" {
		return audit.New(c.Logger.Handler(), nil), nil
	}
	file, err := audit.OpenFile(c.AuditLog, c.Logger)
	if err != nil {
		return nil, usagef("--audit-log %s: %w", c.AuditLog, err)
	}
	go file.Run()
	return audit.New(c.Logger.Handler(), file), nil
}

// recordMembers records how the membership has changed, whichever member was asked for the change.
func (m *member) recordMembers(before, after index.Members) {
	if m.audit == nil || len(before.All()) == 0 {
		return
	}
	if applied, _ := m.status.View().Applied(); applied < m.applyTo { // entries replayed at a start are not new
		return
	}
	record := func(operation string, one *kv.Member, detail string) {
		m.audit.Record(audit.Event{Operation: operation, Message: fmt.Sprintf("%s (%016x)%s", cmp.Or(one.Name, "-"), one.ID, detail)})
	}
	for _, one := range before.All() {
		if after.Get(one.ID) == nil {
			record("member removed", &one, "")
		}
	}
	for _, one := range after.All() {
		switch was := before.Get(one.ID); {
		case was == nil && one.Replaces != 0:
			record("member added", &one, fmt.Sprintf(" as a %s at %v, in the place of %s", one.Role, one.Peers, after.NameOf(one.Replaces)))
		case was == nil:
			record("member added", &one, fmt.Sprintf(" as a %s at %v", one.Role, one.Peers))
		case one.Role.Votes() != was.Role.Votes():
			record("member promoted", &one, "")
		case len(was.Peers) > 0 && !slices.Equal(one.Peers, was.Peers):
			record("member moved", &one, fmt.Sprintf(" from %v to %v", was.Peers, one.Peers))
		}
	}
}
