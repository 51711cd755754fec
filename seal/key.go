package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// Key is a secret and the name by which what is sealed with it says so. Printing,
// logging or encoding a Key shows its name and a fingerprint, never the secret.
type Key struct {
	name string
	// A function, so that whoever prints a struct that has a Key in an unexported
	// field, which no method of Key can help, prints an address, by whatever verb.
	secret func() []byte
}

// minSecret is the least length of a secret in bytes. All keys that are used are
// derived from it.
const minSecret = 32

// NewKey makes a key of at least 32 random bytes, of which it keeps a copy. The name is
// public and travels along; a new secret needs a new name. The error is
// [queue.ErrName] or [queue.ErrOption] and does not contain the secret.
func NewKey(name string, secret []byte) (Key, error) {
	if err := queue.CheckName("key", name); err != nil {
		return Key{}, err
	}
	if len(secret) < minSecret {
		return Key{}, fmt.Errorf("%w: the secret of key %q has %d bytes; give it at least %d random ones (openssl rand -base64 32)",
			queue.ErrOption, name, len(secret), minSecret)
	}
	own := bytes.Clone(secret)
	return Key{name: name, secret: func() []byte { return own }}, nil
}

// ParseKeys reads keys from a text, for an environment variable or a file: each is
// name:secret with the secret in base64, with spaces, commas or lines between them. The
// first one is to be the one that seals. Its errors do not contain what they refuse.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for i, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		// A name may have a colon in it, base64 has none.
		at := strings.LastIndexByte(field, ':')
		if at < 0 {
			return nil, fmt.Errorf("%w: key %d is not name:secret", queue.ErrOption, i+1)
		}
		secret, err := decode64(field[at+1:])
		if err != nil {
			return nil, fmt.Errorf("%w: the secret of key %d is not base64 (openssl rand -base64 32)", queue.ErrOption, i+1)
		}
		if queue.CheckName("key", field[:at]) != nil { // what is wrong may be the secret in the wrong place
			return nil, fmt.Errorf("%w: the name of key %d has other characters than A-Z a-z 0-9 _ . : -, or is too long", queue.ErrName, i+1)
		}
		k, err := NewKey(field[:at], secret)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: there is no key; give name:secret, the secret in base64 (openssl rand -base64 32)", queue.ErrOption)
	}
	return keys, nil
}

func decode64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// Name is the key's name.
func (k Key) Name() string { return k.name }

// String returns the key's name and a fingerprint of its secret.
func (k Key) String() string {
	if k.secret == nil {
		return "no key"
	}
	sum := sha256.Sum256(append([]byte("cenote fingerprint "), k.secret()...))
	return k.name + " (" + hex.EncodeToString(sum[:4]) + ")"
}

// Format prints String for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
