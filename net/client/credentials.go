package client

import (
	"crypto/rand"
	"os"
	"time"

	"qkv/net/wire"
)

// LoadCredentials loads the credentials of the client name from a folder of certificates, as `qkv cert client` makes it: ca.crt,
// client-NAME.crt and client-NAME.key. An empty name means the only client certificate in the folder.
func LoadCredentials(dir, name string) (*Credentials, error) {
	return wire.LoadClient(dir, name, time.Now)
}

// LocalCredentials returns the credentials of the local CA, for members on loopback that run without certificates and without a secret.
// home is the folder that holds the CA. If it is empty, it is $QKV_HOME, $XDG_CONFIG_HOME/qkv or ~/.config/qkv, as for the command qkv.
func LocalCredentials(home string) (*Credentials, error) {
	if home == "" {
		var err error
		if home, err = wire.Home(os.Getenv); err != nil {
			return nil, err
		}
	}
	return wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(home)
}
