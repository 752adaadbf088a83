package node

import (
	"log/slog"
	"time"
)

// Settings are the fields of Config that a running member can change: see Config for their meaning.
type Settings struct {
	QuotaBytes   int64
	HistoryBytes int64
	HistoryAge   time.Duration
}

// settings returns these fields.
func (c *Config) settings() Settings {
	return Settings{c.QuotaBytes, c.HistoryBytes, c.HistoryAge}
}

// with returns a copy of the configuration with other settings.
func (c *Config) with(s Settings) *Config {
	changed := *c
	changed.QuotaBytes, changed.HistoryBytes, changed.HistoryAge = s.QuotaBytes, s.HistoryBytes, s.HistoryAge
	return &changed
}

func (c *Config) validateSettings() error {
	if c.QuotaBytes != 0 && c.QuotaBytes < quotaLeast && !c.etcdsQuota() {
		return usagef("--quota-bytes %d: must be at least %d bytes, or 0 for no quota", c.QuotaBytes, quotaLeast)
	}
	if c.MemoryBytes < MemoryAuto {
		return usagef("--memory-bytes %d: must be at least 0", c.MemoryBytes)
	}
	if c.HistoryBytes < HistoryAuto {
		return usagef("--history-bytes %d must not be negative; 0 is no limit", c.HistoryBytes)
	}
	if c.HistoryAge < 0 {
		return usagef("--history-age %v must not be negative; 0 is no limit", c.HistoryAge)
	}
	return nil
}

// Change replaces the settings of a running member, from its next look on (lookInterval). Settings that are refused change nothing;
// the error is a *UsageError. Only the leader's settings count, so an operator changes those of all members.
func (n *Node) Change(s Settings) error { return n.member.change(s) }

func (m *member) change(s Settings) error {
	changed := m.config.with(s)
	if err := changed.validateSettings(); err != nil {
		return err
	}
	if before := m.current().settings(); before != s {
		m.logger.Info("settings have changed", slog.Group("from", before.attributes()...), slog.Group("to", s.attributes()...))
	}
	m.changed.Store(changed)
	return nil
}

// attributes are the settings in a line of the log.
func (s Settings) attributes() []any {
	return []any{"quota_bytes", s.QuotaBytes, "history_bytes", s.HistoryBytes, "history_age", s.HistoryAge}
}

// current returns the configuration with the settings of the last change.
func (m *member) current() *Config {
	if changed := m.changed.Load(); changed != nil {
		return changed
	}
	return &m.config
}
