package form

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// sizeUnits are the units of a size in bytes, in lower case.
var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

// sizeWanted describes the syntax of a size.
const sizeWanted = "a size is a number of bytes, or has a unit, as in 512MiB"

// ParseSize reads a size in bytes: a whole number, or a number with a unit.
func ParseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := sizeUnits[strings.ToLower(text[len(digits):])]
	if !known {
		return 0, errors.New(sizeWanted)
	}
	digits = strings.TrimSpace(digits)
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && unit == 1 {
		return n, nil
	}
	n, err := strconv.ParseFloat(digits, 64)
	if bytes := n * unit; err == nil && unit > 1 && bytes == math.Trunc(bytes) && math.Abs(bytes) < math.MaxInt64 {
		return int64(bytes), nil
	}
	return 0, errors.New(sizeWanted)
}

// Size is the value of a flag that takes a size in bytes.
type Size int64

// Set implements cli.Generic.
func (s *Size) Set(text string) error {
	n, err := ParseSize(text)
	if err == nil {
		*s = Size(n)
	}
	return err
}

// String implements cli.Generic.
func (s *Size) String() string { return fmt.Sprint(int64(*s)) }

// SizeOf returns the value of a flag that takes a size, in bytes.
func SizeOf(c *cli.Context, name string) int64 { return int64(*c.Generic(name).(*Size)) }
