package pool

// list is a row of tasks, from which any can be taken at once.
type list struct {
	first, last *task
	n           int
}

func (l *list) push(t *task) {
	t.in, t.prev, t.next = l, l.last, nil
	if l.last != nil {
		l.last.next = t
	} else {
		l.first = t
	}
	l.last = t
	l.n++
}

func (l *list) pushFront(t *task) {
	t.in, t.prev, t.next = l, nil, l.first
	if l.first != nil {
		l.first.prev = t
	} else {
		l.last = t
	}
	l.first = t
	l.n++
}

// leave takes t off the list that holds it, if one does.
func (t *task) leave() {
	l := t.in
	if l == nil {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.last = t.prev
	}
	t.in, t.prev, t.next = nil, nil, nil
	l.n--
}
