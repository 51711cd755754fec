package store

import (
	"encoding"

	"github.com/cenote-go/cenote/queue"
)

// The arguments of a script travel as interfaces, which would be an allocation for
// each id and each message. These are pointers to what is there already; it must not
// change before the script has returned.

type (
	idArg    queue.TaskID
	bytesArg []byte
)

var (
	_ encoding.BinaryMarshaler = (*idArg)(nil)
	_ encoding.BinaryMarshaler = (*bytesArg)(nil)
)

func (a *idArg) MarshalBinary() ([]byte, error)    { return a[:], nil }
func (a *bytesArg) MarshalBinary() ([]byte, error) { return *a, nil }
