package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/client"
)

const (
	// topDelay is the default interval of `qkv top`. It counts the writes of prefixes, up to separator topDepth, every topPrefixes: a
	// member sends each key for that.
	topDelay    = 2 * time.Second
	topPrefixes = 10 * time.Second
	topDepth    = 3
)

func topCommand() *cli.Command {
	return &cli.Command{
		Name: "top", Category: "cluster", Usage: "show the members, their load, and who causes it, again and again",
		Description: "Shows the verdict of `qkv status`; a row for each member with the rates and the 99th percentiles of its clients' puts, " +
			"gets and watch events in the last seconds; the prefixes with the most writes of the last minute; and the clients with the " +
			"most unread bytes and requests. Prefixes need the permission to read every key, and clients the role root.\n\n" +
			"Keys: s sorts the members by the next column, / shows only rows with a text, p pauses, q quits. Without a terminal, " +
			"and with -b, each state is printed below the last one; -w json prints one JSON object for each state.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "batch", Aliases: []string{"b"}, EnvVars: []string{"QKV_TOP_BATCH"}, Usage: "print states as text, without a screen"},
			&cli.IntFlag{Name: "count", Aliases: []string{"n"}, EnvVars: []string{"QKV_TOP_COUNT"}, Usage: "end after `N` states; 0: never"},
			&cli.DurationFlag{Name: "delay", Aliases: []string{"d"}, Value: topDelay, EnvVars: []string{"QKV_TOP_DELAY"}, Usage: "`TIME` between two states, at least 1s"},
			&cli.StringFlag{Name: "filter", EnvVars: []string{"QKV_TOP_FILTER"}, Usage: "show only members, prefixes and clients whose names contain `TEXT`"},
			&cli.StringFlag{Name: "sort", Value: topColumns[0].name, EnvVars: []string{"QKV_TOP_SORT"}, Usage: "sort the members by `COLUMN`: " + strings.Join(topNames(), ", "), Action: oneOf("sort", topNames()...)},
			writeOutFlag(),
		),
		Action: top,
	}
}

func top(c *cli.Context) error {
	if c.Duration("delay") < time.Second || c.Int("count") < 0 {
		return usagef("--delay is at least 1s, and --count is not negative")
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	asks := &topAsks{target: t, timeout: c.Duration("timeout")}
	defer asks.close()
	s := topScreen{filter: c.String("filter"), sort: slices.Index(topNames(), c.String("sort")), delay: c.Duration("delay")}
	if isTerminal(c.App.Writer) && !c.Bool("batch") && c.String("write-out") == form.Plain {
		return topInteractive(c, asks, s)
	}
	return topBatch(c, asks, s)
}

// topPipe is the width of states in a pipe: all columns.
const topPipe = 200

// topBatch prints states one below the other.
func topBatch(c *cli.Context, asks *topAsks, s topScreen) error {
	width := topPipe
	if isTerminal(c.App.Writer) {
		width = form.PageOn(c.App.Writer).Width
	}
	for n := 1; ; n++ {
		d, err := asks.ask(c.Context)
		if err != nil {
			return err
		}
		err = writeAnswer(c, form.Answer{Document: d.document(), Page: func(p form.Page) { fmt.Fprintln(p, s.text(d, width, 0)) }})
		if err != nil || n == c.Int("count") {
			return err
		}
		select {
		case <-c.Context.Done():
			return context.Cause(c.Context)
		case <-time.After(s.delay):
		}
	}
}

// topData is one state of the cluster.
type topData struct {
	at       time.Time
	members  []memberStatus
	verdict  checks.Verdict
	prefixes *kv.UsageResult // nil: not known
	clients  []topClient
	hidden   []string // why prefixes or clients are not known
}

type topClient struct {
	Member string `json:"member"`
	kv.ClientLoad
}

// topAsks asks the cluster for its states. The prefixes are counted every topPrefixes, and no more than a tenth of the time, because a
// member sends all keys for that.
type topAsks struct {
	target
	timeout time.Duration

	store    *client.Client
	prefixes *kv.UsageResult
	refused  string    // why the prefixes are not known
	next     time.Time // when the prefixes are counted again
}

func (a *topAsks) close() {
	if a.store != nil {
		_ = a.store.Close()
	}
}

// ask returns a state. An error is final; members that do not answer are a part of the state.
func (a *topAsks) ask(ctx context.Context) (*topData, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, noAnswer(a.timeout))
	defer cancel()
	d := &topData{at: time.Now()}
	var err error
	if d.members, err = a.states(ctx); err != nil && len(d.members) == 0 {
		return nil, err
	}
	d.verdict = checks.Judge(factsOf(d.members))
	if err != nil || !d.verdict.Serves() {
		return d, nil
	}
	a.count(ctx)
	if d.prefixes = a.prefixes; a.refused != "" {
		d.hidden = append(d.hidden, "prefixes: "+a.refused)
	}
	d.askClients(ctx, a.store)
	return d, nil
}

// states asks all members, by a client that is kept.
func (a *topAsks) states(ctx context.Context) ([]memberStatus, error) {
	if a.store == nil {
		t := a.target
		t.failFast, t.mixed = true, true
		s, err := t.open(ctx)
		if err != nil {
			return a.target.status(ctx) // it names the members that do not answer
		}
		a.store = s
	}
	members, err := askAll(ctx, a.store, a.target)
	if err != nil {
		return a.target.status(ctx)
	}
	return members, nil
}

// count asks for the changes of the last minute by prefix, if the last answer is old.
func (a *topAsks) count(ctx context.Context) {
	begun := time.Now()
	if begun.Before(a.next) {
		return
	}
	found, err := a.store.Admin().Usage(ctx, kv.Usage{Separator: []byte("/"), Depth: topDepth, Serializable: true})
	a.prefixes, a.refused, a.next = &found, "", time.Now().Add(max(topPrefixes, 9*time.Since(begun)))
	if err != nil {
		a.prefixes, a.refused = nil, oneLine(err.Error())
	}
}

// askClients asks each member that answers for its clients.
func (d *topData) askClients(ctx context.Context, s *client.Client) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for i := range d.members {
		m := &d.members[i]
		if !m.Answers || len(m.Clients) == 0 || len(d.members) > limits.Members {
			continue
		}
		asking.Go(func() {
			all, err := s.Admin().Clients(ctx, m.Clients[0])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				d.hidden = append(d.hidden, "clients of "+m.Name+": "+oneLine(err.Error()))
			}
			for _, one := range all {
				d.clients = append(d.clients, topClient{m.Name, one})
			}
		})
	}
	asking.Wait()
	slices.Sort(d.hidden)
	slices.SortFunc(d.clients, func(a, b topClient) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Watches, a.Watches), strings.Compare(a.Name, b.Name), strings.Compare(a.Member, b.Member))
	})
}

func (d *topData) document() form.Document {
	prefixes, clients := []form.Document{}, []form.Document{}
	for _, p := range d.busiest("") {
		prefixes = append(prefixes, form.Document{form.TextField("prefix", p.Prefix), {"keys", p.Keys}, {"bytes", p.Bytes}, {"writes_per_s", d.rate(&p)}})
	}
	for _, c := range d.clients {
		clients = append(clients, form.Document{
			{"member", c.Member},
			{"name", c.Name},
			{"api", c.API},
			{"connections", c.Connections},
			{"requests", c.Requests},
			{"watches", c.Watches},
			{"unread_bytes", c.Bytes},
		})
	}
	return form.Document{
		{"time", d.at.UTC().Format(time.RFC3339)},
		{"verdict", d.verdict.Word},
		{"why", d.verdict.Why},
		{"next", d.verdict.Next},
		{"members", documentsOfMembers(d.members)},
		{"prefixes", prefixes},
		{"clients", clients},
		{"hidden", append([]string{}, d.hidden...)},
	}
}

// rate returns the writes of a prefix per second.
func (d *topData) rate(row *kv.UsageRow) float64 {
	if d.prefixes.Period <= 0 {
		return 0
	}
	return float64(row.Changes) / d.prefixes.Period.Seconds()
}

// busiest returns the prefixes with a text in their names, those with the most writes first.
func (d *topData) busiest(filter string) []kv.UsageRow {
	if d.prefixes == nil {
		return nil
	}
	rows := slices.DeleteFunc(slices.Clone(d.prefixes.Rows), func(r kv.UsageRow) bool { return !strings.Contains(string(r.Prefix), filter) })
	slices.SortFunc(rows, func(a, b kv.UsageRow) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), cmp.Compare(b.Keys, a.Keys), bytes.Compare(a.Prefix, b.Prefix))
	})
	return rows[:min(len(rows), limits.DashboardClients)]
}

// topColumn is a column by which members are sorted: the first two in ascending order, all others with the largest value first.
type topColumn struct {
	name  string
	order func(a, b *memberStatus) int
}

var topColumns = []topColumn{
	{"name", func(a, b *memberStatus) int { return strings.Compare(a.Name, b.Name) }},
	{"role", func(a, b *memberStatus) int { return strings.Compare(b.State, a.State) }},
	{"applied", func(a, b *memberStatus) int { return cmp.Compare(b.Count(figures.Applied), a.Count(figures.Applied)) }},
	{"sync", func(a, b *memberStatus) int { return cmp.Compare(b.Get(figures.SyncP99), a.Get(figures.SyncP99)) }},
	{"memory", func(a, b *memberStatus) int { return cmp.Compare(b.Get(figures.Memory), a.Get(figures.Memory)) }},
	{"puts", func(a, b *memberStatus) int { return cmp.Compare(b.Get(figures.PutRate), a.Get(figures.PutRate)) }},
	{"gets", func(a, b *memberStatus) int { return cmp.Compare(b.Get(figures.GetRate), a.Get(figures.GetRate)) }},
	{"events", func(a, b *memberStatus) int { return cmp.Compare(b.Get(figures.EventRate), a.Get(figures.EventRate)) }},
}

func topNames() (all []string) {
	for _, c := range topColumns {
		all = append(all, c.name)
	}
	return all
}

// topScreen is what a person has chosen to see.
type topScreen struct {
	filter string
	typing bool // the filter is being typed
	sort   int  // in topColumns
	paused bool
	delay  time.Duration
}

// text returns the screen of a state. Without a height, it has all rows.
func (s *topScreen) text(d *topData, width, height int) string {
	var out bytes.Buffer
	w := form.Page{Writer: &out, Width: width, Columns: width}
	v := d.verdict
	v.Why, v.Next = shown(v.Why), shown(v.Next)
	writeVerdict(w, v)
	s.writeHead(&out, d, width)
	s.memberTable(d, width).Write(w)
	for i := range d.members {
		if m := &d.members[i]; !m.Answers {
			fmt.Fprintln(&out, cutTo(m.Name+" does not answer: "+oneLine(m.Error), width))
		}
	}
	for _, a := range checks.RaisedBy(factsOf(d.members)) {
		fmt.Fprintln(&out, cutTo(a.String(), width))
	}
	lines := strings.Count(out.String(), "\n")
	rest := len(d.clients) + limits.DashboardClients
	if height > 0 {
		rest = max(height-lines-6, 2)
	}
	prefixes := (rest + 1) / 2
	fmt.Fprintln(&out)
	p := form.Rows{Columns: []string{"PREFIX", "WRITES/S", "KEYS", "BYTES"}}
	busiest := d.busiest(s.filter)
	for i := range busiest[:min(len(busiest), prefixes)] {
		row := &busiest[i]
		p.Add(cmp.Or(printable(row.Prefix, len(row.Prefix)), `""`), number(fmt.Sprintf("%.1f", d.rate(row))), row.Keys, number(bytesText(row.Bytes)))
	}
	p.Write(w)
	fmt.Fprintln(&out)
	c := form.Rows{Columns: []string{"CLIENT", "MEMBER", "API", "CONNS", "REQUESTS", "WATCHES", "UNREAD"}}
	rest -= min(len(busiest), prefixes)
	for i := range d.clients {
		one := &d.clients[i]
		if rest > 0 && strings.Contains(one.Name+" "+one.Member, s.filter) {
			rest--
			c.Add(printable([]byte(one.Name), len(one.Name)), one.Member, one.API, one.Connections, one.Requests, one.Watches, number(bytesText(one.Bytes)))
		}
	}
	c.Write(w)
	for _, why := range d.hidden {
		fmt.Fprintln(&out, cutTo("not shown: "+why, width))
	}
	return fitScreen(out.String(), height)
}

// writeHead writes the line between the verdict and the members.
func (s *topScreen) writeHead(out io.Writer, d *topData, width int) {
	text := fmt.Sprintf("%s, every %v, sorted by %s", d.at.Format("15:04:05"), s.delay, topColumns[s.sort].name)
	if s.filter != "" || s.typing {
		text += ", with " + printable([]byte(s.filter), len(s.filter))
		if s.typing {
			text += "_"
		}
	}
	if s.paused {
		text += ", paused"
	}
	fmt.Fprintln(out, cutTo(text, width))
	fmt.Fprintln(out)
}

// memberTable has a row for each member. A narrow screen has fewer columns.
func (s *topScreen) memberTable(d *topData, width int) *form.Rows {
	t := &form.Rows{Columns: []string{"MEMBER", "ROLE", "LAG", "SYNC", "PUT/S", "P99", "GET/S", "P99", "EVENT/S", "P99", "MEMORY", "FREE", "KEYS", "WATCHES", "VERSION"}}
	members := slices.DeleteFunc(slices.Clone(d.members), func(m memberStatus) bool { return !strings.Contains(m.Name, s.filter) })
	slices.SortStableFunc(members, func(a, b memberStatus) int { return topColumns[s.sort].order(&a, &b) })
	newest := uint64(0)
	for i := range members {
		newest = max(newest, members[i].Count(figures.Applied))
	}
	for i := range members {
		m := &members[i]
		if !m.Answers {
			dash := number("-")
			t.Add(shown(m.Name), m.State, dash, dash, dash, dash, dash, dash, dash, dash, dash, dash, dash, dash, m.Version)
			continue
		}
		t.Add(shown(m.Name), m.State, newest-m.Count(figures.Applied), msText(m.Duration(figures.SyncP99)), m.Get(figures.PutRate), msText(m.Duration(figures.PutP99)), m.Get(figures.GetRate), msText(m.Duration(figures.GetP99)), m.Get(figures.EventRate), msText(m.Duration(figures.EventP99)),
			number(bytesText(m.Get(figures.Memory))), number(bytesText(m.Get(figures.DiskFree))), m.Get(figures.Keys), m.Get(figures.Watches), m.Version)
	}
	t.Fit(width)
	return t
}

// msText returns a duration in milliseconds for a table; "-" if nothing was measured.
func msText(d time.Duration) number {
	switch ms := figures.InMilliseconds(d); {
	case ms == 0:
		return "-"
	case ms < 1:
		return number(fmt.Sprintf("%.0fus", 1000*ms))
	case ms < 10:
		return number(fmt.Sprintf("%.1fms", ms))
	default:
		return number(fmt.Sprintf("%.0fms", ms))
	}
}

// cutTo makes control characters visible, and cuts a line to a width.
func cutTo(line string, width int) string {
	return form.Cut(shown(line), width)
}

// fitScreen cuts a screen to a height.
func fitScreen(text string, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// topModel is the screen on a terminal.
type topModel struct {
	topScreen
	ask    func() tea.Msg
	data   *topData
	err    error
	width  int
	height int
	left   int // states until the end; 0: no end
}

// topTick asks for the next state.
type topTick struct{}

// topInteractive shows states on a terminal until the person quits.
func topInteractive(c *cli.Context, asks *topAsks, s topScreen) error {
	m := &topModel{topScreen: s, width: form.PageOn(c.App.Writer).Width, height: 24, left: c.Int("count"), ask: func() tea.Msg {
		d, err := asks.ask(c.Context)
		if err != nil {
			return err
		}
		return d
	}}
	out := c.App.Writer
	if a, ok := out.(*answerWriter); ok {
		out = a.w // the screen's own control characters; names in it are printable
	}
	if _, err := tea.NewProgram(m, tea.WithContext(c.Context), tea.WithInput(c.App.Reader), tea.WithOutput(out)).Run(); err != nil && c.Context.Err() == nil {
		return err
	}
	return m.err
}

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.ask }

// Update implements tea.Model.
func (m *topModel) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	again := tea.Tick(m.delay, func(time.Time) tea.Msg { return topTick{} })
	switch x := message.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = x.Width, x.Height
	case *topData:
		if !m.paused {
			m.data, m.err = x, nil
		}
		if m.left--; m.left == 0 {
			return m, tea.Quit
		}
		return m, again
	case error:
		if m.err = x; m.data == nil {
			return m, tea.Quit
		}
		return m, again
	case topTick:
		return m, m.ask
	case tea.KeyPressMsg:
		return m, m.key(x)
	}
	return m, nil
}

// key carries out a key.
func (m *topModel) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case m.typing && (name == "enter" || name == "esc"):
		if m.typing = false; name == "esc" {
			m.filter = ""
		}
	case m.typing && name == "backspace":
		if text := []rune(m.filter); len(text) > 0 {
			m.filter = string(text[:len(text)-1])
		}
	case m.typing:
		m.filter += k.Text
	case name == "q":
		return tea.Quit
	case name == "s":
		m.sort = (m.sort + 1) % len(topColumns)
	case name == "p", name == "space":
		m.paused = !m.paused
	case name == "/":
		m.typing, m.filter = true, ""
	}
	return nil
}

// View implements tea.Model.
func (m *topModel) View() tea.View {
	text := "asking the members ..."
	if m.data != nil {
		text = m.text(m.data, m.width, m.height-1) + "\n"
		if m.err != nil {
			text = cutTo("no answer: "+oneLine(m.err.Error()), m.width) + "\n" + m.text(m.data, m.width, m.height-2) + "\n"
		}
		blank := max(m.height-1-strings.Count(text, "\n"), 0)
		text += strings.Repeat("\n", blank) + cutTo("s sort  / filter  p pause  q quit", m.width)
	}
	v := tea.NewView(text)
	v.AltScreen = true
	return v
}
