package queue

// line is arguments of a Map in a row, in pieces: one array for all would have to be
// copied as it grows.
type line[In any] struct {
	pieces [][]In
	n      int // how many there are; the pieces may have more, which are not to be taken yet
}

// add puts one at the end, into a piece that begins with room for some.
func (l *line[In]) add(in In, room int) {
	if len(l.pieces) == 0 {
		l.pieces = append(l.pieces, make([]In, 0, room))
	}
	last := &l.pieces[len(l.pieces)-1]
	*last = append(*last, in)
	l.n++
}

// join puts a piece at the end.
func (l *line[In]) join(ins []In) {
	if len(ins) > 0 {
		l.pieces = append(l.pieces, ins)
		l.n += len(ins)
	}
}

// take takes n of them off the front, as one slice: they are copied only if they
// stand in more than one piece.
func (l *line[In]) take(n int) []In {
	l.n -= n
	if ins := l.pieces[0]; len(ins) >= n {
		l.drop(n)
		return ins[:n:n]
	}
	ins := make([]In, 0, n)
	for len(ins) < n {
		k := min(n-len(ins), len(l.pieces[0]))
		ins = append(ins, l.pieces[0][:k]...)
		l.drop(k)
	}
	return ins
}

// drop removes n from the first piece.
func (l *line[In]) drop(n int) {
	if l.pieces[0] = l.pieces[0][n:]; len(l.pieces[0]) == 0 {
		l.pieces[0] = nil // what was sent is not held here
		l.pieces = l.pieces[1:]
	}
}
