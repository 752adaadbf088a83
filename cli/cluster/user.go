package cluster

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

func userAdd(c *cli.Context) error {
	name, roles := c.Args().First(), c.StringSlice("role")
	if user, _, ok := strings.Cut(name, ":"); ok && c.String("password-file") == "" && !c.Bool("no-password") {
		return form.Usagef("NAME:PASSWORD is a form of etcdctl, and every user of this host can see command lines: `qkv user add %s --password-file FILE`; "+
			"if the colon belongs to the name, give --no-password", form.ShellWord(user))
	}
	var password string
	switch file := c.String("password-file"); {
	case file != "" && c.Bool("no-password"):
		return form.Usagef("--password-file and --no-password exclude each other")
	case file != "":
		var err error
		if password, err = form.ReadPassword(file, c.App.Reader); err != nil {
			return err
		}
	}
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := rolesExist(ctx, s, roles); err != nil {
			return form.OrNothing(err)
		}
		change := kv.AuthChange{Kind: kv.UserAdd, User: name, NoPassword: c.Bool("no-password")}
		if err := form.WriteFailed(s.Admin().ChangeUsers(ctx, change, password)); err != nil {
			return form.OrNothing(err)
		}
		for i, role := range roles {
			if err := form.WriteFailed(s.Admin().GrantRole(ctx, name, role)); err != nil {
				return fmt.Errorf("the user %s was added, with %d of %d roles: %w; `qkv user grant %s %s` gives it the role", name, i, len(roles), err, form.ShellWord(name), form.ShellWord(role))
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
	return form.Within(c, func(ctx context.Context, s *client.Client) error {
		if err := form.WriteFailed(change(ctx, s)); err != nil {
			return form.OrNothing(err)
		}
		return printUser(ctx, c, s, c.Args().First(), verb)
	})
}

func userPassword(c *cli.Context) error {
	name := c.Args().First()
	password, err := form.NewPassword(c, name)
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
	if err := form.WriteFailed(s.Admin().DeleteUser(ctx, c.Args().First())); err != nil {
		return form.OrNothing(err)
	}
	return form.WriteChanged(c, fmt.Sprintf("user %s deleted", nameText(c.Args().First())), c.Args().First(), "", "deleted")
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
	return form.WriteOne(c, text, form.Document{{"users", all}})
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
func nameText(name string) string { return form.ShellBytes([]byte(name)) }

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
	return form.WriteOne(c, "user "+nameText(name)+" "+verb+"\n"+userText(&u), userDocument(&u))
}

// afterChange is the error of a command that has made its change, and could not read the result.
func afterChange(err error) error {
	return form.Exitf(form.ExitFailed, "the change was made, but its result could not be read: %w", err)
}
