package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"qkv/net/wire"
)

// Config is the configuration of a Client. Endpoints, and Credentials or TLS, must be given; the zero values of all other fields are usual.
type Config struct {
	// Endpoints are members' client addresses, host:port. One is enough: the client learns the others from it. The client never
	// forgets these endpoints. A host name may stand for several members.
	Endpoints []string
	// InOrder makes the client begin with the first endpoint. Otherwise it begins with a random one, which spreads clients with the
	// same list over the members; the others are tried in order after it. Either way the client returns to its first endpoint when
	// that serves again.
	InOrder bool
	// ReturnAfter is the minimum time that the client stays with another member before it checks whether its first endpoint serves
	// again. The maximum is twice that, and up to sixteen times more if the first endpoint fails repeatedly. 0: 30 s.
	ReturnAfter time.Duration
	// Credentials are the client's identity and its trusted CAs: LoadCredentials, or LocalCredentials.
	Credentials Credentials
	// User and Password log in on each connection: its requests are then by this user, and not by the name in the certificate. If the
	// cluster has no authentication, they are not used. "": no login. After a refused login, calls fail with an Error with the code
	// AuthFailed, without asking, for 1 to 15 s.
	User, Password string
	// TLS replaces the TLS configuration from Credentials, if it is not nil. It must have the client's certificate, and verify members.
	TLS *tls.Config
	// DialStagger is the delay before the next endpoint is tried in parallel. 0: 200 ms.
	DialStagger time.Duration
	// Timeout bounds calls whose context has no deadline, and the asynchronous calls. 0: 5 s.
	Timeout time.Duration
	// FailFast makes calls fail as soon as every endpoint has been tried once without success. Otherwise they are retried until the
	// deadline, which lets calls survive a restart of the cluster.
	FailFast bool
	// NoDiscovery limits the client to Endpoints. Otherwise it follows the list of the members: it also uses the addresses that a
	// member reports, and forgets those of removed members.
	NoDiscovery bool
	// AnyCluster allows endpoints of several clusters in one list, for a tool that shows all of them. Otherwise Open fails with
	// ErrSeveralClusters, and later connections must belong to the cluster of the first one: see ErrClusterReplaced.
	AnyCluster bool
	// NoNames sends writes without a name: a write that may have happened is not retried, and more writes end with an unknown
	// outcome. It is for comparisons; AnyCluster implies it.
	NoNames bool
	// Logger logs connections that are made and lost, at the level Debug. nil: no log.
	Logger *slog.Logger
}

const (
	defaultStagger = 200 * time.Millisecond
	defaultTimeout = 5 * time.Second
	defaultReturn  = 30 * time.Second
)

// complete checks the configuration and fills in defaults.
func (c *Config) complete() error {
	if len(c.Endpoints) == 0 {
		return errors.New("client: Config.Endpoints is empty: give at least one member's client address")
	}
	for _, endpoint := range c.Endpoints {
		if _, port, err := net.SplitHostPort(endpoint); err != nil || port == "" {
			return fmt.Errorf("client: the endpoint %q is not of the form host:port", endpoint)
		}
	}
	switch {
	case c.TLS != nil:
		c.TLS = c.TLS.Clone()
		c.TLS.NextProtos = []string{wire.ProtocolClient}
	case c.Credentials != nil:
		c.TLS = c.Credentials.ClientTLS()
	default:
		return errors.New("client: Config has neither Credentials nor TLS: the protocol requires TLS with certificates on both sides")
	}
	if c.DialStagger <= 0 {
		c.DialStagger = defaultStagger
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.ReturnAfter <= 0 {
		c.ReturnAfter = defaultReturn
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Client is a connection to a cluster, to one member at a time. It is safe for use by any number of goroutines.
//
// The caller may reuse the slices that it passed to a call when the call returns; those of an iterator when the iteration has ended. The
// slices of a result are the caller's, except those of [WatchResponse] and in the function of [Client.GetAsync].
type Client struct{ *link }

// Open connects to the first endpoint that answers, and logs in. ctx bounds this call alone; if it has no deadline, Open gives up after
// Config.Timeout. The error is an [UnavailableError] with each endpoint's reason, a [ClusterError], a [kv.Error] with the code AuthFailed
// if the login was refused, or says which field of config is wrong. The client needs [Client.Close].
func Open(ctx context.Context, config Config) (*Client, error) {
	config.Endpoints = slices.Clone(config.Endpoints)
	config.NoNames = config.NoNames || config.AnyCluster // each cluster has its own clock
	if err := config.complete(); err != nil {
		return nil, err
	}
	c := &Client{newLink(config)}
	err := c.connect(ctx)
	if err == nil {
		err = c.checkClusters(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the client, and always returns nil. Calls and watches end with [ErrClosed]. Writes that were sent, and have no answer, end
// with an [OutcomeUnknownError]. Keep-alives and lock sessions of the client are lost. Close waits for the client's own goroutines, but not
// for a running user's function: a user's function may call Close. A second call does nothing.
func (c *Client) Close() error {
	c.close()
	return nil
}

// Endpoints returns the known endpoints, host:port: the configured ones, then the endpoints that members reported.
func (c *Client) Endpoints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpointsLocked()
}
