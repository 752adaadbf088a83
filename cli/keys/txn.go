package keys

// This file is `qkv txn`: run a transaction that is read from stdin.

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

func txn(c *cli.Context) error {
	t, err := readTxn(c)
	if err != nil {
		return err
	}
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		result, err := s.Txn(ctx, t)
		if err != nil {
			return form.WriteFailed(err)
		}
		if err := writeTxn(c.App.Writer, c.String("write-out"), &t, &result); err != nil {
			return err
		}
		if !result.Succeeded {
			return form.Exitf(form.ExitCondition, "a comparison does not hold: the third part (otherwise) was executed")
		}
		return nil
	}))
}

// readTxn reads the three parts. Only the last part may end with the input: a transaction that is cut off earlier must not run in
// part.
func readTxn(c *cli.Context) (t kv.Txn, err error) {
	lines := bufio.NewScanner(c.App.Reader)
	lines.Buffer(nil, limits.RequestBytes)
	number := 0
	part := func(name string, take func(line string) error) error {
		for lines.Scan() {
			number++
			line := strings.TrimSpace(lines.Text())
			if line == "" {
				return nil
			}
			if err := take(line); err != nil {
				return form.Usagef("line %d, %q: %w; nothing was done", number, line, err)
			}
		}
		if err := lines.Err(); err != nil || number == 0 || name == "" {
			return err
		}
		return form.Usagef("the input ends in the %s part, which an empty line ends: more of it may be missing; nothing was done", name)
	}
	operation := func(to *[]kv.Op) func(string) error {
		return func(line string) error {
			o, err := parseOperation(c.Context, line)
			*to = append(*to, o)
			return err
		}
	}
	err = part("first", func(line string) error {
		one, err := parseCompare(line)
		t.Compares = append(t.Compares, one)
		return err
	})
	if err == nil {
		err = part("second", operation(&t.Success))
	}
	if err == nil {
		err = part("", operation(&t.Failure))
	}
	for err == nil && lines.Scan() {
		if number++; strings.TrimSpace(lines.Text()) != "" {
			return t, form.Usagef("line %d, %q, is behind the third part; nothing was done", number, lines.Text())
		}
	}
	switch {
	case err == nil && len(t.Compares)+len(t.Success)+len(t.Failure) == 0:
		return t, form.Usagef("the transaction is empty: comparisons, an empty line, the operations if they hold, an empty line, and the operations otherwise")
	case errors.Is(err, bufio.ErrTooLong):
		return t, form.Usagef("line %d is longer than %d bytes, the limit of a request; nothing was done", number+1, limits.RequestBytes)
	}
	return t, err
}

// compareTargets are the operands of a comparison, with etcdctl's short names.
var compareTargets = map[string]kv.CompareTarget{
	"version": kv.CompareVersion, "ver": kv.CompareVersion, "create": kv.CompareCreate, "c": kv.CompareCreate,
	"mod": kv.CompareMod, "m": kv.CompareMod, "value": kv.CompareValue, "val": kv.CompareValue, "lease": kv.CompareLease,
}

var compareResults = map[string]kv.CompareResult{"=": kv.Equal, "!=": kv.NotEqual, "<": kv.Less, ">": kv.Greater}

// parseCompare reads a line like mod("key") > "7".
func parseCompare(line string) (one kv.Compare, err error) {
	bad := func(why string) (kv.Compare, error) {
		return one, fmt.Errorf(`%s: a comparison is like mod("key") = "7", of mod, create, version, lease or value, by =, !=, < or >`, why)
	}
	name, rest, found := strings.Cut(line, "(")
	target, known := compareTargets[strings.TrimSpace(name)]
	if !found || !known {
		return bad("its left side is unknown")
	}
	key, rest, err := word(rest, ")")
	if err != nil {
		return bad(err.Error())
	}
	rest, closed := strings.CutPrefix(strings.TrimLeft(rest, " \t"), ")")
	rest = strings.TrimSpace(rest)
	n := 0
	for n < len(rest) && strings.IndexByte("=!<>", rest[n]) >= 0 {
		n++
	}
	result, known := compareResults[rest[:n]]
	if !closed || !known || key == "" {
		return bad("the key or the sign is missing")
	}
	value, rest, err := word(strings.TrimSpace(rest[n:]), " \t")
	if err != nil {
		return bad(err.Error())
	}
	if rest != "" {
		return bad("there is text after its value")
	}
	one = kv.Compare{Key: []byte(key), Target: target, Result: result}
	switch target {
	case kv.CompareValue:
		one.Value = []byte(value)
		return one, nil
	case kv.CompareLease:
		one.Number, err = strconv.ParseInt(value, 16, 64)
	default:
		one.Number, err = strconv.ParseInt(value, 10, 64)
	}
	if err != nil {
		return bad(fmt.Sprintf("%q is no number", value))
	}
	return one, nil
}

// word takes the first word of a line: '...', "..." as in Go, or all up to one of the ends.
func word(line, ends string) (text, rest string, err error) {
	line = strings.TrimLeft(line, " \t")
	switch {
	case strings.HasPrefix(line, `"`):
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return "", "", errors.New("a quote is not closed")
		}
		text, err = strconv.Unquote(quoted)
		return text, line[len(quoted):], err
	case strings.HasPrefix(line, "'"):
		text, rest, closed := strings.Cut(line[1:], "'")
		if !closed {
			return "", "", errors.New("a quote is not closed")
		}
		return text, rest, nil
	}
	n := strings.IndexAny(line, ends)
	if n < 0 {
		n = len(line)
	}
	return strings.TrimSpace(line[:n]), line[n:], nil
}

// parseOperation reads a line with a put, get or del and the flags of that command.
func parseOperation(ctx context.Context, line string) (o kv.Op, err error) {
	argv := []string{"qkv"}
	for line != "" {
		var one string
		if one, line, err = word(line, " \t"); err != nil {
			return o, err
		}
		argv = append(argv, one)
		line = strings.TrimLeft(line, " \t")
	}
	app := &cli.App{
		Name: "qkv", HideHelp: true, HideVersion: true, Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {},
		Commands: form.Commands(form.Calls{
			"+put": func(c *cli.Context) error {
				p, err := putRequest(c, literalValue)
				o.Put = &p
				return err
			},
			"+get": func(c *cli.Context) error {
				q, err := getQuery(c)
				o.Range = &q
				return err
			},
			"+del": func(c *cli.Context) error {
				d, err := delRequest(c)
				o.Delete = &d
				return err
			},
		}),
	}
	a, err := form.Arrange(app, argv)
	if err == nil {
		err = app.RunContext(ctx, a.Line())
	}
	if err == nil && (a.Help || a.Command == nil) {
		err = errors.New("an operation is put, get or del")
	}
	return o, err
}

// literalValue returns the second argument itself, whatever it begins with.
func literalValue(c *cli.Context) ([]byte, error) {
	if c.NArg() != 2 {
		return nil, form.Usagef("the value is missing")
	}
	return []byte(c.Args().Get(1)), nil
}

// operationsOf returns the operations that were executed.
func operationsOf(t *kv.Txn, result *kv.TxnResult) []kv.Op {
	if result.Succeeded {
		return t.Success
	}
	return t.Failure
}

// writeTxn prints the answer of a transaction, and below it the answers of its operations.
func writeTxn(w io.Writer, format string, t *kv.Txn, result *kv.TxnResult) error {
	if format == form.JSON {
		return writeTxnDocument(w, t, result)
	}
	word := "SUCCESS\n"
	if !result.Succeeded {
		word = "FAILURE\n"
	}
	_, err := io.WriteString(w, word)
	for i, o := range operationsOf(t, result) {
		fmt.Fprintln(w)
		_, answer := answerOf(&o, &result.Answers[i])
		err = cmp.Or(err, answer.Write(w, format))
	}
	return err
}

// writeTxnDocument prints the JSON of a transaction's answer: one response for each operation, below the name of its kind.
func writeTxnDocument(w io.Writer, t *kv.Txn, result *kv.TxnResult) error {
	responses := []form.Document{}
	for i, o := range operationsOf(t, result) {
		kind, answer := answerOf(&o, &result.Answers[i])
		var one bytes.Buffer
		if err := answer.Write(&one, form.JSON); err != nil {
			return err
		}
		responses = append(responses, form.Document{{kind, json.RawMessage(one.Bytes())}})
	}
	return form.WriteJSON(w, form.Document{{"revision", result.Revision}, {"succeeded", result.Succeeded}, {"responses", responses}})
}

// answerOf returns the kind of an operation, and its answer as that of a single request. An empty range has no exit code.
func answerOf(o *kv.Op, a *kv.Answer) (kind string, answer interface {
	Write(w io.Writer, format string) error
},
) {
	switch {
	case o.Put != nil:
		return "put", putAnswer(writtenOf(a), client.Lease{})
	case o.Delete != nil:
		return "del", delAnswer(writtenOf(a))
	}
	return "get", &Pairs{RangeResult: *a.Range, KeysOnly: o.Range.KeysOnly, countOnly: o.Range.CountOnly}
}

// writtenOf converts the answer of a put or a delete in a transaction to that of a single request.
func writtenOf(a *kv.Answer) client.Written {
	if a.Delete != nil {
		return client.Written{Revision: a.Delete.Revision, Deleted: a.Delete.Deleted, Previous: a.Delete.Prev}
	}
	written := client.Written{Revision: a.Put.Revision}
	if a.Put.Prev != nil {
		written.Previous = []kv.KeyValue{*a.Put.Prev}
	}
	return written
}
