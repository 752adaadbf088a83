package watch

// The bounds of reading are for the hub's tests, which have a package of their own.
const (
	ReadValues = readValues
	ReadBytes  = readBytes
	ReadAgain  = readAgain
)
