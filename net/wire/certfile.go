package wire

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// readCertificates reads the certificates of a PEM file, at least one. Other content, such as comments, is skipped. A private key
// in the file is refused, because people copy and show certificate files.
func readCertificates(name string) ([]*x509.Certificate, error) {
	text, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != certBlock {
			return nil, fmt.Errorf("%s holds a %q, but should hold certificates only", name, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", name, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no certificate (PEM, \"-----BEGIN CERTIFICATE-----\"): it is empty, damaged, or of another format", name)
	}
	return found, nil
}

// readKey reads a private key. It refuses a key that other users of the host can read.
func readKey(name string) (crypto.Signer, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	// A group may read it: containers mount secrets in that way. Other users may do nothing.
	if mode := accessOfOthers(info); info.Mode().IsRegular() && mode&0o027 != 0 && closedTo(name, info) != 0 {
		return nil, fmt.Errorf("%s has mode %#o, so other users of this host can read the key: `chmod 600 %s`, and make a new certificate if the key may have been read", name, info.Mode().Perm(), name)
	}
	text, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, fmt.Errorf("%s holds no private key (PEM, \"-----BEGIN PRIVATE KEY-----\"): it is empty, damaged, encrypted, or of another format", name)
		}
		if key, err := parseKey(block); err == nil {
			return key, nil
		} else if block.Type == keyBlock {
			return nil, fmt.Errorf("%s is damaged: %w", name, err)
		}
	}
}

// parseKey reads the formats that OpenSSL, cert-manager and qkv write.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case keyBlock:
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%q is not a private key", block.Type)
	}
}

// certificateFileBytes bounds a file of certificates or of a key: hundreds of CAs.
const certificateFileBytes = 1 << 20

// readBounded reads a file of at most certificateFileBytes. It refuses a pipe: the file is read again whenever it has
// changed, and opening a pipe would wait for a writer.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a folder, a pipe or a device, not a regular file: put the right file there", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, certificateFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > certificateFileBytes {
		return nil, fmt.Errorf("%s has more than %d bytes, the limit for a certificate or key file", name, certificateFileBytes)
	}
	return text, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// samePublicKey compares two public keys of any kind.
func samePublicKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// checkDates returns an error if a certificate is not valid now, with the remedy for the operator.
func checkDates(name string, certificate *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(certificate.NotBefore):
		return fmt.Errorf("%s is not yet valid: it is valid from %s, and this host's clock says %s: set the clock",
			name, stamp(certificate.NotBefore), stamp(now))
	case now.After(certificate.NotAfter):
		return fmt.Errorf("%s has expired: it was valid until %s, and this host's clock says %s: run `qkv cert renew` where the CA is, or set the clock",
			name, stamp(certificate.NotAfter), stamp(now))
	default:
		return nil
	}
}

// lifetimeOf returns the whole validity period of a certificate.
func lifetimeOf(certificate *x509.Certificate) time.Duration {
	return certificate.NotAfter.Sub(certificate.NotBefore)
}

// stale reports whether a certificate that was made for a lifetime is to be renewed: less than half of it is left, or the certificate is
// not valid now.
func stale(certificate *x509.Certificate, lifetime time.Duration, now time.Time) bool {
	return now.Before(certificate.NotBefore) || certificate.NotAfter.Sub(now) <= lifetime/2
}

// span formats a duration, in days if it is longer than two days.
func span(d time.Duration) string {
	if d >= 2*day {
		return fmt.Sprintf("%d days", int(d/day))
	}
	return d.Round(time.Second).String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// replaceFile writes a file atomically, and replaces an existing file.
func replaceFile(name string, text []byte, mode fs.FileMode) error {
	return publish(name, text, mode, storage.rename)
}

// createFile writes a file atomically. The error is fs.ErrExist if another process was first.
func createFile(name string, text []byte, mode fs.FileMode) error {
	return publish(name, text, mode, storage.renameNew)
}

// publish writes a temporary file beside name, then gives it the name in one atomic step.
func publish(name string, text []byte, mode fs.FileMode, step func(from, to string) error) error {
	f, err := storage.createTemp(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	temporary := f.Name()
	defer storage.remove(temporary)
	_, err = f.Write(text)
	if mode != keyMode { // the file has that mode; a sandbox or a file system may refuse another
		_ = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := step(temporary, name); err != nil {
		if there, look := os.Lstat(name); look == nil && there.IsDir() {
			return fmt.Errorf("write %s: a folder has that name: move it away, and start again", name)
		}
		return fmt.Errorf("write %s: %w", name, err)
	}
	return storage.syncDir(filepath.Dir(name))
}

// storage is the file system of certificates, keys and secrets. Tests of crashes replace it by a simulated disk.
var storage fileSystem = osFiles{}

type fileSystem interface {
	createTemp(dir string) (newFile, error)
	rename(from, to string) error
	renameNew(from, to string) error // fs.ErrExist if the name is taken
	remove(name string) error
	syncDir(dir string) error
}

// newFile is an *os.File.
type newFile interface {
	io.WriteCloser
	Name() string
	Chmod(mode fs.FileMode) error
	Sync() error
}

type osFiles struct{}

func (osFiles) createTemp(dir string) (newFile, error) { return os.CreateTemp(dir, ".tmp-*") }
func (osFiles) rename(from, to string) error           { return os.Rename(from, to) }
func (osFiles) remove(name string) error               { return os.Remove(name) }
func (osFiles) syncDir(dir string) error               { return syncFolder(dir) }

// renameNew needs no hard links: FAT and some network file systems and sandboxes have none. It then takes the name by an empty file, which
// the rename replaces. A crash in between leaves the empty file, which every reader names as damaged.
func (osFiles) renameNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	taken, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, keyMode)
	if err != nil {
		return err
	}
	if err := errors.Join(taken.Close(), os.Rename(from, to)); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
