package actor

import (
	"errors"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
)

// ReadValues is a message to the value reader: values of the history that the watch hub needs, and that are in files. Posted: one at a
// time.
type ReadValues struct{ Values []*index.Unread }

// ValueReader reads values from files for lagging watches: the watch hub never waits for a disk. Behind a value in a backup that cannot be
// read, which may take seconds to find out, it reads none: the watches of that value end first, and the hub asks for the others again.
type ValueReader struct{ WatchHub *Mailbox[WatchHubMessage] }

// Handle implements Handler.
func (r *ValueReader) Handle(_ Time, batch []ReadValues) bool {
	for _, m := range batch {
		all := make([]watch.Read, 0, len(m.Values))
		index.ReadTogether(m.Values)
		for _, one := range m.Values {
			value, err := one.Read()
			all = append(all, watch.Read{Position: one.Position(), Value: value, Err: err})
			if answer, is := errors.AsType[*kv.Error](err); is && !answer.Retryable() {
				break
			}
		}
		r.WatchHub.MustPost(valuesRead{all})
	}
	return false
}
