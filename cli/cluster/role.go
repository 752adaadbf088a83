package cluster

// This file is `qkv role`: add, list and delete roles, and what they permit.

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/index/kv"
	"qkv/net/client"
)

// rangeGiven returns the keys of --prefix, --key, or --from and --to; no keys if none of them is given.
func rangeGiven(c *cli.Context) (p kv.Permission, given bool, err error) {
	count := 0
	for _, name := range []string{"prefix", "key", "from"} {
		if c.IsSet(name) {
			count++
		}
	}
	switch {
	case count > 1:
		return p, false, form.Usagef("--prefix, --key and --from exclude each other: one permission has one range")
	case c.IsSet("to") && !c.IsSet("from"):
		return p, false, form.Usagef("--to needs --from")
	case count == 0:
		return p, false, nil
	case c.IsSet("prefix"):
		q := keys.PrefixQuery([]byte(c.String("prefix")))
		p.Key, p.End = q.Key, q.End
	case c.IsSet("key"):
		p.Key = []byte(c.String("key"))
	default:
		p.Key, p.End = []byte(c.String("from")), client.From
		if c.IsSet("to") {
			p.End = []byte(c.String("to"))
		}
	}
	return p, true, nil
}

// permissionGiven returns the permission of the flags; given is false if there is none.
func permissionGiven(c *cli.Context) (p kv.Permission, given bool, err error) {
	p, given, err = rangeGiven(c)
	read, write := c.Bool("read"), c.Bool("write")
	switch {
	case err != nil:
		return p, false, err
	case given && !read && !write:
		return p, false, form.Usagef("say what is permitted: --read, --write, or both")
	case !given && (read || write):
		return p, false, form.Usagef("say for which keys: --prefix PREFIX, --key KEY, or --from KEY --to KEY; --prefix '' for every key")
	case read && write:
		p.Type = kv.PermitReadWrite
	case write:
		p.Type = kv.PermitWrite
	}
	return p, given, nil
}

func roleAdd(c *cli.Context) error {
	p, given, err := permissionGiven(c)
	if err != nil {
		return err
	}
	role := c.Args().First()
	if role == client.RootRole {
		return form.Usagef("the role root is always there, and may do everything: `qkv user grant NAME root` gives it to a user")
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := form.WriteFailed(s.Admin().AddRole(ctx, role)); err != nil {
			return form.OrNothing(err)
		}
		if given {
			if err := form.WriteFailed(s.Admin().GrantPermission(ctx, role, p)); err != nil {
				return fmt.Errorf("the role %s was added without its permission: %w; `qkv role grant` adds it", role, err)
			}
		}
		return printRole(ctx, c, s, role, "added")
	})
}

func roleGrant(c *cli.Context) error {
	p, given, err := permissionGiven(c)
	if err != nil {
		return err
	}
	if !given {
		return form.Usagef("the permission is missing: --prefix, --key or --from say for which keys, --read and --write what is permitted")
	}
	return changeRole(c, func(ctx context.Context, s *client.Client, role string) error {
		return s.Admin().GrantPermission(ctx, role, p)
	})
}

func roleRevoke(c *cli.Context) error {
	p, given, err := rangeGiven(c)
	if err != nil {
		return err
	}
	if !given {
		return form.Usagef("the range of the permission is missing: --prefix, --key or --from, as `qkv role list ROLE` prints it")
	}
	return changeRole(c, func(ctx context.Context, s *client.Client, role string) error {
		return s.Admin().RevokePermission(ctx, role, p.Key, p.End)
	})
}

// changeRole makes a change of a role, and prints the role.
func changeRole(c *cli.Context, change func(ctx context.Context, s *client.Client, role string) error) error {
	role := c.Args().First()
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := form.WriteFailed(change(ctx, s, role)); err != nil {
			return form.OrNothing(err)
		}
		return printRole(ctx, c, s, role, "changed")
	})
}

func roleDelete(ctx context.Context, c *cli.Context, s *client.Client) error {
	if err := form.WriteFailed(s.Admin().DeleteRole(ctx, c.Args().First())); err != nil {
		return form.OrNothing(err)
	}
	return form.WriteChanged(c, fmt.Sprintf("role %s deleted", nameText(c.Args().First())), c.Args().First(), "", "deleted")
}

func roleList(ctx context.Context, c *cli.Context, s *client.Client) error {
	roles, err := oneOrAll(ctx, c.Args().First(), s.Admin().Role, s.Admin().Roles)
	if err != nil {
		return err
	}
	all, text := []form.Document{}, ""
	for i := range roles {
		all, text = append(all, roleDocument(&roles[i])), text+roleText(&roles[i])
	}
	return form.WriteOne(c, text, form.Document{{"roles", all}})
}

// permission is a permission as it is printed. In JSON, one of prefix, key and from names its keys, and base64 says that they are not UTF-8.
type permission struct {
	form.Document
	words  string // the keys in the flags of `qkv role grant`
	access string // what is permitted, in the same way
}

func permissionOf(p *kv.Permission) (d permission) {
	binary := false
	add := func(name string, key []byte) {
		var text any = string(key)
		if !utf8.Valid(key) {
			text, binary = key, true
		}
		d.Document = append(d.Document, form.Field{name, text})
		d.words = strings.TrimPrefix(d.words+" --"+name+" "+form.ShellBytes(key), " ")
	}
	switch prefix, ok := prefixOf(p.Key, p.End); {
	case len(p.End) == 0:
		add("key", p.Key)
	case ok:
		add("prefix", prefix)
	default:
		add("from", p.Key)
		if string(p.End) != string(client.From) {
			add("to", p.End)
		}
	}
	if binary {
		d.Document = append(d.Document, form.Field{"base64", true})
	}
	d.Document = append(d.Document, form.Field{"read", p.Type.Reads()}, form.Field{"write", p.Type.Writes()})
	if p.Type.Reads() {
		d.access = "--read"
	}
	if p.Type.Writes() {
		d.access = strings.TrimPrefix(d.access+" --write", " ")
	}
	return d
}

// String returns the flags of `qkv role grant`.
func (p permission) String() string { return p.words + " " + p.access }

// prefixOf returns the prefix whose keys a range has; false if it is no such range.
func prefixOf(key, end []byte) (prefix []byte, ok bool) {
	if len(key) == 1 && key[0] == 0 && len(end) == 1 && end[0] == 0 {
		return nil, true
	}
	return key, string(end) != string(client.From) && string(client.Prefix(key)) == string(end)
}

func permissionsOf(r *kv.UserRole) []permission {
	all := make([]permission, len(r.Permissions))
	for i := range r.Permissions {
		all[i] = permissionOf(&r.Permissions[i])
	}
	return all
}

func roleDocument(r *kv.UserRole) form.Document {
	return form.Document{{"name", r.Name}, {"permissions", permissionsOf(r)}}
}

func roleText(r *kv.UserRole) string {
	if len(r.Permissions) == 0 {
		return nameText(r.Name) + ": no permissions\n"
	}
	text := nameText(r.Name) + ":\n"
	for _, p := range permissionsOf(r) {
		text += "  " + p.String() + "\n"
	}
	return text
}

// printRole prints a role, after a change that a verb describes.
func printRole(ctx context.Context, c *cli.Context, s *client.Client, name, verb string) error {
	r, err := s.Admin().Role(ctx, name)
	if err != nil {
		return afterChange(err)
	}
	return form.WriteOne(c, "role "+nameText(name)+" "+verb+"\n"+roleText(&r), roleDocument(&r))
}
