package child

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cenote-go/cenote/queue"
)

// NameOf is what a crew for these routes is called, so that a program with several of them
// finds out in a child whose child it is.
func NameOf(kind string, routes []queue.Route) string {
	types := []string{kind}
	for _, r := range routes {
		types = append(types, r.Type)
	}
	slices.Sort(types[1:])
	sum := sha256.Sum256(fmt.Append(nil, types))
	return hex.EncodeToString(sum[:8])
}
