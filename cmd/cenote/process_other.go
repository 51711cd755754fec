//go:build !unix

package main

import "os/exec"

// ownGroup does nothing: this system has no process groups.
func ownGroup(*exec.Cmd) {}

// killGroup ends the command, but not what it has started.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
