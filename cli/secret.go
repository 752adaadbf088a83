package cli

// This file is `qkv cert secret`: make a cluster secret, from which members derive the CA and their certificates.

import (
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
	// secretVariable holds the secrets in force for `qkv serve` and `qkv etcd`. There is no flag for it: every user of a host can read
	// command lines. secretFileVariable names a file instead, and certsDirVariable the folder of certificates.
	secretVariable     = "QKV_CLUSTER_SECRET"
	secretFileVariable = secretVariable + "_FILE"
	certsDirVariable   = "QKV_CERTS_DIR"
	// secretFileName is the name of the secret's file in printed commands.
	secretFileName = "qkv-secret"
	// bindsTrust follows the command that starts a restored or migrated folder.
	bindsTrust = "the first start binds the folder to its --certs-dir or cluster secret, or, without them, to the local CA of this host\n"
)

// signedBySecret reports whether the client's certificate is from the CA of a cluster secret.
func signedBySecret(c *cli.Context) bool {
	dir := c.String("certs-dir")
	if dir == "" {
		return false
	}
	credentials, err := wire.LoadClient(dir, c.String("client"), time.Now)
	return err == nil && credentials.Cluster() == wire.SecretCluster
}

// clusterSecretFlag is the flag of commands that start a member, or make its data folder.
func clusterSecretFlag(more string) cli.Flag {
	return &cli.StringFlag{
		Name: "cluster-secret-file", EnvVars: []string{secretFileVariable},
		Usage: "`FILE` with the cluster secret, for this user only: used in place of --certs-dir" + more,
	}
}

func secretFileFlag() cli.Flag {
	return &cli.StringFlag{
		Name:  "secret-file",
		Usage: "`FILE` with the cluster secret, whose CA signs; ca.crt is written, too",
	}
}

func secretCommand() *cli.Command {
	return &cli.Command{
		Name: "secret",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "output", Aliases: []string{"o"},
				Usage: "`FILE` to write instead of printing the secret; its mode is 0600",
			},
			&cli.BoolFlag{Name: "rotate", Usage: "add a new secret to the file of --output"},
		},
		Action: makeSecret,
	}
}

func makeSecret(c *cli.Context) error {
	file, rotate := c.String("output"), c.Bool("rotate")
	if rotate && file == "" {
		return usagef("--rotate needs --output FILE, the file with the secret that is in force")
	}
	made, err := wire.NewSecret(certMaker().Rand)
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
			return exitf(exitCondition, "%s holds %d secrets already, so a rotation is under way: when the clients have new certificates, remove its second line on each host; nothing was changed", file, len(old))
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

// certMakerBy is certMakerOf with the CA of --secret-file, if that is given.
func certMakerBy(c *cli.Context) (wire.Maker, error) {
	m := certMakerOf(c)
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

// memberTrust returns the trust of a member: its folder of certificates, or the cluster secret. With a secret, QKV_CERTS_DIR is that of the
// commands in the same shell, and is no contradiction.
func memberTrust(c *cli.Context) (certsDir string, secret *wire.SecretSource, err error) {
	certsDir = c.String("certs-dir")
	secret, err = secretSource(c.String("cluster-secret-file"), os.Getenv)
	words, _ := c.App.Metadata[givenFlags].([]string)
	given := slices.ContainsFunc(words, func(word string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		return name == "certs-dir" && strings.HasPrefix(word, "-")
	})
	if secret != nil && !given && certsDir == os.Getenv(certsDirVariable) {
		certsDir = ""
	}
	return certsDir, secret, err
}

// secretSource returns where a member has the cluster secret from; nil if there is none. A secret that the environment holds is parsed now.
func secretSource(file string, getenv func(string) string) (*wire.SecretSource, error) {
	text := getenv(secretVariable)
	switch {
	case text != "" && file != "":
		return nil, usagef("%s and %s (--cluster-secret-file) are both set: give only one of them", secretVariable, secretFileVariable)
	case file != "":
		if _, err := wire.ReadSecrets(file); err != nil {
			return nil, usagef("--cluster-secret-file: %w", err)
		}
		return &wire.SecretSource{Name: "the cluster secret in " + file, File: file}, nil
	case text != "":
		all, err := wire.ParseSecrets(text)
		if err != nil {
			return nil, usagef("%s: %w", secretVariable, err)
		}
		return &wire.SecretSource{Name: secretVariable, Secrets: all}, nil
	}
	return nil, nil
}
