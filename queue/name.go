package queue

import "fmt"

// MaxName is the length in bytes of the longest name of a queue, a task type or
// a consumer group.
const MaxName = 128

// CheckName returns nil if name may name a queue, a task type or a consumer
// group: 1 to [MaxName] characters of A-Z a-z 0-9 _ . : and -.
//
// Names become parts of Redis keys, where a brace would move a key to another
// hash slot and a glob character would match other queues' keys.
func CheckName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: %s is empty; give it 1 to %d characters of A-Z a-z 0-9 _ . : -", ErrName, what, MaxName)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%w: %s %.20q... has %d bytes; shorten it to %d", ErrName, what, name, len(name), MaxName)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return fmt.Errorf("%w: %s %q has %q at position %d; use only A-Z a-z 0-9 _ . : -", ErrName, what, name, name[i], i)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == ':' || c == '-'
}
