package shared

import (
	"fmt"
	"strings"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// object is what all that a manager opens have in common.
type object struct {
	m          *Manager
	kind, name string
	root       string // what its keys begin with, and the channel that hints at its changes
	ttl        time.Duration
	lease      time.Duration // of what is held of it
}

// open checks the name, which may be a reference, and the options. It sends nothing.
func (m *Manager) open(kind, name string, opts []Option) (object, error) {
	if of, rest, ok := strings.Cut(name, "/"); ok { // no name has a slash in it
		if of != kind {
			return object{}, fmt.Errorf("%w: %q refers to a %s, not to a %s", ErrMismatch, name, of, kind)
		}
		name = rest
	}
	if err := queue.CheckName(kind, name); err != nil {
		return object{}, err
	}
	s, err := m.defaults.with(opts)
	if err != nil {
		return object{}, err
	}
	return object{m: m, kind: kind, name: name, root: store.SharedRoot(kind, name), ttl: s.ttl, lease: s.lease}, nil
}

// Name is the name it was opened by.
func (o *object) Name() string { return o.name }

// Ref is a reference to it, for others to open it with.
func (o *object) Ref() string { return o.kind + "/" + o.name }

// keep is what scripts are told of the ttl: milliseconds, or 0.
func (o *object) keep() int64 { return o.ttl.Milliseconds() }

// about names the object in an error.
func (o *object) about(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("shared %s %q: %w", o.kind, o.name, err)
}
