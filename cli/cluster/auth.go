package cluster

// This file is `qkv auth`: enable users and roles, and explain what they permit; `qkv whoami`: print as which user
// the cluster knows you, and by what proof.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/index/kv"
	"qkv/net/client"
)

func authEnable(ctx context.Context, c *cli.Context, s *client.Client) error {
	if err := form.WriteFailed(s.Admin().EnableAuth(ctx)); err != nil {
		return lockedOut(ctx, s, err)
	}
	self, err := s.WhoAmI(ctx)
	if err != nil {
		return afterChange(err)
	}
	return form.WriteOne(c, fmt.Sprintf("authentication is enabled; you are %s, by %s, with the role root\n", nameText(self.Name), self.Proof), form.Document{{"enabled", true}, {"user", self.Name}})
}

// lockedOut adds to the refusal of enabled authentication the commands after which it is accepted.
func lockedOut(ctx context.Context, s *client.Client, refused error) error {
	answer, ok := errors.AsType[*kv.Error](refused)
	if !ok || answer.Code != kv.RootUserMissing && answer.Code != kv.RootRoleMissing && answer.Code != kv.AuthManagement {
		return form.OrNothing(refused)
	}
	self, err := s.WhoAmI(ctx)
	if err != nil {
		return form.OrNothing(refused)
	}
	if self.Name == "" {
		return fmt.Errorf("%w; the certificate is a member's, which is no user: use a client's (`qkv cert client NAME`), or --user; nothing was changed", refused)
	}
	var commands []string
	for _, name := range []string{client.RootRole, self.Name} {
		switch u, err := s.Admin().User(ctx, name); {
		case form.CodeOf(err) == kv.UserNotFound:
			commands = append(commands, fmt.Sprintf("qkv user add %s --role root", form.ShellWord(name)))
		case err == nil && !slices.Contains(u.Roles, client.RootRole):
			commands = append(commands, fmt.Sprintf("qkv user grant %s root", form.ShellWord(name)))
		}
		if name == self.Name { // it is root itself
			break
		}
	}
	if len(commands) == 0 {
		return form.OrNothing(refused)
	}
	return form.Exitf(form.ExitCondition, "authentication was not enabled, because its rules would lock you out. You are %s, by %s. Run this first:\n  %s\n  qkv auth enable", nameText(self.Name), self.Proof, strings.Join(commands, "\n  "))
}

func authDisable(ctx context.Context, c *cli.Context, s *client.Client) error {
	if err := form.WriteFailed(s.Admin().DisableAuth(ctx)); err != nil {
		return form.OrNothing(err)
	}
	return form.WriteOne(c, "authentication is disabled: every client with a certificate of the CA may do everything\n", form.Document{{"enabled", false}})
}

func whoami(ctx context.Context, c *cli.Context, s *client.Client) error {
	self, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	_ = form.WriteOne(c, selfText(&self), form.Document{
		{"name", self.Name},
		{"proof", self.Proof.String()},
		{"known", self.Known},
		{"roles", append([]string{}, self.Roles...)},
		{"root", self.Root},
		{"auth_enabled", self.Enabled},
	})
	return nil
}

func selfText(self *kv.Self) string {
	text := nameText(self.Name) + ", by " + self.Proof.String()
	switch {
	case self.Proof == kv.ProofNone:
		text = "no user: the certificate is a member's"
	case !self.Known && self.Enabled:
		text += "; there is no user of this name, so requests are refused: an administrator can add it: `qkv user add " + nameText(self.Name) + " --role ROLE`, or `--role root` for another administrator"
	case !self.Known:
		text += "; there is no user of this name"
	case len(self.Roles) == 0:
		text += "; no roles"
	default:
		text += "; roles " + namesText(self.Roles)
	}
	if !self.Enabled {
		text += "; authentication is disabled, so you may do everything"
	}
	return text + "\n"
}

// accessGiven returns the keys and the kind of access of `qkv auth check`.
func accessGiven(c *cli.Context) (name, key string, p kv.Permission, err error) {
	for _, one := range []string{"put", "get", "delete"} {
		if c.IsSet(one) && name != "" {
			return "", "", p, form.Usagef("--%s and --%s exclude each other: check one access", name, one)
		}
		if c.IsSet(one) {
			name, key = one, c.String(one)
		}
	}
	switch prefix := c.Bool("prefix"); {
	case name == "":
		return "", "", p, form.Usagef("the access to check is missing: --put KEY, --get KEY or --delete KEY")
	case prefix && name == "put":
		return "", "", p, form.Usagef("--put has one key: --prefix goes with --get or --delete")
	case prefix:
		q := keys.PrefixQuery([]byte(key))
		p.Key, p.End = q.Key, q.End
	case key == "":
		return "", "", p, form.Usagef("--%s has an empty key: --prefix makes it every key", name)
	default:
		p.Key = []byte(key)
	}
	if name != "get" {
		p.Type = kv.PermitWrite
	}
	return name, key, p, nil
}

// grantOf is a permission with its role.
func grantOf(role string, p *kv.Permission) permission {
	one := permissionOf(p)
	one.Document = append(form.Document{{"role", role}}, one.Document...)
	one.words = "role " + nameText(role) + " " + one.words
	return one
}

func authCheck(c *cli.Context) error {
	access, key, p, err := accessGiven(c)
	if err != nil {
		return err
	}
	user := c.Args().First()
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		answer, err := s.Admin().CheckPermission(ctx, user, p)
		if err != nil {
			return err
		}
		grants := []permission{}
		if answer.Root {
			grants = append(grants, grantOf(client.RootRole, &kv.Permission{Key: client.From, End: client.From, Type: kv.PermitReadWrite}))
		}
		for i := range answer.Grants {
			grants = append(grants, grantOf(answer.Grants[i].Role, &answer.Grants[i].Permission))
		}
		keys := form.ShellWord(key)
		if c.Bool("prefix") {
			keys = "all keys that begin with " + keys
		}
		text := fmt.Sprintf("allowed: %s may %s %s\n", nameText(user), access, keys)
		switch {
		case !answer.Allowed && len(grants) == 0:
			text = "not allowed: no role permits any of it\n"
		case !answer.Allowed:
			text = "not allowed: the roles permit only a part of it\n"
		}
		for _, one := range grants {
			text += "  " + one.String() + "\n"
		}
		_ = form.WriteOne(c, text, form.Document{{"user", user}, {"access", access}, {"allowed", answer.Allowed}, {"grants", grants}})
		if !answer.Allowed {
			return form.Exitf(form.ExitCondition, "%s may not %s %s: `qkv role grant ROLE %s` permits it, to all users with that role", user, access, keys, permissionOf(&p))
		}
		return nil
	})
}
