package keys

import (
	"context"
	"errors"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

// unknownAuthor stands for the author of a change that no client made, or whose author is not known.
const unknownAuthor = "-"

// authorsOf returns the authors of changes; empty where none is known. If no member can be asked, the changes are worth more than their
// authors: all are empty.
func authorsOf(ctx context.Context, s *client.Client, changes []kv.Change) ([]string, error) {
	names, err := s.AuthorsOf(ctx, changes)
	if errors.Is(err, client.ErrUnavailable) && ctx.Err() == nil {
		return make([]string, len(changes)), nil
	}
	return names, err
}

// authorsOfEvents is authorsOf for the events of a watch.
func authorsOfEvents(ctx context.Context, s *client.Client, events []kv.WatchEvent) ([]string, error) {
	changes := make([]kv.Change, len(events))
	for i := range events {
		changes[i] = kv.Change{Key: events[i].KV.Key, Revision: events[i].KV.ModRevision}
	}
	return authorsOf(ctx, s, changes)
}

// shownAuthor returns the text for an author.
func shownAuthor(name string) string {
	if name == "" {
		return unknownAuthor
	}
	return form.Printable([]byte(name), len(name))
}
