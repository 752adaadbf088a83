package cli

// This file is `qkv user`: add, list and delete users, and give them roles.

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func userCommand() *cli.Command {
	return &cli.Command{
		Name: "user",
		Subcommands: []*cli.Command{
			userAddCommand(),
			{Name: "list", Flags: clientFlags(writeOutFlag()), Action: asking(userList)},
			{Name: "password", Flags: clientFlags(newPasswordFlag(), writeOutFlag()), Action: userPassword},
			{Name: "delete", Flags: clientFlags(writeOutFlag()), Action: asking(userDelete)},
			{Name: "grant", Flags: clientFlags(writeOutFlag()), Action: userGrant},
			{Name: "revoke", Flags: clientFlags(writeOutFlag()), Action: userRevoke},
		},
	}
}

func userAddCommand() *cli.Command {
	return &cli.Command{
		Name: "add",
		Flags: clientFlags(
			&cli.StringSliceFlag{Name: "role", Usage: "give the user this `ROLE`; may be repeated; the role root may do everything"},
			newPasswordFlag(),
			&cli.BoolFlag{Name: "no-password", Usage: "the user never gets a password, as `etcdctl user add --no-password`"},
			writeOutFlag(),
		),
		Action: userAdd,
	}
}

func userAdd(c *cli.Context) error {
	name, roles := c.Args().First(), c.StringSlice("role")
	if user, _, ok := strings.Cut(name, ":"); ok && c.String("password-file") == "" && !c.Bool("no-password") {
		return usagef("NAME:PASSWORD is a form of etcdctl, and every user of this host can see command lines: `qkv user add %s --password-file FILE`; "+
			"if the colon belongs to the name, give --no-password", shellWord(user))
	}
	var password string
	switch file := c.String("password-file"); {
	case file != "" && c.Bool("no-password"):
		return usagef("--password-file and --no-password exclude each other")
	case file != "":
		var err error
		if password, err = readPassword(file, c.App.Reader); err != nil {
			return err
		}
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		if err := rolesExist(ctx, s, roles); err != nil {
			return orNothing(err)
		}
		change := kv.AuthChange{Kind: kv.UserAdd, User: name, NoPassword: c.Bool("no-password")}
		if err := writeFailed(s.Admin().ChangeUsers(ctx, change, password)); err != nil {
			return orNothing(err)
		}
		for i, role := range roles {
			if err := writeFailed(s.Admin().GrantRole(ctx, name, role)); err != nil {
				return fmt.Errorf("the user %s was added, with %d of %d roles: %w; `qkv user grant %s %s` gives it the role", name, i, len(roles), err, shellWord(name), shellWord(role))
			}
		}
		return printUser(ctx, c, s, name, "added")
	})
}

// rolesExist refuses roles that are not there, before anything is changed. The role root is always there.
func rolesExist(ctx context.Context, s *client.Client, roles []string) error {
	for _, role := range roles {
		if _, err := s.Admin().Role(ctx, role); err != nil {
			return err
		}
	}
	return nil
}

// changeUser makes a change of a user, and prints the user.
func changeUser(c *cli.Context, verb string, change func(ctx context.Context, s *client.Client) error) error {
	return within(c, func(ctx context.Context, s *client.Client) error {
		if err := writeFailed(change(ctx, s)); err != nil {
			return orNothing(err)
		}
		return printUser(ctx, c, s, c.Args().First(), verb)
	})
}

func userPassword(c *cli.Context) error {
	name := c.Args().First()
	password, err := newPassword(c, name)
	if err != nil {
		return err
	}
	return changeUser(c, "has a new password", func(ctx context.Context, s *client.Client) error {
		return s.Admin().SetPassword(ctx, name, password)
	})
}

func userGrant(c *cli.Context) error {
	return changeUser(c, "has the role "+nameText(c.Args().Get(1)), func(ctx context.Context, s *client.Client) error {
		return s.Admin().GrantRole(ctx, c.Args().First(), c.Args().Get(1))
	})
}

func userRevoke(c *cli.Context) error {
	return changeUser(c, "no longer has the role "+nameText(c.Args().Get(1)), func(ctx context.Context, s *client.Client) error {
		return s.Admin().RevokeRole(ctx, c.Args().First(), c.Args().Get(1))
	})
}

func userDelete(ctx context.Context, c *cli.Context, s *client.Client) error {
	if err := writeFailed(s.Admin().DeleteUser(ctx, c.Args().First())); err != nil {
		return orNothing(err)
	}
	return writeChanged(c, fmt.Sprintf("user %s deleted", nameText(c.Args().First())), c.Args().First(), "", "deleted")
}

func userList(ctx context.Context, c *cli.Context, s *client.Client) error {
	users, err := oneOrAll(ctx, c.Args().First(), s.Admin().User, s.Admin().Users)
	if err != nil {
		return err
	}
	all, text := []form.Document{}, ""
	for i := range users {
		all, text = append(all, userDocument(&users[i])), text+userText(&users[i])
	}
	return writeOne(c, text, form.Document{{"users", all}})
}

// oneOrAll returns the one with a name, or all if the name is empty.
func oneOrAll[T any](
	ctx context.Context, name string, one func(context.Context, string) (T, error), all func(context.Context) ([]T, error),
) ([]T, error) {
	if name == "" {
		return all(ctx)
	}
	found, err := one(ctx, name)
	return []T{found}, err
}

func userDocument(u *kv.User) form.Document {
	return form.Document{{"name", u.Name}, {"roles", append([]string{}, u.Roles...)}, {"password", passwordText(u)}}
}

// passwordText says whether a user has a password: set, none, or never.
func passwordText(u *kv.User) string {
	switch {
	case u.NoPassword:
		return "never"
	case u.HasPassword:
		return "set"
	}
	return "none"
}

func userText(u *kv.User) string {
	roles := "no roles"
	if len(u.Roles) > 0 {
		roles = "roles " + namesText(u.Roles)
	}
	password := map[string]string{"set": "; has a password", "none": "", "never": "; never has a password"}[passwordText(u)]
	return fmt.Sprintf("%s: %s%s\n", nameText(u.Name), roles, password)
}

// nameText returns the name of a user or role for people. It is quoted as for a shell if it has other characters than a word.
func nameText(name string) string { return shellBytes([]byte(name)) }

func namesText(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = nameText(name)
	}
	return strings.Join(texts, ", ")
}

// printUser prints a user, after a change that a verb describes.
func printUser(ctx context.Context, c *cli.Context, s *client.Client, name, verb string) error {
	u, err := s.Admin().User(ctx, name)
	if err != nil {
		return afterChange(err)
	}
	return writeOne(c, "user "+nameText(name)+" "+verb+"\n"+userText(&u), userDocument(&u))
}

// afterChange is the error of a command that has made its change, and could not read the result.
func afterChange(err error) error {
	return exitf(exitFailed, "the change was made, but its result could not be read: %w", err)
}
