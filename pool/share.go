package pool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// sharedAge is how long a common argument is kept after it was last shared.
const sharedAge = 25 * time.Hour

// sharedArg is a common argument of a strict pool.
type sharedArg struct {
	data []byte
	used time.Time // under LocalPool.mu

	mu     sync.Mutex
	loaded map[string]any // by task type
}

// Share keeps data for the tasks of a strict pool.
func (p *LocalPool) Share(_ context.Context, _ string, data []byte) (string, error) {
	sum := sha256.Sum256(data)
	ref := hex.EncodeToString(sum[:])
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, s := range p.shared {
		if now.Sub(s.used) > sharedAge {
			delete(p.shared, old)
		}
	}
	if p.shared[ref] == nil {
		p.shared[ref] = &sharedArg{data: data, loaded: map[string]any{}}
	}
	p.shared[ref].used = now
	return ref, nil
}

// common loads what Share has kept, once for each task type.
func (p *LocalPool) common(ref, kind string, load func([]byte) (any, error)) (any, error) {
	p.mu.Lock()
	s := p.shared[ref]
	p.mu.Unlock()
	if s == nil {
		return nil, fmt.Errorf("%w: the common argument %s", queue.ErrResultExpired, ref)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.loaded[kind]; ok {
		return v, nil
	}
	v, err := load(s.data)
	if err == nil {
		s.loaded[kind] = v
	}
	return v, err
}
