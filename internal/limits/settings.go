package limits

const (
	// SettingsBytes bounds a configuration file. All flags with their comments take a fifth of it; a larger file is a mistake, and parsing it
	// would take memory many times its size.
	SettingsBytes = 64 << 10
	// SettingShown is how many bytes of a refused value an error shows: the length of a line.
	SettingShown = 64
)
