package wire

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The local CA serves members and clients on one host's loopback that have no certificates of their own. The first process makes
// it, once, in the user's config folder:
//
//	HOME/certs/            a folder of certificates as --certs-dir has it, trust domain "local"
//	    ca.crt ca.key
//	    client-admin.crt .key
//	DATA/certs/            in each member's data folder
//	    member-NAME.crt .key
//
// HOME is the folder that Home returns; if no home is set, `qkv etcd` uses the result of HomeBeside.
//
// The CA is built in a temporary folder beside HOME/certs and published by one rename. The rename fails if another process was
// first: then that process's CA is used. The CA is valid at any time, and what it signs at any time before its end: a host's clock may
// be wrong for a while. A certificate is signed again for the same key if less than half of its lifetime is left, if it is not valid now,
// or if the CA was made anew. One rename replaces the file. This happens at the start, and at any later handshake.

// LocalCluster is the trust domain of the local CA.
const LocalCluster = "local"

// LocalClientName is the client whose certificate lies beside the local CA.
const LocalClientName = "admin"

const (
	certsFolder  = "certs"
	homeVariable = "QKV_HOME"
)

// Home returns the user's config folder of qkv: $QKV_HOME, else $XDG_CONFIG_HOME/qkv, else ~/.config/qkv.
func Home(getenv func(string) string) (string, error) {
	if home := getenv(homeVariable); home != "" {
		return filepath.Abs(home)
	}
	if config := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) { // the specification says to ignore relative paths
		return filepath.Join(config, "qkv"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "qkv"), nil
	}
	return "", fmt.Errorf("there is no folder for qkv's local certificates: none of %s, XDG_CONFIG_HOME and HOME is set: set %s, or give --certs-dir", homeVariable, homeVariable)
}

// HomeBeside returns the config folder of members that run without a home: qkv-home in the folder that holds their data folders.
// The members of one host share a CA through it. It is created with mode 0700. A link, or a folder of another user, is refused:
// data folders may lie in /tmp, where any user could plant another CA.
func HomeBeside(data string) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	home := filepath.Join(filepath.Dir(data), "qkv-home")
	err = os.MkdirAll(home, folderMode)
	if err == nil {
		err = checkPrivate(home, os.Geteuid())
	}
	if info, bad := os.Lstat(home); err == nil && (bad != nil || !info.IsDir()) {
		err = fmt.Errorf("%s is a symbolic link", home)
	}
	if err != nil {
		return "", fmt.Errorf("none of %s, XDG_CONFIG_HOME and HOME is set, and the folder for local certificates beside the data folder cannot be used: %w: set %s to a folder that this user owns", homeVariable, err, homeVariable)
	}
	return home, nil
}

// LocalMember returns credentials of the local CA for the member name, whose key lies in its data folder. Missing files are made.
func (m Maker) LocalMember(home, data, name string) (*Credentials, error) {
	id := Identity{Cluster: LocalCluster, Class: ClassMember, Name: name}
	if err := id.check(); err != nil {
		return nil, err
	}
	return m.local(home, filepath.Join(data, certsFolder), id)
}

// LocalClient returns credentials of the local CA for clients on this host. Missing files are made.
func (m Maker) LocalClient(home string) (*Credentials, error) {
	id := Identity{Cluster: LocalCluster, Class: ClassClient, Name: LocalClientName}
	return m.local(home, filepath.Join(home, certsFolder), id)
}

// LocalCredentials returns the credentials of the local CA in home, for clients on this host. An empty home stands for [Home].
func LocalCredentials(home string) (c *Credentials, err error) {
	if home == "" {
		if home, err = Home(os.Getenv); err != nil {
			return nil, err
		}
	}
	return Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(home)
}

// local makes missing files and loads the credentials.
func (m Maker) local(home, dir string, id Identity) (*Credentials, error) {
	caDir := filepath.Join(home, certsFolder)
	m.always = true
	c := newCredentials(caDir, dir, id, m.Now)
	c.lifetime = m.leafLifetime()
	return c.start(func() (*keys, error) {
		ca, err := m.localCA(home)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, folderMode); err != nil {
			return nil, fmt.Errorf("make the folder for local certificates: %w", err)
		}
		if err := m.ensure(ca, dir, id); err != nil {
			return nil, err
		}
		return load(caDir, dir, id, m.Now)
	})
}

// localCA returns the local CA, and makes it if it is missing.
func (m Maker) localCA(home string) (*authority, error) {
	dir := filepath.Join(home, certsFolder)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := m.makeLocalCA(home, dir); err != nil {
			return nil, err
		}
	}
	if err := checkPrivate(dir, os.Geteuid()); err != nil {
		return nil, err
	}
	ca, err := m.loadAuthority(dir)
	if err != nil {
		return nil, fmt.Errorf("the local CA cannot be used: %w (or remove %s and restart all local members: a new one is made)", err, dir)
	}
	if ca.cluster != LocalCluster {
		return nil, fmt.Errorf("%s holds the CA of the cluster %q instead of the local one: move it away and give it as --certs-dir", dir, ca.cluster)
	}
	return ca, nil
}

// makeLocalCA builds the whole folder under another name, and publishes it unless another process was first.
func (m Maker) makeLocalCA(home, dir string) error {
	if err := os.MkdirAll(home, folderMode); err != nil {
		return fmt.Errorf("make the folder for the local CA: %w", err)
	}
	temporary, err := os.MkdirTemp(home, certsFolder+".tmp-*") // of mode 0700
	if err != nil {
		return fmt.Errorf("make the folder for the local CA: %w", err)
	}
	defer os.RemoveAll(temporary)
	if _, err := m.CreateCA(temporary, LocalCluster); err != nil {
		return err
	}
	if _, err := m.CreateClient(temporary, LocalClientName); err != nil {
		return err
	}
	// A rename onto a folder that is not empty fails: the first CA stays.
	if err := syscall.Rename(temporary, dir); err != nil {
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
			return nil
		}
		return fmt.Errorf("publish the local CA as %s: %w", dir, err)
	}
	return syncFolder(home)
}

// checkPrivate refuses a folder of keys that other users may enter, or whose owner is not uid: its owner could plant another CA.
func checkPrivate(dir string, uid int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the local CA: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s should be the folder of the local CA, but is a file: move it away", dir)
	}
	if owner, known := ownerOf(info); known && owner != uid {
		return fmt.Errorf("%s holds the key of the local CA and belongs to user %d, but this process runs as user %d: set %s to a folder that this user owns", dir, owner, uid, homeVariable)
	}
	if closedTo(dir, info) != 0 {
		return fmt.Errorf("%s holds the key of the local CA and has mode %#o, so other users of this host can read it: `chmod 700 %s`", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// ensure makes the key and the certificate of an identity unless valid ones are there.
func (m Maker) ensure(ca *authority, dir string, id Identity) error {
	files := filesOf(dir, id)
	key, err := m.ensureKey(files.Key)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (or remove %s: a new key is made)", err, files.Key)
	}
	if err != nil {
		return err
	}
	if m.fresh(ca, files.Cert, id, key.Public()) {
		return nil
	}
	der, err := m.sign(ca, id, nil, key.Public())
	if err != nil {
		return err
	}
	return replaceFile(files.Cert, encodeCertificate(der), certMode)
}

// ensureKey returns the key in a file, and makes the key if it is missing.
func (m Maker) ensureKey(name string) (crypto.Signer, error) {
	key, err := readKey(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	made, err := m.newKey()
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(made)
	if err != nil {
		return nil, err
	}
	if err := createFile(name, text, keyMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(name) // another process's key if that process was first
}

// fresh reports whether the certificate in a file is as good as a new one: half of its lifetime is left.
func (m Maker) fresh(ca *authority, name string, id Identity, public crypto.PublicKey) bool {
	chain, err := readCertificates(name)
	if err != nil || !samePublicKey(chain[0].PublicKey, public) {
		return false
	}
	if is, err := IdentityOf(chain[0]); err != nil || is != id {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	if _, err := verifyChain(chain, roots, m.Now(), x509.ExtKeyUsageClientAuth); err != nil {
		return false
	}
	return !stale(chain[0], m.leafLifetime(), m.Now())
}
