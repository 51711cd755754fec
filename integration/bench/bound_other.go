//go:build !linux

package main

import "os/exec"

// startBound starts cmd. Only Linux can bind it to this process: elsewhere it
// outlives a run that was killed.
func startBound(cmd *exec.Cmd) error { return cmd.Start() }
