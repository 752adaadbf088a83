package form

// This file is `qkv cert secret`: make a cluster secret, from which members derive the CA and their certificates.

import (
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/internal/limits"
	"qkv/net/wire"
)

const (
	// SecretVariable holds the secrets in force for `qkv serve` and `qkv etcd`. There is no flag for it: every user of a host can read
	// command lines. secretFileVariable names a file instead, and certsDirVariable the folder of certificates.
	SecretVariable     = "QKV_CLUSTER_SECRET"
	SecretFileVariable = SecretVariable + "_FILE"
	CertsDirVariable   = "QKV_CERTS_DIR"
	// SecretFileName is the name of the secret's file in printed commands.
	SecretFileName = "qkv-secret"
	// BindsTrust follows the command that starts a restored or migrated folder.
	BindsTrust = "the first start binds the folder to its --certs-dir or cluster secret, or, without them, to the local CA of this host\n"
)

// SignedBySecret reports whether the client's certificate is from the CA of a cluster secret.
func SignedBySecret(c *cli.Context) bool {
	dir := c.String("certs-dir")
	if dir == "" {
		return false
	}
	credentials, err := wire.LoadClient(dir, c.String("client"), time.Now)
	return err == nil && credentials.Cluster() == wire.SecretCluster
}

// MakeSecret makes a secret, and prints it or writes it to a file.
func MakeSecret(c *cli.Context) error {
	file, rotate := c.String("output"), c.Bool("rotate")
	if rotate && file == "" {
		return Usagef("--rotate needs --output FILE, the file with the secret that is in force")
	}
	made, err := wire.NewSecret(CertMaker().Rand)
	if err != nil {
		return err
	}
	all := []wire.ClusterSecret{made}
	if rotate {
		old, err := wire.ReadSecrets(file)
		if err != nil {
			return err
		}
		if len(old) >= limits.ClusterSecrets {
			return Exitf(ExitCondition, "%s holds %d secrets already, so a rotation is under way: when the clients have new certificates, remove its second line on each host; nothing was changed", file, len(old))
		}
		all = append(all, old...)
	}
	if file == "" {
		fmt.Fprintln(c.App.Writer, made.Reveal())
		return nil
	}
	if err := wire.WriteSecrets(file, all, rotate); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, file)
	return nil
}

// CertMakerBy is certMakerOf with the CA of --secret-file, if that is given.
func CertMakerBy(c *cli.Context) (wire.Maker, error) {
	m := CertMakerOf(c)
	file := c.String("secret-file")
	if file == "" {
		return m, nil
	}
	secrets, err := wire.ReadSecrets(file)
	if err != nil {
		return m, err
	}
	return m.WithSecrets(secrets), nil
}

// MemberTrust returns the trust of a member: its folder of certificates, or the cluster secret. With a secret, QKV_CERTS_DIR is that of the
// commands in the same shell, and is no contradiction.
func MemberTrust(c *cli.Context) (certsDir string, secret *wire.SecretSource, err error) {
	certsDir = c.String("certs-dir")
	secret, err = SecretSource(c.String("cluster-secret-file"), os.Getenv)
	words, _ := c.App.Metadata[GivenFlags].([]string)
	given := slices.ContainsFunc(words, func(word string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		return name == "certs-dir" && strings.HasPrefix(word, "-")
	})
	if secret != nil && !given && certsDir == os.Getenv(CertsDirVariable) {
		certsDir = ""
	}
	return certsDir, secret, err
}

// SecretSource returns where a member has the cluster secret from; nil if there is none. A secret that the environment holds is parsed now.
func SecretSource(file string, getenv func(string) string) (*wire.SecretSource, error) {
	text := getenv(SecretVariable)
	switch {
	case text != "" && file != "":
		return nil, Usagef("%s and %s (--cluster-secret-file) are both set: give only one of them", SecretVariable, SecretFileVariable)
	case file != "":
		if _, err := wire.ReadSecrets(file); err != nil {
			return nil, Usagef("--cluster-secret-file: %w", err)
		}
		return &wire.SecretSource{Name: "the cluster secret in " + file, File: file}, nil
	case text != "":
		all, err := wire.ParseSecrets(text)
		if err != nil {
			return nil, Usagef("%s: %w", SecretVariable, err)
		}
		return &wire.SecretSource{Name: SecretVariable, Secrets: all}, nil
	}
	return nil, nil
}

// CertMaker makes certificates by the system's clock and randomness.
func CertMaker() wire.Maker { return wire.Maker{Now: time.Now, Rand: rand.Reader} }

// CertMakerOf is certMaker with --valid-for applied.
func CertMakerOf(c *cli.Context) wire.Maker {
	m := CertMaker()
	m.Lifetime = c.Duration("valid-for")
	return m
}
