package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag for a number of bytes, such as 512MiB. A unit's letter alone is
// the binary one.
type byteSize int64

var byteUnits = []struct {
	suffixes []string // in lower case
	bytes    int64
}{
	{[]string{"kib", "kb", "k"}, 1 << 10},
	{[]string{"mib", "mb", "m"}, 1 << 20},
	{[]string{"gib", "gb", "g"}, 1 << 30},
	{[]string{"b"}, 1},
}

var errByteSize = errors.New("want a size such as 512MiB or 2GiB")

// Set reads a size.
func (s *byteSize) Set(text string) error {
	number, unit := strings.ToLower(strings.TrimSpace(text)), int64(1)
units:
	for _, u := range byteUnits {
		for _, suffix := range u.suffixes {
			if rest, ok := strings.CutSuffix(number, suffix); ok {
				number, unit = strings.TrimSpace(rest), u.bytes
				break units
			}
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errByteSize
	}
	*s = byteSize(n * unit)
	return nil
}

func (s *byteSize) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type is what help calls the flag's value.
func (*byteSize) Type() string { return "SIZE" }
