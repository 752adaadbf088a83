//go:build linux

package data

// This file is `qkv recover`: make a new cluster of one member's data, after the permanent loss of a quorum.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/node"
)

func recoverFolder(c *cli.Context) error {
	dir := c.String("data-dir")
	if dir == "" {
		return form.Usagef("--data-dir DIR is missing: the folder of the member whose data becomes a new cluster")
	}
	if _, err := os.Stat(dir); err != nil {
		if _, interrupted := os.Stat(filepath.Clean(dir) + node.RecoveringSuffix); interrupted != nil {
			return form.Usagef("there is no data to recover: %w: give the --data-dir of the member's `qkv serve`; nothing was changed", err)
		}
	}
	logger := form.NewLogger(c.App.ErrWriter, c.String("log-format"), slog.LevelWarn, c.String("name"))
	var loss *node.Loss
	done, err := node.Recover(c.Context, node.RecoverConfig{
		DataDir: dir, Name: c.String("name"), Logger: logger, Version: form.Version, AcceptLoss: c.Bool("accept-loss"),
		Agree: func(from node.Recoverable) error {
			loss = from.Loss
			return agree(c, dir, from)
		},
	})
	if _, own := errors.AsType[*form.ExitError](err); own {
		return err
	}
	if err != nil {
		return ServeError(err)
	}
	all := form.Document{{"name", done.Name}, {"cluster", form.Hex(done.Cluster)}, {"revision", done.Revision}, {"data_dir", dir}, {"old_data_dir", done.Before}}
	if loss != nil {
		all = append(all, form.Field{"lost", lossDocument(loss)})
	}
	return form.WriteAnswer(c, form.Answer{Document: all, Page: func(p form.Page) {
		fmt.Fprintf(p, "%s is a new cluster now, %s, with its data at revision %d\n", done.Name, form.Hex(done.Cluster), done.Revision)
		fmt.Fprintf(p, "the data folder as it was is %s now\n", done.Before)
		fmt.Fprintf(p, "start it as before, without --initial-cluster: qkv serve --name %s --data-dir %s ...\n", done.Name, dir)
		fmt.Fprintln(p, "then remove the data folders of the others, and add each: qkv member add NAME --peer HOST:PORT")
		fmt.Fprint(p, restartPrograms)
	}})
}

// agree prints the revision of a folder, compares it with the backup, and asks whether the rest may be lost.
func agree(c *cli.Context, dir string, from node.Recoverable) error {
	fmt.Fprintf(c.App.ErrWriter, "%s has revision %d, up to entry %d of the log\n", from.Name, from.Revision, from.Entry)
	if from.Loss != nil {
		sayLoss(c.App.ErrWriter, from.Loss)
	}
	if at := c.String("backup"); at != "" {
		r, err := openBackup(c.Context, c, at)
		if err != nil {
			return err
		}
		reaches, err := r.Reaches()
		if err != nil {
			return backupError(err)
		}
		entry, verdict := uint64(0), "no more than this folder"
		for _, reach := range reaches {
			entry = max(entry, reach.Index)
		}
		if entry > from.Entry {
			verdict = "MORE than this folder: restore it instead (`qkv restore`, docs/backup.md)"
		}
		if r.Cluster.ID != from.Cluster {
			verdict = "but of another cluster: its entries cannot be compared"
		}
		fmt.Fprintf(c.App.ErrWriter, "the backup in %s goes to entry %d, %s\n", r.Path, entry, verdict)
	}
	if !c.Bool("accept-loss") {
		return form.Usagef("acknowledged writes may be lost, and the old cluster must never be started again. If a quorum can come back, start its members instead; if a backup has more, restore it. Otherwise pass --accept-loss to confirm; nothing was changed")
	}
	if c.Bool("yes") {
		return nil
	}
	return confirm(c, dir)
}

// lossLines is how many places and keys of a loss are printed.
const lossLines = 20

// sayLoss prints what damaged parts have lost.
func sayLoss(w io.Writer, l *node.Loss) {
	what := "DATA IS LOST"
	if len(l.Places) == 0 { // the damage is behind the last record of a part
		what = "only the history is lost"
	}
	fmt.Fprintf(w, "%s: parts of the snapshot at revision %d are damaged or missing:\n", what, l.Revision)
	for _, p := range l.Places[:min(len(l.Places), lossLines)] {
		records := "an unknown number of"
		if p.Records >= 0 {
			records = fmt.Sprintf("at most %d", p.Records)
		}
		what := fmt.Sprintf("changes of any keys, of the revisions %d to %d", p.First, p.Last)
		if p.Part.Number == 0 {
			what = fmt.Sprintf("keys%s%s, of revisions up to %d", bound(" behind ", p.After), bound(" before ", p.Before), p.Last)
		}
		fmt.Fprintf(w, "  %s %s: %v\n", records, what, p.Err)
	}
	if more := len(l.Places) - lossLines; more > 0 {
		fmt.Fprintf(w, "  and %d more places: `-w json` prints all\n", more)
	}
	fmt.Fprintf(w, "%d keys are left of %d at that revision; the damaged bytes name %d lost versions\n", l.Has, l.Had, len(l.Keys))
	for _, k := range l.Keys[:min(len(l.Keys), lossLines)] {
		now := "the key is gone"
		if k.Has > 0 {
			now = fmt.Sprintf("the key has the value of revision %d instead", k.Has)
		}
		fmt.Fprintf(w, "  %s at revision %d: %s\n", form.Printable(k.Key, form.ValueMost), k.Revision, now)
	}
	if more := len(l.Keys) - lossLines; more > 0 {
		fmt.Fprintf(w, "  and %d more: `-w json` prints all\n", more)
	}
	fmt.Fprintf(w, "no revision before %d can be read any more; later transactions that compared lost keys may have another outcome\n", l.Revision)
}

func bound(word string, key []byte) string {
	if key == nil {
		return ""
	}
	return word + form.Printable(key, form.ValueMost)
}

func lossDocument(l *node.Loss) form.Document {
	places, keys := []form.Document{}, []form.Document{}
	for _, p := range l.Places {
		one := form.Document{{"part", p.Part.Name()}, {"error", p.Err.Error()}, {"records", p.Records}, {"first_revision", p.First}, {"last_revision", p.Last}}
		if p.After != nil {
			one = append(one, form.Field{"after", form.Bytes(p.After)})
		}
		if p.Before != nil {
			one = append(one, form.Field{"before", form.Bytes(p.Before)})
		}
		places = append(places, one)
	}
	for _, k := range l.Keys {
		keys = append(keys, form.Document{{"key", form.Bytes(k.Key)}, {"lost_revision", k.Revision}, {"revision", k.Has}})
	}
	return form.Document{{"revision", l.Revision}, {"keys_before", l.Had}, {"keys_left", l.Has}, {"places", places}, {"keys", keys}}
}

// confirm asks for confirmation on the terminal.
func confirm(c *cli.Context, dir string) error {
	if !form.ReadsTerminal(c.App.Reader) {
		return form.Usagef("the data in %s would become a new cluster, and writes that it lacks would be lost. There is no terminal to ask: pass --yes to confirm; nothing was changed", dir)
	}
	fmt.Fprintf(c.App.ErrWriter, "The data in %s becomes a new cluster. Writes that it lacks are lost, even acknowledged ones,\n"+
		"and the old cluster must never be started again. Type yes to go on: ", dir)
	return readYes(c.App.Reader)
}

func readYes(in io.Reader) error {
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return form.Usagef("not confirmed; nothing was changed")
	}
	return nil
}
