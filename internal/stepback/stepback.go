// Package stepback lets those go first who are ready to.
package stepback

import (
	"runtime"
	"time"
)

// While lets other goroutines run that are ready to, as long as they bring something:
// grown says how much there is. It takes next to nothing if nobody is ready, and where the
// processors are busy it gives up after a moment: the rest of the time goes to others
// anyway.
func While(grown func() int) {
	const steps, most = 5, 150 * time.Microsecond
	begin, seen := time.Now(), 0
	for left := steps; left > 0; left-- {
		runtime.Gosched()
		if time.Since(begin) > most {
			return
		}
		if n := grown(); n > seen {
			seen, left = n, steps
		}
	}
}
