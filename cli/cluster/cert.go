package cluster

// This file is `qkv cert`: make and show certificates.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/wire"
)

func certCA(c *cli.Context) error {
	if c.String("cluster") == "" {
		return form.Usagef("--cluster is needed: the name of the CA's cluster, as in prod")
	}
	if err := wire.CheckCluster(c.String("cluster")); err != nil {
		return form.Usagef("--cluster: %w", err)
	}
	return makeCert(c, func(dir, _ string) (wire.Files, error) { return form.CertMakerOf(c).CreateCA(dir, c.String("cluster")) })
}

func certMember(c *cli.Context) error {
	return makeCert(c, func(dir, name string) (wire.Files, error) {
		return form.CertMakerOf(c).CreateMember(dir, name, append(c.StringSlice("hosts"), c.Args().Tail()...))
	})
}

func certClient(c *cli.Context) error {
	m, err := form.CertMakerBy(c)
	if err != nil {
		return err
	}
	return makeCert(c, m.CreateClient)
}

// makeCert makes one certificate and prints the paths of its files.
func makeCert(c *cli.Context, create func(dir, name string) (wire.Files, error)) error {
	if c.NArg() > 0 {
		if err := kv.CheckName(c.Args().First()); err != nil {
			return form.Usagef("%w", err)
		}
	}
	files, err := create(c.String("certs-dir"), c.Args().First())
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s\n%s\n", files.Cert, files.Key)
	return nil
}

// renewCerts renews the named certificates, or all.
func renewCerts(c *cli.Context) error {
	dir, names := c.String("certs-dir"), c.Args().Slice()
	if len(names) == 0 {
		found, err := filesEnding(dir, ".crt")
		if err != nil {
			return fmt.Errorf("%w: --certs-dir says where the CA and the certificates are", err)
		}
		for _, name := range found {
			if filepath.Base(name) != "ca.crt" {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("there are no certificates of members or clients in %s; --certs-dir says where the CA is", dir)
		}
	}
	m, err := form.CertMakerBy(c)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := m.Renew(dir, name); err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, name)
	}
	return nil
}

func showCerts(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		names = []string{c.String("certs-dir")}
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: --certs-dir says where the certificates are, `qkv cert ca` begins with one", err)
		}
		if err != nil || !info.IsDir() {
			files = append(files, name) // an unreadable file produces its own error
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
	var text strings.Builder
	var failed []error
	for _, name := range files {
		all, err := wire.Show(name, time.Now())
		if err != nil {
			failed = append(failed, err) // show the other certificates anyway
		}
		for i, one := range all {
			if text.Len() > 0 {
				text.WriteByte('\n')
			}
			if i == 0 {
				fmt.Fprintln(&text, name)
			}
			text.WriteString(one)
		}
	}
	_, err := io.WriteString(c.App.Writer, text.String())
	return errors.Join(append(failed, err)...)
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
