package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/cenote-go/cenote/seal"
)

// sealKeysVariable has keys themselves, for where files are harder to come by.
const sealKeysVariable = "CENOTE_SEAL_KEYS"

// sealFlags say how tasks are sealed, see package seal.
type sealFlags struct {
	file     string
	signOnly bool
}

func (f *sealFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "seal-keys", "", "seal tasks, and take only sealed ones, with the keys in this `FILE`: NAME:SECRET each, the secret in base64, the first one seals; or the keys in $"+sealKeysVariable)
	fs.BoolVar(&f.signOnly, "sign-only", false, "sign what is sealed and leave it readable")
}

// seal returns the seal that the flags describe; nil if there are no keys. Its errors do
// not contain what they refuse.
func (f sealFlags) seal() (*seal.Seal, error) {
	text, from := os.Getenv(sealKeysVariable), "$"+sealKeysVariable
	if f.file != "" {
		data, err := os.ReadFile(f.file)
		if err != nil {
			return nil, usagef("--seal-keys: %w", err)
		}
		text, from = string(data), "--seal-keys"
	} else if text == "" {
		if f.signOnly {
			return nil, usagef("--sign-only is about sealed tasks; it needs --seal-keys")
		}
		return nil, nil //nolint:nilnil // nothing is sealed
	}
	keys, err := seal.ParseKeys(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", from, err))
	}
	s, err := seal.New(seal.Config{Keys: keys, SignOnly: f.signOnly})
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}
