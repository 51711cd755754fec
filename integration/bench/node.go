package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// nodeProcess is bench.mjs: commands go to its standard input as JSON lines, one
// reply each comes back, in any order.
type nodeProcess struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu      sync.Mutex // guards what follows, and writes to stdin
	next    int
	waiting map[int]chan nodeReply
	gone    error // set once the process has ended
}

type args map[string]any

type nodeReply struct {
	ID    int             `json:"id"`
	OK    json.RawMessage `json:"ok"`
	Error string          `json:"error"`
}

// startNode installs dir's packages when they are missing and starts bench.mjs.
func startNode(ctx context.Context, dir string) (*nodeProcess, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("node is not installed")
	}
	if err := npmInstall(ctx, dir); err != nil {
		return nil, err
	}
	p := &nodeProcess{waiting: make(map[int]chan nodeReply)}
	p.cmd = exec.Command(node, "bench.mjs")
	p.cmd.Dir = dir
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	go p.read(out)
	return p, nil
}

// npmInstall installs dir's packages when they are not there yet. package.json
// pins them; a lock file would name the registry of the machine that wrote it.
func npmInstall(ctx context.Context, dir string) error {
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "bullmq")); err == nil {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is not installed")
	}
	fmt.Fprintln(os.Stderr, "installing BullMQ with npm ...")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		// Half an installation would pass for a whole one next time.
		return errors.Join(fmt.Errorf("npm install: %w: %s", err, firstLines(out, 3)), os.RemoveAll(modules))
	}
	return nil
}

// firstLines cuts what npm says, which ends in pages of usage.
func firstLines(out []byte, n int) []byte {
	lines := bytes.SplitN(bytes.TrimSpace(out), []byte("\n"), n+1)
	return bytes.Join(lines[:min(n, len(lines))], []byte("; "))
}

// read hands the replies to their callers until the process ends.
func (p *nodeProcess) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			p.fail(fmt.Errorf("node has ended: %w", err))
			return
		}
		var r nodeReply
		if err := json.Unmarshal(line, &r); err != nil {
			fmt.Fprintf(os.Stderr, "node says: %s", line)
			continue
		}
		p.mu.Lock()
		c := p.waiting[r.ID]
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		if c != nil {
			c <- r
		}
	}
}

func (p *nodeProcess) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = err
	for id, c := range p.waiting {
		delete(p.waiting, id)
		c <- nodeReply{Error: err.Error()}
	}
}

// call runs one command and decodes its reply into reply, when that is not nil.
// A call given up because ctx is done may still run in the process.
func (p *nodeProcess) call(ctx context.Context, cmd string, a args, reply any) error {
	c := make(chan nodeReply, 1)
	id, err := p.send(cmd, a, c)
	if err != nil {
		return fmt.Errorf("bullmq %s: %w", cmd, err)
	}
	select {
	case r := <-c:
		if r.Error != "" {
			return fmt.Errorf("bullmq %s: %s", cmd, r.Error)
		}
		if reply == nil {
			return nil
		}
		return json.Unmarshal(r.OK, reply)
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		return fmt.Errorf("bullmq %s: %w", cmd, ctx.Err())
	}
}

func (p *nodeProcess) send(cmd string, a args, c chan nodeReply) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		return 0, p.gone
	}
	p.next++
	line := args{"id": p.next, "cmd": cmd}
	for k, v := range a {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		return 0, err
	}
	p.waiting[p.next] = c
	_, err = p.stdin.Write(append(b, '\n'))
	return p.next, err
}

// Close ends the process.
func (p *nodeProcess) Close() error {
	_ = p.stdin.Close() // bench.mjs exits at the end of its input
	done := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer done.Stop()
	return p.cmd.Wait()
}
