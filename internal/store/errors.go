package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// ErrLapsed says that the consumer's lease is gone: others run its tasks now.
var ErrLapsed = fmt.Errorf("store: %w", queue.ErrLeaseLost)

// ErrNoQueue says that nobody has declared the queue.
var ErrNoQueue = errors.New("store: no such queue")

func isWrongType(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }

// ErrNoGroup says that the line's group is gone from its stream, as after a failover
// to a replica that did not have it yet: Join again.
var ErrNoGroup = errors.New("store: the stream has no such consumer group")

// explain is the function explain. Besides, it has a client of a cluster look where
// the slots are: by itself it asks a master that is gone for up to a minute.
func (s *Store) explain(err error) error {
	if err = explain(err); s.cluster != nil && errors.Is(err, queue.ErrUnavailable) {
		s.cluster.ReloadState(context.Background())
	}
	return err
}

// ignoreNil is explain for what need not be there.
func (s *Store) ignoreNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return s.explain(err)
}

// passing begin the errors of a Redis that is busy with itself.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "UNBLOCKED"}

// explain gives a Redis error the name it has in package queue and says what to
// do about it. It keeps the original inside.
func explain(err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return err
	}
	msg := err.Error()
	switch {
	case strings.HasPrefix(msg, "OOM "):
		return fmt.Errorf("%w: Redis is at its maxmemory; let workers drain the queues or raise maxmemory: %w", queue.ErrStoreFull, err)
	case strings.HasPrefix(msg, "MISCONF "):
		return fmt.Errorf("%w: Redis refuses writes because it cannot save to disk; see its log: %w", queue.ErrStoreFull, err)
	case strings.HasPrefix(msg, "NOREPLICAS"):
		return fmt.Errorf("%w: the master refuses writes without them (min-replicas-to-write), and has written nothing; mend or add replicas: %w", queue.ErrUnreplicated, err)
	case strings.HasPrefix(msg, "NOGROUP"):
		return fmt.Errorf("%w: %w", ErrNoGroup, err)
	case isPassing(msg):
		return fmt.Errorf("%w: Redis is loading, changing masters or moving slots; try again in a moment: %w", queue.ErrUnavailable, err)
	case strings.HasPrefix(msg, "NOAUTH"), strings.HasPrefix(msg, "WRONGPASS"), strings.Contains(msg, "invalid password"),
		strings.Contains(msg, "unauthenticated"), // of a command that is too long for a stranger
		strings.Contains(msg, "without any password configured"):
		return fmt.Errorf("%w: check the user and password of the Redis address: %w", queue.ErrUnauthorized, err)
	case strings.HasPrefix(msg, "NOPERM"), strings.Contains(msg, "The user executing the script"), strings.Contains(msg, "ACL failure in script"):
		return fmt.Errorf("%w: give the Redis user the commands and keys that Cenote needs: %w", queue.ErrDenied, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isNetwork(err):
		return fmt.Errorf("%w: is Redis running at this address, and may this machine connect to it?: %w", queue.ErrUnavailable, err)
	}
	return err
}

func isPassing(msg string) bool {
	code, _, _ := strings.Cut(msg, " ")
	return slices.Contains(passing, code)
}

func isNetwork(err error) bool {
	var ne net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &ne) || errors.Is(err, redis.ErrPoolTimeout)
}
