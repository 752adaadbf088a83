//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/audit"
)

// auditName is the audit log in a data folder, as the documentation places it.
const auditName = "audit/audit.jsonl"

// auditPoll is how often --follow looks for new lines.
const auditPoll = 200 * time.Millisecond

func auditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Category: "security", Usage: "print a member's audit log",
		Description: "Reads the files of `qkv serve --audit-log` on this host, the rotated ones first. They have refusals, logins, and " +
			"changes of users, roles, members and alarms. Each member has its own log. -w json prints the lines as they are in the files; " +
			"`go doc ./internal/audit` explains the fields.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "audit-log", Aliases: []string{"file"}, Usage: "`FILE` of --audit-log"},
			&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of the member's data, if the file is DIR/" + auditName + " (default: ./qkv-data/default)"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with new lines until Ctrl-C"},
			&cli.StringFlag{Name: "by", Usage: "only lines of this `USER`"},
			&cli.StringFlag{Name: "result", Usage: "only lines with this `RESULT`: ok, refused, or the name of one refusal, as in 'not allowed'"},
			&cli.StringFlag{
				Name: "write-out", Aliases: []string{"w"}, Usage: "`FORMAT` of the lines: plain or json (default: plain on a terminal, otherwise json)",
				Action: oneOf("write-out", form.Plain, form.JSON),
			},
		},
		Action: printAudit,
	}
}

func printAudit(c *cli.Context) error {
	file := cmp.Or(c.String("audit-log"), filepath.Join(cmp.Or(c.String("data-dir"), "qkv-data/default"), auditName))
	plain := isTerminal(c.App.Writer)
	if c.IsSet("write-out") {
		plain = c.String("write-out") == form.Plain
	}
	return interruptible(c, func(ctx context.Context) error {
		p := &auditPrinter{out: bufio.NewWriter(c.App.Writer), plain: plain, by: c.String("by"), result: c.String("result")}
		return p.print(ctx, file, c.Bool("follow"))
	})
}

// noAudit explains a missing file.
func noAudit(err error, file string) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return exitf(exitNotFound, "there is no audit log %s: give --file, the --audit-log of `qkv serve`, on the member's host", file)
}

// auditPrinter prints lines of an audit log.
type auditPrinter struct {
	out        *bufio.Writer
	plain      bool
	by, result string // "" is any
	headed     bool
}

// print prints the lines of a log, and with follow those that come later.
func (p *auditPrinter) print(ctx context.Context, file string, follow bool) error {
	r := audit.NewReader(file)
	defer r.Close()
	look := time.NewTicker(auditPoll)
	defer look.Stop()
	for {
		raw, err := r.Next()
		switch {
		case err == nil:
			err = p.line(raw)
		case err == io.EOF:
			if err = p.out.Flush(); err == nil && !follow {
				return nil
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err != nil {
			return errors.Join(noAudit(err, file), p.out.Flush())
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// line prints a line, unless it is damaged or not asked for.
func (p *auditPrinter) line(raw []byte) error {
	one := audit.ParseLine(raw)
	if one == nil || p.by != "" && one.User != p.by || !p.wants(one.Result) {
		return nil
	}
	if !p.plain {
		_, err := fmt.Fprintf(p.out, "%s\n", bytes.TrimSuffix(raw, []byte{'\n'}))
		return err
	}
	const columns = "%-30s  %-10s  %-12s  %-16s  %-11s  %-21s  %s\n"
	if !p.headed {
		p.headed = true
		fmt.Fprintf(p.out, columns, "TIME", "MEMBER", "USER", "OPERATION", "RESULT", "REMOTE", "KEYS AND MESSAGE")
	}
	_, err := fmt.Fprintf(p.out, columns, one.Time, auditCell(one.Member), auditCell(one.User), auditCell(one.Operation), auditCell(one.Result), auditCell(one.Remote), auditCell(detailOf(one)))
	return err
}

func (p *auditPrinter) wants(result string) bool {
	switch p.result {
	case "":
		return true
	case "refused":
		return result != "ok"
	}
	return result == p.result
}

// auditCell returns a cell of a line: a text without line ends, or a dash.
func auditCell(text string) string { return cmp.Or(printable([]byte(text), len(text)), "-") }

// detailOf returns the keys of a line, and its message.
func detailOf(one *audit.Line) string {
	var all []string
	for _, r := range one.Ranges {
		text := audit.KeyText(r.Key, r.KeyBase64, r.KeyBytes)
		if end := audit.KeyText(r.End, r.EndBase64, r.EndBytes); end != "" {
			text = "[" + text + ", " + end + ")"
		}
		all = append(all, text)
	}
	if one.MoreRanges > 0 {
		all = append(all, fmt.Sprintf("and %d more", one.MoreRanges))
	}
	if one.Message != "" {
		all = append(all, one.Message)
	}
	return strings.Join(all, " ")
}
