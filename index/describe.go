package index

import (
	"fmt"
	"strings"

	"qkv/log/pack"
)

// Describe says in words what a batch envelope holds, for those who look into a log: the commands, each with its key.
// What cannot be read is said too.
func Describe(envelope []byte) string {
	if len(envelope) == 0 {
		return "nothing" // raft's own
	}
	e, err := ReadEnvelope(envelope)
	if err != nil {
		return err.Error()
	}
	r := pack.NewReader(e.Commands)
	var said []string
	var c command
	for i := range e.Count {
		if err := c.read(&r); err != nil {
			return strings.Join(append(said, fmt.Sprintf("command %d of %d: %v", i+1, e.Count, err)), ", ")
		}
		said = append(said, c.describe())
	}
	return strings.Join(said, ", ")
}

func (c *command) describe() string {
	switch c.kind {
	case kindPut:
		return fmt.Sprintf("put %q %d bytes", c.key, len(c.value))
	case kindDelete:
		if len(c.value) > 0 {
			return fmt.Sprintf("delete from %q to %q", c.key, c.value)
		}
		return fmt.Sprintf("delete %q", c.key)
	case kindAnnounce:
		var a Announcement
		r := pack.NewReader(c.value)
		readAnnouncement(&r, &a)
		return fmt.Sprintf("announce %s, version %s, boot %d", a.Name, a.Version, a.Boot)
	default:
		return fmt.Sprintf("feature level %d", c.number)
	}
}
