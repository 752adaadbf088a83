package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Group is the members of one cluster. Calls go to the current member; if it does not answer, the next one is tried.
type Group struct {
	Name    string // for messages
	all     []*Source
	current int
}

// NewGroup makes a group of members.
func NewGroup(name string, all ...*Source) *Group { return &Group{Name: name, all: all} }

// Close closes all connections.
func (g *Group) Close() error {
	var all []error
	for _, s := range g.all {
		all = append(all, s.Close())
	}
	return errors.Join(all...)
}

// callTimeout is how long a member may take for an answer before the next one is tried.
const callTimeout = 10 * time.Second

// do calls the current member, and switches to the next one if it does not answer.
func (g *Group) do(ctx context.Context, f func(ctx context.Context, s *Source) error) error {
	s := g.all[g.current]
	try, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := f(try, s)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if retryable(err) {
		g.current = (g.current + 1) % len(g.all)
	}
	return fmt.Errorf("%s: %w", g.at(s), err)
}

// at is a member's name in messages.
func (g *Group) at(s *Source) string {
	if g.Name == s.Endpoint {
		return g.Name
	}
	return g.Name + " at " + s.Endpoint
}

// retryable tells whether a retry may succeed, later or with another member. A failed write may still have been applied.
func retryable(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, errAgain) {
		return true
	}
	s, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled, codes.Internal, codes.Unknown, codes.FailedPrecondition:
		return true
	case codes.ResourceExhausted:
		return s.Message() == "etcdserver: too many requests"
	}
	return false
}

// Unreachable tells whether an error is from a member that did not answer.
func Unreachable(err error) bool {
	s, ok := status.FromError(err)
	return ok && (s.Code() == codes.Unavailable || s.Code() == codes.DeadlineExceeded)
}

// Refused tells whether a member refused the user, or the lack of one.
func Refused(err error) bool {
	s, ok := status.FromError(err)
	return ok && (s.Code() == codes.PermissionDenied || s.Code() == codes.Unauthenticated || s.Code() == codes.InvalidArgument)
}

// errAgain is wrapped by errors that a retry may avoid.
var errAgain = errors.New("it ended")

// Login sets the user that Ask logs in.
func (g *Group) Login(user, password string) {
	for _, s := range g.all {
		s.login = [2]string{user, password}
	}
}

// Ask waits for a member that answers, for the given time each, and makes it the current one.
func (g *Group) Ask(ctx context.Context, each time.Duration) error {
	var all []error
	for i, s := range g.all {
		try, cancel := context.WithTimeout(ctx, each)
		err := s.ask(try)
		cancel()
		if err == nil {
			g.current = i
			for _, other := range g.all { // the token is the cluster's
				other.token.Store(s.token.Load())
			}
			return nil
		}
		all = append(all, fmt.Errorf("%s: %w", s.Endpoint, err))
	}
	return errors.Join(all...)
}

// save is Source.Save at the first member that answers.
func (g *Group) Save(ctx context.Context, path string, progress func(written, left int64)) (err error) {
	for range g.all {
		s := g.all[g.current]
		if err = s.save(ctx, path, progress); err == nil || ctx.Err() != nil || !retryable(err) {
			return err
		}
		g.current = (g.current + 1) % len(g.all)
	}
	return err
}
