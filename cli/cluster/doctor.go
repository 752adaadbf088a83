package cluster

// This file is `qkv doctor`: check the cluster and this host, and name the command that helps.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index"
	"qkv/internal/checks"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node/roster"
)

// The exit codes of doctor.
const (
	ExitWarnings = 1
	ExitFailures = 2
)

// Diagnosis is the result of doctor. Names and order are a promise.
type Diagnosis struct {
	Verdict  string          `json:"verdict"` // empty: the cluster was not asked
	Why      string          `json:"why"`
	Checks   []checks.Result `json:"checks"`
	Failures int             `json:"failures"`
	Warnings int             `json:"warnings"`

	members []MemberStatus
}

func doctor(c *cli.Context) error {
	dir := c.String("data-dir")
	d, err := examine(c, dir)
	if err != nil {
		return err
	}
	if err := form.WriteAnswer(c, form.Answer{Document: d, Page: d.write}); err != nil {
		return err
	}
	if file := c.String("bundle"); file != "" {
		if err := writeBundle(c, file, d); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
	}
	switch checks.Worst(d.Checks) {
	case checks.Failure:
		return form.Exitf(ExitFailures, "") // the findings are printed
	case checks.Warning:
		return form.Exitf(ExitWarnings, "")
	}
	return nil
}

// examine collects the facts and makes the checks. Without a folder, a cluster that cannot be asked for another reason than that no member
// answers is an error.
func examine(c *cli.Context, dir string) (Diagnosis, error) {
	ctx, cancel := form.Bounded(c.Context, c.Duration("timeout"))
	defer cancel()
	f := checks.Facts{Asking: checks.Program{Version: form.Version, Level: index.MaxLevel}}
	var members []MemberStatus
	t, err := form.TargetOf(c)
	if err == nil {
		members, err = AskMembers(ctx, t)
	}
	switch several := errors.Is(err, client.ErrSeveralClusters); { // then a check names the members
	case err != nil && dir != "" && !several:
		f.NoAnswer = form.OneLine(err.Error())
	case err != nil && form.ExitCode(err) != form.ExitUnavailable && !several:
		return Diagnosis{}, err
	default:
		f.Members = FactsOf(members)
		addHost(ctx, t, &f, members)
	}
	if dir != "" {
		f.Folder = folderFacts(c.Context, dir)
	}
	d := Diagnosis{Checks: checks.Run(&f), members: members}
	if f.NoAnswer == "" {
		v := checks.Judge(f.Members)
		d.Verdict, d.Why = v.Word, v.Why
	}
	for _, r := range d.Checks {
		switch r.Level {
		case checks.Failure:
			d.Failures++
		case checks.Warning:
			d.Warnings++
		}
	}
	return d, nil
}

// addHost adds the facts that this host finds out about the members: the ways to them, and their certificates.
func addHost(ctx context.Context, t form.Target, f *checks.Facts, members []MemberStatus) {
	credentials, err := t.Credentials()
	if err != nil {
		f.Client.Error = form.OneLine(err.Error())
	} else {
		f.Client = checks.Certificate{File: credentials.Source, Left: time.Until(credentials.NotAfter())}
	}
	ctx, cancel := context.WithTimeout(ctx, MemberTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for i := range members {
		m := &f.Members[i]
		addresses := m.Clients
		if _, _, err := net.SplitHostPort(m.Name); err == nil && len(addresses) == 0 {
			// an endpoint that does not answer, perhaps because the packets are too large for the way to it
			addresses = []string{m.Name}
		}
		for _, address := range addresses {
			route := checks.Route{Address: address}
			if route.Interface, route.MTU, err = wire.RouteTo(address); err != nil {
				route.Error = form.OneLine(err.Error())
			}
			m.Routes = append(m.Routes, route)
		}
		if m.Answers && credentials != nil && len(m.Clients) > 0 {
			asking.Go(func() { m.Certificate = shownCertificate(ctx, credentials, m.Clients) })
		}
	}
	asking.Wait()
}

// shownCertificate returns the certificate that a member shows at its HTTPS port. It checks the names of all addresses, as etcd's clients
// and browsers do; qkv's own clients check the member's identity instead.
func shownCertificate(ctx context.Context, credentials *wire.Credentials, addresses []string) checks.Certificate {
	c := checks.Certificate{File: "the certificate at " + addresses[0]}
	conn, err := wire.DialHTTPS(ctx, credentials, addresses[0])
	if err != nil {
		c.Refused = roster.WhyOf(wire.Explain(err)) == checks.Untrusted
		c.Error = fmt.Sprintf("no TLS at %s over TCP (%s); the alarm CERT covers its certificate", addresses[0], form.OneLine(err.Error()))
		return c
	}
	defer func() { _ = conn.Close() }()
	shown := conn.ConnectionState().PeerCertificates[0]
	c.Left = time.Until(shown.NotAfter)
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil && shown.VerifyHostname(host) != nil {
			c.NotNamed = host
		}
	}
	return c
}

// write prints a line for each check, with the remedy below a finding, and a summary.
func (d *Diagnosis) write(w form.Page) {
	if d.Verdict != "" {
		w.Wrap(d.Verdict+":", "   ", d.Why)
	}
	for _, r := range d.Checks {
		word := string(r.Level)
		if r.Level == checks.Failure {
			word = "FAILURE"
		}
		w.Wrap(fmt.Sprintf("%-12s%-14s", word, r.ID), "                           ", r.Text)
		if r.Do != "" {
			w.Wrap("            ->", "                           ", r.Do+" ("+r.Docs+")")
		}
	}
	d.summary(w)
}

func (d *Diagnosis) summary(w io.Writer) {
	ok, skipped := 0, 0
	for _, r := range d.Checks {
		switch r.Level {
		case checks.OK:
			ok++
		case checks.Unchecked:
			skipped++
		}
	}
	fmt.Fprintf(w, "%s, %s, %d ok, %d not checked\n", checks.Plural(d.Failures, "failure", "failures"), checks.Plural(d.Warnings, "warning", "warnings"), ok, skipped)
}
