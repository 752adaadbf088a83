package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index/kv"
)

// Credentials are the identity and the trust of one process: a certificate with its key, and the CAs of its trust domain. They
// follow their files: each handshake checks whether the files have changed. The loaded certificate and CAs stay in use until all
// new files are valid, which makes a half-finished copy harmless. Existing connections are left alone. Any number of goroutines may
// use Credentials.
//
//  1. The key is the certificate's, one of the CAs signed the certificate, and it was valid when it was loaded.
//  2. The certificate holds one identity, for ever the same. The trust domain is that identity's cluster; certificates of other trust
//     domains are refused.
type Credentials struct {
	// Constant.
	Identity Identity
	Source   string // the certificate's file, for messages
	caSource string // ca.crt
	// of a certificate whose CA, the local one or that of a secret, can sign again at any time; else 0
	lifetime time.Duration

	followed[keys] // the local CA first makes missing files

	renewalDone time.Time // the last attempt to renew; under followed.mu
}

// followed is what was loaded from files that may change.
type followed[K any] struct {
	// Constant.
	files []string // empty names are not followed
	now   func() time.Time
	read  func() (*K, error) // loads the files again
	renew func() bool        // begins a renewal if one is due: the files are then loaded again; nil: none ever is

	// Shared.
	inUse atomic.Pointer[K]

	mu      sync.Mutex
	seen    []stat // of the files, before the last read
	lastErr error  // why the files could not be loaded; nil: what is in use is theirs
}

// keys is one loaded state of the files.
type keys struct {
	certificate *x509.Certificate
	pair        tls.Certificate
	roots       *x509.CertPool
	expires     time.Time // the earliest expiry in the chain from the own certificate to a CA
	byCA        bool      // a CA expires first or at the same time: renewing the own certificate would not help
}

// stat detects that a file has changed.
type stat struct {
	size     int64
	inode    uint64
	modified time.Time
}

// renewalPause is the minimum interval between two attempts to renew a local certificate.
const renewalPause = time.Minute

// Cluster returns the trust domain.
func (c *Credentials) Cluster() string { return c.Identity.Cluster }

// Certificate returns the certificate in use.
func (c *Credentials) Certificate() *x509.Certificate { return c.inUse.Load().certificate }

// NotAfter returns when the certificate in use, or the CA that signed it, expires.
func (c *Credentials) NotAfter() time.Time { return c.inUse.Load().expires }

// beginRenewal reports whether the certificate is to be renewed now, and notes the attempt.
func (c *Credentials) beginRenewal() bool {
	now := c.now()
	sinceRenewal := now.Sub(c.renewalDone) // negative if the clock was set back
	due := c.lifetime > 0 && stale(c.Certificate(), c.lifetime, now) && (sinceRenewal < 0 || sinceRenewal >= renewalPause)
	if due {
		c.renewalDone = now
	}
	return due
}

// refresh loads the files again if they have changed, and renews a certificate that is due. The error says why the files cannot be used as
// they are; the loaded certificate then stays in use.
func (f *followed[K]) refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refreshLocked()
}

func (f *followed[K]) refreshLocked() error {
	seen := statsOf(f.files)
	due := f.renew != nil && f.renew()
	if slices.Equal(seen, f.seen) && f.lastErr == nil && !due {
		return nil
	}
	next, err := f.read()
	if err == nil {
		f.inUse.Store(next)
	}
	f.seen, f.lastErr = seen, err
	return err
}

// fresh returns the keys for a handshake. It does not wait while another handshake checks the files: the disk may stall.
func (f *followed[K]) fresh() *K {
	if f.mu.TryLock() {
		_ = f.refreshLocked() // Problem reports it
		f.mu.Unlock()
	}
	return f.inUse.Load()
}

func statsOf(files []string) []stat {
	all := make([]stat, len(files))
	for i, name := range files {
		all[i] = statOf(name)
	}
	return all
}

// statOf returns the stat of a file; zero if the file is missing.
func statOf(name string) (s stat) {
	if info, err := os.Stat(name); err == nil {
		s = stat{size: info.Size(), modified: info.ModTime(), inode: inodeOf(info)}
	}
	return s
}

// warnBefore is how long before the expiry of a certificate its operator is warned: the operator may be on holiday. For a shorter
// lifetime the warning comes when a third of it is left.
const warnBefore = 30 * day

// Problem returns the message for the operator if the certificate has expired or expires soon, or if its files have changed and
// cannot be used. It is empty when all is well.
func (c *Credentials) Problem() string {
	err := c.refresh()
	k, now := c.inUse.Load(), c.now()
	left := k.expires.Sub(now)
	what, remedy := "the certificate "+c.Source, "run `qkv cert renew` where the CA is, and copy the file here: it is used without a restart"
	switch {
	case k.byCA:
		what, remedy = "the CA in "+c.caSource, "make a new CA, and keep both CA certificates in every ca.crt until the new CA has signed all other certificates"
	}
	switch {
	case now.Before(k.certificate.NotBefore):
		what += notYetValid(k.certificate, now)
		remedy = "set the clock"
	case left <= 0:
		what += fmt.Sprintf(" expired at %s: existing connections continue, new ones are refused", stamp(k.expires))
	case left < min(warnBefore, lifetimeOf(k.certificate)/3):
		what += fmt.Sprintf(" expires at %s, in %s", stamp(k.expires), span(left))
	case err == nil:
		return ""
	}
	if err != nil {
		return what + "; the changed files cannot be used: " + err.Error()
	}
	return what + ": " + remedy
}

// notYetValid ends the message about a certificate whose validity begins in the future.
func notYetValid(certificate *x509.Certificate, now time.Time) string {
	return fmt.Sprintf(" is not valid before %s, and this host's clock says %s: existing connections continue, new ones are refused", stamp(certificate.NotBefore), stamp(now))
}

// LoadMember loads the credentials of the member name from a folder of certificates.
func LoadMember(dir, name string, now func() time.Time) (*Credentials, error) {
	if err := kv.CheckName(name); err != nil {
		return nil, err
	}
	return follow(dir, dir, Identity{Class: ClassMember, Name: name}, now)
}

// LoadClient loads the credentials of the client name from a folder of certificates. An empty name means the only
// client certificate there.
func LoadClient(dir, name string, now func() time.Time) (*Credentials, error) {
	if name == "" {
		names := namesIn(dir, ClassClient)
		if len(names) > 1 {
			return nil, fmt.Errorf("%s holds the certificates of %d clients (%s): choose one with --client NAME", dir, len(names), strings.Join(names, ", "))
		}
		if len(names) == 0 {
			return nil, missing(dir, ClassClient, "NAME")
		}
		name = names[0]
	}
	if err := kv.CheckName(name); err != nil {
		return nil, err
	}
	return follow(dir, dir, Identity{Class: ClassClient, Name: name}, now)
}

// follow returns credentials that follow the files of one certificate in dir and of the CAs in caDir.
func follow(caDir, dir string, want Identity, now func() time.Time) (*Credentials, error) {
	c := newCredentials(caDir, dir, want, now)
	return c.start(func() (*keys, error) { return load(caDir, dir, want, now) })
}

// newCredentials returns credentials of one certificate's files in dir and of the CAs in caDir, which are not loaded.
func newCredentials(caDir, dir string, want Identity, now func() time.Time) *Credentials {
	own, ca := filesOf(dir, want), filesOf(caDir, Identity{Class: classCA}).Cert
	return &Credentials{Source: own.Cert, caSource: ca, followed: followed[keys]{files: []string{own.Cert, own.Key, ca}, now: now}}
}

// start loads the files for the first time.
func (c *Credentials) start(read func() (*keys, error)) (*Credentials, error) {
	c.seen = statsOf(c.files)
	first, err := read()
	if err != nil {
		return nil, err
	}
	if c.Identity, err = IdentityOf(first.certificate); err != nil {
		return nil, err
	}
	c.inUse.Store(first)
	c.renew = c.beginRenewal
	c.read = func() (*keys, error) {
		next, err := read()
		if err != nil {
			return nil, err
		}
		if id, err := IdentityOf(next.certificate); err != nil || id != c.Identity {
			return nil, fmt.Errorf("%s is now the certificate of %v, but this process runs as %v: if that is intended, restart it", c.Source, id, c.Identity)
		}
		return next, nil
	}
	return c, nil
}

// load reads one certificate from dir and the CAs from caDir, and checks that all of them fit.
func load(caDir, dir string, want Identity, now func() time.Time) (*keys, error) {
	files := filesOf(dir, want)
	chain, err := readCertificates(files.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(dir, want.Class, want.Name)
	}
	if err != nil {
		return nil, err
	}
	key, err := readKey(files.Key)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s exists, but its key %s is missing: copy the key from where the certificate was made", files.Cert, files.Key)
	}
	if err != nil {
		return nil, err
	}
	k := &keys{certificate: chain[0], pair: tls.Certificate{PrivateKey: key, Leaf: chain[0]}}
	if k.roots, err = loadRoots(caDir); err != nil {
		return nil, err
	}
	for _, certificate := range chain {
		k.pair.Certificate = append(k.pair.Certificate, certificate.Raw)
	}
	if !samePublicKey(chain[0].PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s is not the key of %s: one of them was replaced; copy both again from where they were made", files.Key, files.Cert)
	}
	if err := k.check(files.Cert, chain, want, now()); err != nil {
		return nil, err
	}
	return k, nil
}

// check verifies the identity, class, name and dates of the certificate, and its chain to the CAs.
func (k *keys) check(source string, chain []*x509.Certificate, want Identity, now time.Time) error {
	id, err := IdentityOf(chain[0])
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	if id.Class != want.Class {
		return fmt.Errorf("%s is a %v certificate (%v), but a %v certificate is required: make one with `qkv cert %v`",
			source, id.Class, id, want.Class, want.Class)
	}
	if id.Name != want.Name {
		return fmt.Errorf("%s is the certificate of %v, not of %q: was it renamed?", source, id, want.Name)
	}
	if err := checkDates(source, chain[0], now); err != nil {
		return err
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if want.Class == ClassMember {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	for _, usage := range usages {
		ways, err := verifyChain(chain, k.roots, now, usage)
		if err != nil {
			return fmt.Errorf("%s is not trusted by the CA in the same folder: %w", source, err)
		}
		k.expires, k.byCA = ending(ways)
	}
	return nil
}

// ending returns the expiry of the longest-lived chain from a certificate to a CA, and whether a CA expires first in that chain.
func ending(ways [][]*x509.Certificate) (until time.Time, byCA bool) {
	for _, way := range ways {
		last := slices.MinFunc(way, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		if last.NotAfter.After(until) {
			until, byCA = last.NotAfter, slices.ContainsFunc(way[1:], func(ca *x509.Certificate) bool { return !ca.NotAfter.After(last.NotAfter) })
		}
	}
	return until, byCA
}

// loadRoots reads ca.crt.
func loadRoots(dir string) (*x509.CertPool, error) {
	name := filesOf(dir, Identity{Class: classCA}).Cert
	certificates, err := readCertificates(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is missing, so no certificate can be trusted: copy it from where the CA was made (`qkv cert ca`)", name)
	}
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, certificate := range certificates {
		if !certificate.IsCA {
			return nil, fmt.Errorf("%s holds the certificate of %q, which is not a CA: it should hold CA certificates only", name, certificate.Subject)
		}
		roots.AddCert(certificate)
	}
	return roots, nil
}

// missing returns the error for a missing certificate.
func missing(dir string, class Class, name string) error {
	if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder of certificates cannot be used: %w", err)
	} else if err != nil {
		return fmt.Errorf("the folder of certificates cannot be used: %w: make it with `qkv cert ca --certs-dir %s --cluster NAME` and `qkv cert %v`", err, dir, class)
	}
	there := "it has no such certificate): "
	if names := namesIn(dir, class); len(names) > 0 {
		there = fmt.Sprintf("it has certificates of %s): give one of these names with --%s, or ", strings.Join(names, ", "), map[Class]string{ClassMember: "name", ClassClient: "client"}[class])
	}
	return fmt.Errorf("%s holds no certificate %s%s (%smake it with `qkv cert %v --certs-dir %s %s` where the CA is, and copy it with its key",
		dir, Identity{Class: class, Name: name}.FileName(), certSuffix, there, class, dir, name)
}

// namesIn returns the names for which a folder has certificates of a class.
func namesIn(dir string, class Class) []string {
	found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), class.String()+"-*"+certSuffix))
	var names []string
	for _, f := range found {
		names = append(names, nameIn(f, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), class.String()+"-"), certSuffix)))
	}
	slices.Sort(names)
	return names
}

// nameIn returns the name in a certificate's file name. If the file name is cut, the certificate has the full name.
func nameIn(file, part string) string {
	if strings.Contains(part, "~") {
		if chain, err := readCertificates(file); err == nil {
			if id, err := IdentityOf(chain[0]); err == nil {
				return id.Name
			}
		}
	}
	if name, err := url.PathUnescape(part); err == nil {
		return name
	}
	return part
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
