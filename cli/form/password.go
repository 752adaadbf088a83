package form

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// passwordBytesRead bounds the length of a password file: a larger file is surely another one.
const passwordBytesRead = 4 << 10

// ReadPassword reads a password from a file, or from stdin for "-". A newline at its end is not part of it.
func ReadPassword(file string, stdin io.Reader) (string, error) {
	from := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", Usagef("read the password: %w", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, passwordBytesRead+1))
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		return "", Usagef("read the password: %w", err)
	case len(text) > passwordBytesRead:
		return "", Usagef("read the password: %s has more than %d bytes: it is no password", file, passwordBytesRead)
	case password == "":
		return "", Usagef("%w", errNoPassword)
	}
	return password, nil
}

var errNoPassword = errors.New("the password is empty")

// NewPassword returns the new password of a user: from --password-file, from a terminal, which is asked twice, or from stdin.
func NewPassword(c *cli.Context, user string) (string, error) {
	if file := c.String("password-file"); file != "" {
		return ReadPassword(file, c.App.Reader)
	}
	if !ReadsTerminal(c.App.Reader) {
		return ReadPassword("-", c.App.Reader)
	}
	password, err := askPassword(c, "new password of "+user)
	if err != nil {
		return "", err
	}
	again, err := askPassword(c, "the same again")
	if err == nil && again != password {
		err = Usagef("the two passwords differ")
	}
	return password, err
}

func ReadsTerminal(stdin io.Reader) bool {
	f, ok := stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// askPassword asks at the terminal, which does not show what is typed.
func askPassword(c *cli.Context, what string) (string, error) {
	fmt.Fprintf(c.App.ErrWriter, "%s: ", what)
	text, err := term.ReadPassword(int(c.App.Reader.(*os.File).Fd()))
	fmt.Fprintln(c.App.ErrWriter)
	switch {
	case err != nil:
		return "", Usagef("read the password: %w", err)
	case len(text) == 0:
		return "", Usagef("%w", errNoPassword)
	}
	return string(text), nil
}

// LoginGiven returns the user and password of the command line; an empty user does not log in.
func LoginGiven(c *cli.Context) (user, password string, err error) {
	user, password, both := strings.Cut(c.String("user"), ":")
	file := c.String("user-password-file")
	switch {
	case c.String("user") == "":
		return "", "", nil
	case user == "":
		return "", "", Usagef("--user %q has no name: it is NAME, or NAME:PASSWORD", c.String("user"))
	case both && password == "":
		return "", "", Usagef("--user %s: has an empty password", user)
	case both:
		return user, password, nil
	case file != "":
		password, err = ReadPassword(file, c.App.Reader)
	case ReadsTerminal(c.App.Reader):
		password, err = askPassword(c, "password of "+user)
	default:
		err = Usagef("--user %s needs a password: give --user-password-file FILE, or QKV_USER_PASSWORD_FILE, or run it on a terminal, which asks for it", user)
	}
	return user, password, err
}
