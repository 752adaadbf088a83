package etcdflags

// Section is the flags under one title of the help.
type Section struct {
	Title string
	Flags []FlagHelp
}

// FlagHelp describes a flag in the help: its name, its default as a shell quotes it, and its effect.
type FlagHelp struct{ Name, Default, Usage string }

// Help returns all flags that etcd has today, with what becomes of each here.
func Help() (sections []Section) {
	for _, g := range table {
		section := Section{Title: g.title}
		for _, s := range g.specs {
			if s.use == removed || s.kind == nothing {
				continue
			}
			section.Flags = append(section.Flags, FlagHelp{
				Name: s.name, Default: "'" + s.byDefault() + "'", Usage: map[use]string{ignored: "no effect: ", refused: "refused: ", founds: "refused in an empty data folder: "}[s.use] + s.usage,
			})
		}
		if len(section.Flags) > 0 {
			sections = append(sections, section)
		}
	}
	return append(sections, Section{"Other", []FlagHelp{
		{"config-file", "''", "YAML or JSON with the flags' names; all other flags and variables are passed over"},
		{"version", "", "print the version of etcd's API that is spoken, and exit"},
	}})
}
