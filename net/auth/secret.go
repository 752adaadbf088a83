package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// redacted is printed instead of a secret. It does not tell the secret's length.
const redacted = "[redacted]"

// Secret is a password. Package fmt, JSON and log/slog print "[redacted]" instead of it. Package fmt prints an unexported field of a
// struct without calling methods: a Secret belongs into an exported field, or into none.
type Secret []byte

var _ interface {
	fmt.Formatter
	fmt.GoStringer
	fmt.Stringer
	json.Marshaler
	slog.LogValuer
} = Secret(nil)

// String returns the replacement text.
func (Secret) String() string { return redacted }

// GoString returns the replacement text.
func (Secret) GoString() string { return redacted }

// Format writes the replacement text, whatever the verb is.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns the replacement text.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns the replacement text.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
