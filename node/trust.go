package node

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"qkv/log/disk"
	"qkv/net/peer"
	"qkv/net/wire"
)

// trust is a member's credentials, and the CAs that it trusts.
type trust struct {
	domain      string            // of its folder
	credentials *wire.Credentials // nil: no native clients
	derived     *wire.Credentials // of the cluster secret; nil: there is none
	peers       peer.Trust
	web         *wire.FileTrust // of etcd's clients at addresses of their own; nil: none of these has TLS
	files       []*wire.FileTrust
}

// identify determines the trust domain, and this member's credentials. The local CA's files are created in the data folder, which must
// not be another member's.
func identify(c *Config) (t trust, err error) {
	t.domain = wire.LocalCluster
	if c.CertsDir != "" {
		if t.credentials, err = wire.LoadMember(c.CertsDir, c.Name, time.Now); err != nil {
			return t, usagef("%w", err)
		}
		t.domain = t.credentials.Cluster()
	}
	if c.Secret != nil {
		if err := t.derive(c); err != nil {
			return t, err
		}
	}
	if c.TrustDomain != "" {
		t.domain = c.TrustDomain
	}
	if c.Etcd.Peers != nil {
		files, err := t.load(*c.Etcd.Peers)
		if err != nil {
			return t, err
		}
		if err := files.Belongs(c.Name); err != nil {
			return t, usagef("%w", err)
		}
		t.peers = files
	}
	if c.Etcd.Clients != nil && !c.Etcd.Auto {
		if t.web, err = t.load(*c.Etcd.Clients); err != nil {
			return t, err
		}
	}
	if err := refuseForeign(disk.OS(), c.DataDir, owner{c.Name, t.domain}); err != nil {
		return t, err
	}
	if err := t.make(c); err != nil {
		return t, err
	}
	if t.peers == nil {
		t.peers = t.credentials
	}
	return t, nil
}

// derive sets the credentials of the cluster secret. An etcd member has them for its peers alone.
func (t *trust) derive(c *Config) error {
	maker := wire.Maker{Now: time.Now, Rand: rand.Reader}
	derived, err := maker.SecretMember(*c.Secret, c.Name, c.hosts())
	if err != nil {
		return usagef("%w", err)
	}
	t.derived, t.peers = derived, derived
	c.Logger.Info("the certificate is derived", "from", c.Secret.Name, "issuer", derived.Certificate().Issuer.CommonName)
	if len(c.Etcd.Listen) > 0 {
		return nil
	}
	t.credentials, t.domain = derived, derived.Cluster()
	// Clusters with the same members and other secrets have other ids.
	c.InitialClusterToken += " " + derived.Certificate().Issuer.CommonName
	return nil
}

// first returns the certificate that expires first.
func (t *trust) first() certificate {
	var all []certificate
	for _, c := range []*wire.Credentials{t.credentials, t.derived} {
		if c != nil {
			all = append(all, c)
		}
	}
	for _, files := range t.files {
		all = append(all, files)
	}
	return slices.MinFunc(all, func(a, b certificate) int { return a.NotAfter().Compare(b.NotAfter()) })
}

// load loads certificates by the names of their files.
func (t *trust) load(names wire.FileNames) (*wire.FileTrust, error) {
	files, err := wire.LoadFiles(names, time.Now)
	if err != nil {
		return nil, usagef("%w", err)
	}
	t.files = append(t.files, files)
	return files, nil
}

// make creates missing certificates: by the local CA if there are no others, and self-signed ones for etcd's clients. A member with
// certificate files for the other members works without the local CA if there is no place for it.
func (t *trust) make(c *Config) (err error) {
	maker := wire.Maker{Now: time.Now, Rand: rand.Reader}
	if t.credentials == nil && (t.peers == nil || c.Listen != "") {
		t.credentials, err = maker.LocalMember(c.Home, c.DataDir, c.Name)
		if err != nil && t.peers != nil {
			c.Logger.Warn("this member is not reachable by qkv's own commands, only by etcd clients", "error", err)
			t.credentials, c.Listen, c.Advertise, err = nil, "", "", nil
		}
		if err != nil {
			return refusedUnlessFull(err)
		}
	}
	if !c.Etcd.Auto {
		return nil
	}
	dir := filepath.Join(c.DataDir, "certs")
	names := *c.Etcd.Clients
	names.Cert, names.Key = filepath.Join(dir, "auto-tls.crt"), filepath.Join(dir, "auto-tls.key")
	maker.Lifetime = c.Etcd.AutoLifetime
	if err := disk.OS().MkdirAll(dir); err != nil {
		return err
	}
	if err := maker.SelfSigned(names.Cert, names.Key, c.Etcd.AutoHosts); err != nil {
		return refusedUnlessFull(err)
	}
	t.web, err = t.load(names)
	return err
}

// refusedUnlessFull returns a refusal of the configuration, unless the only fault is the disk.
func refusedUnlessFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return usagef("%w", err)
}
