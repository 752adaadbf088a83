package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

func roleCommand() *cli.Command {
	return &cli.Command{
		Name: "role", Category: "security", Usage: "add, list and delete roles, and what they permit",
		Description: "A role is a set of permissions. Each permits to read, to write, or both, for one key or a range of keys. Writing " +
			"does not include reading. A user with several roles may do what they permit together. The role root is always there, and may do everything.",
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "add a role, with a permission if one is given", ArgsUsage: "ROLE",
				Flags: clientFlags(rangeFlags("ADD", accessFlags("ADD", writeOutFlag())...)...), Action: roleAdd,
			},
			{
				Name: "grant", Usage: "add a permission to a role", ArgsUsage: "ROLE",
				Description: "If the role has a permission of exactly this range, its type changes.",
				Flags:       clientFlags(rangeFlags("GRANT", accessFlags("GRANT", writeOutFlag())...)...), Action: roleGrant,
			},
			{
				Name: "revoke", Usage: "take a permission from a role", ArgsUsage: "ROLE",
				Description: "The range is exactly that of the grant: `qkv role show` prints it.",
				Flags:       clientFlags(rangeFlags("REVOKE", writeOutFlag())...), Action: roleRevoke,
			},
			{
				Name: "list", Usage: "list all roles with their permissions",
				Flags: clientFlags(writeOutFlag()), Action: roleList,
			},
			{
				Name: "show", Usage: "print one role", ArgsUsage: "ROLE",
				Flags: clientFlags(writeOutFlag()), Action: roleShow,
			},
			{
				Name: "delete", Usage: "delete a role, and take it from all users", ArgsUsage: "ROLE",
				Flags: clientFlags(writeOutFlag()), Action: roleDelete,
			},
		},
	}
}

// rangeFlags are the flags for the keys of a permission.
func rangeFlags(command string, more ...cli.Flag) []cli.Flag {
	variable := func(name string) []string { return []string{"QKV_ROLE_" + command + "_" + name} }
	return append([]cli.Flag{
		&cli.StringFlag{Name: "prefix", EnvVars: variable("PREFIX"), Usage: "all keys that begin with `PREFIX`; '' for every key"},
		&cli.StringFlag{Name: "key", EnvVars: variable("KEY"), Usage: "the one key `KEY`"},
		&cli.StringFlag{Name: "from", EnvVars: variable("FROM"), Usage: "the keys from `KEY` on, in byte order"},
		&cli.StringFlag{Name: "to", EnvVars: variable("TO"), Usage: "with --from: up to `KEY`, without it"},
	}, more...)
}

// accessFlags are the flags for what a permission allows.
func accessFlags(command string, more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.BoolFlag{Name: "read", EnvVars: []string{"QKV_ROLE_" + command + "_READ"}, Usage: "permit to read, and to watch"},
		&cli.BoolFlag{Name: "write", EnvVars: []string{"QKV_ROLE_" + command + "_WRITE"}, Usage: "permit to put and delete"},
	}, more...)
}

// rangeGiven returns the keys of --prefix, --key, or --from and --to; no keys if none of them is given.
func rangeGiven(c *cli.Context) (p client.Permission, given bool, err error) {
	count := 0
	for _, name := range []string{"prefix", "key", "from"} {
		if c.IsSet(name) {
			count++
		}
	}
	switch {
	case count > 1:
		return p, false, usagef("--prefix, --key and --from exclude each other: one permission has one range")
	case c.IsSet("to") && !c.IsSet("from"):
		return p, false, usagef("--to needs --from")
	case count == 0:
		return p, false, nil
	case c.IsSet("prefix"):
		q := prefixQuery([]byte(c.String("prefix")))
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
func permissionGiven(c *cli.Context) (p client.Permission, given bool, err error) {
	p, given, err = rangeGiven(c)
	read, write := c.Bool("read"), c.Bool("write")
	switch {
	case err != nil:
		return p, false, err
	case given && !read && !write:
		return p, false, usagef("say what is permitted: --read, --write, or both")
	case !given && (read || write):
		return p, false, usagef("say for which keys: --prefix PREFIX, --key KEY, or --from KEY --to KEY; --prefix '' for every key")
	case read && write:
		p.Type = client.PermitReadWrite
	case write:
		p.Type = client.PermitWrite
	}
	return p, given, nil
}

func roleAdd(c *cli.Context) error {
	if err := namesGiven(c, 1); err != nil {
		return err
	}
	p, given, err := permissionGiven(c)
	if err != nil {
		return err
	}
	role := c.Args().First()
	if role == client.RootRole {
		return usagef("the role root is always there, and may do everything: `qkv user grant NAME root` gives it to a user")
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		if err := writeFailed(s.AddRole(ctx, role)); err != nil {
			return orNothing(err)
		}
		if given {
			if err := writeFailed(s.GrantPermission(ctx, role, p)); err != nil {
				return fmt.Errorf("the role %s was added without its permission: %w; `qkv role grant` adds it", role, err)
			}
		}
		return printRole(ctx, c, s, role, "added")
	})
}

func roleGrant(c *cli.Context) error {
	if err := namesGiven(c, 1); err != nil {
		return err
	}
	p, given, err := permissionGiven(c)
	if err != nil {
		return err
	}
	if !given {
		return usagef("the permission is missing: --prefix, --key or --from say for which keys, --read and --write what is permitted")
	}
	return changeRole(c, func(ctx context.Context, s *client.Client, role string) error { return s.GrantPermission(ctx, role, p) })
}

func roleRevoke(c *cli.Context) error {
	if err := namesGiven(c, 1); err != nil {
		return err
	}
	p, given, err := rangeGiven(c)
	if err != nil {
		return err
	}
	if !given {
		return usagef("the range of the permission is missing: --prefix, --key or --from, as `qkv role show` prints it")
	}
	return changeRole(c, func(ctx context.Context, s *client.Client, role string) error {
		return s.RevokePermission(ctx, role, p.Key, p.End)
	})
}

// changeRole makes a change of a role, and prints the role.
func changeRole(c *cli.Context, change func(ctx context.Context, s *client.Client, role string) error) error {
	role := c.Args().First()
	return within(c, func(ctx context.Context, s *client.Client) error {
		if err := writeFailed(change(ctx, s, role)); err != nil {
			return orNothing(err)
		}
		return printRole(ctx, c, s, role, "changed")
	})
}

func roleDelete(c *cli.Context) error {
	if err := namesGiven(c, 1); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		if err := writeFailed(s.DeleteRole(ctx, c.Args().First())); err != nil {
			return orNothing(err)
		}
		writeChanged(c, fmt.Sprintf("role %s deleted", nameText(c.Args().First())), c.Args().First(), "", "deleted")
		return nil
	})
}

func roleShow(c *cli.Context) error {
	if err := namesGiven(c, 1); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		return printRole(ctx, c, s, c.Args().First(), "")
	})
}

func roleList(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		all, err := s.Roles(ctx)
		if err != nil {
			return err
		}
		documents := make([]roleDocument, 0, len(all))
		for i := range all {
			documents = append(documents, roleOf(&all[i]))
		}
		return writeAll(c.App.Writer, c.String("write-out"), "roles", documents)
	})
}

// permissionDocument is the JSON of a permission; names and order are a promise. One of prefix, key and from names its keys.
type permissionDocument struct {
	Prefix *string `json:"prefix,omitempty"`
	Key    *string `json:"key,omitempty"`
	From   *string `json:"from,omitempty"`
	To     *string `json:"to,omitempty"`
	Base64 bool    `json:"base64,omitempty"` // the keys are not UTF-8
	Read   bool    `json:"read"`
	Write  bool    `json:"write"`
	words  string  // the keys in the flags of `qkv role grant`
}

func permissionOf(p *client.Permission) permissionDocument {
	d := permissionDocument{Read: p.Type.Reads(), Write: p.Type.Writes()}
	add := func(to **string, flag string, key []byte) {
		text, encoded := textOrBase64(key)
		if d.Base64 = d.Base64 || encoded != nil; text == nil {
			text = encoded
		}
		*to = text
		d.words = strings.TrimPrefix(d.words+" "+flag+" "+shellBytes(key), " ")
	}
	switch prefix, ok := prefixOf(p.Key, p.End); {
	case len(p.End) == 0:
		add(&d.Key, "--key", p.Key)
	case ok:
		add(&d.Prefix, "--prefix", prefix)
	default:
		add(&d.From, "--from", p.Key)
		if string(p.End) != string(client.From) {
			add(&d.To, "--to", p.End)
		}
	}
	return d
}

// prefixOf returns the prefix whose keys a range has; false if it is no such range.
func prefixOf(key, end []byte) (prefix []byte, ok bool) {
	if len(key) == 1 && key[0] == 0 && len(end) == 1 && end[0] == 0 {
		return nil, true
	}
	return key, string(end) != string(client.From) && string(client.Prefix(key)) == string(end)
}

func (d *permissionDocument) access() string {
	var words []string
	if d.Read {
		words = append(words, "--read")
	}
	if d.Write {
		words = append(words, "--write")
	}
	return strings.Join(words, " ")
}

// roleDocument is the JSON of a role; names and order are a promise.
type roleDocument struct {
	Name        string               `json:"name"`
	Permissions []permissionDocument `json:"permissions"`
}

func roleOf(r *client.Role) roleDocument {
	d := roleDocument{Name: r.Name, Permissions: make([]permissionDocument, 0, len(r.Permissions))}
	for i := range r.Permissions {
		d.Permissions = append(d.Permissions, permissionOf(&r.Permissions[i]))
	}
	return d
}

func (d roleDocument) fields() []field {
	fields := []field{{"Name", d.Name}}
	for i := range d.Permissions {
		fields = append(fields, field{"Permission", d.Permissions[i].words + " " + d.Permissions[i].access()})
	}
	return fields
}

func (d roleDocument) head() []string { return []string{"ROLE", "KEYS", "PERMITTED"} }

func (d roleDocument) rows() [][]any {
	if len(d.Permissions) == 0 {
		return [][]any{{tableName(d.Name), "-", "-"}}
	}
	var rows [][]any
	for i := range d.Permissions {
		rows = append(rows, []any{tableName(d.Name), d.Permissions[i].words, d.Permissions[i].access()})
	}
	return rows
}

func (d roleDocument) text() string {
	if len(d.Permissions) == 0 {
		return nameText(d.Name) + ": no permissions\n"
	}
	text := nameText(d.Name) + ":\n"
	for i := range d.Permissions {
		text += "  " + d.Permissions[i].words + " " + d.Permissions[i].access() + "\n"
	}
	return text
}

// printRole prints a role, after a change that a verb describes.
func printRole(ctx context.Context, c *cli.Context, s *client.Client, name, verb string) error {
	r, err := s.Role(ctx, name)
	if err != nil {
		return afterChange(err, verb)
	}
	d := roleOf(&r)
	text := d.text()
	if verb != "" {
		text = "role " + nameText(name) + " " + verb + "\n" + text
	}
	if format := c.String("write-out"); format == formatTable {
		return writeAll(c.App.Writer, format, "", []roleDocument{d})
	}
	writeOne(c, text, d.fields(), d)
	return nil
}
