package form

import (
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/internal/settings"
)

// SettingsTable describes the settings of some flags.
func SettingsTable(flags []cli.Flag) settings.Table {
	t := settings.Table{Kinds: map[string]settings.Kind{}, Refused: map[string]string{"config": "it names the file itself"}, Meant: DidYouMean}
	for _, f := range flags {
		t.Kinds[f.Names()[0]] = SettingKind(f)
	}
	return t
}

// SettingKind returns the type of a flag's value in a file. A list is a flag whose value is described as `URL,...`.
func SettingKind(f cli.Flag) settings.Kind {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return settings.Switch
	case *daysFlag:
		return settings.Time
	case *cli.GenericFlag:
		return settings.Size
	case *cli.StringSliceFlag:
		return settings.List
	case *cli.StringFlag:
		if strings.Contains(f.Usage, ",...`") {
			return settings.List
		}
	}
	return settings.Text
}
