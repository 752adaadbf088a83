package actor

import (
	"qkv/index"
	"qkv/index/watch"
)

// ReadValues is a message to the value reader: values of the history that the watch hub needs, and that are in files. Posted: one at a time.
type ReadValues struct{ Values []*index.Unread }

// ValueReader reads values from files for lagging watches: the watch hub never waits for a disk.
type ValueReader struct{ WatchHub *Mailbox[WatchHubMessage] }

// Handle implements Handler.
func (r *ValueReader) Handle(_ Time, batch []ReadValues) bool {
	for _, m := range batch {
		all := make([]watch.Read, len(m.Values))
		for i, one := range m.Values {
			all[i].Position = one.Position()
			all[i].Value, all[i].Err = one.Read()
		}
		r.WatchHub.MustPost(ValuesRead{all})
	}
	return false
}
