package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// fileRef names a file below the directory that a worker serves.
type fileRef struct {
	Path string `msgpack:"path"`

	// For the workers of a demo only, see [showcase].
	Pace time.Duration `msgpack:"pace,omitempty"`
	Hold bool          `msgpack:"hold,omitempty"`
}

// digest is what there is to say about a file.
type digest struct {
	SHA256  string `msgpack:"sha256"`
	Size    int64  `msgpack:"size"`
	Lines   int64  `msgpack:"lines"` // line ends, as wc -l counts
	Type    string `msgpack:"type"`  // media type
	ModTime int64  `msgpack:"mod_time"`
}

// fileError is a file that could not be read.
type fileError struct {
	Path   string `msgpack:"path"`
	Reason string `msgpack:"reason"`
}

func (e *fileError) Error() string { return e.Path + ": " + e.Reason }

// digestTask reads a file from end to end.
var digestTask = queue.NewTask[fileRef, digest]("cenote.digest", queue.ErrorType[*fileError]("cenote.file"))

// digester runs digestTask on the files below one directory. What is outside
// cannot be named, nor reached by a symbolic link: a task comes from anybody who
// reaches the Redis.
type digester struct {
	root *os.Root
	show *showcase // nil but in a demo's workers
}

func (d *digester) handle(ctx context.Context, ref fileRef) (digest, error) {
	done := d.show.hold(ctx, ref)
	out, err := d.read(ctx, ref.Path)
	done()
	if err != nil && ctx.Err() == nil {
		// No handler fails for want of a file for ever: trying again is up to the
		// submitter's queue.Retries.
		return digest{}, &fileError{Path: ref.Path, Reason: reason(err)}
	}
	return out, err
}

func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

func (d *digester) read(ctx context.Context, path string) (digest, error) {
	// Opening a named pipe would wait for its writer.
	if st, err := d.root.Stat(path); err != nil {
		return digest{}, err
	} else if !st.Mode().IsRegular() {
		return digest{}, fmt.Errorf("not a regular file but %s", st.Mode().Type())
	}
	f, err := d.root.Open(path)
	if err != nil {
		return digest{}, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return digest{}, err
	}
	out := digest{ModTime: st.ModTime().UnixNano()}
	sum := sha256.New()
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(f, buf)
		if out.Size == 0 {
			out.Type = mediaType(path, buf[:n])
		}
		sum.Write(buf[:n])
		out.Size += int64(n)
		for _, c := range buf[:n] {
			if c == '\n' {
				out.Lines++
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			out.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return out, nil
		}
		if err != nil {
			return digest{}, err
		}
		if ctx.Err() != nil {
			return digest{}, context.Cause(ctx)
		}
	}
}

// mediaType tells a file's type from its first bytes; a text's more exactly from
// its name.
func mediaType(path string, head []byte) string {
	t := bare(http.DetectContentType(head))
	if t != "text/plain" {
		return t
	}
	// The table of names is the system's and has surprises: .ts is a video or a
	// translation.
	named := bare(mime.TypeByExtension(filepath.Ext(path)))
	if (strings.HasPrefix(named, "text/") || strings.HasPrefix(named, "application/")) && !strings.Contains(named, "vnd.") {
		return named
	}
	return t
}

func bare(mediaType string) string {
	t, _, _ := strings.Cut(mediaType, ";")
	return t
}
