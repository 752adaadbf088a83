package cli

import (
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/net/wire"
)

// certMaker makes certificates by the system's clock and chance.
func certMaker() wire.Maker { return wire.Maker{Now: time.Now, Rand: rand.Reader} }

func certCommand() *cli.Command {
	dir := func() cli.Flag {
		return &cli.StringFlag{Name: "certs-dir", EnvVars: []string{"QKV_CERTS_DIR"}, Value: "certs", Usage: "`DIR` of the certificates"}
	}
	return &cli.Command{
		Name: "cert", Category: "cluster", Usage: "make and show certificates",
		Description: "For a cluster on several hosts: make a CA, a certificate for each member and one for each client, all in one\n" +
			"folder; then copy to each host ca.crt and its own .crt and .key. The CA's key, ca.key, stays where it is.\n\n" +
			"   qkv cert ca --cluster prod\n   qkv cert member n1 10.0.0.1\n   qkv cert client admin",
		Subcommands: []*cli.Command{
			{
				Name: "ca", Usage: "make a certificate authority: ca.crt and ca.key",
				Flags: []cli.Flag{dir(), &cli.StringFlag{
					Name: "cluster", EnvVars: []string{"QKV_CERT_CLUSTER"},
					Usage: "`NAME` of the cluster that it speaks for; members and clients of no other are believed",
				}},
				Action: func(c *cli.Context) error {
					if c.String("cluster") == "" {
						return usagef("--cluster is needed: the name of the cluster that the CA speaks for, as in prod")
					}
					if err := wire.CheckCluster(c.String("cluster")); err != nil {
						return usagef("--cluster: %w", err)
					}
					return makeCert(c, 0, func(dir, _ string) (wire.Files, error) {
						return certMaker().CreateCA(dir, c.String("cluster"))
					})
				},
			},
			{
				Name: "member", Usage: "make a member's certificate: member-NAME.crt and .key", ArgsUsage: "NAME [HOST...]",
				Flags: []cli.Flag{dir(), &cli.StringSliceFlag{
					Name: "hosts", EnvVars: []string{"QKV_CERT_HOSTS"},
					Usage: "`HOST,...`, names or addresses that others than qkv's own clients will reach it by, besides localhost",
				}},
				Action: func(c *cli.Context) error {
					return makeCert(c, math.MaxInt, func(dir, name string) (wire.Files, error) {
						return certMaker().CreateMember(dir, name, append(c.StringSlice("hosts"), c.Args().Tail()...))
					})
				},
			},
			{
				Name: "client", Usage: "make a client's certificate: client-NAME.crt and .key", ArgsUsage: "NAME",
				Flags: []cli.Flag{dir()},
				Action: func(c *cli.Context) error {
					return makeCert(c, 1, certMaker().CreateClient)
				},
			},
			{
				Name: "show", Usage: "show what certificates say", ArgsUsage: "[FILE|DIR...]",
				Description: "Without FILE or DIR: all certificates in --certs-dir.",
				Flags:       []cli.Flag{dir()},
				Action:      showCerts,
			},
		},
	}
}

// makeCert makes one certificate and says where it is.
func makeCert(c *cli.Context, most int, create func(dir, name string) (wire.Files, error)) error {
	if err := arguments(c, min(1, most), most); err != nil {
		return err
	}
	if most > 0 {
		if err := wire.CheckName(c.Args().First()); err != nil {
			return usagef("%w", err)
		}
	}
	files, err := create(c.String("certs-dir"), c.Args().First())
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s\n%s\n", files.Cert, files.Key)
	return nil
}

func showCerts(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		names = []string{c.String("certs-dir")}
	}
	var files []string
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			files = append(files, name) // a file that cannot be read says so itself
			continue
		}
		found, err := filesEnding(name, ".crt")
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("there are no certificates in %s; `qkv cert ca` begins with one, --certs-dir says where they are", name)
		}
		files = append(files, found...)
	}
	for i, name := range files {
		text, err := wire.Show(name, time.Now())
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(c.App.Writer)
		}
		fmt.Fprintf(c.App.Writer, "%s\n%s", name, text)
	}
	return nil
}

// filesEnding lists the files of a folder with a suffix, by name.
func filesEnding(dir, suffix string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == suffix {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}
