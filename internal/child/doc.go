// Package child runs tasks in child processes, which can be killed. The children
// are this very program, started again: what is the parent has a [Crew], what is a
// child calls [Serve] and never returns from it.
package child
