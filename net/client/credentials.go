package client

import (
	"crypto/tls"
	"time"

	"qkv/net/wire"
)

// Credentials authenticate a client: a certificate with its key, and the trusted CAs. [LoadCredentials] and [LocalCredentials] return them.
// A renewed file is in force at the next handshake.
type Credentials interface {
	// ClientTLS returns the TLS configuration of connections to the members.
	ClientTLS() *tls.Config
}

// LoadCredentials loads the credentials of the client name from a folder of certificates, as `qkv cert client` makes it: ca.crt,
// client-NAME.crt and client-NAME.key. An empty name means the only client certificate in the folder.
func LoadCredentials(dir, name string) (Credentials, error) {
	c, err := wire.LoadClient(dir, name, time.Now)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// LocalCredentials returns the credentials of the local CA, for members on loopback that run without certificates and without a secret.
// home is the folder that holds the CA. If it is empty, it is $QKV_HOME, $XDG_CONFIG_HOME/qkv or ~/.config/qkv, as for the command qkv.
func LocalCredentials(home string) (Credentials, error) {
	c, err := wire.LocalCredentials(home)
	if err != nil {
		return nil, err
	}
	return c, nil
}
